# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize codesize
"""
@title Automation
@license Apache-2.0
@notice Rules that turn an agreed status into a command for a device, approved by its owner; orders
        of the owner himself; and the device's signed receipts for both.
@dev A rule names a subject and an aspect of `status`, a side of a threshold, and a command. While it
     is due anyone may trigger it. A command opens; the device's agent starts it no later than
     `answer_by`, undoes it by itself `hold` seconds after its start, so at `until` at the latest,
     and signs a receipt with the agent key, which is the device's id. Anyone brings the receipt.
     Threats and what meets them.
     - A stale status, or one that nobody ever settled: a rule fires only on what was settled within
       its `max_age`, and never on a settlement of the future or of moment 0.
     - A rule that fires again and again: it has one open command at a time and a cooldown between
       two triggers; it expires within a year; what each command does ends by itself.
     - Commands that pile up at a dead agent: a device has at most MAX_OPEN open ones, of which
       triggers fill RULE_OPEN, so its owner can still order; after `answer_by` anyone lapses them,
       and a lapsed one takes no receipt.
     - A relayer that changes an outcome, or answers for another command or device: the signature
       covers command, device, outcome, detail and moment, and a command is answered once.
     - Replay between networks, chains or contracts: the EIP-712 domain.
     - An owner who lost the device, or whose agent key was stolen: he retires it in `devices`, which
       voids its rules and closes its list of open commands at once. A device that comes back has a
       new generation and begins with neither; its rules are approved again or are gone.
     - A receipt after the device was retired: taken, since what was done is worth knowing; it moves
       nothing.
     - A stranger who triggers: he chooses the moment within what the owner approved, and pays for it.
     - Filling storage: at most MAX_RULES live rules a device and generation, all texts bounded.
     - A status that reverts: its rules do not fire; orders and receipts go on.
     - Re-entrance: only views of two contracts that are fixed at deployment are called.
     Trust: the governor may pause new rules, and has no power over rules, orders or receipts. Watchers
     decide what the status is, so an owner approves only what may happen when they err. A receipt is
     what the agent key says, its `at` by the agent's own clock; `answered_at` is the chain's.
"""

from interfaces import IDevices
from interfaces import IStatus
from modules import typed

# `last` is the moment of the last trigger, `open` its command while nobody answered it; 0 for none.
struct Rule:
    device: address
    generation: uint64
    subject: address
    aspect: bytes32
    above: bool
    threshold: int256
    command: String[64]
    hold: uint64
    cooldown: uint64
    max_age: uint64
    expiry: uint64
    last: uint64
    open: uint256
    revoked: bool


# Outcome 0 open, 1 done, 2 refused, 3 failed, 4 lapsed; rule 0 for an order of the owner.
struct Command:
    device: address
    generation: uint64
    rule: uint256
    command: String[64]
    issued_at: uint64
    hold: uint64
    answer_by: uint64
    until: uint64
    outcome: uint8
    detail: bytes32
    at: uint64
    answered_at: uint64


event Approved:
    rule: indexed(uint256)
    device: indexed(address)
    owner: indexed(address)
    generation: uint64
    subject: address
    aspect: bytes32
    above: bool
    threshold: int256
    command: String[64]
    hold: uint64
    cooldown: uint64
    max_age: uint64
    expiry: uint64


event Revoked:
    rule: indexed(uint256)
    device: indexed(address)
    owner: indexed(address)


event Triggered:
    rule: indexed(uint256)
    id: indexed(uint256)
    sender: indexed(address)
    seen: int256
    settled_at: uint256


event Commanded:
    id: indexed(uint256)
    rule: indexed(uint256)
    device: indexed(address)
    command: String[64]
    until: uint64
    answer_by: uint64


event Acknowledged:
    id: indexed(uint256)
    rule: indexed(uint256)
    device: indexed(address)
    outcome: uint8
    detail: bytes32
    at: uint64


event Lapsed:
    id: indexed(uint256)
    rule: indexed(uint256)
    device: indexed(address)
    sender: address


event PausedSet:
    paused: bool


RECEIPT_TYPE: constant(bytes32) = keccak256(
    "Receipt(uint256 command,address device,uint8 outcome,bytes32 detail,uint64 at)"
)
DOMAIN_NAME: constant(bytes32) = keccak256("Freehold automation")
MAX_RULES: constant(uint256) = 64
MAX_OPEN: constant(uint256) = 16
RULE_OPEN: constant(uint256) = 12
MAX_HOLD: constant(uint64) = 30 * 86_400
MAX_AGE: constant(uint64) = 30 * 86_400
MAX_COOLDOWN: constant(uint64) = 366 * 86_400
MAX_TERM: constant(uint256) = 366 * 86_400
ANSWER_TIME: constant(uint64) = 600
FAILED: constant(uint8) = 3
LAPSED: constant(uint8) = 4
M64: constant(uint256) = 2**64 - 1

