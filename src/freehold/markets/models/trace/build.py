"""The trace of an epoch, step by step from what the ledger knows and the trace before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

from freehold.markets.models.trace import steps
from freehold.markets.models.trace.built import Built
from freehold.markets.models.trace.merkle import Merkle
from freehold.markets.models.trace.values import (
    EMPTY,
    OWNER,
    PRUNED,
    Bond,
    Cell,
    Column,
    Facts,
    Leaf,
    Member,
    Node,
    Sums,
    Trace,
    pack,
    vector,
)

Step: TypeAlias = Callable[[int, int], int]


def build(facts: Facts, past: Built | None = None) -> Built:
    """The trace that follows from the facts and from the trace in the root before, if any."""
    return Builder(facts, past).built()


@dataclass
class Builder:
    """Every part of a trace is one method or property, which reads only those before it."""

    facts: Facts
    past: Built | None = None

    @property
    def count(self) -> int:
        """Uids."""
        return len(self.facts.nodes)

    @cached_property
    def nodes(self) -> list[Node]:
        return [self.node(uid) for uid in range(self.count)]

    def node(self, uid: int) -> Node:
        found = self.facts.nodes[uid]
        enough = found.stake >= self.facts.terms.rules.min_stake
        return found if enough else replace(found, stake=0)

    @cached_property
    def stakes(self) -> list[int]:
        """Grains before each uid, and behind all."""
        return self._run(self.stakes_after)

    def stakes_after(self, uid: int, before: int) -> int:
        return before + self.nodes[uid].stake

    @cached_property
    def stake(self) -> int:
        return self.stakes[-1]

    def share(self, uid: int) -> int:
        """A node's share of all stake."""
        return steps.share(self.nodes[uid].stake, self.stake)

    @cached_property
    def permits(self) -> list[int]:
        """Who may validate in the next epoch: the largest shares, of equals the higher uid."""
        order = sorted(range(self.count), key=lambda uid: (-self.share(uid), -uid))
        seats = self.facts.terms.rules.max_validators
        return sorted(uid for uid in order[:seats] if self.share(uid))

    @cached_property
    def members(self) -> list[Member]:
        """Who validates in this one."""
        found = (self.member(uid) for uid in range(self.count))
        return [member for member in found if member is not None]

    def member(self, uid: int) -> Member | None:
        past, node = self.past, self.nodes[uid]
        if past is None or uid not in past.permits or not node.stake:
            return None
        if past.nodes[uid].generation != node.generation:
            return None
        was = next((k for k, each in enumerate(past.members) if each.uid == uid), -1)
        return Member(uid, was, uid in self.facts.rows, self.share(uid))

    @cached_property
    def revealed(self) -> dict[int, dict[int, int]]:
        """Weights by validator and uid."""
        return {uid: dict(row.entries) for uid, row in self.facts.rows.items()}

    @cached_property
    def weights(self) -> list[list[int]]:
        return [self.weights_of(uid) for uid in range(self.count)]

    def weights_of(self, uid: int) -> list[int]:
        """What the members gave a uid: nothing by itself, nor committed before it came."""
        return [self.weight(uid, member.uid) for member in self.members]

    def weight(self, uid: int, by: int) -> int:
        if by == uid or by not in self.facts.rows:
            return 0
        if self.nodes[uid].registered >= self.facts.rows[by].committed:
            return 0
        return self.revealed[by].get(uid, 0)

    @cached_property
    def rows(self) -> list[list[int]]:
        """Sums of the members' weights before each uid, and behind all."""
        made = [[0] * len(self.members)]
        for uid in range(self.count):
            made.append(self.rows_after(uid, made[-1]))
        return made

    def rows_after(self, uid: int, before: list[int]) -> list[int]:
        return [a + b for a, b in zip(before, self.weights[uid], strict=True)]

    @cached_property
    def table(self) -> list[tuple[int, int]]:
        """Active stake and row sum by member."""
        stakes = [member.share if member.active else 0 for member in self.members]
        return list(zip(steps.shares(stakes), self.rows[-1], strict=True))

    @cached_property
    def active(self) -> list[int]:
        return [active for active, _ in self.table]

    @cached_property
    def totals(self) -> list[int]:
        return [total for _, total in self.table]

    @cached_property
    def columns(self) -> list[Column]:
        return [self.column(uid) for uid in range(self.count)]

    def column(self, uid: int) -> Column:
        rules = self.facts.terms.rules
        return steps.column(rules, self.weights[uid], self.active, self.totals)

    @cached_property
    def rank_sums(self) -> list[tuple[bool, int]]:
        """Whether any consensus is not 0, and the ranks, before each uid and behind all."""
        made = [(False, 0)]
        for uid in range(self.count):
            made.append(self.ranks_after(uid, made[-1]))
        return made

    def ranks_after(self, uid: int, before: tuple[bool, int]) -> tuple[bool, int]:
        column = self.columns[uid]
        return before[0] or column.consensus > 0, before[1] + column.rank

    @cached_property
    def ranks(self) -> tuple[bool, int]:
        return self.rank_sums[-1]

    def incentive(self, uid: int) -> int:
        """A node's share of the ranks."""
        return steps.share(self.columns[uid].rank, self.ranks[1])

    @cached_property
    def incentive_sums(self) -> list[int]:
        return self._run(self.incentives_after)

    def incentives_after(self, uid: int, before: int) -> int:
        return before + self.incentive(uid)

    @cached_property
    def incentives(self) -> int:
        return self.incentive_sums[-1]

    @cached_property
    def bonds(self) -> list[Bond]:
        return [self.bond(uid) for uid in range(self.count)]

    def bond(self, uid: int) -> Bond:
        return steps.bond(
            self.facts.terms.rules,
            self.columns[uid],
            self.weights[uid],
            self.active,
            self.totals,
            self.held(uid),
            incentive=self.incentive(uid),
            agreed=self.ranks[0],
        )

    def held(self, uid: int) -> list[int]:
        """The bonds of the trace before, of 65535; none of a node that came since."""
        past = self.past
        if past is None or self.nodes[uid].registered >= self.facts.opened:
            return [0] * len(self.members)
        stored = past.bonds[uid].stored
        return [stored[member.was] if member.was >= 0 else 0 for member in self.members]

    @cached_property
    def dividends(self) -> list[list[int]]:
        """What members gained by their bonds before each uid, and by all."""
        made = [[0] * len(self.members)]
        for uid in range(self.count):
            made.append(self.dividends_after(uid, made[-1]))
        return made

    def dividends_after(self, uid: int, before: list[int]) -> list[int]:
        return [a + b for a, b in zip(before, self.bonds[uid].gains, strict=True)]

    @cached_property
    def raw_dividends(self) -> list[int]:
        """By member: of yuma3 weighed by active stake."""
        gained = self.dividends[-1]
        if not self.facts.terms.rules.yuma3:
            return gained
        return [steps.times(a, b) for a, b in zip(gained, self.active, strict=True)]

    @cached_property
    def dividend_totals(self) -> tuple[int, int]:
        """Before normalisation, and what it left."""
        return sum(self.raw_dividends), sum(steps.shares(self.raw_dividends))

    @cached_property
    def emission(self) -> tuple[int, int]:
        """Grains for the nodes, and the owner's part."""
        part = self.facts.budget * self.facts.terms.owner_bps // 10_000
        return self.facts.budget - part, part

    @cached_property
    def cells(self) -> list[Cell]:
        return [self.cell(uid) for uid in range(self.count)]

    def cell(self, uid: int) -> Cell:
        emission = self.emission[0]
        server, validator, combined = self._earned(uid)
        lost = [(each * emission) % (1 << 32) + 1 if each else 0 for each in (server, validator)]
        return Cell(
            server * emission >> 32,
            validator * emission >> 32,
            combined * emission >> 32,
            max(lost),
        )

    def _earned(self, uid: int) -> tuple[int, int, int]:
        at = next((k for k, each in enumerate(self.members) if each.uid == uid), None)
        total, rest = self.dividend_totals
        common = self.incentives + rest
        if common:
            gained = steps.share(self.raw_dividends[at], total) if at is not None else 0
            server, both = self.incentive(uid), self.incentive(uid) + gained
            return (
                steps.share(server, common),
                steps.share(gained, common),
                steps.share(both, common),
            )
        if any(self.active):
            fallback = self.active[at] if at is not None else 0
        else:
            fallback = self.share(uid)
        return 0, fallback, fallback

    @cached_property
    def paid(self) -> list[tuple[int, int, int]]:
        """Grains paid, the largest remainder and its uid, before each uid and behind all."""
        made = [(0, 0, 0)]
        for uid in range(self.count):
            made.append(self.paid_after(uid, made[-1]))
        return made

    def paid_after(self, uid: int, before: tuple[int, int, int]) -> tuple[int, int, int]:
        cell, (paid, best, best_uid) = self.cells[uid], before
        if cell.remainder > best:
            best, best_uid = cell.remainder, uid
        return paid + cell.server + cell.validator, best, best_uid

    @cached_property
    def dust(self) -> tuple[int, int]:
        """Grains that floors lost, and the uid that gets them."""
        paid, best, uid = self.paid[-1]
        return (max(self.emission[0] - paid, 0) if best else 0), uid

    @cached_property
    def prune(self) -> int:
        """Who has to go first. The immune come last, and stay as long as they are: without them a
        list would be empty where all are young, and no newcomer could pay for the next one."""
        return prune_word(sorted(range(self.count), key=self.turn)[:PRUNED])

    def turn(self, uid: int) -> tuple[bool, int, int, int]:
        """The order of leaving: lowest earnings, then who came first, then lowest uid."""
        return self.immune(uid), self.cells[uid].combined, self.nodes[uid].registered, uid

    def immune(self, uid: int) -> bool:
        return self.nodes[uid].registered + self.facts.terms.immunity > self.facts.ended

    @cached_property
    def sums(self) -> list[Sums]:
        return [
            Sums(stake, agreed, ranks, incentives, *paid)
            for stake, (agreed, ranks), incentives, paid in zip(
                self.stakes, self.rank_sums, self.incentive_sums, self.paid, strict=True
            )
        ]

    def leaf(self, uid: int) -> Leaf:
        """A uid's leaf; of ``count``, the one behind all."""
        sums = self.sums[uid].word()
        rows, dividends = vector(pack(self.rows[uid], 32)), vector(pack(self.dividends[uid], 64))
        if uid == self.count:
            return Leaf(EMPTY, EMPTY, rows, EMPTY, sums, EMPTY, dividends, EMPTY)
        return Leaf(
            self.nodes[uid].hash(),
            vector(pack(self.weights[uid], 16)),
            rows,
            self.columns[uid].hash(),
            sums,
            self.bonds[uid].hash(),
            dividends,
            self.cells[uid].hash(),
        )

    def _run(self, after: Step) -> list[int]:
        made = [0]
        for uid in range(self.count):
            made.append(after(uid, made[-1]))
        return made

    def built(self) -> Built:
        """All of it."""
        leaves = tuple(self.leaf(uid) for uid in range(self.count + 1))
        tree = Merkle.of([leaf.hash() for leaf in leaves])
        lanes = [active << 28 | total for active, total in self.table]
        trace = Trace(
            nodes=tree.root,
            count=self.count,
            permits=vector(pack([uid + 1 for uid in self.permits], 16)),
            members=vector(pack([member.lane() for member in self.members], 64)),
            size=len(self.members),
            table=vector(pack(lanes, 64)),
            dividends=leaves[-1].dividends,
            stake=self.stake,
            consensus=int(self.ranks[0]),
            ranks=self.ranks[1],
            incentives=self.incentives,
            dividend_total=self.dividend_totals[0],
            dividend_sum=self.dividend_totals[1],
            emission=self.emission[0],
            owner_part=self.emission[1],
            dust=self.dust[0],
            dust_uid=self.dust[1],
            prune=self.prune,
        )
        return Built(
            facts=replace(self.facts, nodes=tuple(self.nodes)),
            trace=trace,
            permits=tuple(self.permits),
            members=tuple(self.members),
            weights=tuple(map(tuple, self.weights)),
            rows=tuple(map(tuple, self.rows)),
            table=tuple(self.table),
            columns=tuple(self.columns),
            bonds=tuple(self.bonds),
            dividends=tuple(map(tuple, self.dividends)),
            cells=tuple(self.cells),
            sums=tuple(self.sums),
            leaves=leaves,
            tree=tree,
        )


def prune_word(turn: list[int]) -> int:
    """At most 16 uids as one word, the first in the upper bits."""
    made = 0
    for uid in [*turn, *[OWNER] * PRUNED][:PRUNED]:
        made = made << 16 | uid
    return made
