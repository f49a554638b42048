"""The client's view of a network through the ledger: ``chain.Chain`` over contracts and index."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

from freehold.client.chain import Cheque, Funds, NodeRecord, Opened, Terms
from freehold.client.connection import Peer
from freehold.client.steering import steered
from freehold.domain.errors import AccessError, NotFoundError
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.ledger.contracts.base import convert, convert_list
from freehold.ledger.contracts.faults import NodeState
from freehold.ledger.contracts.registry import STORAGE, Node
from freehold.ledger.contracts.storage import Acceptance, Column, Deal, OpenRequest
from freehold.ledger.ledger import Ledger
from freehold.ledger.paging import every
from freehold.ledger.roster import listed
from freehold.ledger.values import Event, View

FRESH = 20.0
"""Seconds for which what is known of nodes is not asked for again."""
PERMIT_SECONDS = 3600
READERS = 8


@dataclass(frozen=True, slots=True)
class Allowance:
    """What an account lets a market do, and how much of it is used (scaled, base units)."""

    rate_cap: int
    rate_used: int
    lockup_cap: int
    lockup_used: int


class LedgerChain:
    """``chain.Chain`` for the account of a ledger's key."""

    def __init__(self, ledger: Ledger, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._monotonic = monotonic
        self._entries: dict[Address, tuple[float, Node]] = {}
        self._terms: Terms | None = None
        self._lock = Lock()
        self._asking = Lock()
        self._nodes: tuple[float, list[NodeRecord]] = (0.0, [])

    @property
    def network(self) -> Network:
        """The network's descriptor."""
        return self._ledger.network

    @property
    def account(self) -> Address:
        """The address of the ledger's key; AccessError without one."""
        return self._key().address

    def now(self) -> int:
        """Block time in seconds."""
        return self._ledger.now()

    def nodes(self, *, fresh: bool = False) -> Sequence[NodeRecord]:
        """Every registered storage node that did not retire; some seconds old unless ``fresh``."""
        with self._asking:
            asked, found = self._nodes
            if fresh or not found or self._monotonic() - asked > FRESH:
                found = self._ask_nodes()
                self._nodes = self._monotonic(), found
            return found

    def _ask_nodes(self) -> list[NodeRecord]:
        self._ledger.index.sync()
        with ThreadPoolExecutor(READERS) as pool:
            records = pool.map(self._record, listed(self._ledger))
            known = [record for record in records if record is not None]
        return steered(self._ledger, known)

    def peer(self, node: Address) -> Peer:
        """Where a node answers, at most some seconds old."""
        entry = self._entry(node)
        return Peer(node, entry.endpoint, entry.tls)

    def terms(self) -> Terms:
        """The market's terms, asked once."""
        if self._terms is None:
            deals, nodes = self._ledger.storage.parameters(), self._ledger.faults.parameters()
            self._terms = Terms(deals.lockup_period, nodes.stake_per_tib, deals.repair_owed)
        return self._terms

    def funds(self) -> Funds:
        """The account's money as of now."""
        ledger, token, account = self._ledger, self._token(), self.account
        market = self.network.contracts["storage"]
        status, approval, wallet = ledger.call_many(
            [
                View("payments", "status", (token, account)),
                View("payments", "approval", (token, account, market)),
                View("token", "balanceOf", (account,)),
            ]
        )
        deposited, available, solvent_until = convert_list(int, status)
        allowance = convert(Allowance, approval)
        base_fee, coins = ledger.rpc.purse(account)
        return Funds(
            available=available,
            deposited=deposited,
            solvent_until=solvent_until,
            wallet=convert(int, wallet),
            gas=coins,
            gas_price=2 * base_fee + ledger.rpc.tip(),
            rate_left=max(0, allowance.rate_cap - allowance.rate_used),
            lockup_left=max(0, allowance.lockup_cap - allowance.lockup_used),
        )

    def fund(self, amount: int, *, rate_cap: int, lockup_cap: int) -> str:
        """Deposit by permit and approve the storage market, in one transaction."""
        payments = self._ledger.payments
        permit = self._ledger.token.sign_permit(
            self._key(),
            payments.address,
            amount=amount,
            deadline=self.now() + PERMIT_SECONDS,
        )
        return payments.deposit_with_permit_and_approve(
            self._token(),
            permit,
            market=self.network.contracts["storage"],
            rate_cap=rate_cap,
            lockup_cap=lockup_cap,
        ).hash

    def deals(self, client: Address) -> Sequence[int]:
        """Ids of the deals of ``client`` that are neither closed nor past their term, in order."""
        self._ledger.index.sync()
        now = self.now()
        ends = {
            event.number("deal"): event.number("term_end")
            for event in self._events("DealOpened", {"client": client})
        }
        for event in self._events("DealRenewed", {}):
            if event.number("deal") in ends:
                ends[event.number("deal")] = event.number("term_end")
        for event in self._events("DealClosed", {}):
            ends.pop(event.number("deal"), None)
        return [deal for deal, end in sorted(ends.items()) if end > now]

    def deal(self, deal: int) -> Deal:
        """One deal; NotFoundError when there is none."""
        found = self._ledger.storage.deal(deal)
        if found.client == ZERO_ADDRESS:
            raise NotFoundError(f"there is no deal {deal}", remedy="List deals with `deal list`.")
        return found

    def column(self, deal: int, slot: int) -> Column:
        """One column of a deal."""
        return self._ledger.storage.column(deal, slot)

    def former(self, deal: int) -> Sequence[tuple[int, Address]]:
        """Slots of a deal and nodes that held them before they were moved, newest first."""
        self._ledger.index.sync()
        moves = list(self._events("ColumnReplaced", {"deal": deal}))
        return [(move.number("slot"), move.address("old_node")) for move in reversed(moves)]

    def find(self, object_id: bytes) -> int | None:
        """The deal that the account opened for an object, if any."""
        self._ledger.recover()
        self._ledger.index.sync()
        where = {"client": self.account, "object_id": object_id}
        event = self._ledger.index.last("storage", "DealOpened", where=where)
        return None if event is None else event.number("deal")

    def open(self, request: OpenRequest, acceptances: Sequence[Acceptance], *, tag: str) -> Opened:
        """Open a deal; the same ``tag`` never opens two."""
        receipt = self._ledger.storage.open(request, acceptances, tag=tag)
        deal = receipt.one("DealOpened").number("deal")
        return Opened(deal, receipt.hash, receipt.gas_used, receipt.fee)

    def close(self, deal: int) -> str:
        """End a deal."""
        return self._ledger.storage.close(deal).hash

    def renew(self, deal: int, term_end: int, acceptances: Sequence[Acceptance]) -> str:
        """Extend a deal."""
        return self._ledger.storage.renew(deal, term_end, acceptances).hash

    def replace(self, deal: int, slot: int, acceptance: Acceptance, *, tag: str) -> str:
        """Put a column on another node."""
        return self._ledger.storage.replace(deal, slot, acceptance, tag=tag).hash

    def open_cheque(self, node: Address, collateral: int) -> int:
        """Open a voucher rail to a node's payout address."""
        payee = self._ledger.registry.payout_of(node)
        receipt = self._ledger.payments.open_voucher(self._token(), payee, collateral)
        return receipt.one("VoucherOpened").number("rail")

    def add_collateral(self, rail: int, amount: int) -> None:
        """Raise a voucher's collateral."""
        self._ledger.payments.add_collateral(rail, amount)

    def cheque(self, rail: int) -> Cheque:
        """A voucher rail as it stands."""
        found = self._ledger.payments.rail(rail)
        return Cheque(rail, found.payee, found.fixed, found.paid, closing=found.end_at != 0)

    def _record(self, node: Address) -> NodeRecord | None:
        entry = self._ledger.registry.node(node)
        if entry.retired or not entry.roles & STORAGE:
            return None
        state = self._ledger.faults.node_state(node)
        return NodeRecord(
            peer=Peer(node, entry.endpoint, entry.tls),
            owner=entry.owner,
            stake_free=self._ledger.staking.free(node),
            proven=self._proven(state),
            missed=self._ledger.pdp.missed(state.set_id) if state.set_id else 0,
            barred=self._barred(state),
        )

    def _proven(self, state: NodeState) -> int:
        if not state.set_id:
            return 0
        return self._ledger.index.count("pdp", "Proven", where={"set_id": state.set_id})

    def _barred(self, state: NodeState) -> str:
        if not state.set_id:
            return "did not join the storage market"
        if state.failed:
            return "failed too many proofs"
        if state.notice_at:
            return "gave notice to leave"
        return "owes proofs" if self._ledger.pdp.owed(state.set_id) else ""

    def _entry(self, node: Address) -> Node:
        now = self._monotonic()
        with self._lock:
            known = self._entries.get(node)
        if known is not None and now - known[0] < FRESH:
            return known[1]
        entry = self._ledger.registry.node(node)
        if entry.owner == ZERO_ADDRESS:
            raise NotFoundError(
                f"no node {node} is registered", remedy="Check that network.json is current."
            )
        with self._lock:
            self._entries[node] = (now, entry)
        return entry

    def _events(self, name: str, where: dict[str, object]) -> Iterator[Event]:
        return every(self._ledger.index, "storage", name, where)

    def _token(self) -> Address:
        return self.network.contracts["token"]

    def _key(self) -> Key:
        if self._ledger.key is None:
            raise AccessError(
                "this needs an account", remedy="Create one with `freehold wallet create`."
            )
        return self._ledger.key
