"""What a node needs of the ledger, small enough that a test can hand in its own.

``freehold.ledger.ledger.Ledger`` satisfies ``Chain`` as it is. Amounts are base units, times
seconds of block time; every method may raise UnavailableError (no RPC answers) and
RefusedError (the contract said no).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from freehold.domain.ids import Address
from freehold.ledger.contracts.beacon import Round
from freehold.ledger.contracts.payments import Rail, Status
from freehold.ledger.contracts.pdp import Spot
from freehold.ledger.contracts.registry import Node, Session
from freehold.ledger.contracts.storage import Column, Deal
from freehold.ledger.look import Look
from freehold.ledger.values import Event, Header, Receipt


class Terms(Protocol):
    """Parameters of the storage market: seconds."""

    @property
    def lockup_period(self) -> int: ...


class FaultTerms(Protocol):
    """Parameters of the faults contract: seconds, base units."""

    @property
    def notice(self) -> int: ...

    @property
    def stake_per_tib(self) -> int: ...


class NodeView(Protocol):
    """What the market knows of a node."""

    @property
    def set_id(self) -> int: ...

    @property
    def columns(self) -> int: ...

    @property
    def notice_at(self) -> int: ...

    @property
    def failed(self) -> bool: ...


class SetView(Protocol):
    """A proof set."""

    @property
    def closed(self) -> bool: ...


class PieceView(Protocol):
    """A piece of a proof set; ``removed``: 0 no, 1 asked for, 2 applied."""

    @property
    def root(self) -> bytes: ...

    @property
    def height(self) -> int: ...

    @property
    def removed(self) -> int: ...


class RegistryPort(Protocol):
    def node(self, node: Address) -> Node: ...

    def active(self, node: Address, role: int) -> bool: ...

    def session(self, account: Address, key: Address) -> Session: ...

    def announce(self, node: Address, *, endpoint: str, tls: bytes) -> Receipt: ...


class StakingPort(Protocol):
    def free(self, node: Address) -> int: ...


class TokenPort(Protocol):
    @property
    def address(self) -> Address: ...

    def balance_of(self, account: Address) -> int: ...


class PaymentsPort(Protocol):
    def status(self, token: Address, owner: Address) -> Status: ...

    def rail(self, rail: int) -> Rail: ...

    def settle(self, rail: int) -> Receipt: ...

    def settle_many(self, rails: Sequence[int]) -> Receipt: ...

    def redeem(
        self, rail: int, amount: int, signature: bytes, *, most_gas: int = ...
    ) -> Receipt: ...


class BeaconPort(Protocol):
    def fix(self, period: int) -> Receipt: ...

    def store(self, period: int) -> Receipt: ...

    def period_of(self, time: int) -> int: ...

    def period_start(self, period: int) -> int: ...

    def grace(self) -> int: ...

    def round_count(self) -> int: ...

    def round(self, index: int) -> Round: ...

    def round_of(self, period: int) -> int | None: ...

    def fixed_block(self, period: int) -> int: ...


class PdpPort(Protocol):
    def prove(self, set_id: int, round_index: int, proof: bytes) -> Receipt: ...

    def roll(self, set_id: int, most: int) -> Receipt: ...

    def set(self, set_id: int) -> SetView: ...

    def piece(self, set_id: int, piece_id: int) -> PieceView: ...

    def challenged(self, set_id: int, round_index: int) -> list[Spot]: ...

    def next_round(self, set_id: int) -> int: ...

    def missed(self, set_id: int) -> int: ...

    def decided_until(self, set_id: int) -> int: ...

    def good_rounds(self, set_id: int, first: int, last: int) -> int: ...

    def waiting(self, set_id: int) -> tuple[int, int]: ...


class FaultsPort(Protocol):
    def parameters(self) -> FaultTerms: ...

    def set_of(self, node: Address) -> int: ...

    def node_state(self, node: Address) -> NodeView: ...

    def give_notice(self, node: Address) -> Receipt: ...

    def answer_spot(self, challenge: int, proof: bytes) -> Receipt: ...


class StoragePort(Protocol):
    def parameters(self) -> Terms: ...

    def deal(self, deal: int) -> Deal: ...

    def column(self, deal: int, slot: int) -> Column: ...

    def column_of(self, rail: int) -> Column: ...

    def exit(self, deal: int, slot: int) -> Receipt: ...

    def finish_rail(self, rail: int) -> Receipt: ...


class IndexPort(Protocol):
    def sync(self) -> int: ...

    def rollbacks(self) -> int: ...

    def events(
        self,
        contract: str,
        name: str,
        *,
        where: Mapping[str, object] | None = None,
        since: int = 0,
        after: Event | None = None,
        limit: int = 1_000,
    ) -> list[Event]: ...


class Chain(Protocol):
    """The ledger as a node sees it."""

    @property
    def registry(self) -> RegistryPort: ...

    @property
    def staking(self) -> StakingPort: ...

    @property
    def token(self) -> TokenPort: ...

    @property
    def payments(self) -> PaymentsPort: ...

    @property
    def beacon(self) -> BeaconPort: ...

    @property
    def pdp(self) -> PdpPort: ...

    @property
    def faults(self) -> FaultsPort: ...

    @property
    def storage(self) -> StoragePort: ...

    @property
    def index(self) -> IndexPort: ...

    def look(self, node: Address, account: Address) -> Look: ...

    def head(self) -> Header: ...

    def balance(self, account: Address) -> int: ...

    def gas_price(self) -> int: ...

    def wallet_signed(self, account: Address, digest: bytes, signature: bytes) -> bool: ...

    def now(self) -> int:
        """The block time, in seconds."""