network_id: public(immutable(bytes32))
governor: public(immutable(address))
devices: public(immutable(address))
status: public(immutable(address))

paused: public(bool)
rules: public(uint256)
commands: public(uint256)
_rules: HashMap[uint256, Rule]
_live: HashMap[address, HashMap[uint64, DynArray[uint256, MAX_RULES]]]
_open: HashMap[address, HashMap[uint64, DynArray[uint256, MAX_OPEN]]]
# A command's device in 160 bits, generation in 64, outcome in 8.
_heads: HashMap[uint256, uint256]
# Its rule in 64 bits, moment of issue in 64, hold in 64.
_terms: HashMap[uint256, uint256]
# The texts of orders; the others' are their rules'.
_orders: HashMap[uint256, String[64]]
_details: HashMap[uint256, bytes32]
# The agent's moment in 64 bits, the chain's in 64.
_answers: HashMap[uint256, uint256]


@deploy
def __init__(network_id_: bytes32, governor_: address, devices_: address, status_: address):
    assert governor_ != empty(address), "automation: no governor"
    assert devices_.is_contract, "automation: devices has no code"
    assert status_.is_contract, "automation: status has no code"
    network_id = network_id_
    governor = governor_
    devices = devices_
    status = status_


@external
def approve(
    device: address,
    subject: address,
    aspect: bytes32,
    above: bool,
    threshold: int256,
    command: String[64],
    hold: uint64,
    cooldown: uint64,
    max_age: uint64,
    expiry: uint64,
) -> uint256:
    """
    @notice Approve a rule for a device in service, by its owner; returns the rule's id.
    @param above Whether it fires above the threshold, or below; at the threshold it does not.
    @param hold Seconds after which the agent undoes the command by itself, at most 30 days.
    @param cooldown Least seconds between two triggers, at most 366 days.
    @param max_age Most seconds since the status was settled, at most 30 days.
    @param expiry From when on it fires no more, at most 366 days from now.
    """
    assert not self.paused, "automation: paused"
    generation: uint64 = self._only_owner(device)
    assert subject != empty(address), "automation: no subject"
    assert aspect != empty(bytes32), "automation: no aspect"
    self._check(command, hold)
    assert 0 < cooldown and cooldown <= MAX_COOLDOWN, "automation: cooldown out of bounds"
    assert 0 < max_age and max_age <= MAX_AGE, "automation: max age out of bounds"
    until: uint256 = convert(expiry, uint256)
    assert block.timestamp < until, "automation: expired"
    assert until <= block.timestamp + MAX_TERM, "automation: expiry too late"
    live: uint256 = len(self._live[device][generation])
    assert live < MAX_RULES, "automation: too many rules"
    self.rules += 1
    rule: uint256 = self.rules
    self._live[device][generation].append(rule)
    self._rules[rule] = Rule(
        device=device,
        generation=generation,
        subject=subject,
        aspect=aspect,
        above=above,
        threshold=threshold,
        command=command,
        hold=hold,
        cooldown=cooldown,
        max_age=max_age,
        expiry=expiry,
        last=0,
        open=0,
        revoked=False,
    )
    log Approved(
        rule=rule,
        device=device,
        owner=msg.sender,
        generation=generation,
        subject=subject,
        aspect=aspect,
        above=above,
        threshold=threshold,
        command=command,
        hold=hold,
        cooldown=cooldown,
        max_age=max_age,
        expiry=expiry,
    )
    return rule


@external
def revoke(rule: uint256):
    """
    @notice End a rule for ever, by the device's owner, and make its place free; also one that
            expired or is of an earlier generation. A command that is open stays open.
    """
    device: address = self._rules[rule].device
    assert device != empty(address), "automation: unknown rule"
    assert msg.sender == staticcall IDevices(devices).owner_of(device), "automation: not the owner"
    assert not self._rules[rule].revoked, "automation: rule revoked"
    self._rules[rule].revoked = True
    self._remove_rule(rule, device, self._rules[rule].generation)
    log Revoked(rule=rule, device=device, owner=msg.sender)


