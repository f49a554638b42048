# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Capacity
@license Apache-2.0
@notice How many units of a role a node offers, such as devices for compute, and the stake that is
        locked for them. Markets hold units while they use them.
@dev A role is one bit of the registry's mask. Its rule asks `amount` base units for every `per`
     units of it, times a multiplier of the owner's choice where the role is weighed, such as the
     worth of a device beside the least one; less than one counts as one. The stake of a declaration
     is ceil(units * amount * multiplier / (per * 10^4)) at the terms it was made under, and locked
     through `staking`. A rule that changes touches no declaration until its owner makes it anew.
     Bytes of storage need no rule here: `faults` locks stake for them when a deal opens.
     Threats and what meets them.
     - Offering what no stake stands behind: units are free to be held only when they are declared,
       and what they ask is locked by then.
     - Taking the stake away from under a market: units that a market holds cannot be declared away,
       and while it holds any, new terms count only where they ask no less for a unit, be it the
       rule or the multiplier that is lower.
     - A node that was slashed, that retired or left the role: `able` is 0 while its locks exceed its
       stake or it is not active in the role, so it takes nothing new. What is held goes on, and
       lowering always unlocks, whatever is left of the stake.
     - An owner whose stake is too little for a rule that became dearer: who lowers a declaration
       keeps its terms where the new ones ask more, so lowering never locks.
     - An owner who declares to hold delegators' stake back: what he declares is locked like what a
       deal locks, of all stake that counts; a delegator's notice ends that after the exit term.
     - A multiplier that is told too high: it locks more and nothing else. Too low: markets see it in
       the declaration and judge the hardware themselves.
     - Releasing what another market holds: each releases its own.
     - Rounding: the stake rounds up.
     - Re-entrance: state is written before `staking` is called, which calls nobody back.
     Trust: the governor sets rules within bounds, for declarations to come, and names markets behind
     its longer delay; a market can keep what it holds for ever, and no more than is declared. A
     former market may still release. Neither can move stake.
