"""A network whose founder has given every power up, and those who tell it what was earned."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from contracts.roots import DATA, Forged
from freehold.domain.ids import Address, checksum
from freehold.domain.keys import Key
from freehold.domain.money import UNIT
from freehold.domain.typed import ATTESTATION
from freehold.economics.trees import GRAIN
from freehold.ledger import abi
from freehold.ledger.contracts.base import convert
from freehold.ledger.contracts.roots import Header
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.ledger import Ledger
from journeys.seasons import EPOCH, attempt, deployed, pass_time, skip_without_engine

NOBODY = checksum(bytes(18) + b"\xde\xad")


@dataclass(frozen=True, slots=True)
class Court:
    """A network whose founder has given everything up; some of its accounts, each with a ledger."""

    founder: Ledger
    proposer: Ledger
    liar: Ledger
    watcher: Ledger
    watchers: Sequence[Key]
    earners: Sequence[Address]

    def propose(self, by: Ledger, tree: Forged, signers: Sequence[Key]) -> Header:
        """Have a root signed and put it down; its header."""
        roots = by.roots
        tip, epoch = roots.state().tip, by.issuance.closed() - 1
        parent = by.call("roots", "headers", [tip])
        assert isinstance(parent, bytes)
        told: list[int | bytes] = [epoch, tree.root.to_bytes(32, "big"), tree.count, DATA, parent]
        digest = ATTESTATION.digest(by.network.domain("roots"), told)
        signed = [key.sign(digest) for key in sorted(signers, key=lambda k: k.address.lower())]
        event = roots.propose(epoch, tree.root, tree.count, DATA, signed).one("Proposed")
        return convert(Header, event.args["header"])

    def draw(self, grains: int) -> None:
        """Close what has ended, and have so much of it minted for the roots."""
        pass_time(self.founder, self.founder.head().time + 2 * EPOCH)
        attempt(lambda: self.watcher.issuance.advance(64))
        self.proposer.roots.draw(self.founder.issuance.closed() - 1, grains * GRAIN)

    def finalize(self, header: Header) -> None:
        """After its window; anyone."""
        pass_time(self.founder, header.until + 1)
        self.watcher.roots.finalize(header)

    def pay(self, header: Header, tree: Forged) -> None:
        """Everybody's claim; anyone."""
        for index in range(tree.count):
            account, grains, place, path = tree.proof(index)
            self.watcher.roots.claim(header.epoch, Address(account), grains, place, path)


def tree_of(grains: Mapping[Address, int]) -> Forged:
    return Forged(sorted(grains.items(), key=lambda leaf: leaf[0].lower()))


def sent_by_governor(ledger: Ledger, calls: Sequence[tuple[str, str, Sequence[object]]]) -> None:
    """Proposals in public, carried out after their delay by anyone."""
    waiting = [
        ledger.governor.propose(
            ledger.network.contracts[contract], abi.artifact(contract).calldata(function, args)
        ).one("Proposed")
        for contract, function, args in calls
    ]
    pass_time(ledger, max(event.number("ready_at") for event in waiting))
    for event in waiting:
        ledger.governor.execute(event.number("id"))


def place(tree: Forged, account: Address) -> tuple[str, int, int, list[int]]:
    """An account's leaf with its proof."""
    return tree.proof([leaf[0] for leaf in tree.leaves].index(account))


@contextmanager
def open_court(root: Path) -> Iterator[Court]:
    """Five watchers of whom three must sign, named before the guardian is nobody's account."""
    skip_without_engine()
    keys = [Key.draw(secrets.token_bytes) for _ in range(7)]
    proposer, liar, watchers = keys[0], keys[1], keys[2:]
    with ExitStack() as stack:
        devnet = stack.enter_context(Devnet.start(root / "devnet", admin=True))
        network = deployed(devnet, root / "deploy", "filecoin")

        def opened(key: Key) -> Ledger:
            return stack.enter_context(Ledger.open(network, state=root / key.address, key=key))

        founder = opened(devnet.funder)
        for key in (proposer, liar, watchers[0]):
            founder.transfer(key.address, UNIT)
        named = ([key.address for key in watchers], 3)
        sent_by_governor(
            founder, [("roots", "set_watchers", named), ("governor", "set_guardian", (NOBODY,))]
        )
        made = Court(
            founder,
            bonded(founder, opened(proposer), proposer),
            bonded(founder, opened(liar), liar),
            opened(watchers[0]),
            watchers,
            [Key.draw(secrets.token_bytes).address for _ in range(5)],
        )
        yield made


def bonded(founder: Ledger, ledger: Ledger, key: Key) -> Ledger:
    """An account with a bond and nothing else."""
    bond = ledger.roots.parameters().bond
    founder.token.transfer(key.address, bond)
    ledger.token.approve(ledger.roots.address, bond)
    ledger.roots.post_bond(bond)
    return ledger
