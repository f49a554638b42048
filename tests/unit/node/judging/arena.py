"""A subnet on the real contracts in this process, a proposer, watchers, and whoever doubts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from contracts.evm import Chain, Outcome, Reverted, Signer, signer
from contracts.roots import watchers
from contracts.subnets import BOND, founder
from contracts.test_disputes import Field, deploy_field, good
from contracts.watchers import Watch
from contracts.world import TOKEN, carol
from freehold.audit.competing import Court, Draft
from freehold.domain.errors import RefusedError, UnavailableError
from freehold.domain.ids import Address, address
from freehold.domain.keys import Key
from freehold.domain.typed import ATTESTATION
from freehold.economics.trees import Tree
from freehold.ledger import abi
from freehold.ledger.contracts.disputes import Disputes
from freehold.ledger.contracts.issuance import Issuance
from freehold.ledger.contracts.roots import Prizes
from freehold.ledger.contracts.subnet import Subnets
from freehold.ledger.contracts.token import Token
from freehold.ledger.ledger import Ledger
from freehold.ledger.transaction import GAS_LIMIT
from freehold.ledger.values import Event, Header, Receipt
from freehold.node.judging.challenger import Challenger
from freehold.node.judging.cosigner import Cosigner
from freehold.node.judging.desk import Desk, digest
from freehold.node.judging.proposer import Proposer
from freehold.node.judging.shelf import Offer, Shelf
from freehold.node.judging.source import Source
from unit.node.watcher.evm_ledger import EvmIndex, EvmLedger, Town

PROPOSER = signer("who proposes prizes")
WINDOW = 600


class LoggedChain(Chain):
    """A chain whose every log is told to somebody."""

    listener: Callable[[], None] | None = None

    def transact(self, *told: Any, static: bool = False, **more: Any) -> Outcome:
        done = super().transact(*told, static=static, **more)
        if self.listener and not static:
            self.listener()
        return done


class CourtIndex(EvmIndex):
    """Nothing is ever rolled back."""

    def rollbacks(self) -> int:
        return 0


class CourtLedger(EvmLedger):
    """What judging uses of ``Ledger``."""

    def __init__(self, town: Town, by: Signer) -> None:
        super().__init__(town, by)
        self.prizes, self.subnet, self.disputes = Prizes(self), Subnets(self), Disputes(self)
        self.token, self.issuance = Token(self), Issuance(self)

    def head(self) -> Header:
        return Header(self._town.chain.number, "0x", "0x", self._town.chain.now)

    def gas_price(self) -> int:
        return 10**9

    def send(
        self,
        contract: str,
        function: str,
        args: Sequence[object],
        *,
        value: int = 0,
        tag: str | None = None,
        least_gas: int = 0,
        most_gas: int = GAS_LIMIT,
    ) -> Receipt:
        chain, data = self._town.chain, abi.artifact(contract).calldata(function, args)
        chain.mine()
        place = self._town.contracts[contract].address
        try:
            raw = chain.transact(self._by.address, place, data, value=value)
        except Reverted as error:
            self._town.refused.append((function, error.reason))
            raise RefusedError(error.reason, remedy="-") from error
        self._town.sent.append((self._by.address, function, raw.gas_used))
        return Receipt("0x", chain.number, "0x", raw.gas_used, 1, (), chain.now, 0)


@dataclass
class LocalSource:
    """A proposer, asked without a wire; ``hidden`` kinds of files it keeps back."""

    desk: Desk
    hidden: set[str] = field(default_factory=set)

    @property
    def node(self) -> Address:
        return address(PROPOSER.address)

    def waiting(self) -> int | None:
        found = self.desk.listing()["waiting"]
        return found if isinstance(found, int) else None

    def trace(self, epoch: int, most: int) -> bytes:
        return self._file("trace", epoch)[:most]

    def leaves(self, epoch: int, most: int) -> bytes:
        return self._file("leaves", epoch)[:most]

    def sign(self, epoch: int, signature: bytes) -> None:
        self.desk.sign(epoch, b'{"signature": "%s"}' % signature.hex().encode())

    def _file(self, kind: str, epoch: int) -> bytes:
        if kind in self.hidden:
            raise UnavailableError("it is not served", remedy="-")
        return getattr(self.desk.shelf, kind)(epoch)  # type: ignore[no-any-return]


class Scene:
    """Everybody; ``proposer`` and ``challenger`` start anew whenever they are asked for."""

    def __init__(self, folder: Path, *, mode: str = "yuma3", seats: int = 16) -> None:
        chain = LoggedChain()
        self.folder = folder
        self.field: Field = deploy_field(chain, mode=mode, seats=seats)
        arena, court = self.field.arena, self.field.court
        world = arena.world
        self.town = Town(
            cast("Watch", SimpleNamespace(chain=chain, world=world)),
            {
                "registry": world.registry, "staking": world.staking, "token": world.token,
                "governor": world.governor, "payments": world.payments,
                "issuance": arena.issuance, "prizes": arena.prizes, "subnet": arena.subnet,
                "disputes": court.disputes,
            },
            index=CourtIndex(),
        )  # fmt: skip
        chain.listener = self._log
        names = [address(each.address) for each in watchers]
        named = Event(
            "prizes", "WatchersSet", {"watchers": [*names], "quorum": 3}, 0, 0, "0x", "0x"
        )
        self.town.index.log.append(named)
        world.fund(PROPOSER.address, BOND)
        chain.give_ether(carol.address, 10**18)
        self.court = Court(self.ledger(carol))
        self.source = LocalSource(self.desk)
        self.cosigners = [
            Cosigner(
                self.ledger(each), Key.from_secret(each.key), self.court,
                sources=lambda: [cast("Source", self.source)],
            )
            for each in watchers[:3]
        ]  # fmt: skip
        self.turn = 0

    def _log(self) -> None:
        self.town.index.log += CourtLedger(self.town, carol)._logs()

    def ledger(self, by: Signer) -> Ledger:
        return cast("Ledger", CourtLedger(self.town, by))

    @property
    def desk(self) -> Desk:
        return Desk(self.ledger(PROPOSER), Shelf(self.folder / "traces"), fresh=0.0)

    def proposer(self, *, most_bond: int = BOND) -> Proposer:
        desk = self.desk
        return Proposer(self.ledger(PROPOSER), desk, self.court, most_bond=most_bond, at_once=1)

    def challenger(self) -> Challenger:
        return Challenger(
            self.ledger(carol),
            self.court,
            source=lambda _: cast("Source", self.source),
            at_once=1,
        )

    def grant(self, epochs: int = 4) -> None:
        told = (self.field.id, 120 * TOKEN, epochs)
        self.field.arena.subnet.send("grant", *told, sender=founder.address)

    def play(self) -> int:
        """An epoch of weights, until its end; gives its number."""
        made = self.field
        epoch = made.arena.epoch
        if self.turn:
            made.reveal(good(made, spread=self.turn))
        else:
            made.record()
        made.weigh(good(made, spread=self.turn + 1))
        self.turn += 1
        made.arena.next()
        return epoch

    def sign(self) -> None:
        for each in self.cosigners:
            each.step()

    def pass_window(self) -> None:
        self.town.chain.warp(WINDOW + 1)

    def accept(self) -> None:
        """The honest root of the last epoch: offered, signed, proposed, final."""
        self.proposer().step()
        self.sign()
        self.proposer().step()
        self.pass_window()
        self.proposer().step()

    def lie(self, told: Draft, *, file: bytes | None = None, leaves: bytes | None = None) -> None:
        """Propose something that watchers who collude have signed; ``file`` and ``leaves`` are
        what is served in place of it."""
        ledger, parent = self.ledger(PROPOSER), self.court.parent(self.court.state().tip)
        wanted = digest(ledger, told, parent)
        self.desk.shelf.keep(Offer(told.since, told.epoch, parent, wanted), told)
        for kind, data in (("trace", file), ("leaves", leaves)):
            if data is not None:
                (self.folder / "traces" / f"{told.epoch}.{kind}").write_bytes(data)
        self.put_down(told.epoch, told.root, told.count, told.data)

    def put_down(self, epoch: int, root: int, count: int, data: bytes) -> None:
        """Any root at all, signed by watchers and proposed."""
        ledger, parent = self.ledger(PROPOSER), self.court.parent(self.court.state().tip)
        told = (epoch, root.to_bytes(32, "big"), count, data, parent)
        wanted = ATTESTATION.digest(ledger.network.domain("prizes"), told)
        signed = [Key.from_secret(each.key).sign(wanted) for each in watchers[:3]]
        self.proposer()._bond()
        ledger.prizes.propose(epoch, root, count, data, signed)

    def bond(self) -> int:
        return self.ledger(PROPOSER).prizes.bond_of(address(PROPOSER.address)).amount

    def count(self, function: str) -> int:
        return sum(name == function for _, name, _ in self.town.sent)


def with_accounts(draft: Draft, earned: dict[Address, int]) -> Draft:
    """The same batch, and other accounts."""
    tree = Tree.of({each: grains * 10**9 for each, grains in earned.items()})
    return replace(draft, earned=earned, tree=tree)
