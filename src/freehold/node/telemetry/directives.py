"""The latest directive of each device: kept as the owner signed it, one file each.

Who writes must own an enrolled device, so there are no more files than devices. The service
passes on and cannot forge: the agent checks the owner's signature and the sequence itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from freehold.domain.directive import SIZE_MAX, SignedDirective
from freehold.domain.errors import AccessError, IntegrityError, NotFoundError, UsageError
from freehold.domain.ids import Address
from freehold.domain.typed import Domain
from freehold.node.files import disk, make_folder, replace_file
from freehold.node.telemetry.access import Rights


class Directives:
    """Directives in ``folder``, signed under ``domain``; ``now`` gives seconds. Any thread."""

    def __init__(
        self, folder: Path, *, domain: Domain, rights: Rights, now: Callable[[], int]
    ) -> None:
        self._folder, self._domain, self._rights, self._now = folder, domain, rights, now
        self._lock = threading.Lock()
        with disk(folder):
            make_folder(folder)

    def put(self, device: Address, body: bytes) -> None:
        """Keep what its owner signed for ``device``, durably.

        UsageError, AccessError for somebody else's signature, NotFoundError for an unknown
        device, ConflictError for one that is over or not later than the one that is kept. The
        same one again is no error.
        """
        signed = SignedDirective.parse(body)
        if signed.directive.device != device:
            raise UsageError(
                f"the directive is for {signed.directive.device}", remedy="Send it to that device."
            )
        owner = self._rights.owner_of(device)
        if owner is None:
            raise NotFoundError(
                f"no device {device} is enrolled", remedy="Enrol it with `freehold device pair`."
            )
        with self._lock:
            kept = self._load(device, owner)
            if kept == signed:
                return
            after = 0 if kept is None else kept.directive.sequence
            signed.check(self._domain, owner=owner, after=after, now=self._now())
            replace_file(self._file(device), signed.render().encode())

    def get(self, device: Address) -> SignedDirective:
        """The latest that holds; NotFoundError."""
        owner = self._rights.owner_of(device)
        kept = None if owner is None else self._load(device, owner)
        if kept is None or kept.directive.expiry <= self._now():
            raise NotFoundError(
                f"there is no directive for {device}", remedy="Go by the agent's own settings."
            )
        return kept

    def _load(self, device: Address, owner: Address) -> SignedDirective | None:
        """What is kept, unless an earlier owner signed it."""
        file = self._file(device)
        with disk(file):
            try:
                with file.open("rb") as opened:
                    text = opened.read(SIZE_MAX + 1)
            except FileNotFoundError:
                return None
        try:
            signed = SignedDirective.parse(text)
            signed.check(self._domain, owner=owner, after=0, now=0)
        except UsageError as error:
            raise IntegrityError(
                f"{file} is no directive: {error.message}", remedy="Remove the file."
            ) from error
        except AccessError:
            return None
        return signed

    def _file(self, device: Address) -> Path:
        return self._folder / f"{device.lower()}.json"
