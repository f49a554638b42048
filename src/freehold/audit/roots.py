"""Reward roots run again: funds, bonds, watchers' signatures, windows, disputes, demands, claims.

A root counts once a bonded proposer put it down with the watchers' signatures, its window passed
and nobody disproved it; an account is paid what it did not have yet of a leaf of any final root.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from freehold.audit import frauds, inputs
from freehold.audit.events import Event
from freehold.audit.frauds import Header, Proof
from freehold.audit.inputs import Fields
from freehold.audit.leaves import Leaves
from freehold.domain.errors import AccessError
from freehold.domain.ids import ZERO_ADDRESS, Address, keccak, raw_address
from freehold.domain.keys import recover
from freehold.domain.network import Network
from freehold.domain.typed import ATTESTATION
from freehold.economics.trees import GRAIN

ROOTS, PRIZES = "roots", "prizes"
"""Places of the contract: what pays devices, what pays model nodes."""
BPS = 10_000
DEPOSIT, REWARD, SLASH, STAKE, BOUNTY = 1, 4, 7, 11, 15
LEAST_PREPAID = 150_000 * 10**9
FIRST = 1
"""The position of the empty root."""


@dataclass(slots=True)
class Bond:
    """A proposer's bond, and the position of their last root."""

    amount: int = 0
    last: int = 0

    def shown(self) -> dict[str, int]:
        """The fields as the contract's view names them."""
        return {"amount": self.amount, "last": self.last}


