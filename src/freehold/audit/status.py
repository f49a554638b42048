"""What watchers agreed on, run again: commits, reveals, every settled value and score.

Weights are the stake that this verification recomputed, committees are drawn from the beacon's
seeds, and medians, spreads and scores are those of `freehold.control.consensus`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from freehold.audit import inputs
from freehold.audit.beacon import Beacon
from freehold.audit.events import Event
from freehold.audit.inputs import Fields
from freehold.audit.members import Members, Row, Terms
from freehold.audit.report import Spot
from freehold.control import consensus
from freehold.control.consensus import Observation, Settlement, Tolerance
from freehold.domain.errors import FreeholdError
from freehold.domain.ids import Address, raw_address
from freehold.domain.network import Network

CHECK = "status"
_NEIGHBOURS = ("registry", "staking", "beacon", "governor")
_DIGEST = 28
"""Bytes of a commitment that the contract keeps."""

Key = tuple[Address, bytes]


@dataclass(frozen=True, slots=True)
class Agreed:
    """A settled value, as the contract's view names its fields."""

    value: int = 0
    at: int = 0
    round: int = 0
    told_bps: int = 0
    spread: int = 0


class Status:
    """The status contract's state, recomputed; the stake and the beacon are asked for."""

    def __init__(
        self,
        network: Network,
        made: Fields,
        *,
        life: int,
        beacon: Beacon,
        stake_of: Callable[[Address], int | None],
        counts: Counter[str],
    ) -> None:
        for name in _NEIGHBOURS:
            expected, found = network.contracts[name], inputs.account(made, f"{name}_")
            Spot(CHECK).same(f"the {name} of status", expected=expected, found=found)
        self._network, self._me, self._counts = network, network.contracts[CHECK], counts
        self.terms = _terms(inputs.struct(made, "parameters_"))
        self.members = Members(
            genesis=inputs.number(made, "genesis_"), length=inputs.number(made, "round_length_"),
            life=life, beacon=beacon, stake_of=stake_of,
        )  # fmt: skip
        self.values: dict[Key, Agreed] = {}
        self.hidden = 0
        self._tolerances: dict[bytes, Tolerance] = {}
        self._commits: dict[Address, tuple[int, bytes]] = {}
        self._told: dict[Key, dict[Address, tuple[int, int]]] = {}
        self._unrecorded: set[Address] = set()
        self._unscored: tuple[int, Key, list[int]] | None = None
        self._routes: dict[str, Callable[[Event], None]] = {
            "Joined": self._joined, "Displaced": self._displaced, "Left": self._left,
            "Recorded": self._recorded, "Committed": self._committed, "Revealed": self._revealed,
            "Settled": self._settled, "Scored": self._scored,
            "ParametersSet": self._parameters_set, "ToleranceSet": self._tolerance_set,
        }  # fmt: skip

    def apply(self, event: Event) -> None:
        """Re-run an event of the contract."""
        self._routes[event.name](event)
        self._counts[CHECK] += 1

    def value_of(self, subject: str, aspect: bytes) -> tuple[int, int]:
        """The value last agreed on and when it was settled, 0 where it never was."""
        found = self._agreed(subject, aspect)
        return found.value, found.at

    def finish(self, spot: Spot) -> None:
        """Differs where a transaction did not record or score what it had to."""
        spot.same("stake that was not recorded", expected=set(), found=self._unrecorded)
        spot.same("scores that were not told", expected=None, found=self._unscored)

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        texts = [str(each) for each in arguments]
        views: dict[tuple[str, int], Callable[[], list[object]]] = {
            ("parameters", 0): lambda: [asdict(self.terms)],
            ("rows", 0): lambda: [len(self.members.rows)],
            ("score_of", 1): lambda: [self.members.score(Address(texts[0]))],
            ("tolerance_of", 1): lambda: [asdict(self._tolerance(_aspect(texts[0])))],
            ("value_of", 2): lambda: [*self.value_of(texts[0], _aspect(texts[1]))],
            ("status_of", 2): lambda: [asdict(self._agreed(texts[0], _aspect(texts[1])))],
        }
        found = views.get((view, len(texts)))
        return None if found is None else found()

    def _agreed(self, subject: str, aspect: bytes) -> Agreed:
        return self.values.get((Address(subject), aspect), Agreed())

    # Members

    def _joined(self, event: Event) -> None:
        watcher, current = event.address("watcher"), self._second_half(event)
        spot = event.spot(CHECK)
        able = self.members.stake(watcher, self.terms) > 0
        spot.same("a watcher with enough stake", expected=True, found=able)
        place = self.members.place_for(watcher, current)
        event.same(CHECK, "place", place)
        event.same(CHECK, "since", current + 1)
        self._check_caller(event, "watcher")
        self.members.join(watcher, event.number("place"), current)
        self._unrecorded.add(watcher)

    def _displaced(self, event: Event) -> None:
        current, by = self._second_half(event), event.address("by")
        spot, rows = event.spot(CHECK), self.members.rows
        full = self.members.place_for(by, current) is None and self.members.row(by) is None
        spot.same("a full list", expected=True, found=full)
        staying = all(row.left_at == 0 for row in rows)
        spot.same("nobody leaving already", expected=True, found=staying)
        weakest, least = self.members.weakest(event.time)
        event.same(CHECK, "watcher", weakest.watcher)
        more = self.members.stake(by, self.terms) > least
        spot.same("more stake than the least", expected=True, found=more)
        self._check_caller(event, "by")
        weakest.left_at = event.time

    def _left(self, event: Event) -> None:
        self._second_half(event)
        row = self._member(event)
        event.spot(CHECK).same("a member that stayed", expected=0, found=row.left_at)
        self._check_caller(event, "watcher")
        row.left_at = event.time

    def _recorded(self, event: Event) -> None:
        self._second_half(event)
        watcher = self._member(event).watcher
        event.same(CHECK, "weight", self.members.record(watcher, event.time, self.terms))
        self._unrecorded.discard(watcher)

    def _member(self, event: Event) -> Row:
        row = self.members.row(event.address("watcher"))
        if row is None:
            name = event.address("watcher")
            raise event.spot(CHECK).differs("the watcher", expected="a member", found=name)
        return row

    def _second_half(self, event: Event) -> int:
        first = self.members.first_half(event.time)
        event.spot(CHECK).same("the first half of a round", expected=False, found=first)
        return self.members.round_at(event.time)

    def _check_caller(self, event: Event, name: str) -> None:
        caller = event.transaction.caller(self._me)
        if caller is not None:
            event.same(CHECK, name, caller)

    # A round

    def _committed(self, event: Event) -> None:
        row, spot, now = self._member(event), event.spot(CHECK), self.members.round_at(event.time)
        event.same(CHECK, "round", now)
        first = self.members.first_half(event.time)
        spot.same("the first half of a round", expected=True, found=first)
        sits = row.since <= now and row.stays(self.members.start(now))
        spot.same("a member of the round", expected=True, found=sits)
        last, _ = self._commits.get(row.watcher, (-1, b""))
        spot.same("a commitment before", expected=False, found=last == now)
        self._check_caller(event, "watcher")
        self._commits[row.watcher] = now, event.data("digest")[:_DIGEST]

    def _revealed(self, event: Event) -> None:
        now, watcher = self._second_half(event), self._member(event).watcher
        event.same(CHECK, "round", now)
        observations = _observations(event.args)
        self._check_commitment(event, observations)
        for each in observations:
            told = self._told.setdefault((each.subject, each.aspect), {})
            again = told.get(watcher, (-1, 0))[0] == now
            event.spot(CHECK).same("a value told twice", expected=False, found=again)
            told[watcher] = now, each.value
        self._unrecorded.add(watcher)
        self._counts["observations"] += len(observations)

    def _check_commitment(self, event: Event, observations: Sequence[Observation]) -> None:
        """Differs unless what is told is what was committed to, by the salt in the input."""
        watcher, now = event.address("watcher"), event.number("round")
        at, digest = self._commits.get(watcher, (-1, b""))
        spot = event.spot(CHECK)
        spot.same("a commitment of the round", expected=now, found=at)
        calls = list(inputs.calls(event.transaction, CHECK, "reveal", 4))
        if not calls and event.transaction.to != self._me:
            self.hidden += 1
            return
        salts = [inputs.data(call, "salt") for call in calls]
        opened = [self._digest(observations, now, watcher, salt) for salt in salts]
        spot.same("what was committed to", expected=True, found=digest in opened)

    def _digest(
        self, observations: Sequence[Observation], number: int, watcher: Address, salt: bytes
    ) -> bytes:
        whole = consensus.digest(
            observations, chain_id=self._network.chain_id, contract=self._me,
            round_number=number, watcher=watcher, salt=salt,
        )  # fmt: skip
        return whole[:_DIGEST]

    def _settled(self, event: Event) -> None:
        number, subject = event.number("round"), event.address("subject")
        key, spot = (subject, event.data("aspect")), event.spot(CHECK)
        spot.same("scores that were not told", expected=None, found=self._unscored)
        first = self.members.first_half(event.time)
        spot.same("the first half of a round", expected=True, found=first)
        event.same(CHECK, "round", self.members.round_at(event.time) - 1)
        before = self.values.get(key)
        again = before is not None and before.round == number
        spot.same("a value settled before", expected=False, found=again)
        told = {w: v for w, (at, v) in self._told.get(key, {}).items() if at == number}
        seats = self.members.committee(number, subject, self.terms.seats)
        found = self._agree(event, seats, told, None if before is None else before.value)
        for name in ("value", "told_bps", "spread"):
            event.same(CHECK, name, getattr(found, name))
        self.values[key] = Agreed(found.value, event.time, number, found.told_bps, found.spread)
        self._unscored = number, key, self._score(seats, told, found)
        self._counts["settled values"] += 1

    def _agree(
        self,
        event: Event,
        seats: Sequence[consensus.Seat],
        told: dict[Address, int],
        before: int | None,
    ) -> Settlement:
        tolerance = self._tolerance(event.data("aspect"))
        try:
            return consensus.settle(seats, told, before=before, tolerance=tolerance)
        except FreeholdError as error:
            raise event.spot(CHECK).differs(
                "an agreement", expected="none", found=error.message
            ) from error

    def _score(
        self, seats: Sequence[consensus.Seat], told: dict[Address, int], found: Settlement
    ) -> list[int]:
        """Score a committee; each watcher << 16 | its score, of those whose score changed."""
        changed: list[int] = []
        for seat in seats:
            row = self.members.row(seat.watcher)
            if row is None:
                continue
            score = consensus.scored(row.score, told.get(seat.watcher), found)
            if score != row.score:
                changed.append(int.from_bytes(raw_address(seat.watcher), "big") << 16 | score)
            row.score = score
        return changed

    def _scored(self, event: Event) -> None:
        key = event.address("subject"), event.data("aspect")
        told = event.number("round"), key, inputs.numbers(event.args, "scores")
        spot = event.spot(CHECK).field("Scored.scores")
        spot.same("the scores of a settlement", expected=self._unscored, found=told)
        self._unscored = None

    # Settings

    def _tolerance(self, aspect: bytes) -> Tolerance:
        return self._tolerances.get(aspect, Tolerance(self.terms.tolerance_bps))

    def _parameters_set(self, event: Event) -> None:
        self.terms = _terms(inputs.struct(event.args, "parameters"))

    def _tolerance_set(self, event: Event) -> None:
        told, aspect = inputs.struct(event.args, "tolerance"), event.data("aspect")
        found = Tolerance(inputs.number(told, "bps"), inputs.number(told, "least"))
        self._tolerances[aspect] = found
        if not found.bps and not found.least:
            del self._tolerances[aspect]


def _terms(told: Fields) -> Terms:
    return Terms(*(inputs.number(told, name) for name in Terms.__slots__))


def _aspect(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _observations(told: Fields) -> list[Observation]:
    subjects, aspects, values = (told[name] for name in ("subjects", "aspects", "values"))
    if not (isinstance(subjects, list) and isinstance(aspects, list) and isinstance(values, list)):
        raise TypeError("what is told is no list")
    found = [
        Observation(Address(subject), aspect, value)
        for subject, aspect, value in zip(subjects, aspects, values, strict=True)
        if isinstance(subject, str) and isinstance(aspect, bytes) and isinstance(value, int)
    ]
    if len(found) != len(values):
        raise TypeError("what is told is of another kind")
    return found
