"""Subnets by chance, epoch after epoch, with everything that happens in them written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from random import Random

from freehold.domain.ids import Address, checksum, keccak
from freehold.economics.trees import GRAIN
from freehold.markets.models.trace.values import Facts, Node, Row, Terms
from freehold.markets.models.yuma.values import Liquid, Rules

LENGTH = 1_000
"""Seconds of an epoch."""
Write = Callable[..., None]


def unwritten(_: str, *__: object) -> None:
    """No ledger to write to."""


@cache
def account(index: int) -> Address:
    """A node's account."""
    return checksum(keccak(f"node {index}".encode())[:20])


OWNERS = [account(-1 - index) for index in range(3)]


@dataclass(slots=True)
class Competition:
    """One subnet by chance, epoch after epoch."""

    random: Random
    id: int
    genesis: int
    write: Write = unwritten
    seats: list[tuple[int, Address, int]] = field(default_factory=list)  # generation, who, since

    def begin(self) -> None:
        """Created in epoch 0."""
        self.write("set_subnet", self.id, OWNERS[self.id - 1], self.genesis + 1)
        self.joined(self.random.randint(4, 9), self.genesis + 2, self.genesis + LENGTH // 2)

    def joined(self, count: int, first: int, last: int) -> None:
        """More nodes."""
        for _ in range(count):
            self.hold(len(self.seats), self.moment(first, last))

    def moment(self, first: int, last: int) -> int:
        """A time between two, often one at which others commit."""
        pick = self.random
        return pick.choice([first + 1, last, (first + last + 1) // 2, pick.randint(first, last)])

    def come_late(self, end: int) -> None:
        """In the second in which the next epoch begins, somebody takes a uid."""
        if self.random.random() < 0.5:
            self.hold(self.random.randrange(len(self.seats)), end)
        if self.random.random() < 0.3 and len(self.seats) < 12:
            self.hold(len(self.seats), end)

    def hold(self, uid: int, since: int) -> None:
        """A newcomer in a uid."""
        who = account(self.random.randrange(3) if self.random.random() < 0.6 else since * 64 + uid)
        if uid < len(self.seats):
            self.seats[uid] = (self.seats[uid][0] + 1, who, since)
        else:
            self.seats.append((1, who, since))
        self.write("hold", self.id, uid, who, since)

    def rules(self) -> Rules:
        """Rules by chance, with their bounds often."""
        pick = self.random
        yuma3 = pick.random() < 0.6
        low = pick.choice([0, 45_875, pick.randint(0, 65_535)])
        liquid = Liquid(low, pick.randint(low, 65_535), pick.choice([0, 1_000, 9_999]))
        return Rules(
            max_validators=pick.choice([1, 3, 4, 5, 5]),
            activity_cutoff=0,
            kappa=pick.choice([32_767, 32_767, 0, 65_535, pick.randint(0, 65_535)]),
            bonds_penalty=pick.choice([0, 65_535, *(pick.randint(0, 65_535) for _ in range(3))]),
            bonds_ema_ppm=pick.choice([0, 900_000, 1_000_000, pick.randint(0, 10**6)]),
            yuma3=yuma3,
            liquid=liquid if yuma3 and pick.random() < 0.6 else None,
            min_stake=pick.choice([0, 0, 5]),
        )

    def facts(self, since: int, epoch: int) -> Facts:
        """What happens in an epoch, written down for the chain too."""
        pick, genesis = self.random, self.genesis
        start, end = genesis + epoch * LENGTH, genesis + (epoch + 1) * LENGTH
        if epoch:
            if len(self.seats) < 12:
                self.joined(pick.randint(0, 1), start, end - 1)
            for uid in range(len(self.seats)):
                if pick.random() < 0.08:
                    self.hold(uid, self.moment(start, end - 1))
        terms = Terms(self.rules(), pick.choice([0, 700, 2_500]), pick.choice([0, 1_800]))
        self.write("set_rules", self.id, epoch, contract_rules(terms))
        stakes = [self.stake(uid) for uid in range(len(self.seats))]
        if not any(stakes):
            stakes[0] = 7
        rows = {
            uid: self.row(uid, start)
            for uid, stake in enumerate(stakes)
            if stake and pick.random() < 0.85
        }
        for uid, stake in enumerate(stakes):
            row = rows.get(uid)
            told = (keccak(row.packed()), row.committed) if row else (bytes(32), 0)
            if stake:
                self.write("set_record", self.id, epoch, uid, (*told, stake))
        budget = pick.choice([0, 1, 13, *(pick.randint(1_000, 20_000) for _ in range(3))])
        self.write("set_budget", self.id, since, epoch, budget * GRAIN)
        facts = Facts(
            subnet=self.id,
            owner=OWNERS[self.id - 1],
            terms=terms,
            nodes=tuple(
                Node(who, generation, at, stake)
                for (generation, who, at), stake in zip(self.seats, stakes, strict=True)
            ),
            rows=rows,
            budget=budget,
            opened=genesis + since * LENGTH,
            ended=end,
        )
        self.come_late(end)
        return facts

    def stake(self, uid: int) -> int:
        """Grains, of even uids nearly always."""
        pick = self.random
        if pick.random() < (0.05, 0.7)[uid % 2]:
            return 0
        return pick.choice([pick.randint(1, 9), pick.randint(1, 10**3), pick.randint(1, 2**40)])

    def row(self, uid: int, start: int) -> Row:
        """Weights for some, committed in the epoch before, early or late."""
        pick = self.random
        targets = [k for k in range(len(self.seats)) if pick.random() < 0.6] or [uid]
        weights = ((k, pick.choice([1, 65_535, pick.randint(1, 65_535)])) for k in targets)
        return Row(tuple(weights), start - pick.choice([1, LENGTH // 2, LENGTH - 1]))


def contract_rules(terms: Terms) -> tuple[object, ...]:
    """As the subnets' contract has them."""
    rules, liquid = terms.rules, terms.rules.liquid
    parts = (liquid.low, liquid.high, liquid.steepness) if liquid else (0, 0, 0)
    return (
        rules.max_validators, terms.immunity, rules.kappa, rules.bonds_penalty,
        rules.bonds_ema_ppm, rules.yuma3, liquid is not None, *parts,
        rules.min_stake, terms.owner_bps,
    )  # fmt: skip
