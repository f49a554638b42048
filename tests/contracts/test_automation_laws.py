"""What holds for rules, commands and receipts after any sequence of calls, against a model."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from contracts.evm import Chain, Reverted, Signer
from contracts.fielded import ANSWER_TIME, DAY, LAPSED, deploy_fielded, meter, sensor
from contracts.world import alice, bob, guardian, mallory

OWNERS = {sensor.address: alice, meter.address: bob}
DEVICES = st.sampled_from([sensor, meter])
ANYONE = st.sampled_from([alice, bob, mallory, guardian])
PICKS = st.integers(0, 999)
MOSTLY = st.integers(0, 7)
BYSTANDER = st.one_of(st.none(), st.none(), st.none(), ANYONE)
RULE_OPEN, MAX_OPEN = 12, 16


@dataclass
class Told:
    """A rule as it was approved, and what became of it."""

    device: Signer
    generation: int
    above: bool
    threshold: int
    cooldown: int
    max_age: int
    expiry: int
    last: int | None = None
    open: int = 0
    revoked: bool = False


@dataclass
class Given:
    """A command and its end."""

    device: Signer
    generation: int
    rule: int
    issued: int
    outcome: int = 0


@dataclass
class Entry:
    """A device of the model."""

    generation: int = 1
    retired: bool = False


@dataclass
class Model:
    """The whole state: status, devices, rules, commands."""

    seen: int = 0
    settled: int = 0
    devices: dict[str, Entry] = field(
        default_factory=lambda: {sensor.address: Entry(), meter.address: Entry()}
    )
    rules: dict[int, Told] = field(default_factory=dict)
    commands: dict[int, Given] = field(default_factory=dict)

    def serves(self, device: Signer, generation: int) -> bool:
        entry = self.devices[device.address]
        return not entry.retired and entry.generation == generation

    def open_of(self, device: Signer) -> list[int]:
        return [
            name
            for name, given in self.commands.items()
            if given.device == device
            and not given.outcome
            and self.serves(device, given.generation)
        ]

    def rules_of(self, device: Signer) -> list[int]:
        return [
            name
            for name, told in self.rules.items()
            if told.device == device and not told.revoked and self.serves(device, told.generation)
        ]

    def due(self, name: int, now: int) -> bool:
        told = self.rules.get(name)
        if told is None or told.revoked or told.open or now >= told.expiry:
            return False
        if not self.serves(told.device, told.generation):
            return False
        if told.last is not None and now < told.last + told.cooldown:
            return False
        if len(self.open_of(told.device)) >= RULE_OPEN:
            return False
        if not self.settled <= now <= self.settled + told.max_age or not self.settled:
            return False
        return self.seen > told.threshold if told.above else self.seen < told.threshold

    def a_rule(self, pick: int) -> int:
        """One of the rules, now and then one that is not there."""
        return len(self.rules) + 1 - pick % (len(self.rules) + 1)

    def a_command(self, pick: int) -> int:
        """An open command for even picks, else any, now and then one that is not there."""
        waiting = [name for name, given in self.commands.items() if not given.outcome]
        if waiting and pick % 2 == 0:
            return waiting[pick // 2 % len(waiting)]
        return 1 + pick % (len(self.commands) + 1)

    def close(self, name: int, outcome: int) -> None:
        given = self.commands[name]
        given.outcome = outcome
        if given.rule:
            self.rules[given.rule].open = 0


class AutomationLaws(RuleBasedStateMachine):
    """Two devices of two owners; watchers that settle, age and contradict themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.on = deploy_fielded(Chain())
        self.model = Model()

    @initialize()
    def enrol(self) -> None:
        for device in (sensor, meter):
            self.on.add(device, OWNERS[device.address])
            for above in (True, False):
                self.approve(device, None, above, 0, 60, 200, 10 * DAY)

    @property
    def now(self) -> int:
        return self.on.chain.now

    @rule(measured=st.integers(-3, 3), ago=st.one_of(st.just(0), st.integers(-5, 200)))
    def settle(self, measured: int, ago: int) -> None:
        self.on.settle(measured, ago=ago)
        self.model.seen, self.model.settled = measured, self.now - ago

    @rule(seconds=st.one_of(st.integers(0, 120), st.just(ANSWER_TIME), st.just(DAY)))
    def wait(self, seconds: int) -> None:
        self.on.chain.warp(seconds)

    @rule(
        device=DEVICES,
        by=BYSTANDER,
        above=st.booleans(),
        threshold=st.integers(-2, 2),
        cooldown=st.integers(1, 90),
        max_age=st.integers(1, 200),
        term=st.one_of(st.just(10 * DAY), st.integers(-1, 60)),
    )
    def approve(
        self,
        device: Signer,
        by: Signer | None,
        above: bool,
        threshold: int,
        cooldown: int,
        max_age: int,
        term: int,
    ) -> None:
        owner, entry = OWNERS[device.address], self.model.devices[device.address]
        sender = by or owner
        told = Told(device, entry.generation, above, threshold, cooldown, max_age, self.now + term)
        terms = {"above": above, "threshold": threshold, "cooldown": cooldown, "max_age": max_age}
        try:
            made = self.on.approve(device, by=sender, expiry=told.expiry, **terms)
        except Reverted:
            assert sender != owner or entry.retired or term <= 0
            return
        assert sender == owner
        assert not entry.retired
        assert term > 0
        assert made.value == len(self.model.rules) + 1
        self.model.rules[made.value] = told

    @rule(pick=PICKS, by=BYSTANDER)
    def revoke(self, pick: int, by: Signer | None) -> None:
        name = self.model.a_rule(pick)
        told = self.model.rules.get(name)
        owner = OWNERS[told.device.address] if told else alice
        sender = by or owner
        try:
            self.on.automation.send("revoke", name, sender=sender.address)
        except Reverted:
            assert told is None or told.revoked or sender != owner
            return
        assert told is not None
        assert not told.revoked
        assert sender == owner
        told.revoked = True

    @rule(by=ANYONE, pick=PICKS)
    def trigger_one(self, by: Signer, pick: int) -> None:
        self.trigger(by, self.model.a_rule(pick))

    def trigger(self, by: Signer, name: int) -> None:
        expected = self.model.due(name, self.now)
        try:
            made = self.on.trigger(name, by=by)
        except Reverted:
            assert not expected
            return
        assert expected
        told = self.model.rules[name]
        told.last, told.open = self.now, made.value
        self.issue(made.value, Given(told.device, told.generation, name, self.now))

    @rule(by=ANYONE, measured=st.sampled_from([-3, 3]))
    def settle_and_trigger(self, by: Signer, measured: int) -> None:
        self.settle(measured, ago=0)
        for name in list(self.model.rules):
            self.trigger(by, name)

    @rule(device=DEVICES, by=BYSTANDER, times=st.integers(1, 7))
    def order_some(self, device: Signer, by: Signer | None, times: int) -> None:
        for _ in range(times):
            self.order(device, by)

    def order(self, device: Signer, by: Signer | None) -> None:
        owner, entry = OWNERS[device.address], self.model.devices[device.address]
        sender = by or owner
        room = len(self.model.open_of(device)) < MAX_OPEN
        try:
            made = self.on.order(device, by=sender)
        except Reverted:
            assert sender != owner or entry.retired or not room
            return
        assert sender == owner
        assert not entry.retired
        assert room
        self.issue(made.value, Given(device, entry.generation, 0, self.now))

    def issue(self, name: int, given: Given) -> None:
        assert name == len(self.model.commands) + 1
        self.model.commands[name] = given

    @rule(pick=PICKS, outcome=st.integers(0, 4), by=st.one_of(st.none(), st.none(), DEVICES))
    def answer(self, pick: int, outcome: int, by: Signer | None) -> None:
        name = self.model.a_command(pick)
        given = self.model.commands.get(name)
        signer = by or (given.device if given else sensor)
        good = given and signer == given.device and not given.outcome and 0 < outcome < LAPSED
        try:
            self.on.answer(name, outcome, by=signer)
        except Reverted:
            assert not good
            return
        assert good
        self.model.close(name, outcome)

    @rule(pick=PICKS, by=ANYONE)
    def lapse(self, pick: int, by: Signer) -> None:
        name = self.model.a_command(pick)
        given = self.model.commands.get(name)
        late = given and self.now > given.issued + ANSWER_TIME
        good = given and not given.outcome and (late or by == OWNERS[given.device.address])
        try:
            self.on.lapse(name, by=by)
        except Reverted:
            assert not good
            return
        assert good
        self.model.close(name, LAPSED)

    @rule(device=DEVICES, mostly=MOSTLY)
    def retire_or_return(self, device: Signer, mostly: int) -> None:
        if mostly and not self.model.devices[device.address].retired:
            return
        entry, owner = self.model.devices[device.address], OWNERS[device.address]
        if entry.retired:
            self.on.add(device, owner)
            entry.generation += 1
        else:
            self.on.retire(device, owner)
        entry.retired = not entry.retired

    @invariant()
    def lists_are_what_is_live(self) -> None:
        for device in (sensor, meter):
            found = self.on.automation.call("open_of", device.address)
            assert sorted(found) == self.model.open_of(device)
            approved = self.on.automation.call("rules_of", device.address)
            assert sorted(approved) == self.model.rules_of(device)

    @invariant()
    def rules_tell_what_became_of_them(self) -> None:
        for name, told in self.model.rules.items():
            assert self.on.due(name) == self.model.due(name, self.now)
            found = self.on.automation.call("rule", name)
            assert (found.last, found.open) == (told.last or 0, told.open)
            assert (found.device, found.revoked) == (told.device.address, told.revoked)

    @invariant()
    def commands_tell_what_became_of_them(self) -> None:
        for name, given in self.model.commands.items():
            found = self.on.automation.call("command", name)
            assert (found.outcome, found.rule) == (given.outcome, given.rule)
            assert (found.device, found.generation) == (given.device.address, given.generation)
            assert found.issued_at == given.issued


TestAutomationLaws = AutomationLaws.TestCase
TestAutomationLaws.settings = settings(
    max_examples=20,
    stateful_step_count=50,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
