"""Asks a telemetry service, as its administrator or as the account of this home's wallet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar
from urllib.parse import urlencode

import typer

from freehold.cli.home import Home, open_home
from freehold.domain.document import PARTS_MAX, MalformedError, parse_document
from freehold.domain.errors import (
    AccessError,
    ConflictError,
    FreeholdError,
    NotFoundError,
    UnavailableError,
    UsageError,
)

if TYPE_CHECKING:
    from freehold.domain.ids import Address
    from freehold.node.agent.door import Answer, Door

ServiceOption = Annotated[
    str, typer.Option("--service", help="URL of the service; default: this network's.")
]
TokenOption = Annotated[
    Path | None,
    typer.Option("--token-file", help="The service's admin.token; default: this home's."),
]
PAGES_MAX, PAGE = 1_000, 500
SECONDS, ANSWER_MAX = 60.0, 2**27
"""How long an answer may take to begin, and its bytes."""
PARTS = 1_000_000 + PARTS_MAX
"""Objects and lists of an answer: as many rows as the API gives at once, and what holds them."""
_READY, _TOKEN = "ready.json", "admin.token"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service answers; ``fingerprint`` of its certificate in hex, empty where it speaks
    plain HTTP; ``node`` empty where it is not known."""

    url: str
    fingerprint: str = ""
    node: str = ""


class Caller:
    """Asks one service; ``sign`` gives the Authorization header of a request."""

    def __init__(self, door: Door, sign: Callable[[str, str, bytes], str]) -> None:
        self._door, self._sign = door, sign

    def get(self, path: str, **given: object) -> object:
        """The JSON of a GET; a FreeholdError with the service's reason."""
        return _document(self._ask("GET", _path(path, given)))

    def text(self, path: str, **given: object) -> str:
        """The text of a GET."""
        return self._ask("GET", _path(path, given)).body.decode(errors="replace")

    def health(self) -> object:
        """What the service says of itself, also where not all is well."""
        answer = self._door.ask("GET", "/health")
        if answer.status not in (200, 503):
            raise _refused(answer, self._door.url)
        return _document(answer)

    def fetch(self, path: str, file: Path, **given: object) -> int:
        """Write the answer to a GET to the new file ``file``, of which nothing is there before all
        of it is; its bytes."""
        whole = _path(path, given)
        headers = {"Authorization": self._sign("GET", path, b"")}
        part = file.with_name(f".{file.name}.part")
        try:
            with part.open("xb") as opened:
                answer = self._door.save(whole, opened, headers=headers)
            if answer.status >= 300:
                raise _refused(answer, self._door.url)
            size = part.stat().st_size
            part.replace(file)
        except OSError as error:
            raise UsageError(
                f"{file} cannot be written: {error.strerror}", remedy="Choose another place."
            ) from error
        finally:
            part.unlink(missing_ok=True)
        return size

    def post(self, path: str, fields: Mapping[str, object]) -> object:
        """The JSON that a POST of JSON gives, None where it gives nothing."""
        answer = self._ask("POST", path, json.dumps(fields).encode())
        return _document(answer) if answer.body else None

    def delete(self, path: str) -> None:
        """Remove something."""
        self._ask("DELETE", path)

    def pages(self) -> Iterator[Mapping[str, object]]:
        """Every member that the caller may read, by id."""
        after = ""
        for _ in range(PAGES_MAX):
            page = rows(self.get("/devices", limit=PAGE, after=after))
            yield from page
            if len(page) < PAGE:
                return
            after = str(page[-1]["id"])

    def _ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        headers = {"Authorization": self._sign(method, path.partition("?")[0], body)}
        if body:
            headers["Content-Type"] = "application/json"
        answer = self._door.ask(method, path, body, headers=headers)
        if answer.status >= 300:
            raise _refused(answer, self._door.url)
        return answer


@contextmanager
def calling(
    root: Path | None,
    service: str = "",
    token_file: Path | None = None,
    password_file: Path | None = None,
) -> Iterator[Caller]:
    """A caller of the service of this home's network.

    NotFoundError where there is none; with the administrator's token where it is here, else signed
    by the wallet, whose password may be in ``password_file``.
    """
    from freehold.node.agent.door import Door

    home = open_home(root)
    place = locate(root, home, service)
    token = token_file or home.telemetry / _TOKEN
    door = Door(place.url, fingerprint=place.fingerprint, seconds=SECONDS, limit=ANSWER_MAX)
    try:
        if token_file is not None or (token.is_file() and _is_own(home, place)):
            header = f"Bearer {_read(token)}"
            yield Caller(door, lambda _method, _path, _body: header)
        else:
            with _signing(root, home, place, password_file) as sign:
                yield Caller(door, sign)
    finally:
        door.close()


