"""The members that report here, and how they do (``views.Devices``)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.node.telemetry.access import Rights, Want
from freehold.node.telemetry.intake import SOURCE
from freehold.node.telemetry.lately import Lately
from freehold.node.telemetry.members import Roll
from freehold.node.telemetry.views import DeviceView
from freehold.telemetry.members import Member
from freehold.telemetry.partition import Partition
from freehold.telemetry.sources import Sources

MARKED = 86_400_000
"""Milliseconds for which a lie is shown."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Over the list of members and the partitions; ``of`` gives a member's partition."""

    roll: Roll
    sources: Sources
    rights: Rights
    lately: Lately
    of: Callable[[str], Partition]
    now: Callable[[], int]

    def devices(self, account: Address | None, *, after: str, limit: int) -> Sequence[DeviceView]:
        """What ``account`` owns (None: everything), by id, from the one after ``after``."""
        members = sorted(self._members(), key=lambda each: each.id)
        start = bisect_right(members, after, key=lambda each: each.id) if after else 0
        found: list[DeviceView] = []
        for member in members[start:]:
            if len(found) >= limit:
                break
            if account is None or self.rights.may_read(account, member.id, Want()):
                found.append(self._view(member))
        return found

    def counts(self) -> dict[str, int]:
        """How many members there are of each kind."""
        found: dict[str, int] = {}
        for member in self._members():
            found[member.kind] = found.get(member.kind, 0) + 1
        return found

    def _members(self) -> Iterator[Member]:
        yield from self.roll.all()
        for source in self.sources.all():
            yield Member(source.id, source.did, source.owner, SOURCE)

    def _view(self, member: Member) -> DeviceView:
        seen, metrics = self.lately.of(member.id)
        partition = self.of(member.id)
        return DeviceView(
            member.id, member.kind, member.owner, member.did.text, seen,
            round(partition.quality(member.id), 4), metrics,
            partition.marked(member.id, self.now() - MARKED),
        )  # fmt: skip