@dataclass(frozen=True, slots=True)
class Demand:
    """A leaf that was asked for; ``challenger`` is None where no input tells who asked."""

    header: Header
    index: int
    deadline: int
    challenger: Address | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A void root by which no bond was taken yet, and who disproved it."""

    header: Header
    winner: Address

    def hash(self) -> bytes:
        """What the contract remembers in the place of the header."""
        return keccak(self.header.hash() + bytes(12) + raw_address(self.winner))


class Roots:
    """The state of the contract at a place, recomputed."""

    def __init__(
        self, network: Network, made: Fields, counts: Counter[str], *, place: str = ROOTS
    ) -> None:
        self._network, self._counts, self._place = network, counts, place
        self._me = network.contracts[place]
        self.emission = inputs.account(made, "emission_")
        self.genesis = inputs.number(made, "genesis_")
        self.epoch_length = inputs.number(made, "epoch_length_")
        self.rules: dict[str, int] = {}
        self.watchers: list[Address] = []
        self.quorum = 0
        self.funded = 0
        self.bonds: dict[Address, Bond] = {}
        self.headers: dict[int, Header] = {}
        self.final, self.tip = FIRST, FIRST
        self.leaves = Leaves(
            network, registry=inputs.account(made, "registry_"),
            staking=inputs.account(made, "staking_"), counts=counts, place=place,
        )  # fmt: skip
        self.demands: dict[int, Demand] = {}
        self.demand_count = 0
        self.judge = ZERO_ADDRESS
        self.held: Counter[bytes] = Counter()
        self.released: dict[bytes, int] = {}
        self.hidden = 0
        self._due: Counter[tuple[str, str, int, int]] = Counter()
        self._funding: list[tuple[int, Address, int]] = []
        self.verdicts: dict[int, Verdict] = {}
        self._expired: Demand | None = None
        self._routes: dict[str, Callable[[Event], None]] = {
            "Funded": self._funded, "BondPosted": self._posted, "BondWithdrawn": self._withdrawn,
            "BondLost": self._bond_lost, "Proposed": self._proposed, "Voided": self._voided,
            "Finalized": self._finalized, "Demanded": self._demanded, "Answered": self._answered,
            "Expired": self._expire, "PaidElsewhere": self.leaves.see_payout,
            "PayoutSet": self.leaves.set_payout, "Movement": self._moved,
            "ParametersSet": self._parameters_set, "WatchersSet": self._watchers_set,
            "JudgeSet": self._judge_set, "Held": self._hold, "Released": self._release,
        }  # fmt: skip

    @property
    def bonded(self) -> int:
        """Base units of all bonds."""
        return sum(bond.amount for bond in self.bonds.values())

    def apply(self, event: Event) -> None:
        """Re-run an event of the contract."""
        self._routes[event.name](event)
        self._counts[self._place] += 1

    def see_draw(self, event: Event) -> None:
        """Note a draw from the emission by this contract; Differs where it funds nothing."""
        sender = self._bring(event, event.number("epoch"), None, event.number("amount"))
        self._check_settled(event)
        bonded = self.bonds.get(sender, Bond()).amount >= self.rules["bond"]
        event.spot(self._place).same("a draw by a bonded proposer", expected=True, found=bonded)
        most = self._state()["final_total"] * GRAIN + self.rules["bond"]
        within = self.funded <= most
        event.spot(self._place).same("a draw that a root can pay", expected=True, found=within)

    def see_burn(self, event: Event) -> None:
        """Note a burn by this contract, by the token's movement."""
        self._explain(event, ZERO_ADDRESS)

    def pays(self, event: Event) -> bool:
        """Whether what a node's stake is given comes from here."""
        return event.address("payer") == self._me

    def see_shared(self, event: Event) -> None:
        """Note that a claim went to a node's stake; by the staking contract's event."""
        if self.pays(event):
            self.leaves.share(event, self._state()["final_total"])

    def finish(self, event: Event) -> None:
        """Differs where an event of a transaction promised what did not come."""
        spot = event.spot(self._place)
        if self.emission in (ZERO_ADDRESS, self._network.contracts.get("issuance")):
            spot.same("funds that did not come", expected=[], found=self._funding)
        spot.same("what is due and was not moved", expected={}, found=dict(+self._due))
        unserved = self._expired is not None and self.is_open(self._expired.header)
        spot.same("an open root that did not serve a leaf", expected=False, found=unserved)
        self.leaves.finish(event)
        self._due.clear()
        self._funding.clear()
        self._expired = None

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        if view == "state":
            return [self._state()]
        if view == "quorum":
            return [self.quorum, len(self.watchers)]
        if arguments:
            return self._answer_one(view, arguments[0])
        totals: dict[str, object] = {
            "funded": self.funded, "demand_count": self.demand_count, "parameters": self.rules,
            "judge": self.judge,
        }  # fmt: skip
        return [totals[view]] if view in totals else None

    def _answer_one(self, view: str, key: int | str) -> list[object] | None:
        if isinstance(key, int):
            if view == "headers":
                found = self.verdicts.get(key) or self.headers.get(key)
                return [bytes(32) if found is None else found.hash()]
            return [self.leaves.roots.get(key, 0)] if view == "final_root" else None
        account = Address(key)
        views: dict[str, Callable[[], object]] = {
            "bond_of": lambda: self.bonds.get(account, Bond()).shown(),
            "claimed": lambda: self.leaves.grains[account],
            "payout_of": lambda: self.leaves.payout(account),
            "watchers": lambda: int(account in self.watchers),
        }  # fmt: skip
        return [views[view]()] if view in views else None

    def _state(self) -> dict[str, int]:
        tip, final = self.headers.get(self.tip), self.headers.get(self.final)
        return {
            "final": self.final, "tip": self.tip,
            "next_epoch": 0 if tip is None else tip.epoch + 1,
            "tip_total": 0 if tip is None else tip.total,
            "final_total": 0 if final is None else final.total,
            "unsettled": len(self.verdicts),
        }  # fmt: skip

    # Money

    def _funded(self, event: Event) -> None:
        amount = event.number("amount")
        event.spot(self._place).same("something funded", expected=True, found=amount > 0)
        self.funded += amount
        event.same(self._place, "total", self.funded)
        self._funding.append((event.number("epoch"), event.address("sender"), amount))

    def _bring(self, event: Event, epoch: int | None, sender: str | None, amount: int) -> Address:
        """Match money that came with a funding that was announced, and tell by whom."""
        for place, (for_epoch, by, due) in enumerate(self._funding):
            if due == amount and epoch in (None, for_epoch) and sender in (None, by):
                del self._funding[place]
                return by
        raise event.spot(self._place).differs("money", expected="a funding", found=amount)

    def _owe(self, sender: str, recipient: str, amount: int, purpose: int) -> None:
        if amount:
            self._due[sender, recipient, amount, purpose] += 1

    def _explain(self, event: Event, recipient: str) -> None:
        key = (event.text("sender"), recipient, event.number("amount"), event.number("purpose"))
        event.spot(self._place).same(
            "a movement that is due", expected=True, found=self._due[key] > 0
        )
        self._due[key] -= 1

    def _moved(self, event: Event) -> None:
        purpose, to = event.number("purpose"), event.address("recipient")
        event.same(self._place, "token", self._network.contracts["token"])
        if purpose == DEPOSIT and to == self._me:
            self._bring(event, None, event.text("sender"), event.number("amount"))
        elif purpose == REWARD and event.text("sender") == self._me:
            self.leaves.claim(event, self._state()["final_total"])
        else:
            self._explain(event, to)

    def _posted(self, event: Event) -> None:
        bond = self.bonds.setdefault(event.address("proposer"), Bond())
        bond.amount += event.number("amount")
        event.same(self._place, "total", bond.amount)
        self._owe(event.text("proposer"), self._me, event.number("amount"), STAKE)

    def _withdrawn(self, event: Event) -> None:
        self._check_settled(event)
        bond = self.bonds.setdefault(event.address("proposer"), Bond())
        event.same(self._place, "amount", bond.amount)
        settled = bond.amount > 0 and min(bond.last, self.tip) <= self.final
        event.spot(self._place).same("a bond without an open root", expected=True, found=settled)
        bond.amount = bond.last = 0

    def _bond_lost(self, event: Event) -> None:
        verdict = self.verdicts.pop(event.number("position"), None)
        if verdict is None:
            raise event.spot(self._place).differs(
                "a lost bond", expected="a void root", found="none"
            )
        lost = verdict.header
        event.same(self._place, "proposer", lost.proposer)
        event.same(self._place, "winner", verdict.winner)
        bond = self.bonds.setdefault(lost.proposer, Bond())
        taken = min(bond.amount, lost.bond)
        bond.amount -= taken
        reward = taken * self.rules["reward_bps"] // BPS
        event.same(self._place, "reward", reward)
        event.same(self._place, "burned", taken - reward)
        self._owe(self._me, event.text("winner"), reward, BOUNTY)
        self._owe(self._me, ZERO_ADDRESS, taken - reward, SLASH)

    def _check_settled(self, event: Event) -> None:
        """Differs where a verdict waits: then nobody proposes, draws or takes a bond back."""
        waiting = sorted(self.verdicts)
        event.spot(self._place).same("verdicts not settled", expected=[], found=waiting)

    def _caller(self, event: Event) -> Address | None:
        return inputs.caller(event.transaction, self._me, self._place)

    # Roots

    def is_open(self, header: Header) -> bool:
        """Whether a root is neither final nor void."""
        inside = self.final < header.position <= self.tip
        return inside and self.headers.get(header.position) == header

    def _open(self, event: Event, position: int) -> Header:
        found = self.headers.get(position)
        if found is None or not self.is_open(found):
            raise event.spot(self._place).differs(
                "the root", expected="an open one", found=position
            )
        return found

    def _parent(self, position: int) -> bytes:
        found = self.headers.get(position - 1)
        return bytes(32) if found is None else found.hash()

    def _proposed(self, event: Event) -> None:
        self._check_settled(event)
        header = Header.of(inputs.struct(event.args, "header"))
        state, rules = self._state(), self.rules
        made = {
            "position": self.tip + 1, "since": state["next_epoch"], "epoch": event.number("epoch"),
            "parent_total": state["tip_total"], "proposer": event.address("proposer"),
            "until": event.time + rules["window"], "bond": rules["bond"],
        }  # fmt: skip
        for name, expected in made.items():
            spot = event.spot(self._place).field(f"Proposed.header.{name}")
            spot.same(f"the {name} of the root", expected=expected, found=getattr(header, name))
        self._check_bounds(event, header, state)
        self._check_signatures(event, header)
        bond = self.bonds.setdefault(header.proposer, Bond())
        enough = bond.amount >= header.bond
        event.spot(self._place).same("the proposer's bond", expected=True, found=enough)
        bond.last = self.tip = header.position
        self.headers[header.position] = header

    def _check_bounds(self, event: Event, header: Header, state: dict[str, int]) -> None:
        end = self.genesis + (header.epoch + 1) * self.epoch_length
        grown = header.total - state["tip_total"]
        for what, holds in (
            ("a later epoch", header.epoch >= state["next_epoch"]),
            ("an epoch that has ended", event.time >= end),
            ("accounts", 0 < header.count <= 2**32 and header.total > 0),
            ("growth within the bound", 0 <= grown <= self.rules["growth"]),
            ("a total that was funded", header.total * GRAIN <= self.funded),
            ("open payments below the bond",
             (header.total - state["final_total"]) * GRAIN <= header.bond),
        ):  # fmt: skip
            event.spot(self._place).same(what, expected=True, found=holds)

    def _check_signatures(self, event: Event, header: Header) -> None:
        """Differs unless a quorum of watchers signed what stands in the input."""
        calls = [
            call for call in inputs.calls(event.transaction, self._place, "propose", 5)
            if inputs.number(call, "root") == header.root
        ]  # fmt: skip
        if not calls and event.transaction.to != self._me:
            self.hidden += 1
            return
        agreed = any(self._agreed(header, call) for call in calls)
        event.spot(self._place).same("the signatures of a quorum", expected=True, found=agreed)
        self._counts["attestations"] += self.quorum

    def _agreed(self, header: Header, call: Fields) -> bool:
        root, parent = header.root.to_bytes(32, "big"), self._parent(header.position)
        digest = ATTESTATION.digest(
            self._network.domain(self._place),
            [header.epoch, root, header.count, header.data, parent],
        )
        signers = [_signer(digest, each) for each in _signatures(call)]
        rising = all(raw_address(a) < raw_address(b) for a, b in pairwise(signers))
        return rising and 0 < self.quorum <= len(signers) and set(signers) <= set(self.watchers)

    def _finalized(self, event: Event) -> None:
        header, spot = self._open(event, event.number("position")), event.spot(self._place)
        event.same(self._place, "position", self.final + 1)
        event.same(self._place, "epoch", header.epoch)
        event.same(self._place, "root", header.root)
        quiet = self.released.get(header.hash(), 0) + self.rules["answer_window"]
        ends = max(header.until, quiet)
        spot.same("the window over", expected=True, found=event.time > ends)
        asked = [number for number, each in self.demands.items() if each.header == header]
        spot.same("open demands", expected=[], found=asked)
        spot.same("times that it is held", expected=0, found=self.held[header.hash()])
        self.final = header.position
        self.leaves.roots[header.epoch] = header.root

    def _voided(self, event: Event) -> None:
        header = self._open(event, event.number("position"))
        if not self.by_judge(event):
            winner = self._winner_of(event, header)
        else:
            self._check_judge(event)
            winner = None
        if winner is not None:
            event.same(self._place, "winner", winner)
        self.tip = header.position - 1
        self.verdicts[header.position] = Verdict(header, event.address("winner"))
        self._counts["disputes"] += 1

    def by_judge(self, event: Event) -> bool:
        """Whether a root became void by the judge: for none of the reasons that there are here."""
        reason, expired = event.text("reason"), self._expired
        if reason == frauds.UNSERVED and self.judge != ZERO_ADDRESS:
            return expired is None or expired.header.position != event.number("position")
        return reason not in (*frauds.DISPUTES, frauds.UNSERVED)

    def _winner_of(self, event: Event, header: Header) -> Address | None:
        """Who disproved a root, None where no input tells; Differs where nobody did."""
        reason, spot = event.text("reason"), event.spot(self._place)
        if reason == frauds.UNSERVED:
            unserved = self._expired is not None and self._expired.header == header
            spot.same("a demand that expired", expected=True, found=unserved)
            return None if self._expired is None else self._expired.challenger
        winner = self._caller(event)
        if not self._disproved(event, reason, header):
            spot.same("what disproves the root", expected=False, found=winner is not None)
            self.hidden += 1
        return winner

    def _disproved(self, event: Event, reason: str, header: Header) -> bool:
        parent = self._parent(header.position)
        return frauds.disproved(event.transaction, reason, header, parent)

    # Demands

    def _demanded(self, event: Event) -> None:
        header = self._open(event, event.number("position"))
        self.demand_count += 1
        event.same(self._place, "id", self.demand_count)
        event.same(self._place, "deadline", event.time + self.rules["answer_window"])
        for what, holds in (
            ("a root that can be disputed", event.time <= header.until),
            ("a leaf of the root", event.number("index") < header.count),
            ("the answer's gas", event.number("prepaid") >= LEAST_PREPAID),
        ):
            event.spot(self._place).same(what, expected=True, found=holds)
        self.demands[self.demand_count] = Demand(
            header, event.number("index"), event.number("deadline"), self._caller(event)
        )

    def _close_demand(self, event: Event) -> Demand:
        found = self.demands.pop(event.number("id"), None)
        if found is None:
            raise event.spot(self._place).differs(
                "the demand", expected="an open one", found="none"
            )
        self.released[found.header.hash()] = event.time
        return found

    def _answered(self, event: Event) -> None:
        demand, proof = self._close_demand(event), Proof.of(inputs.struct(event.args, "proof"))
        header, spot = demand.header, event.spot(self._place).field("Answered.proof")
        spot.same("the index of the leaf", expected=demand.index, found=proof.index)
        good = proof.stands(header) and (proof.index + 1 < header.count or proof.ends())
        spot.same("a proof of the leaf", expected=True, found=good)

    def _expire(self, event: Event) -> None:
        demand = self._close_demand(event)
        # One of a void root changes nothing, and must not stand for what comes after it.
        self._expired = demand if self.is_open(demand.header) else None
        late = event.time > demand.deadline
        event.spot(self._place).same("the deadline over", expected=True, found=late)

    # The judge

    def _judge_set(self, event: Event) -> None:
        spot = event.spot(self._place)
        spot.same("the judge before", expected=ZERO_ADDRESS, found=self.judge)
        spot.same("roots before the judge", expected=0, found=len(self.headers))
        self.judge = event.address("judge")
        disputes = self._network.contracts.get("disputes")
        if self._place == PRIZES and disputes is not None:
            event.same(self._place, "judge", disputes)

    def _hold(self, event: Event) -> None:
        self._check_judge(event)
        self.held[event.data("header")] += 1

    def _release(self, event: Event) -> None:
        self._check_judge(event)
        held, spot = self.held[event.data("header")], event.spot(self._place)
        spot.same("a root that was held", expected=True, found=held > 0)
        self.held[event.data("header")] -= 1
        self.released[event.data("header")] = event.time

    def _check_judge(self, event: Event) -> None:
        """Differs where there is no judge, or somebody else called."""
        caller, spot = self._caller(event), event.spot(self._place)
        spot.same("a judge", expected=True, found=self.judge != ZERO_ADDRESS)
        spot.same("a caller that is no judge", expected=None, found=caller)

    # Settings

    def _parameters_set(self, event: Event) -> None:
        told = inputs.struct(event.args, "parameters")
        self.rules = {name: inputs.number(told, name) for name in told}

    def _watchers_set(self, event: Event) -> None:
        told = event.args["watchers"]
        self.watchers = [Address(str(each)) for each in told] if isinstance(told, list) else []
        self.quorum = event.number("quorum")
        most = 2 * self.quorum > len(self.watchers) >= self.quorum
        event.spot(self._place).same("a quorum of more than half", expected=True, found=most)


def _signatures(call: Fields) -> list[bytes]:
    told = call["signatures"]
    return [each for each in told if isinstance(each, bytes)] if isinstance(told, list) else []


def _signer(digest: bytes, signature: bytes) -> Address:
    try:
        return recover(digest, signature)
    except AccessError:
        return ZERO_ADDRESS
