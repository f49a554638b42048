"""Watchers with stake over the deployed base, a beacon, and the contract they agree in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from contracts.evm import CHAIN_ID, Chain, Contract, Outcome, Signer, Struct, signer
from contracts.world import World, deploy_world, guardian, mallory
from freehold.control.consensus import Observation, digest
from freehold.domain.ids import Address, address

ROLE = 2
LENGTH = 100
PERIOD, GRACE = 1_000, 200
LEAST, SEATS, FLOOR, TOLERANCE_BPS = 1_000, 24, 1_000, 500
TERMS = (LEAST, SEATS, FLOOR, TOLERANCE_BPS)
STAKE = 10**6
SUBJECT = "0x00000000000000000000000000000000000000a1"
OTHER = "0x00000000000000000000000000000000000000b2"
ASPECT = keccak(text="reachable")
SPEED = keccak(text="speed")
SALT = keccak(text="salt")
HOTS = [signer(f"watching {i}") for i in range(70)]
OWNERS = [signer(f"keeper {i}") for i in range(70)]
BY_ADDRESS = {hot.address: hot for hot in HOTS}
Telling = Mapping[Signer, int | Sequence[Observation]]


def seen(value: int, subject: str = SUBJECT, aspect: bytes = ASPECT) -> Observation:
    """One observation."""
    return Observation(address(subject), aspect, value)


@dataclass(frozen=True, slots=True)
class Watch:
    """The world with status in it."""

    world: World
    beacon: Contract
    status: Contract

    @property
    def chain(self) -> Chain:
        return self.world.chain

    @property
    def round(self) -> int:
        return int(self.status.call("round_now"))

    def enter(self, index: int, stake: int = STAKE) -> Signer:
        """Register a watcher and put stake behind it; not a member yet."""
        hot, owner = HOTS[index], OWNERS[index]
        self.world.register(owner, hot, roles=ROLE)
        if stake:
            self.stake(index, stake)
        return hot

    def stake(self, index: int, amount: int) -> None:
        """More stake behind a watcher."""
        owner = OWNERS[index].address
        self.world.fund(owner, amount)
        self.world.token.send("approve", self.world.staking.address, amount, sender=owner)
        self.world.staking.send("stake", HOTS[index].address, amount, sender=owner)

    def join(self, hot: Signer) -> Outcome:
        """Become a member in the second half of the present round."""
        self.second_half()
        return self.status.send("join", sender=hot.address)

    def members(self, *stakes: int) -> list[Signer]:
        """Watchers 0, 1, ... with these stakes, members from the round on that now begins."""
        hots = [self.enter(i, stake) for i, stake in enumerate(stakes)]
        for hot in hots:
            self.join(hot)
        self.next_round()
        return hots

    def second_half(self) -> None:
        """Move the clock to the second half of the present round, where it is not there yet."""
        if self.status.call("is_first_half"):
            genesis = int(self.status.call("genesis"))
            self.chain.warp_to(genesis + self.round * LENGTH + LENGTH // 2)

    def next_round(self, count: int = 1) -> int:
        """Move the clock to the beginning of a later round, and give its number."""
        later = self.round + count
        self.chain.warp_to(int(self.status.call("genesis")) + later * LENGTH)
        return later

    def commit(self, hot: Signer, told: Sequence[Observation], salt: bytes = SALT) -> Outcome:
        """Commit to what a watcher saw."""
        bound = digest(
            told,
            chain_id=CHAIN_ID,
            contract=address(self.status.address),
            round_number=self.round,
            watcher=address(hot.address),
            salt=salt,
        )
        return self.status.send("commit", bound, sender=hot.address)

    def reveal(self, hot: Signer, told: Sequence[Observation], salt: bytes = SALT) -> Outcome:
        """Tell it."""
        columns = (
            [each.subject for each in told],
            [each.aspect for each in told],
            [each.value for each in told],
        )
        return self.status.send("reveal", salt, *columns, sender=hot.address)

    def tell(self, telling: Telling) -> int:
        """A whole round of commits and reveals, from its beginning to the next one's; a plain
        number is the subject's. Gives the round that can now be settled."""
        current = self.round
        lists = {
            hot: [seen(told)] if isinstance(told, int) else list(told)
            for hot, told in telling.items()
        }
        for hot, told in lists.items():
            self.commit(hot, told)
        self.second_half()
        for hot, told in lists.items():
            self.reveal(hot, told)
        self.next_round()
        return current

    def settle(self, round_number: int, subject: str = SUBJECT, aspect: bytes = ASPECT) -> Outcome:
        """Settle a value of a round, by a stranger."""
        return self.status.send("settle", round_number, subject, aspect, sender=mallory.address)

    def agree(self, telling: Telling) -> int:
        """Tell and settle: the value."""
        return int(self.settle(self.tell(telling)).value)

    def found(self, subject: str = SUBJECT, aspect: bytes = ASPECT) -> Struct:
        """What is agreed on."""
        status: Struct = self.status.call("status_of", subject, aspect)
        return status

    def score(self, hot: Signer) -> int:
        return int(self.status.call("score_of", hot.address))

    def weight(self, hot: Signer) -> int:
        return int(self.status.call("member", hot.address).weight)

    def committee(self, round_number: int, subject: str = SUBJECT) -> dict[str, int]:
        """Weights of a committee by watcher."""
        found = self.status.call("committee", round_number, subject)
        return {seat.watcher: seat.weight for seat in found}

    def seed(self) -> bytes:
        """Make the present period's beacon round, in its first seconds."""
        period = int(self.beacon.call("period_of", self.chain.now))
        self.beacon.send("fix", period, sender=mallory.address)
        self.chain.mine(3)
        index = self.beacon.send("store", period, sender=mallory.address).value
        return bytes(self.beacon.call("round", index).seed)

    def next_period(self) -> int:
        """Move the clock to the beginning of the next beacon period."""
        later = int(self.beacon.call("period_of", self.chain.now)) + 1
        self.chain.warp_to(int(self.beacon.call("period_start", later)))
        return later


def deploy_status(world: World, clock: Contract, **changes: Any) -> Contract:
    """The contract over a world, with some arguments changed."""
    usual = {
        "registry": world.registry.address,
        "staking": world.staking.address,
        "beacon": clock.address,
        "governor": world.governor.address,
        "genesis": world.chain.now,
        "length": LENGTH,
        "terms": TERMS,
    }
    return world.chain.deploy("status", *(usual | changes).values(), sender=guardian.address)


def deploy_watch(chain: Chain, **changes: Any) -> Watch:
    """Status at the beginning of round 0, nobody a member."""
    world = deploy_world(chain)
    by = guardian.address
    beacon = chain.deploy("beacon", world.governor.address, chain.now, PERIOD, GRACE, sender=by)
    return Watch(world, beacon, deploy_status(world, beacon, **changes))


def checked(hot: Signer) -> Address:
    """The address as the package spells it."""
    return address(hot.address)
