"""What the client asks of the ledger, and nothing more: tests stand in for it with this page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from freehold.client.connection import Peer
from freehold.control.placement import MILLION
from freehold.domain.ids import Address
from freehold.domain.network import Network
from freehold.ledger.contracts.storage import Acceptance, Column, Deal, OpenRequest


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A storage node as the chain knows it.

    ``stake_free`` in base units, ``proven`` and ``missed`` in rounds; ``barred`` says why it may
    take nothing new (empty when it may); ``status`` is what watchers agreed on, 0 to a million.
    """

    peer: Peer
    owner: Address
    stake_free: int
    proven: int
    missed: int
    barred: str
    status: int = MILLION


@dataclass(frozen=True, slots=True)
class Terms:
    """The market's terms: lockup in seconds, stake in base units per TiB."""

    lockup_period: int
    stake_per_tib: int
    repair_owed: int


@dataclass(frozen=True, slots=True)
class Funds:
    """An account's money in base units, its gas in wei, and the present wei per gas.

    ``available`` is what new deals may lock, ``set_aside`` (left out of it) what puts under way
    count on; ``rate_left`` (scaled) and ``lockup_left`` are what
    the account's approval of the storage market still allows.
    """

    available: int
    deposited: int
    solvent_until: int
    wallet: int
    gas: int
    gas_price: int
    rate_left: int
    lockup_left: int
    set_aside: int = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """A deal that the chain has: its id, and what the transaction took."""

    deal: int
    transaction: str
    gas_used: int
    fee: int


@dataclass(frozen=True, slots=True)
class Cheque:
    """A voucher rail: who is paid, the collateral, and what was redeemed (base units)."""

    rail: int
    payee: Address
    collateral: int
    redeemed: int
    closing: bool


class Chain(Protocol):
    """Reads raise UnavailableError; writes return once mined, or raise RefusedError."""

    @property
    def network(self) -> Network:
        """The network's descriptor."""

    @property
    def account(self) -> Address:
        """Whose transactions are sent."""

    def now(self) -> int:
        """Block time in seconds."""

    def nodes(self, *, fresh: bool = False) -> Sequence[NodeRecord]:
        """Every storage node that ever registered and did not retire.

        Some seconds old unless ``fresh``.
        """

    def peer(self, node: Address) -> Peer:
        """Where one node answers; NotFoundError when it never registered."""

    def terms(self) -> Terms:
        """The storage market's terms."""

    def funds(self) -> Funds:
        """The account's money."""

    def fund(self, amount: int, *, rate_cap: int, lockup_cap: int) -> str:
        """Deposit by permit and approve the storage market, in one transaction; its hash."""

    def deals(self, client: Address) -> Sequence[int]:
        """Ids of the deals of ``client`` that are neither closed nor past their term, in order."""

    def deal(self, deal: int) -> Deal:
        """One deal; NotFoundError when there is none."""

    def column(self, deal: int, slot: int) -> Column:
        """One column of a deal."""

    def former(self, deal: int) -> Sequence[tuple[int, Address]]:
        """Slots of a deal and nodes that held them before they were moved, newest first."""

    def find(self, object_id: bytes) -> int | None:
        """The deal that the account opened for an object, if any."""

    def open(self, request: OpenRequest, acceptances: Sequence[Acceptance], *, tag: str) -> Opened:
        """Open a deal; the same ``tag`` never opens two."""

    def close(self, deal: int) -> str:
        """End a deal; the transaction's hash."""

    def renew(self, deal: int, term_end: int, acceptances: Sequence[Acceptance]) -> str:
        """Extend a deal; the transaction's hash."""

    def replace(self, deal: int, slot: int, acceptance: Acceptance, *, tag: str) -> str:
        """Put a column on another node; the transaction's hash."""

    def open_cheque(self, node: Address, collateral: int) -> int:
        """Open a voucher rail to a node's payout address; its id."""

    def add_collateral(self, rail: int, amount: int) -> None:
        """Raise a voucher's collateral by ``amount``."""

    def cheque(self, rail: int) -> Cheque:
        """A voucher rail as it stands."""
