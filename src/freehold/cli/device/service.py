"""What a telemetry service says about devices, and directives handed to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from freehold.cli.home import Home, find_home
from freehold.domain.document import PARTS_MAX, MalformedError, parse_document
from freehold.domain.errors import AccessError, FreeholdError, NotFoundError, UnavailableError
from freehold.domain.ids import Address
from freehold.node.agent.door import Door
from freehold.node.agent.settings import FILE, Settings, load
from freehold.node.agent.transports import refusal

TOKEN = "admin.token"  # noqa: S105  the file's name, not a secret
PAGES_MAX, PAGE, PAGE_BYTES = 100, 500, 2**23
"""Pages and members of each, which have an object and a list of at most 256 metrics."""
UNHEARD = (
    "No telemetry service is known: readings are kept here until one is. "
    "Name it with --service URL of `freehold device add` or `pair`."
)


def service_of(home: Home, given: str = "") -> tuple[str, str]:
    """URL and fingerprint of the service: the one given, or the one of this machine's devices;
    empty where there is none."""
    for file in sorted((home.root / "devices").glob(f"*/{FILE}")):
        settings = load(file.parent)
        if settings.api and given in ("", settings.api):
            return settings.api, settings.fingerprint
    return given, ""


def with_service(root: Path | None, folder: Path, settings: Settings) -> Settings:
    """The settings, now in ``folder`` with the service of the home's network where none was
    named; as they were where none is known."""
    from freehold.cli.telemetry.caller import locate

    home = find_home(root)
    if settings.services or not home.descriptor.exists():
        return settings
    try:
        place = locate(root, home)
    except (NotFoundError, UnavailableError):
        return settings
    found = replace(settings, services=(place.url,), fingerprint=place.fingerprint)
    found.write(folder)
    return found


def seen(
    home: Home, url: str, fingerprint: str, token_file: Path | None
) -> dict[str, dict[str, object]]:
    """What the service tells of each device, by its id; UnavailableError, AccessError."""
    file = token_file or home.root / "telemetry" / TOKEN
    if not file.is_file():
        raise AccessError(
            f"there is no administrator's token in {file}",
            remedy="Name the service's admin.token with --token-file.",
        )
    headers = {"Authorization": f"Bearer {file.read_text().strip()[:256]}"}
    found: dict[str, dict[str, object]] = {}
    door, after = Door(url, fingerprint=fingerprint, limit=PAGE_BYTES), ""
    try:
        for _ in range(PAGES_MAX):
            page = _page(door, headers, after)
            found |= {str(each.get("id")): each for each in page}
            last = list(found)[-1:] if page else []
            if not last or last[0] == after:
                break
            after = last[0]
    finally:
        door.close()
    return found


def hand_in(url: str, fingerprint: str, device: Address, directive: str) -> None:
    """Give a signed directive to the service; AccessError or UnavailableError with its reason."""
    door = Door(url, fingerprint=fingerprint)
    try:
        answer = door.ask(
            "PUT",
            f"/directives/{device}",
            directive.encode(),
            headers={"Content-Type": "application/json"},
        )
    finally:
        door.close()
    if answer.status >= 300:
        raise _refused(answer.status, refusal(answer)[1], url)


def _page(door: Door, headers: dict[str, str], after: str) -> list[dict[str, object]]:
    answer = door.ask("GET", f"/devices?limit={PAGE}&after={after}", headers=headers)
    if answer.status != 200:
        raise _refused(answer.status, refusal(answer)[1], door.url)
    try:
        page = parse_document(answer.body, size=PAGE_BYTES, parts=8 * PAGE + PARTS_MAX)
    except MalformedError as error:
        raise UnavailableError(
            f"{door.url} answers oddly: {error}", remedy="Check the URL of the service."
        ) from error
    return [each for each in page if isinstance(each, dict)] if isinstance(page, list) else []


def _refused(status: int, message: str, url: str) -> FreeholdError:
    text = f"{url} refused: {message or f'status {status}'}"
    if status in (401, 403):
        return AccessError(text, remedy="Use the account that owns the device.")
    if status == 404:
        return NotFoundError(text, remedy="See that the device is enrolled.")
    return UnavailableError(text, remedy="Check the request, or try again later.")
