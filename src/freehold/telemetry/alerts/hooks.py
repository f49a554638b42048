"""Who is told of alerts: URLs with secrets, in a file that only its owner reads."""

from __future__ import annotations

import json
import re
import secrets
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx2

from freehold.domain.errors import (
    CapacityError,
    ConflictError,
    IntegrityError,
    NotFoundError,
    UsageError,
)
from freehold.domain.files import write_whole
from freehold.telemetry.findings import Severity

HOOKS_MAX, URL_MAX, SECRET_MIN = 32, 2_000, 16
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Hook:
    """``url`` is told of alerts from ``minimum`` on, signed with ``secret``. ``private`` allows
    addresses of this machine and its networks."""

    name: str
    url: str
    secret: str
    minimum: Severity = Severity.WARNING
    private: bool = False

    def __repr__(self) -> str:
        return f"Hook({self.name!r})"


class Hooks:
    """The hooks in the file ``path`` (mode 0600); every method from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._hooks = {hook.name: hook for hook in _read(path)}

    def all(self) -> tuple[Hook, ...]:
        """All of them, by name."""
        with self._lock:
            return tuple(hook for _, hook in sorted(self._hooks.items()))

    def find(self, name: str) -> Hook | None:
        """The hook of this name, if it is there still."""
        with self._lock:
            return self._hooks.get(name)

    def add(
        self,
        name: str,
        url: str,
        *,
        minimum: Severity = Severity.WARNING,
        private: bool = False,
    ) -> Hook:
        """Add a hook with a new secret, which its receiver is to be given.

        Raises UsageError for a name or URL that cannot be one, ConflictError for a name that is
        taken, CapacityError for one too many.
        """
        hook = Hook(name, url, secrets.token_hex(32), minimum, private)
        _check(hook)
        with self._lock:
            if name in self._hooks:
                raise ConflictError(f"{name} is there already", remedy="Choose another name.")
            if len(self._hooks) >= HOOKS_MAX:
                raise CapacityError(f"there are {HOOKS_MAX} hooks", remedy="Remove one first.")
            self._save({**self._hooks, name: hook})
        return hook

    def remove(self, name: str) -> None:
        """Remove a hook; what waits for it is dropped."""
        with self._lock:
            if name not in self._hooks:
                raise NotFoundError(f"no hook is called {name}", remedy="Look at the list.")
            self._save({key: hook for key, hook in self._hooks.items() if key != name})

    def _save(self, hooks: dict[str, Hook]) -> None:
        content = json.dumps([asdict(hook) for hook in hooks.values()], indent=1)
        write_whole(self._path, content.encode())
        self._hooks = hooks


def _check(hook: Hook) -> None:
    if _NAME.fullmatch(hook.name) is None:
        raise UsageError(
            f"{hook.name[:80]!r} cannot name a hook",
            remedy="Use at most 64 letters, digits, dots, hyphens and underscores.",
        )
    try:
        url = httpx2.URL(hook.url)
    except (httpx2.InvalidURL, TypeError) as error:
        raise _no_url(hook) from error
    if url.scheme not in ("http", "https") or not url.host or len(hook.url) > URL_MAX:
        raise _no_url(hook)


def _no_url(hook: Hook) -> UsageError:
    return UsageError(
        f"{hook.url[:80]!r} is not a URL to tell", remedy="Use http://host/... or https://host/..."
    )


def _read(path: Path) -> list[Hook]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return []
    try:
        hooks = [
            Hook(
                str(each["name"]),
                str(each["url"]),
                str(each["secret"]),
                Severity(each["minimum"]),
                each["private"] is True,
            )
            for each in json.loads(raw)
        ]
        for hook in hooks:
            _check(hook)
            if len(hook.secret) < SECRET_MIN:
                raise ValueError("a secret is too short")
    except (ValueError, KeyError, TypeError, UsageError) as error:
        raise IntegrityError(
            f"{path} is damaged", remedy="Restore it, or remove it and add the hooks again."
        ) from error
    return hooks
