"""What holds of subnets after any sequence of calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contracts.evm import Chain, Outcome, Reverted, Signer
from contracts.subnets import (
    EPOCH,
    GRAIN,
    LOCK,
    MODELS,
    PER_EPOCH,
    RULES,
    SHARE_OF_MODELS,
    TERMS,
    Arena,
    deploy_arena,
    founder,
    row_of,
)
from contracts.world import alice, bob, guardian

BPS = 10_000
NODES, SUBNETS, PLACES = 7, 2, 3
WHICH = st.integers(1, SUBNETS)
NODE = st.integers(0, NODES - 1)
ROLES = 8 | 16
UIDS = range(PLACES)
UID = st.integers(0, PLACES - 1)


def attempt(call: Callable[[], Outcome]) -> tuple[Outcome | None, str]:
    """What a call did, or why it was refused."""
    try:
        return call(), ""
    except Reverted as error:
        return None, error.reason


class SubnetLaws(RuleBasedStateMachine):
    """Two small subnets, seven nodes that serve and validate, a judge who names anybody."""

    @initialize()
    def begin(self) -> None:
        self.arena: Arena = deploy_arena(Chain())
        self.subnet = self.arena.subnet
        self.nodes = [
            self.arena.node(f"n{i}", owner=(alice, bob)[i % 2], roles=ROLES, stake=10**18 * (i + 1))
            for i in range(NODES)
        ]
        for name in ("first", "second"):
            self.arena.create(name, max_nodes=PLACES)
        self.seats: dict[tuple[int, int], tuple[str, int]] = {}
        self.burned: dict[tuple[int, int], int] = {}
        self.granted: dict[tuple[int, int], int] = {}
        self.committed: dict[tuple[int, int, int], tuple[int, bytes]] = {}
        self.revealed: dict[tuple[int, int, int], bytes] = {}
        self.past: dict[int, Any] = {}
        for id in (1, 2):
            for which in range(id, id + PLACES - 1):
                self.register(id, which, 0)

    @property
    def epoch(self) -> int:
        return self.arena.epoch

    @property
    def ended(self) -> set[int]:
        """Subnets that have no part in the running epoch."""
        closing = {id: self.subnet.call("subnet_of", id).closing for id in (1, 2)}
        return {id for id, epoch in closing.items() if 0 < epoch <= self.epoch}

    def uid_of(self, id: int, hot: Signer) -> int | None:
        """By the model."""
        return next(
            (uid for (at, uid), (who, _) in self.seats.items() if (at, who) == (id, hot.address)),
            None,
        )

    def holder(self, id: int, uid: int) -> Signer | None:
        """By the model."""
        who, _ = self.seats.get((id, uid), ("", 0))
        return next((hot for hot in self.nodes if hot.address == who), None)

    def send(self, function: str, *told: int, by: Signer = guardian) -> Outcome:
        """A transaction."""
        return self.subnet.send(function, *told, sender=by.address)

    def inputs(self, epoch: int) -> Any:
        """Everything that an epoch is reckoned from, as the contract tells it."""
        call = self.subnet.call
        return [
            (
                [(call("row", id, epoch, uid), call("stake_at", id, epoch, uid)) for uid in UIDS],
                call("rules_at", id, epoch),
                call("entry_at", id, epoch),
                call("task_at", id, epoch),
                call("money", id, epoch),
            )
            for id in range(1, SUBNETS + 1)
        ] + [call("totals", epoch)]

    @rule(seconds=st.sampled_from([1, 300, EPOCH, EPOCH, 2 * EPOCH]))
    def wait(self, seconds: int) -> None:
        before = self.epoch
        told = self.inputs(before)
        self.arena.chain.warp(seconds)
        if self.epoch > before:
            self.past[before] = told

    @rule(id=WHICH, which=NODE, spare=st.integers(-1, 1))
    def register(self, id: int, which: int, spare: int) -> None:
        hot, quoted = self.nodes[which], self.subnet.call("price", id)
        known = self.subnet.call("subnet_of", id)
        done, reason = attempt(lambda: self.arena.enter(id, hot, most=quoted + spare))
        if done is None:
            assert {
                "subnet: already in it": self.uid_of(id, hot) is not None,
                "subnet: ended": id in self.ended,
                "subnet: closing": known.closing > 0,
                "subnet: full for now": known.nodes == PLACES,
                "subnet: the price is higher": spare < 0,
            }[reason]
            return
        assert spare >= 0
        assert done.one("Registered").burned == done.one("Movement").amount == quoted
        self._seat(id, int(done.value), hot)
        where = (id, self.epoch)
        self.burned[where] = self.burned.get(where, 0) + quoted

    def _seat(self, id: int, uid: int, hot: Signer) -> None:
        _, generation = self.seats.get((id, uid), ("", 0))
        self.seats[id, uid] = (hot.address, generation + 1)
        self.revealed.pop((id, self.epoch, uid), None)

    @rule(id=WHICH, order=st.permutations(UIDS), ago=st.sampled_from([0, 0, 1, 1_600]))
    def judge(self, id: int, order: list[int], ago: int) -> None:
        self.arena.prune(id, order, ended_at=self.arena.chain.now - ago)

    @rule(id=WHICH, order=st.permutations(UIDS), which=NODE)
    def oust(self, id: int, order: list[int], which: int) -> None:
        """A newcomer when a trace has just become final."""
        self.arena.chain.warp(1)
        self.judge(id, order, 0)
        outside = [i for i, hot in enumerate(self.nodes) if self.uid_of(id, hot) is None]
        self.register(id, outside[which % len(outside)], 0)

    @rule(id=WHICH, uid=UID, weight=st.integers(1, 65_535))
    def commit(self, id: int, uid: int, weight: int) -> None:
        hot = self.holder(id, uid)
        if hot is None:
            return
        row = row_of({0: weight})
        done, reason = attempt(lambda: self.arena.commit(id, uid, row, by=hot))
        if done is None:
            assert (reason, id in self.ended) == ("subnet: ended", True)
            return
        _, generation = self.seats[id, uid]
        self.committed[id, uid, self.epoch] = (generation, row)

    @rule(id=WHICH, uid=UID, turn=st.booleans())
    def reveal(self, id: int, uid: int, turn: bool) -> None:
        """What the holder of a uid committed in the epoch before, or what nobody did."""
        hot = self.holder(id, uid)
        if hot is None:
            return
        if turn:
            self.wait(EPOCH - (self.arena.chain.now - self.arena.genesis) % EPOCH)
        generation, row = self.committed.get((id, uid, self.epoch - 1), (0, row_of({0: 1})))
        fits = generation == self.seats[id, uid][1]
        done, reason = attempt(lambda: self.arena.reveal(id, uid, row, by=hot))
        if done is None:
            known = id in self.ended or (id, self.epoch, uid) in self.revealed
            assert known or not fits, reason
            return
        assert fits
        self.revealed[id, self.epoch, uid] = row

    @rule(id=WHICH, uid=UID, weight=st.integers(1, 65_535))
    def weigh(self, id: int, uid: int, weight: int) -> None:
        """An epoch as a validator has it."""
        self.commit(id, uid, weight)
        self.reveal(id, uid, True)

    @rule(id=WHICH, uid=UID)
    def record(self, id: int, uid: int) -> None:
        _, reason = attempt(lambda: self.send("record", id, uid))
        assert reason in {
            "", "subnet: ended", "subnet: no such uid", "subnet: already recorded"
        }  # fmt: skip

    @rule(which=NODE, amount=st.integers(1, 3))
    def stake(self, which: int, amount: int) -> None:
        hot = self.nodes[which]
        by = self.arena.owners[hot.address].address
        self.arena.world.staking.send("stake", hot.address, amount * 10**17, sender=by)

    @rule(id=WHICH, grains=st.sampled_from([1, 77, 10**9, 4 * 10**11]), epochs=st.integers(1, 4))
    def grant(self, id: int, grains: int, epochs: int) -> None:
        first, amount = self.epoch, grains * GRAIN
        done, reason = attempt(lambda: self.send("grant", id, amount, epochs, by=alice))
        assert reason in {
            "", "subnet: ended", "subnet: ends before", "subnet: more than roots can pay"
        }  # fmt: skip
        for epoch in range(first, first + epochs if done else first):
            self.granted[id, epoch] = self.granted.get((id, epoch), 0) + amount

    @rule(back=st.sampled_from([0, 1, 1, 2, 2, 3, 4, 7]))
    def close_epoch(self, back: int) -> None:
        epoch = max(0, self.epoch - back)
        _, reason = attempt(lambda: self.arena.close(epoch))
        assert reason in {
            "",
            "subnet: the epoch has not ended",
            "subnet: closed already",
            "subnet: nothing to close",
        }

    @rule(id=WHICH, ahead=st.integers(1, 4), kappa=st.integers(0, 65_535))
    def revise(self, id: int, ahead: int, kappa: int) -> None:
        rules = {**asdict(RULES), "kappa": kappa}
        _, reason = attempt(lambda: self.arena.revise(id, self.epoch + ahead, rules=rules))
        assert reason == ("subnet: too soon" if ahead == 1 else "")

    @precondition(lambda self: self.epoch > 3)
    @rule(id=WHICH)
    def close(self, id: int) -> None:
        _, reason = attempt(lambda: self.send("close", id, by=founder))
        assert reason in {"", "subnet: closing"}

    @rule(id=WHICH)
    def unlock(self, id: int) -> None:
        _, reason = attempt(lambda: self.send("unlock", id))
        assert reason in {"", "subnet: not ended", "subnet: nothing is locked"}

    @rule(draws=st.booleans())
    def name_distributor(self, draws: bool) -> None:
        to = self.subnet.address if draws else self.arena.pruner.address
        if not draws and self.epoch % 3:
            return
        self.arena.world.setup(self.arena.issuance, "set_distributor", MODELS, to)

    @invariant()
    def uids_are_unique_and_generations_rise(self) -> None:
        for id in range(1, SUBNETS + 1):
            told = self.subnet.call("seats", id, 0)
            mine = [self.seats[id, uid] for uid in range(len(told))]
            assert [(seat.node, seat.generation) for seat in told] == mine
            assert len({seat.node for seat in told}) == len(told) <= PLACES
            for hot in self.nodes:
                uid = self.uid_of(id, hot)
                place = 0 if uid is None else uid + 1
                assert self.subnet.call("place_of", id, hot.address) == place

    @invariant()
    def what_is_here_is_locked_or_waits(self) -> None:
        call = self.subnet.call
        locks = sum(call("subnet_of", id).lock for id in range(1, SUBNETS + 1))
        assert call("locked") == locks <= SUBNETS * LOCK
        open_grants = sum(
            amount for (_, epoch), amount in self.granted.items() if not call("closed", epoch)
        )
        assert call("waiting") == open_grants
        assert self.arena.money(self.subnet) == locks + open_grants

    @invariant()
    def budgets_stay_within_shares_and_grants_and_are_paid_in(self) -> None:
        call, promised, paid = self.subnet.call, 0, 0
        for epoch in {epoch for _, epoch in (*self.burned, *self.granted)}:
            burned = [self.burned.get((id, epoch), 0) for id in range(1, SUBNETS + 1)]
            granted = [self.granted.get((id, epoch), 0) for id in range(1, SUBNETS + 1)]
            assert call("totals", epoch) == (sum(burned), sum(granted))
            emitted = call("emitted", epoch)
            assert emitted <= sum(burned) * TERMS.share_bps // BPS
            assert emitted <= PER_EPOCH * SHARE_OF_MODELS // BPS
            assert emitted <= call("most") // 2
            assert sum(granted) <= call("most") // 2
            if not call("closed", epoch):
                assert emitted == 0
                continue
            for id in range(1, SUBNETS + 1):
                budget = call("budget", id, epoch, epoch)
                assert budget % GRAIN == 0
                share = burned[id - 1] * TERMS.share_bps // BPS
                assert granted[id - 1] <= budget <= share + granted[id - 1]
                promised += budget
            paid += emitted + sum(granted)
        assert promised <= paid == self.arena.money(self.arena.prizes)
        assert paid == self.arena.prizes.call("funded")

    @invariant()
    def past_epochs_never_change(self) -> None:
        for epoch in list(self.past)[-4:]:
            assert self.inputs(epoch) == self.past[epoch]

    @invariant()
    def rows_are_those_that_their_holders_revealed(self) -> None:
        for id in range(1, SUBNETS + 1):
            for uid, found in enumerate(self.subnet.call("records", id, self.epoch, 0)):
                row = self.revealed.get((id, self.epoch, uid))
                assert (found.row != bytes(32)) == (row is not None)
                assert found.committed_at < self.arena.genesis + self.epoch * EPOCH or not row
                if row is not None:
                    assert found.stake > 0
                    _, generation = self.seats[id, uid]
                    assert self.committed[id, uid, self.epoch - 1] == (generation, row)


TestSubnetLaws = SubnetLaws.TestCase
TestSubnetLaws.settings = settings(
    max_examples=12,
    stateful_step_count=35,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