def locate(root: Path | None, home: Home, service: str = "") -> Place:
    """The service that was named, else the one of this home, else the registry's first."""
    own = _own(home)
    if own is not None and service in ("", own.url):
        return own
    if service and not service.startswith(("http://", "https://")):
        raise UsageError(f"{service!r} is no URL", remedy="Write http://host:port or https://...")
    for place in _listed(root):
        if service in ("", place.url):
            return place
    if service:
        return Place(service)
    remedy = "Start one with `freehold telemetry serve`, or `freehold up`."
    if own is None and (home.telemetry / "enlisted").exists():
        remedy = "Start it with `freehold up`, or `freehold telemetry serve`."
    raise NotFoundError("no telemetry service of this network is known", remedy=remedy)


def rows(found: object) -> list[Mapping[str, object]]:
    """The objects of a list in JSON; UnavailableError where it is none."""
    if not isinstance(found, list):
        raise _odd("it is no list")
    return [each for each in found if isinstance(each, dict)]


def fields(found: object) -> Mapping[str, object]:
    """An object in JSON; UnavailableError where it is none."""
    if not isinstance(found, dict):
        raise _odd("it is no object")
    return found


def _own(home: Home) -> Place | None:
    """The service that runs on this home."""
    try:
        found = parse_document((home.telemetry / _READY).read_bytes())
        if isinstance(found, dict):
            return Place(str(found["url"]), str(found["tls"]), str(found["node"]))
    except (OSError, MalformedError, KeyError):
        return None
    return None


def _is_own(home: Home, place: Place) -> bool:
    own = _own(home)
    return own is None or own.url == place.url


def _listed(root: Path | None) -> Iterator[Place]:
    """The services that the registry lists, in its order."""
    from freehold.cli.session import open_ledger
    from freehold.ledger.contracts.registry import OPERATOR
    from freehold.ledger.paging import every

    with open_ledger(root) as ledger:
        ledger.index.sync()
        named: dict[Address, None] = {}
        for name in ("NodeRegistered", "NodeUpdated"):
            for event in every(ledger.index, "registry", name):
                if event.number("roles") & OPERATOR:
                    named.setdefault(event.address("node"))
        for node in named:
            entry = ledger.registry.node(node)
            if entry.roles & OPERATOR and not entry.retired and entry.endpoint:
                yield Place(entry.endpoint, entry.tls.hex() if any(entry.tls) else "", node)


@contextmanager
def _signing(
    root: Path | None, home: Home, place: Place, password_file: Path | None
) -> Iterator[Callable[[str, str, bytes], str]]:
    import secrets

    from freehold.cli.session import open_account, sender
    from freehold.client.token import Identity
    from freehold.domain.ids import address

    if not place.node:
        raise AccessError(
            f"{place.url} is not in the registry, so no request can be signed for it",
            remedy="Give the service's admin.token with --token-file.",
        )
    audience = address(place.node)
    with open_account(root, password_file) as ledger:
        sender(ledger)
        key = ledger.key
        if key is None:
            raise AccessError("the wallet's key is needed", remedy="Create a wallet first.")
        identity = Identity(key, home.network().domain("registry"), ledger, secrets.token_bytes)
        yield lambda method, path, body: identity.token(
            audience=audience, method=method, path=path, body=body
        )


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()[:256]
    except OSError as error:
        raise AccessError(
            f"{file} cannot be read: {error.strerror}",
            remedy="Name the service's admin.token with --token-file.",
        ) from error


def _path(path: str, given: Mapping[str, object]) -> str:
    told = {name: value for name, value in given.items() if value not in (None, "", ())}
    return f"{path}?{urlencode(told)}" if told else path


def _document(answer: Answer) -> object:
    try:
        return parse_document(answer.body, size=ANSWER_MAX, parts=PARTS)
    except MalformedError as error:
        raise _odd(str(error)) from error


def _odd(reason: str) -> FreeholdError:
    return UnavailableError(
        f"the telemetry service answers oddly: {reason}", remedy="Check the URL of the service."
    )


def _refused(answer: Answer, url: str) -> FreeholdError:
    try:
        found = parse_document(answer.body)
    except MalformedError:
        found = None
    told = found if isinstance(found, dict) else {}
    text = str(told.get("error") or f"{url} answers {answer.status}")
    remedy = str(told.get("remedy") or "Try again later.")
    kinds = {
        400: UsageError, 401: AccessError, 403: AccessError, 404: NotFoundError, 409: ConflictError,
    }  # fmt: skip
    return kinds.get(answer.status, UnavailableError)(text, remedy=remedy)