@external
def trigger(rule: uint256) -> uint256:
    """
    @notice Turn a rule that is due into a command, by anyone; returns the command's id.
    """
    of: Rule = self._rules[rule]
    assert of.device != empty(address), "automation: unknown rule"
    assert not of.revoked, "automation: rule revoked"
    assert block.timestamp < convert(of.expiry, uint256), "automation: rule expired"
    assert self._in_service(of), "automation: device not in service"
    assert of.open == 0, "automation: command open"
    assert self._is_cool(of), "automation: cooling down"
    seen: int256 = 0
    at: uint256 = 0
    seen, at = staticcall IStatus(status).value_of(of.subject, of.aspect)
    assert self._is_fresh(at, of.max_age), "automation: status is stale"
    assert self._fulfils(of, seen), "automation: condition not met"
    id: uint256 = self._issue(of.device, of.generation, rule, of.command, of.hold, RULE_OPEN)
    self._rules[rule].last = convert(block.timestamp, uint64)
    self._rules[rule].open = id
    log Triggered(rule=rule, id=id, sender=msg.sender, seen=seen, settled_at=at)
    return id


@external
def order(device: address, command: String[64], hold: uint64) -> uint256:
    """
    @notice Command a device in service, by its owner; returns the command's id.
    """
    generation: uint64 = self._only_owner(device)
    self._check(command, hold)
    id: uint256 = self._issue(device, generation, 0, command, hold, MAX_OPEN)
    self._orders[id] = command
    return id


@external
def acknowledge(id: uint256, outcome: uint8, detail: bytes32, at: uint64, signature: Bytes[65]):
    """
    @notice Bring the device's receipt for an open command, by anyone.
    @param outcome 1 done, 2 refused, 3 failed.
    @param detail What the agent adds, such as a hash; any 32 bytes.
    @param at When it was done, by the agent's clock, seconds.
    @param signature By the agent key, over `Receipt`.
    """
    device: address = self._open_device(id)
    assert 0 < outcome and outcome <= FAILED, "automation: unknown outcome"
    hashed: bytes32 = keccak256(abi_encode(RECEIPT_TYPE, id, device, outcome, detail, at))
    message: bytes32 = typed.digest(DOMAIN_NAME, network_id, hashed)
    assert typed.recover_packed(message, signature) == device, "automation: wrong receipt"
    rule: uint256 = self._close(id, device, outcome)
    self._details[id] = detail
    self._answers[id] = convert(at, uint256) | block.timestamp << 64
    log Acknowledged(id=id, rule=rule, device=device, outcome=outcome, detail=detail, at=at)


@external
def lapse(id: uint256):
    """
    @notice Drop a command that nobody answered in time, by anyone; by the device's owner at once.
    """
    device: address = self._open_device(id)
    if block.timestamp <= convert(self._answer_by(id), uint256):
        owner: address = staticcall IDevices(devices).owner_of(device)
        assert msg.sender == owner, "automation: not over yet"
    rule: uint256 = self._close(id, device, LAPSED)
    log Lapsed(id=id, rule=rule, device=device, sender=msg.sender)


@external
def set_paused(paused_: bool):
    """
    @notice Stop or allow new rules; the governor. Those that are approved, orders and receipts go
            on.
    """
    assert msg.sender == governor, "automation: not the governor"
    self.paused = paused_
    log PausedSet(paused=paused_)


@external
@view
def rule(rule: uint256) -> Rule:
    """
    @notice Everything about a rule; the zero address as device where it is unknown.
    """
    return self._rules[rule]


@external
@view
def command(id: uint256) -> Command:
    """
    @notice Everything about a command; the zero address as device where it is unknown.
    """
    head: uint256 = self._heads[id]
    if head == 0:
        return empty(Command)
    terms: uint256 = self._terms[id]
    rule: uint256 = terms & M64
    text: String[64] = self._orders[id]
    if rule != 0:
        text = self._rules[rule].command
    answer_by: uint64 = self._answer_by(id)
    hold: uint64 = convert(terms >> 128, uint64)
    return Command(
        device=self._device(head),
        generation=self._generation(head),
        rule=rule,
        command=text,
        issued_at=convert(terms >> 64 & M64, uint64),
        hold=hold,
        answer_by=answer_by,
        until=answer_by + hold,
        outcome=convert(head >> 224, uint8),
        detail=self._details[id],
        at=convert(self._answers[id] & M64, uint64),
        answered_at=convert(self._answers[id] >> 64, uint64),
    )


