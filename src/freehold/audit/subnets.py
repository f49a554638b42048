"""Subnets run again: their prices, who holds which uid, what burned, what an epoch may pay.

What validators think of nodes is `freehold.audit.weights`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from freehold.audit import inputs
from freehold.audit.burns import Burns
from freehold.audit.events import Event
from freehold.audit.inputs import Fields
from freehold.audit.report import Spot
from freehold.audit.weights import Seat, Weights
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.network import Network
from freehold.economics.pricing import Price, Terms, decayed, raised

CHECK = "subnet"
BPS, GRAIN = 10_000, 10**9
DEPOSIT, STAKE, UNSTAKE = 1, 11, 12
MODEL, VALIDATOR = 8, 16
AHEAD = 2
_PRICES = ("lowest", "highest", "half_life", "factor_bps")
_WORDS = {
    "rules": {
        "kappa": 16, "bonds_penalty": 16, "bonds_ema_ppm": 20, "yuma3": 1, "liquid": 1,
        "liquid_low": 16, "liquid_high": 16, "steepness": 16, "max_validators": 9, "immunity": 32,
        "owner_bps": 11, "min_stake": 60,
    },
    "entry": {"lowest": 96, "highest": 96, "half_life": 32, "factor_bps": 32},
}  # fmt: skip
"""Words of the contract: their fields from the lowest bit up, with the bits of each."""


@dataclass(slots=True)
class Subnet:
    """One competition; ``revisions`` are the first epoch of each set of rules with the terms of
    its registrations. ``last`` is the price after its last use and the moment of that."""

    owner: Address
    created_at: int
    max_nodes: int
    lock: int
    closing: int = 0
    revisions: list[tuple[int, Terms]] = field(default_factory=list)
    last: tuple[int, int] = (0, 0)
    seats: dict[int, Seat] = field(default_factory=dict)
    place_of: dict[Address, int] = field(default_factory=dict)

    def shown(self) -> dict[str, object]:
        """The fields as the contract's view names them."""
        return {
            "owner": self.owner, "created_at": self.created_at, "closing": self.closing,
            "max_nodes": self.max_nodes, "nodes": len(self.seats), "lock": self.lock,
            "revisions": len(self.revisions),
        }  # fmt: skip

    def entry(self, epoch: int) -> Terms:
        """By which terms the price of a registration moves in an epoch."""
        return [terms for since, terms in self.revisions if since <= epoch][-1]


@dataclass(slots=True)
class Money:
    """Base units that registrations burned in an epoch, and that others granted."""

    burned: int = 0
    granted: int = 0