"""

from interfaces import ICapacity
from interfaces import IRegistry
from interfaces import IStaking

implements: ICapacity

# `amount` base units for every `per` units; 0 where the role has no rule.
struct Rule:
    amount: uint256
    per: uint256
    weighed: bool


# One word: units in 40 bits, held in 40, multiplier in 24, per in 48, amount in 90.
struct Declaration:
    units: uint256
    held: uint256
    multiplier: uint256
    per: uint256
    amount: uint256


event Declared:
    node: indexed(address)
    role: indexed(uint256)
    units: uint256
    multiplier: uint256
    amount: uint256
    per: uint256
    locked: uint256


event Held:
    node: indexed(address)
    role: indexed(uint256)
    market: indexed(address)
    units: uint256
    held: uint256


event Released:
    node: indexed(address)
    role: indexed(uint256)
    market: indexed(address)
    units: uint256
    held: uint256


event RuleSet:
    role: indexed(uint256)
    amount: uint256
    per: uint256
    weighed: bool


event MarketSet:
    market: indexed(address)
    allowed: bool


BPS: constant(uint256) = 10**4
ALL_ROLES: constant(uint256) = 63
M24: constant(uint256) = 2**24 - 1
M40: constant(uint256) = 2**40 - 1
M48: constant(uint256) = 2**48 - 1
MAX_UNITS: constant(uint256) = 2**40 - 1
MAX_MULTIPLIER: constant(uint256) = 1_000 * BPS
MAX_AMOUNT: constant(uint256) = 2**90 - 1
MAX_PER: constant(uint256) = 2**48 - 1

registry: public(immutable(address))
staking: public(immutable(address))
governor: public(immutable(address))

markets: public(HashMap[address, bool])
held_by: public(HashMap[address, HashMap[uint256, HashMap[address, uint256]]])
_rules: HashMap[uint256, Rule]
_declared: HashMap[address, HashMap[uint256, uint256]]


@deploy
def __init__(registry_: address, staking_: address, governor_: address):
    assert empty(address) not in [registry_, staking_, governor_], "capacity: zero address"
    registry = registry_
    staking = staking_
    governor = governor_


@external
def declare(node: address, role: uint256, units: uint256, multiplier: uint256):
    """
    @notice Say how many units of a role a node offers, by its owner, in place of what was said
            before; locks the stake that they ask, or unlocks what they no longer do.
    @param multiplier Of each unit, basis points; 10^4 or less is one, and all that a role which is
           not weighed takes.
    """
    assert msg.sender == staticcall IRegistry(registry).owner_of(node), "capacity: not the owner"
    self._check_role(role)
    before: Declaration = self._load(node, role)
    assert units <= MAX_UNITS, "capacity: too many units"
    assert units >= before.held, "capacity: a market holds them"
    if units > before.units:
        assert staticcall IRegistry(registry).active(node, role), "capacity: not in this role"
    made: Declaration = self._anew(role, before, units, multiplier)
    assert units == 0 or made.amount > 0, "capacity: no rule"
    self._save(node, role, made)
    locked: uint256 = self._stake(made)
    log Declared(
        node=node,
        role=role,
        units=units,
        multiplier=made.multiplier,
        amount=made.amount,
        per=made.per,
        locked=locked,
    )
    self._move(node, self._stake(before), locked)


@external
def hold(node: address, role: uint256, units: uint256):
    """
    @notice Take units of a node into use, by a market; until it releases them they cannot be
            declared away, nor their stake lowered.
    """
    assert self.markets[msg.sender], "capacity: not a market"
    assert units > 0, "capacity: nothing to hold"
    assert units <= self._able(node, role), "capacity: too few units"
    now: Declaration = self._load(node, role)
    now.held += units
    self._save(node, role, now)
    self.held_by[node][role][msg.sender] += units
    log Held(node=node, role=role, market=msg.sender, units=units, held=now.held)


@external
def release(node: address, role: uint256, units: uint256):
    """
    @notice Give back units that the caller holds. A former market may still release.
    """
    assert units > 0, "capacity: nothing to release"
    assert units <= self.held_by[node][role][msg.sender], "capacity: more than held"
    now: Declaration = self._load(node, role)
    now.held -= units
    self._save(node, role, now)
    self.held_by[node][role][msg.sender] -= units
    log Released(node=node, role=role, market=msg.sender, units=units, held=now.held)


@external
def set_rule(role: uint256, amount: uint256, per: uint256, weighed: bool):
    """
    @notice Set what a role asks for its units from the next declaration on; an amount of 0 ends the
            rule, and then nothing new can be declared; the governor.
    """
    self._only_governor()
    self._check_role(role)
    assert amount <= MAX_AMOUNT, "capacity: amount too high"
    assert 0 < per and per <= MAX_PER, "capacity: per out of bounds"
    self._rules[role] = Rule(amount=amount, per=per, weighed=weighed)
    log RuleSet(role=role, amount=amount, per=per, weighed=weighed)


@external
def set_market(market: address, allowed: bool):
    """
    @notice Name or remove a market that may hold units; the governor, behind its longer delay.
    """
    self._only_governor()
    self.markets[market] = allowed
    log MarketSet(market=market, allowed=allowed)


@external
@view
def rule(role: uint256) -> Rule:
    """
    @notice What a role asks for its units now; amount 0 where it has no rule.
    """
    return self._rules[role]


@external
@view
def declaration(node: address, role: uint256) -> Declaration:
    """
    @notice What a node declared, and under which terms; zeros where it did not.
    """
    return self._load(node, role)


@external
@view
def declared(node: address, role: uint256) -> uint256:
    """
    @notice Units that a node offers.
    """
    return self._load(node, role).units


@external
@view
def held(node: address, role: uint256) -> uint256:
    """
    @notice Units of a node that markets use.
    """
    return self._load(node, role).held


@external
@view
def locked(node: address, role: uint256) -> uint256:
    """
    @notice Stake that is locked for what a node declared, base units.
    """
    return self._stake(self._load(node, role))


@external
@view
def able(node: address, role: uint256) -> uint256:
    """
    @notice Units of a node that a market can still hold: declared, not held; 0 where the node is
            not active in the role, or more of its stake is locked than there is.
    """
    return self._able(node, role)


@external
@view
def required(role: uint256, units: uint256, multiplier: uint256) -> uint256:
    """
    @notice Stake that the present rule asks for so many units, base units; refused where `declare`
            would be.
    """
    assert units <= MAX_UNITS, "capacity: too many units"
    made: Declaration = self._anew(role, empty(Declaration), units, multiplier)
    assert made.amount > 0, "capacity: no rule"
    return self._stake(made)


@internal
@view
def _only_governor():
    assert msg.sender == governor, "capacity: not the governor"


@internal
@pure
def _check_role(role: uint256):
    assert role != 0 and role & ALL_ROLES == role, "capacity: unknown role"
    assert role & (role - 1) == 0, "capacity: several roles"


@internal
@view
def _able(node: address, role: uint256) -> uint256:
    now: Declaration = self._load(node, role)
    if now.units == now.held:
        return 0
    if not staticcall IRegistry(registry).active(node, role):
        return 0
    if staticcall IStaking(staking).shortfall(node) > 0:
        return 0
    return now.units - now.held


@internal
@view
def _anew(
    role: uint256, before: Declaration, units: uint256, multiplier: uint256
) -> Declaration:
    rule: Rule = self._rules[role]
    assert multiplier <= MAX_MULTIPLIER, "capacity: multiplier too high"
    assert rule.weighed or multiplier <= BPS, "capacity: not weighed"
    made: Declaration = Declaration(
        units=units,
        held=before.held,
        multiplier=max(BPS, multiplier),
        per=rule.per,
        amount=rule.amount,
    )
    if self._keeps(made, before):
        made.multiplier = before.multiplier
        made.per = before.per
        made.amount = before.amount
    return made


@internal
@pure
def _keeps(made: Declaration, before: Declaration) -> bool:
    # Whether the terms stay: a market's units cannot become cheaper, nor fewer units dearer.
    if before.held > 0 and self._is_cheaper(made, before):
        return True
    if made.units == 0 or made.units >= before.units:
        return False
    return made.amount == 0 or self._is_cheaper(before, made)


@internal
@pure
def _is_cheaper(made: Declaration, before: Declaration) -> bool:
    return (
        made.amount * made.multiplier * before.per
        < before.amount * before.multiplier * made.per
    )


@internal
@pure
def _stake(of: Declaration) -> uint256:
    if of.units == 0:
        return 0
    whole: uint256 = of.per * BPS
    return (of.units * of.amount * of.multiplier + whole - 1) // whole


@internal
def _move(node: address, before: uint256, after: uint256):
    if after > before:
        extcall IStaking(staking).lock(node, after - before)
    elif after < before:
        extcall IStaking(staking).unlock(node, before - after)


@internal
@view
def _load(node: address, role: uint256) -> Declaration:
    word: uint256 = self._declared[node][role]
    return Declaration(
        units=word & M40,
        held=word >> 40 & M40,
        multiplier=word >> 80 & M24,
        per=word >> 104 & M48,
        amount=word >> 152,
    )


@internal
def _save(node: address, role: uint256, of: Declaration):
    self._declared[node][role] = (
        of.units | of.held << 40 | of.multiplier << 80 | of.per << 104 | of.amount << 152
    )