@external
@view
def due(rule: uint256) -> bool:
    """
    @notice Whether `trigger` would be taken now.
    """
    of: Rule = self._rules[rule]
    if of.revoked or block.timestamp >= convert(of.expiry, uint256) or not self._in_service(of):
        return False
    if of.open != 0 or not self._is_cool(of):
        return False
    if len(self._open[of.device][of.generation]) >= RULE_OPEN:
        return False
    seen: int256 = 0
    at: uint256 = 0
    seen, at = staticcall IStatus(status).value_of(of.subject, of.aspect)
    return self._is_fresh(at, of.max_age) and self._fulfils(of, seen)


@external
@view
def rules_of(device: address) -> DynArray[uint256, MAX_RULES]:
    """
    @notice Rules of a device in service, in no order; expired ones until they are revoked.
    """
    return self._live[device][staticcall IDevices(devices).generation_of(device)]


@external
@view
def open_of(device: address) -> DynArray[uint256, MAX_OPEN]:
    """
    @notice Commands that wait for the receipt of a device in service, in no order.
    """
    return self._open[device][staticcall IDevices(devices).generation_of(device)]


@internal
@view
def _only_owner(device: address) -> uint64:
    # The generation in service.
    owner: address = staticcall IDevices(devices).owner_of(device)
    assert msg.sender == owner, "automation: not the owner"
    generation: uint64 = staticcall IDevices(devices).generation_of(device)
    assert generation != 0, "automation: device not in service"
    return generation


@internal
@pure
def _check(command: String[64], hold: uint64):
    assert len(command) > 0, "automation: no command"
    assert 0 < hold and hold <= MAX_HOLD, "automation: hold out of bounds"


@internal
@view
def _in_service(of: Rule) -> bool:
    generation: uint64 = staticcall IDevices(devices).generation_of(of.device)
    return generation == of.generation


@internal
@view
def _is_cool(of: Rule) -> bool:
    if of.last == 0:
        return True
    return block.timestamp >= convert(of.last, uint256) + convert(of.cooldown, uint256)


@internal
@view
def _is_fresh(at: uint256, max_age: uint64) -> bool:
    if at == 0 or at > block.timestamp:
        return False
    return block.timestamp - at <= convert(max_age, uint256)


@internal
@pure
def _fulfils(of: Rule, seen: int256) -> bool:
    return seen > of.threshold if of.above else seen < of.threshold


@internal
def _issue(
    device: address,
    generation: uint64,
    rule: uint256,
    command: String[64],
    hold: uint64,
    most: uint256,
) -> uint256:
    assert len(self._open[device][generation]) < most, "automation: too many open"
    self.commands += 1
    id: uint256 = self.commands
    self._open[device][generation].append(id)
    now: uint64 = convert(block.timestamp, uint64)
    self._heads[id] = convert(device, uint256) | convert(generation, uint256) << 160
    self._terms[id] = rule | block.timestamp << 64 | convert(hold, uint256) << 128
    log Commanded(
        id=id,
        rule=rule,
        device=device,
        command=command,
        until=now + ANSWER_TIME + hold,
        answer_by=now + ANSWER_TIME,
    )
    return id


@internal
def _close(id: uint256, device: address, outcome: uint8) -> uint256:
    # The command's rule, which may fire again after its cooldown.
    head: uint256 = self._heads[id]
    self._heads[id] = head | convert(outcome, uint256) << 224
    self._remove_command(id, device, self._generation(head))
    rule: uint256 = self._terms[id] & M64
    if rule != 0:
        self._rules[rule].open = 0
    return rule


@internal
def _remove_rule(rule: uint256, device: address, generation: uint64):
    last: uint256 = self._live[device][generation].pop()
    if last == rule:
        return
    for i: uint256 in range(len(self._live[device][generation]), bound=MAX_RULES):
        if self._live[device][generation][i] == rule:
            self._live[device][generation][i] = last
            break


@internal
def _remove_command(id: uint256, device: address, generation: uint64):
    last: uint256 = self._open[device][generation].pop()
    if last == id:
        return
    for i: uint256 in range(len(self._open[device][generation]), bound=MAX_OPEN):
        if self._open[device][generation][i] == id:
            self._open[device][generation][i] = last
            break


@internal
@view
def _open_device(id: uint256) -> address:
    head: uint256 = self._heads[id]
    assert head != 0, "automation: unknown command"
    assert head >> 224 == 0, "automation: not open"
    return self._device(head)


@internal
@view
def _answer_by(id: uint256) -> uint64:
    return convert(self._terms[id] >> 64 & M64, uint64) + ANSWER_TIME


@internal
@pure
def _device(head: uint256) -> address:
    return convert(head & (2**160 - 1), address)


@internal
@pure
def _generation(head: uint256) -> uint64:
    return convert(head >> 160 & M64, uint64)