class Subnets:
    """The state of the contract, recomputed; other models tell what it asks of other contracts."""

    def __init__(
        self, network: Network, made: Fields, *, burns: Burns, counts: Counter[str]
    ) -> None:
        self._at, self._me, self._counts = network.contracts, network.contracts[CHECK], counts
        for name in ("token", "registry", "staking", "issuance", "prizes"):
            found, spot = inputs.account(made, f"{name}_"), Spot(CHECK)
            spot.same(f"the {name} of subnets", expected=network.contracts[name], found=found)
        terms = dict(inputs.struct(made, "terms_"))
        self._terms = {name: inputs.number(terms, name) for name in terms}
        self._price = Price(Terms(*(self._terms[name] for name in _PRICES)), last=0, moment=0)
        self.genesis = inputs.number(made, "genesis_")
        self.epoch_length = inputs.number(made, "epoch_length_")
        self._burns = burns
        self.subnets: dict[int, Subnet] = {}
        self.burned = self.locked = self.waiting = 0
        self.judge = ZERO_ADDRESS
        self.paused = False
        self.money: dict[tuple[int, int], Money] = {}
        self.totals: dict[int, Money] = {}
        self.emitted: dict[int, int] = {}
        self.owner_of: Callable[[str], object] = lambda _: ZERO_ADDRESS
        self.in_role: Callable[[str, int], bool] = lambda _node, _role: True
        self.drawable: Callable[[int, int], int | None] = lambda _epoch, _moment: None
        self.prize_rules: Callable[[], Mapping[str, int]] = dict
        self.prune_of: Callable[[int], tuple[int, int]] | None = None
        self.weights = Weights(network, self, counts=counts)
        self._burnt: list[tuple[str, int, str, Spot]] = []
        self._replaced: tuple[int, int, int] | None = None
        self._due: Counter[tuple[str, Address, Address, int, int]] = Counter()
        self._funds: Counter[tuple[int, int]] = Counter()
        self._routes: dict[str, Callable[[Event], None]] = {
            "Created": self._created, "RulesSet": self._rules_set, "UriSet": self._uri_set,
            "Closing": self._closing, "Unlocked": self._unlocked, "Registered": self._registered,
            "Replaced": self._replace, "Granted": self._granted, "EpochClosed": self._closed,
            "JudgeSet": self._judge_set, "PausedSet": self._paused_set, "Movement": self._moved,
            "Committed": self.weights.committed, "Revealed": self.weights.revealed,
            "Recorded": self.weights.recorded,
        }  # fmt: skip

    def apply(self, event: Event) -> None:
        """Re-run an event of the contract."""
        self._routes[event.name](event)
        self._counts[CHECK] += 1

    def see_draw(self, event: Event) -> None:
        """Note a draw from the emission by this contract."""
        self._explain(
            event, (CHECK, ZERO_ADDRESS, self._me, event.number("amount"), event.number("epoch"))
        )

    def see_funding(self, event: Event) -> None:
        """Note what this contract brought to the roots that pay."""
        key, spot = (event.number("epoch"), event.number("amount")), event.spot(CHECK)
        spot.same("a funding that is due", expected=True, found=self._funds[key] > 0)
        self._funds[key] -= 1

    def finish(self, spot: Spot) -> None:
        """Differs where an event of a transaction promised what did not come."""
        # The contract tells what it does before it calls the token.
        for who, amount, what, where in self._burnt:
            self._burns.pay(who, amount, what=what, spot=where)
        self._burnt.clear()
        spot.same("what is due and was not moved", expected={}, found=dict(+self._due))
        spot.same("roots that were not funded", expected={}, found=dict(+self._funds))
        spot.same("a uid that nobody took", expected=None, found=self._replaced)
        self._due.clear()
        self._funds.clear()

    def epoch(self, moment: int) -> int:
        """The epoch that runs at a moment."""
        return (moment - self.genesis) // self.epoch_length

    def nodes(self, subnet: int) -> int:
        """How many uids a subnet has given out."""
        return len(self.subnets[subnet].seats)

    def running(self, event: Event) -> Subnet:
        """The subnet of an event; Differs where there is none, or it has ended."""
        found, epoch = self._known(event), self.epoch(event.time)
        lasts = not found.closing or epoch < found.closing
        event.spot(CHECK).same("a subnet that has not ended", expected=True, found=lasts)
        return found

    def seat(self, event: Event) -> Seat:
        """Who holds the uid of an event; Differs where nobody does, or in another generation."""
        found = self._known(event).seats.get(event.number("uid"))
        if found is None:
            raise event.spot(CHECK).differs("the uid", expected="one in use", found="nobody's")
        event.same(CHECK, "generation", found.generation)
        return found

    def check_input(self, event: Event, function: str, count: int, told: Fields) -> None:
        """Differs where the input says something else; it does where nobody stood between."""
        if event.transaction.to == self._me:
            held = inputs.holds(event.transaction, CHECK, function, count, told)
            event.spot(CHECK).same(f"the call of {function}", expected=True, found=held)

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        totals: dict[str, object] = {
            "count": len(self.subnets), "locked": self.locked, "waiting": self.waiting,
            "judge": self.judge, "paused": self.paused,
        }  # fmt: skip
        if view in totals:
            return [totals[view]]
        numbers = [each for each in arguments if isinstance(each, int)]
        if view == "subnet_of":
            return [self.subnets[numbers[0]].shown()]
        if view in ("totals", "money"):
            found = self._money_of(numbers)
            return [found.burned, found.granted]
        if view == "emitted":
            return [self.emitted.get(numbers[0], 0)]
        return self._answer_of_uid(view, numbers)

    def _answer_of_uid(self, view: str, numbers: list[int]) -> list[object] | None:
        if view == "uid_at":
            id, uid, generation = numbers
            found = self.weights.holders[id, uid, generation]
            return [found.node, found.registered_at]
        if view == "stake_at":
            return [self.weights.stakes.get((numbers[0], numbers[1], numbers[2]), 0)]
        return None

    def _money_of(self, numbers: list[int]) -> Money:
        if len(numbers) == 1:
            return self.totals.get(numbers[0], Money())
        return self.money.get((numbers[0], numbers[1]), Money())

    # Subnets

    def _told(self, event: Event, *names: str) -> Fields:
        return {"id": event.args["subnet"], **{name: event.args[name] for name in names}}

    def _known(self, event: Event) -> Subnet:
        found = self.subnets.get(event.number("subnet"))
        if found is None:
            number = event.number("subnet")
            raise event.spot(CHECK).differs("the subnet", expected="a known one", found=number)
        return found

    def _check_owner(self, event: Event) -> Subnet:
        found, caller = self._known(event), event.transaction.caller(self._me)
        if caller is not None:
            spot = event.spot(CHECK)
            spot.same("the owner of the subnet", expected=found.owner, found=caller)
        return found

    def _created(self, event: Event) -> None:
        spot, owner, nodes = event.spot(CHECK), event.address("owner"), event.number("max_nodes")
        event.same(CHECK, "subnet", len(self.subnets) + 1)
        event.same(CHECK, "lock", self._terms["lock"])
        event.same(CHECK, "burned", self._price.at(event.time))
        spot.same("new subnets paused", expected=False, found=self.paused)
        spot.same("nodes within bounds", expected=True, found=0 < nodes <= 4096)
        caller = event.transaction.caller(self._me)
        if caller is not None:
            event.same(CHECK, "owner", caller)
        told = {name: event.args[name] for name in ("name", "max_nodes", "uri")}
        self.check_input(event, "create", 7, told)
        self._price = self._price.used(event.time)
        self._burn(event, owner, "the price of a subnet")
        lock = event.number("lock")
        self.subnets[event.number("subnet")] = Subnet(owner, event.time, nodes, lock)
        self.locked += lock
        self._owe(CHECK, owner, self._me, lock, STAKE)

    def _burn(self, event: Event, owner: str, what: str) -> None:
        burned, words = event.number("burned"), f"a burn by the owner of {what}"
        self._burnt.append((owner, burned, words, event.spot(CHECK)))
        self.burned += burned

    def _rules_set(self, event: Event) -> None:
        subnet, since = self._known(event), event.number("from_epoch")
        number, epoch, spot = event.number("revision"), self.epoch(event.time), event.spot(CHECK)
        if not subnet.revisions:
            event.same(CHECK, "from_epoch", epoch)
        else:
            self._check_owner(event)
            spot.same("rules two epochs ahead", expected=True, found=since >= epoch + AHEAD)
            self.check_input(event, "set_rules", 5, self._told(event, "from_epoch"))
            if len(subnet.revisions) > 1 and subnet.revisions[-1][0] >= epoch + AHEAD:
                subnet.revisions.pop()
        event.same(CHECK, "revision", len(subnet.revisions))
        function, count = ("set_rules", 5) if number else ("create", 7)
        told = {name: _unpacked(event.number(name), bits) for name, bits in _WORDS.items()}
        for name, fields in told.items():
            self.check_input(event, function, count, {name: dict(fields)})
        self.check_input(event, function, count, {"task": event.args["task"]})
        terms = Terms(*(told["entry"][name] for name in _PRICES))
        subnet.revisions.append((since, terms))

    def _uri_set(self, event: Event) -> None:
        self._check_owner(event)
        self.check_input(event, "set_uri", 2, self._told(event, "uri"))

    def _closing(self, event: Event) -> None:
        subnet = self._check_owner(event)
        event.spot(CHECK).same("an end before", expected=0, found=subnet.closing)
        event.same(CHECK, "epoch", self.epoch(event.time) + 1 + self._terms["notice"])
        subnet.closing = event.number("epoch")

    def _unlocked(self, event: Event) -> None:
        subnet, spot = self._known(event), event.spot(CHECK)
        event.same(CHECK, "owner", subnet.owner)
        event.same(CHECK, "amount", subnet.lock)
        over = 0 < subnet.closing <= self.epoch(event.time) and subnet.lock > 0
        spot.same("a lock of a subnet that ended", expected=True, found=over)
        self.locked -= subnet.lock
        self._owe(CHECK, self._me, subnet.owner, subnet.lock, UNSTAKE)
        subnet.lock = 0

    # Nodes

    def _registered(self, event: Event) -> None:
        subnet, node, spot = self.running(event), event.address("node"), event.spot(CHECK)
        uid, epoch, owner = event.number("uid"), self.epoch(event.time), self.owner_of(node)
        event.same(CHECK, "epoch", epoch)
        for what, holds in (
            ("registrations that are not paused", not self.paused),
            ("a subnet that is not closing", not subnet.closing),
            ("a node that is not in it", node not in subnet.place_of),
            ("a node that serves or validates",
             self.in_role(node, MODEL) or self.in_role(node, VALIDATOR)),
        ):  # fmt: skip
            spot.same(what, expected=True, found=holds)
        self._check_place(event, subnet)
        self._check_price(event, subnet, epoch)
        self._burn(event, str(owner), "a registration")
        seat = Seat(node, event.time, event.number("generation"))
        subnet.seats[uid], subnet.place_of[node] = seat, uid
        self.weights.holders[event.number("subnet"), uid, seat.generation] = seat
        self._add(event.number("subnet"), epoch, burned=event.number("burned"))
        self._counts["registrations in subnets"] += 1

    def _check_place(self, event: Event, subnet: Subnet) -> None:
        replaced, self._replaced = self._replaced, None
        if replaced is None:
            event.same(CHECK, "uid", len(subnet.seats))
            event.same(CHECK, "generation", 1)
            free = len(subnet.seats) < subnet.max_nodes
            event.spot(CHECK).same("a free uid", expected=True, found=free)
            return
        for name, expected in zip(("subnet", "uid", "generation"), replaced, strict=True):
            event.same(CHECK, name, expected)

    def _check_price(self, event: Event, subnet: Subnet, epoch: int) -> None:
        """Differs unless the price is what its terms make it, which then rises."""
        terms, (last, moment) = subnet.entry(epoch), subnet.last
        due = decayed(
            min(last, terms.highest), event.time - moment, half_life=terms.half_life,
            lowest=terms.lowest,
        )  # fmt: skip
        event.same(CHECK, "burned", due)
        more = raised(due, factor_bps=terms.factor_bps, highest=terms.highest)
        subnet.last = (more, event.time)

    def _replace(self, event: Event) -> None:
        subnet, seat, uid = self._known(event), self.seat(event), event.number("uid")
        spot = event.spot(CHECK)
        event.same(CHECK, "node", seat.node)
        full = len(subnet.seats) == subnet.max_nodes
        spot.same("a full subnet", expected=True, found=full)
        spot.same("a judge who names places", expected=True, found=self.judge != ZERO_ADDRESS)
        if self.prune_of is not None:
            word, ended = self.prune_of(event.number("subnet"))
            named = [word >> shift & 0xFFFF for shift in range(0, 256, 16)]
            spot.same("a uid that the judge names", expected=True, found=uid in named)
            spot.same("a holder of before", expected=True, found=seat.registered_at < ended)
        del subnet.place_of[seat.node]
        self.weights.erase(event.number("subnet"), self.epoch(event.time), uid)
        self._replaced = (event.number("subnet"), uid, seat.generation + 1)

    # Budgets

    def _add(self, subnet: int, epoch: int, *, burned: int = 0, granted: int = 0) -> None:
        for money in (
            self.money.setdefault((subnet, epoch), Money()),
            self.totals.setdefault(epoch, Money()),
        ):
            money.burned += burned
            money.granted += granted

    def _granted(self, event: Event) -> None:
        subnet, spot, first = self.running(event), event.spot(CHECK), self.epoch(event.time)
        amount, epochs = event.number("amount"), event.number("epochs")
        event.same(CHECK, "first", first)
        for what, holds in (
            ("whole grains", amount > 0 and amount % GRAIN == 0),
            ("epochs within the notice", 0 < epochs <= self._terms["notice"]),
            ("epochs before the end", not subnet.closing or first + epochs <= subnet.closing),
        ):
            spot.same(what, expected=True, found=holds)
        caller = event.transaction.caller(self._me)
        if caller is not None:
            event.same(CHECK, "sender", caller)
        self.check_input(event, "grant", 3, self._told(event, "amount", "epochs"))
        for epoch in range(first, first + epochs):
            self._add(event.number("subnet"), epoch, granted=amount)
        self.waiting += amount * epochs
        self._owe(CHECK, event.address("sender"), self._me, amount * epochs, DEPOSIT)

    def _closed(self, event: Event) -> None:
        epoch, spot = event.number("epoch"), event.spot(CHECK)
        spot.same("an epoch that has ended", expected=True, found=epoch < self.epoch(event.time))
        spot.same("an epoch closed before", expected=False, found=epoch in self.emitted)
        total = self.totals.get(epoch, Money())
        spot.same("something to close", expected=True, found=total != Money())
        event.same(CHECK, "burned", total.burned)
        event.same(CHECK, "granted", total.granted)
        emitted = self._emission(epoch, event.time, total.burned)
        event.same(CHECK, "emitted", emitted)
        self.emitted[epoch] = emitted
        self.waiting -= total.granted
        if emitted:
            self._due[CHECK, ZERO_ADDRESS, self._me, emitted, epoch] += 1
        if emitted + total.granted:
            self._funds[epoch, emitted + total.granted] += 1

    def _emission(self, epoch: int, moment: int, burned: int) -> int:
        """What an epoch draws: a share of what burned, as far as roots and schedule go."""
        rules = self.prize_rules()
        open_at_once = 2 + rules["window"] // self.epoch_length
        most = min(rules["growth"] * GRAIN, rules["bond"]) // open_at_once
        amount = min(burned * self._terms["share_bps"] // BPS, most // 2)
        left = self.drawable(epoch, moment)
        amount = amount if left is None else min(amount, left)
        return amount - amount % GRAIN

    # Settings

    def _judge_set(self, event: Event) -> None:
        event.spot(CHECK).same("the judge before", expected=ZERO_ADDRESS, found=self.judge)
        if "disputes" in self._at:
            event.same(CHECK, "judge", self._at["disputes"])
        self.judge = event.address("judge")

    def _paused_set(self, event: Event) -> None:
        self.paused = event.number("paused") != 0

    # Movements

    def _owe(self, by: str, sender: str, to: str, amount: int, purpose: int) -> None:
        if amount:
            self._due[by, Address(sender), Address(to), amount, purpose] += 1

    def _moved(self, event: Event) -> None:
        event.same(CHECK, "token", self._at["token"])
        names = event.address("sender"), event.address("recipient")
        self._explain(event, (CHECK, *names, event.number("amount"), event.number("purpose")))

    def _explain(self, event: Event, key: tuple[str, Address, Address, int, int]) -> None:
        spot = event.spot(CHECK)
        spot.same("a movement that is due", expected=True, found=self._due[key] > 0)
        self._due[key] -= 1


def _unpacked(word: int, bits: Mapping[str, int]) -> dict[str, int]:
    """The fields of a word."""
    found: dict[str, int] = {}
    for name, size in bits.items():
        found[name] = word & ((1 << size) - 1)
        word >>= size
    return found
