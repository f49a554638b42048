"""Faults run again: what each node owes, what its misses cost, when it failed, spot challenges.

Every charge must equal the rule on the misses that the proofs' own recomputation finds, and no
node may be ended that did not owe `faults_max` rounds (PROTOCOL.md, Storage).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from freehold.audit import abi
from freehold.audit.beacon import Beacon
from freehold.audit.events import Event
from freehold.audit.proofs import Proofs, climb
from freehold.audit.stakes import Request
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.money import TIB
from freehold.domain.network import Network

CHECK = "faults"
BPS = 10_000


@dataclass(slots=True)
class Node:
    """What a node holds, has locked, and was charged."""

    set_id: int
    size: int = 0
    columns: int = 0
    notice_at: int = 0
    charged: int = 0
    spot_period: int = -1
    failed: bool = False
    failed_round: int = 0
    locked: int = 0
    pool: int = 0
    pool_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Spot:
    """A spot challenge that waits for its answer, made when there were ``round`` rounds;
    ``challenger`` is None where it is not known.
    """

    node: Address
    piece_id: int
    leaf: int
    deadline: int
    round: int
    challenger: Address | None


class Faults:
    """The ledger of nodes, recomputed from events and from what the proofs owe."""

    def __init__(
        self, network: Network, *, beacon: Beacon, proofs: Proofs, counts: Counter[str]
    ) -> None:
        self._contracts = network.contracts
        self._beacon = beacon
        self._proofs = proofs
        self._counts = counts
        self.nodes: dict[str, Node] = {}
        self.parameters: dict[str, int] = {}
        self._owners: dict[int, str] = {}
        self._spots: dict[int, Spot] = {}
        self._silent: Spot | None = None
        self._failing: str | None = None
        self._taken = 0
        self._locks: Counter[str] = Counter()
        self.column_of: Callable[[int, int], tuple[Address, int]] | None = None
        self._handlers: dict[str, Callable[[Event], None]] = {
            "NodeJoined": self._joined, "NoticeGiven": self._noticed,
            "FaultsCharged": self._charged, "NodeFailed": self._failed,
            "SpotChallenged": self._challenged, "SpotAnswered": self._answered,
            "SpotExpired": self._expired, "ParametersSet": self._set,
        }  # fmt: skip

    def apply(self, event: Event) -> None:
        """Re-run an event of the contract."""
        handler = self._handlers.get(event.name)
        if handler is not None:
            handler(event)

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        node = self.nodes.get(str(arguments[0])) if arguments else None
        found = node or Node(0)
        if view == "node_state":
            return [_shown(found)]
        if view == "pool":
            return [found.pool, found.pool_bytes]
        return None

    # Columns, told by the market's model

    def take(self, event: Event, name: Address, size: int) -> int:
        """Put a column on a node; the stake that is locked for it."""
        spot = event.spot(CHECK)
        node = self._node(event, name)
        ready = not node.failed and node.notice_at == 0
        spot.same("a node that takes columns", expected=True, found=ready)
        locked = -(-size * self.parameters["stake_per_tib"] // TIB)
        spot.same("the stake locked for a column", expected=locked, found=self._locks.pop(name, 0))
        node.size += size
        node.columns += 1
        node.locked += locked
        return locked

    def release(self, event: Event, name: Address, *, size: int, locked: int) -> int:
        """Finish a column of a node; what its client gets of a compensation."""
        node = self._node(event, name)
        released = -self._locks.pop(name, 0)
        event.spot(CHECK).same("the stake released", expected=locked, found=released)
        node.size -= size
        node.columns -= 1
        node.locked -= locked
        return node.pool * size // max(node.pool_bytes, 1) if node.failed else 0

    def see_lock(self, event: Event) -> None:
        """Note a lock or release in the staking contract by this one."""
        if event.address("locker") == self._contracts["faults"]:
            sign = 1 if event.name == "Locked" else -1
            self._locks[event.text("node")] += sign * event.number("amount")

    # Slashes, asked for by the stake's model

    def see_closed(self, event: Event) -> None:
        """A set is about to close: its node must owe too much, and fails."""
        name = self._owners.get(event.number("set_id"))
        if name is None:
            return
        node = self.nodes[name]
        owed = self._proofs.owed(node.set_id, event.time)
        enough = owed >= self.parameters["faults_max"]
        event.spot(CHECK).same("rounds owed at a failure", expected=True, found=enough)
        node.failed = True
        node.failed_round = self._proofs.next_round(node.set_id)
        node.pool_bytes = node.size
        self._failing, self._taken = name, 0

    def requested(self, event: Event) -> Request:
        """The slash that the rules ask for where the staking contract logs one."""
        name = event.address("node")
        node = self._node(event, name)
        if self._failing == name:
            amount = node.locked * self.parameters["slash_bps"] // BPS
            share = amount * self.parameters["compensation_bps"] // BPS
            victim, reporter = self._contracts["faults"], self._reporter(event)
        else:
            amount = self._fee(node, self._fresh(event, node))
            share, victim = 0, ZERO_ADDRESS
            reporter = self._silent.challenger if self._silent else self._reporter(event)
        bounty = amount * self.parameters["bounty_bps"] // BPS
        return Request(amount, victim, share, reporter, bounty)

    def see_slashed(self, event: Event) -> None:
        """Note what a slash took, for the event that reports it."""
        self._taken = event.number("amount")
        if self._failing == event.address("node"):
            node = self.nodes[self._failing]
            node.pool, node.pool_bytes = event.number("victim_amount"), node.size

    def _fresh(self, event: Event, node: Node) -> int:
        """Misses to be charged now: one for a silent spot challenge, else those not yet charged."""
        if self._silent is not None:
            return 1
        return self._proofs.missed(node.set_id, event.time) - node.charged

    def _fee(self, node: Node, misses: int) -> int:
        fee = node.locked * self.parameters["fault_fee_bps"] * misses // BPS
        return min(fee, node.locked)

    def _reporter(self, event: Event) -> Address | None:
        """Who is due a bounty: the sender, nobody for calls of the network's own contracts.

        None where another contract called, whose name no log tells.
        """
        to = event.transaction.to
        if to == self._contracts["faults"]:
            return event.transaction.sender()
        if to in (self._contracts["staking"], self._contracts["storage"]):
            return ZERO_ADDRESS
        return None

    # Events

    def _joined(self, event: Event) -> None:
        name, set_id = event.address("node"), event.number("set_id")
        known = self.nodes.get(name)
        found = self._proofs.sets.get(set_id)
        prover = None if found is None else found.prover
        event.spot(CHECK).same("the prover of the set", expected=name, found=prover)
        if known is not None:
            event.same(CHECK, "set_id", known.set_id)
            left = known.notice_at > 0 and known.columns == 0 and not known.failed
            event.spot(CHECK).same("a node that left", expected=True, found=left)
            known.notice_at = 0
            return
        self.nodes[name] = Node(set_id)
        self._owners[set_id] = name
        self._counts["nodes"] += 1

    def _noticed(self, event: Event) -> None:
        node = self._node(event, event.address("node"))
        event.same(CHECK, "at", event.time)
        event.spot(CHECK).same("a notice before", expected=0, found=node.notice_at)
        node.notice_at = event.time

    def _charged(self, event: Event) -> None:
        node = self._node(event, event.address("node"))
        misses = self._fresh(event, node)
        event.spot(CHECK).same("misses to charge", expected=True, found=misses > 0)
        event.same(CHECK, "misses", misses)
        event.same(CHECK, "amount", self._taken)
        self._counts["faults"] += misses
        self._taken = 0
        if self._silent is None:
            node.charged += misses
        else:
            self._silent = None

    def _failed(self, event: Event) -> None:
        name = event.address("node")
        event.spot(CHECK).same("the node of the closed set", expected=self._failing, found=name)
        event.same(CHECK, "round", self.nodes[name].failed_round)
        event.same(CHECK, "slashed", self._taken)
        self._failing, self._taken = None, 0
        self._counts["failures"] += 1

    def _challenged(self, event: Event) -> None:
        event.same(CHECK, "deadline", event.time + self.parameters["spot_window"])
        if self.column_of is None:
            raise event.spot(CHECK).differs("a market", expected="set", found="none")
        name, piece_id = self.column_of(event.number("deal"), event.number("slot"))
        piece = self._proofs.sets[self.nodes[name].set_id].pieces[piece_id]
        inside = event.number("leaf") < piece.leaves
        event.spot(CHECK).same("a leaf of the piece", expected=True, found=inside)
        direct = event.transaction.to == self._contracts["faults"]
        challenger = event.transaction.sender() if direct else None
        deadline, leaf = event.number("deadline"), event.number("leaf")
        rounds = len(self._beacon.rounds)
        self._spots[event.number("id")] = Spot(name, piece_id, leaf, deadline, rounds, challenger)

    def _answered(self, event: Event) -> None:
        spot = self._spot(event)
        proof = _given_proof(event)
        if proof is not None:
            piece = self._proofs.sets[self.nodes[spot.node].set_id].pieces[spot.piece_id]
            root = climb(proof, spot.leaf)
            field = event.spot(CHECK).field("proof")
            field.same(f"the root above leaf {spot.leaf}", expected=piece.root, found=root)
        self._counts["spot answers"] += 1

    def _expired(self, event: Event) -> None:
        spot = self._spot(event)
        late = event.time > spot.deadline and self._beacon.ended(event.time) > spot.round
        event.spot(CHECK).same("a challenge that is over", expected=True, found=late)
        node = self.nodes[spot.node]
        piece = self._proofs.sets[node.set_id].pieces[spot.piece_id]
        period = self._beacon.period_of(event.time)
        if not node.failed and piece.removal is None and node.spot_period != period:
            node.spot_period = period
            self._silent = spot

    def _set(self, event: Event) -> None:
        given = event.args["parameters"]
        if isinstance(given, Mapping):
            self.parameters = {k: v for k, v in given.items() if isinstance(v, int)}

    def finish(self, event: Event) -> None:
        """Differs where a transaction left a charge, failure or lock behind without its event."""
        left = (self._silent, self._failing, self._taken, dict(self._locks))
        spot = event.spot(CHECK)
        spot.same("charges without their event", expected=(None, None, 0, {}), found=left)

    def _spot(self, event: Event) -> Spot:
        found = self._spots.pop(event.number("id"), None)
        if found is None:
            raise event.spot(CHECK).differs(
                "the challenge", expected="open", found=event.number("id")
            )
        return found

    def _node(self, event: Event, name: Address) -> Node:
        found = self.nodes.get(name)
        if found is None:
            raise event.spot(CHECK).differs("the node", expected="joined before", found=name)
        return found


def _given_proof(event: Event) -> bytes | None:
    """The proof in the transaction's input; None where another contract passed it on hidden."""
    opening = abi.interface("faults").call_data("answer_spot", (event.number("id"), b""))
    at = event.transaction.data.find(opening[:36])
    call = abi.interface("faults").read_call(event.transaction.data[at:]) if at >= 0 else None
    proof = None if call is None else call[1]["proof"]
    return proof if isinstance(proof, bytes) else None


def _shown(node: Node) -> dict[str, object]:
    return {
        "set_id": node.set_id,
        "bytes": node.size,
        "columns": node.columns,
        "notice_at": node.notice_at,
        "failed_at_round": node.failed_round,
        "failed": node.failed,
        "misses_charged": node.charged,
        "locked": node.locked,
    }
