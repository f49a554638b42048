"""What this client saw of each node: how fast, how often in vain, and when it may be tried again.

Latency is an exponential mean with its mean deviation, as TCP estimates round trips (RFC 6298:
1/8 and 1/4). A node that cannot be reached, hangs or shows another certificate is rested at once,
one that answers badly after three times in a row; each further failure doubles the rest. A node
that says when to come back (429, 503) is believed, up to a minute, and not blamed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from freehold.client.asking.refusals import Kind
from freehold.domain.ids import Address

GAIN, SPREAD = 1 / 8, 1 / 4
"""Weight of a new latency in the mean, and of a new difference in the deviation."""
TRUST = 1 / 16
"""Weight of a new outcome in the share of successes."""
FIRST_REST, LONGEST_REST = 1.0, 300.0
"""Seconds."""
BADLY = 3
"""Bad answers in a row after which a node is rested."""
BUSY_MAX = 60.0
UNKNOWN = 0.1
"""Seconds that a node is taken to need before the first answer was measured."""
NEW = 20
"""Answers until a node counts as known."""
KEPT = 16_384
"""Nodes that are remembered; the one seen least lately is forgotten."""
_GONE = frozenset({Kind.UNREACHABLE, Kind.IMPOSTER, Kind.SILENT, Kind.DROPPED})
_BLAMELESS = frozenset({Kind.BUSY, Kind.REFUSED, Kind.DEAR})


@dataclass(slots=True)
class Measure:
    """One node: ``mean`` and ``deviation`` in seconds, ``trust`` the share of successes, ``flying``
    requests under way, ``until`` when (monotonic seconds) it rests."""

    mean: float = UNKNOWN
    deviation: float = UNKNOWN / 2
    trust: float = 1.0
    answers: int = 0
    failures: int = 0
    outruns: int = 0
    flying: int = 0
    until: float = 0.0
    resting: bool = False

    @property
    def expected(self) -> float:
        """Seconds within which most answers come."""
        return self.mean + 2 * self.deviation

    @property
    def usual(self) -> float:
        """Seconds within which about 95 of 100 answers come: for latencies that fall off as an
        exponential distribution does, 3 means; the deviation is then 0.74 of the mean."""
        return self.mean + 2.7 * self.deviation

    def answered(self, seconds: float) -> None:
        """A good answer came after so long."""
        self._time(seconds)
        self.answers += 1
        self.failures = self.outruns = 0
        if self.resting:
            self.resting, self.until = False, 0.0
        self.trust += TRUST * (1 - self.trust)

    def outrun(self, seconds: float, *, now: float) -> None:
        """Another node was faster: it would have taken at least so long. Three times in a row is
        a failure: one that hangs must not be found out anew by each request."""
        if seconds <= self.mean:
            return
        self._time(seconds)
        self.outruns += 1
        if self.outruns >= BADLY:
            self.failed(Kind.SILENT, now=now)

    def failed(self, kind: Kind, *, now: float, wait: float | None = None) -> None:
        """An attempt was in vain; ``wait`` is how long the node asks to be left alone."""
        if kind in _BLAMELESS:
            self.until = max(self.until, now + min(wait or 0.0, BUSY_MAX))
            return
        self.failures += 1
        self.trust -= TRUST * self.trust
        if kind in _GONE or self.failures >= BADLY or self.resting:
            self.until = now + rest(self.failures)
            self.resting = True

    def state(self, now: float) -> int:
        """0: may be asked; 1: rested, and may be tried again; 2: rests."""
        if now < self.until:
            return 2
        return 1 if self.resting else 0

    def _time(self, seconds: float) -> None:
        if not self.answers and self.mean == UNKNOWN:
            self.mean, self.deviation = seconds, seconds / 2
            return
        self.deviation += SPREAD * (abs(seconds - self.mean) - self.deviation)
        self.mean += GAIN * (seconds - self.mean)


def rest(failures: int) -> float:
    """Seconds that a node rests after its n-th failure in a row: 1, 2, 4, ... up to 300."""
    return min(LONGEST_REST, FIRST_REST * 2.0 ** min(max(failures - 1, 0), 16))


class Measures:
    """The nodes that this client asked."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Address, Measure] = OrderedDict()

    def of(self, node: Address) -> Measure:
        """What is known of a node, to be changed in place."""
        found = self._kept.get(node)
        if found is None:
            found = self._kept[node] = Measure()
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(node)
        return found
