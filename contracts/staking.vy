# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize codesize
"""
@title Staking
@license Apache-2.0
@notice Stake behind a node, locked by the markets it serves, slashable until it is withdrawn.
@dev Each node has two share pools, active and unbonding. A slash lowers the amount of both pools
     pro rata and leaves the shares: the quotient is the slash factor. A pool slashed to (nearly)
     nothing is retired by its generation number, and shares of an older generation are worth zero.
     Threats and what meets them.
     - First-depositor inflation: virtual shares on both sides of every conversion; amounts are
       counted, never read from the balance, so a donated token changes nothing.
     - Leaving before a fault is known: unbonding and withdrawing first let every evaluator charge
       what is due, and unbonding stake is slashed like active stake until it is withdrawn.
     - Re-entrance: an evaluator calls back into `slash`, `lock` and `unlock`, by design, so there
       is no global lock. `unbond` and `withdraw` call the evaluators before they read any state,
       and every function writes its own state before it moves a token. The token has no hooks.
     - A slasher paying itself: parts beyond what was slashable are scaled down, a reporter or
       victim that is this contract or nobody gets nothing, and the rest is burned.
     - Rounding: every conversion rounds against whoever calls; dust stays in the pool.
     - An evaluator that always reverts would hold withdrawals: evaluators are few, and named by
       the governor behind the delay that outlasts unbonding, and removed by it.
     Trust: slashers may take a node's whole stake, lockers may hold it, evaluators may delay its
     withdrawal; the governor names them and can touch no stake itself.
"""

from interfaces import IEvaluator
from interfaces import IRegistry
from interfaces import IToken

event Staked:
    node: indexed(address)
    staker: indexed(address)
    amount: uint256
    shares: uint256


event Unbonded:
    node: indexed(address)
    staker: indexed(address)
    entry: uint256
    amount: uint256
    shares: uint256
    ready_at: uint256


event Withdrawn:
    node: indexed(address)
    staker: indexed(address)
    entry: uint256
    amount: uint256


event Locked:
    node: indexed(address)
    locker: indexed(address)
    amount: uint256
    total: uint256


event Unlocked:
    node: indexed(address)
    locker: indexed(address)
    amount: uint256
    total: uint256


event Slashed:
    node: indexed(address)
    slasher: indexed(address)
    amount: uint256
    victim: address
    victim_amount: uint256
    reporter: address
    bounty: uint256
    burned: uint256


event Movement:
    token: indexed(address)
    sender: indexed(address)
    recipient: indexed(address)
    amount: uint256
    purpose: uint8


event RoleSet:
    role: String[16]
    account: indexed(address)
    allowed: bool


struct Pool:
    amount: uint256
    shares: uint256
    generation: uint256


struct Position:
    shares: uint256
    generation: uint256


struct Entry:
    shares: uint256
    generation: uint256
    ready_at: uint256


VIRTUAL_SHARES: constant(uint256) = 10**6
VIRTUAL_AMOUNT: constant(uint256) = 1
# A pool whose factor falls below this share of a billionth is retired, which bounds how far shares
# can grow beyond amounts: products stay under 2**256 for any number of slashes.
LEAST_FACTOR: constant(uint256) = 10**9
MAX_ENTRIES: constant(uint256) = 32
MAX_EVALUATORS: constant(uint256) = 4
MAX_AMOUNT: constant(uint256) = 2**96
MIN_UNBONDING: constant(uint256) = 60
MAX_UNBONDING: constant(uint256) = 365 * 86400
PURPOSE_SLASH: constant(uint8) = 7
PURPOSE_STAKE: constant(uint8) = 11
PURPOSE_UNSTAKE: constant(uint8) = 12
PURPOSE_COMPENSATION: constant(uint8) = 14
PURPOSE_BOUNTY: constant(uint8) = 15

token: public(immutable(address))
registry: public(immutable(address))
governor: public(immutable(address))
unbonding_period: public(immutable(uint256))

active_pool: public(HashMap[address, Pool])
unbonding_pool: public(HashMap[address, Pool])
locked: public(HashMap[address, uint256])
locked_by: public(HashMap[address, HashMap[address, uint256]])
total: public(uint256)
slashers: public(HashMap[address, bool])
lockers: public(HashMap[address, bool])
_evaluators: DynArray[address, MAX_EVALUATORS]
_positions: HashMap[address, HashMap[address, Position]]
_entries: HashMap[address, HashMap[address, HashMap[uint256, Entry]]]
entry_count: public(HashMap[address, HashMap[address, uint256]])
open_entries: public(HashMap[address, HashMap[address, uint256]])


@deploy
def __init__(token_: address, registry_: address, governor_: address, unbonding_period_: uint256):
    assert empty(address) not in [token_, registry_, governor_], "staking: zero address"
    assert MIN_UNBONDING <= unbonding_period_, "staking: unbonding too short"
    assert unbonding_period_ <= MAX_UNBONDING, "staking: unbonding too long"
    token = token_
    registry = registry_
    governor = governor_
    unbonding_period = unbonding_period_


@external
def stake(node: address, amount: uint256):
    """
    @notice Add the caller's tokens to the active stake of a node that the caller owns.
    """
    assert msg.sender == staticcall IRegistry(registry).owner_of(node), "staking: not the owner"
    assert amount > 0, "staking: nothing to stake"
    assert self.total + amount <= MAX_AMOUNT, "staking: too much"
    pool: Pool = self.active_pool[node]
    shares: uint256 = self._shares_down(pool, amount)
    assert shares > 0, "staking: too little"
    position: Position = self._position(msg.sender, node, pool.generation)
    self._positions[msg.sender][node] = Position(
        shares=position.shares + shares, generation=pool.generation
    )
    self._add(True, node, pool, amount, shares)
    self.total += amount
    log Staked(node=node, staker=msg.sender, amount=amount, shares=shares)
    log Movement(
        token=token, sender=msg.sender, recipient=self, amount=amount, purpose=PURPOSE_STAKE
    )
    assert extcall IToken(token).transferFrom(
        msg.sender, self, amount, default_return_value=True
    ), "staking: transfer failed"


@external
def unbond(node: address, amount: uint256) -> uint256:
    """
    @notice Move free active stake of the caller to the unbonding pool; returns the entry's id.
    """
    self._evaluate(node)
    assert amount > 0, "staking: nothing to unbond"
    assert amount <= self._free(node), "staking: locked"
    assert self.open_entries[msg.sender][node] < MAX_ENTRIES, "staking: too many entries"
    pool: Pool = self.active_pool[node]
    position: Position = self._position(msg.sender, node, pool.generation)
    burned: uint256 = self._shares_up(pool, amount)
    assert burned <= position.shares, "staking: more than staked"
    self._positions[msg.sender][node] = Position(
        shares=position.shares - burned, generation=pool.generation
    )
    self.active_pool[node].amount = pool.amount - amount
    self.active_pool[node].shares = pool.shares - burned
    return self._open_entry(node, amount)


@external
def withdraw(node: address, entry: uint256):
    """
    @notice Pay out an entry of the caller once it is ready, less what was slashed meanwhile.
    """
    self._evaluate(node)
    found: Entry = self._entries[msg.sender][node][entry]
    assert found.ready_at != 0, "staking: no such entry"
    assert block.timestamp >= found.ready_at, "staking: still unbonding"
    pool: Pool = self.unbonding_pool[node]
    amount: uint256 = 0
    if found.generation == pool.generation:
        amount = self._amount_down(pool, found.shares)
        self.unbonding_pool[node].amount = pool.amount - amount
        self.unbonding_pool[node].shares = pool.shares - found.shares
    self._entries[msg.sender][node][entry] = empty(Entry)
    self.open_entries[msg.sender][node] -= 1
    self.total -= amount
    log Withdrawn(node=node, staker=msg.sender, entry=entry, amount=amount)
    self._pay(msg.sender, amount, PURPOSE_UNSTAKE)


@external
def lock(node: address, amount: uint256):
    """
    @notice Hold free active stake for a use, by a locker.
    """
    assert self.lockers[msg.sender], "staking: not a locker"
    assert amount <= self._free(node), "staking: too little free stake"
    held: uint256 = self.locked[node] + amount
    self.locked[node] = held
    self.locked_by[node][msg.sender] += amount
    log Locked(node=node, locker=msg.sender, amount=amount, total=held)


@external
def unlock(node: address, amount: uint256):
    """
    @notice Release what the caller holds. A former locker may still release.
    """
    assert amount <= self.locked_by[node][msg.sender], "staking: more than locked"
    held: uint256 = self.locked[node] - amount
    self.locked[node] = held
    self.locked_by[node][msg.sender] -= amount
    log Unlocked(node=node, locker=msg.sender, amount=amount, total=held)


@external
def slash(
    node: address,
    amount: uint256,
    victim: address,
    victim_amount: uint256,
    reporter: address,
    bounty: uint256,
) -> uint256:
    """
    @notice Take up to `amount` from active and unbonding stake pro rata, by a slasher. The victim
            and the reporter get their parts, scaled down where less was there; the rest burns.
    @return What was taken.
    """
    assert self.slashers[msg.sender], "staking: not a slasher"
    assert amount > 0, "staking: nothing to slash"
    assert victim_amount <= amount, "staking: parts exceed the slash"
    assert bounty <= amount - victim_amount, "staking: parts exceed the slash"
    taken: uint256 = self._take(node, amount)
    victim_part: uint256 = self._part(victim, victim_amount, taken, amount)
    bounty_part: uint256 = self._part(reporter, bounty, taken, amount)
    rest: uint256 = taken - victim_part - bounty_part
    self.total -= taken
    log Slashed(
        node=node,
        slasher=msg.sender,
        amount=taken,
        victim=victim,
        victim_amount=victim_part,
        reporter=reporter,
        bounty=bounty_part,
        burned=rest,
    )
    self._pay(victim, victim_part, PURPOSE_COMPENSATION)
    self._pay(reporter, bounty_part, PURPOSE_BOUNTY)
    if rest > 0:
        extcall IToken(token).burn(rest, PURPOSE_SLASH)
    return taken


@external
def set_slasher(account: address, allowed: bool):
    """
    @notice Name or remove a slasher; the governor, behind its longer delay.
    """
    self._only_governor()
    self.slashers[account] = allowed
    log RoleSet(role="slasher", account=account, allowed=allowed)


@external
def set_locker(account: address, allowed: bool):
    """
    @notice Name or remove a locker; the governor, behind its longer delay.
    """
    self._only_governor()
    self.lockers[account] = allowed
    log RoleSet(role="locker", account=account, allowed=allowed)


@external
def set_evaluator(account: address, allowed: bool):
    """
    @notice Name or remove a contract that charges pending faults before stake leaves.
    """
    self._only_governor()
    kept: DynArray[address, MAX_EVALUATORS] = []
    for each: address in self._evaluators:
        if each != account:
            kept.append(each)
    if allowed:
        assert account.is_contract, "staking: evaluator has no code"
        assert len(kept) < MAX_EVALUATORS, "staking: too many evaluators"
        kept.append(account)
    self._evaluators = kept
    log RoleSet(role="evaluator", account=account, allowed=allowed)


@external
@view
def evaluators() -> DynArray[address, MAX_EVALUATORS]:
    """
    @notice The contracts that are asked before stake leaves.
    """
    return self._evaluators


@external
@view
def active(node: address) -> uint256:
    """
    @notice Active stake of a node, base units.
    """
    return self.active_pool[node].amount


@external
@view
def unbonding(node: address) -> uint256:
    """
    @notice Unbonding stake of a node, base units; still slashable.
    """
    return self.unbonding_pool[node].amount


@external
@view
def free(node: address) -> uint256:
    """
    @notice Active stake that nothing holds, base units.
    """
    return self._free(node)


@external
@view
def stake_of(staker: address, node: address) -> uint256:
    """
    @notice What a staker's active shares are worth, base units.
    """
    pool: Pool = self.active_pool[node]
    return self._amount_down(pool, self._position(staker, node, pool.generation).shares)


@external
@view
def shares_of(staker: address, node: address) -> uint256:
    """
    @notice A staker's shares of the present active pool.
    """
    return self._position(staker, node, self.active_pool[node].generation).shares


@external
@view
def entry(staker: address, node: address, id: uint256) -> Entry:
    """
    @notice An unbonding entry; ready_at 0 where there is none.
    """
    return self._entries[staker][node][id]


@external
@view
def entry_amount(staker: address, node: address, id: uint256) -> uint256:
    """
    @notice What an unbonding entry is worth now, base units.
    """
    found: Entry = self._entries[staker][node][id]
    pool: Pool = self.unbonding_pool[node]
    if found.generation != pool.generation:
        return 0
    return self._amount_down(pool, found.shares)


@internal
@view
def _only_governor():
    assert msg.sender == governor, "staking: not the governor"


@internal
def _evaluate(node: address):
    for evaluator: address in self._evaluators:
        extcall IEvaluator(evaluator).evaluate(node)


@internal
@view
def _free(node: address) -> uint256:
    amount: uint256 = self.active_pool[node].amount
    held: uint256 = self.locked[node]
    return amount - min(amount, held)


@internal
@view
def _position(staker: address, node: address, generation: uint256) -> Position:
    # Shares of a retired pool are worth nothing.
    found: Position = self._positions[staker][node]
    if found.generation != generation:
        return Position(shares=0, generation=generation)
    return found


@internal
@pure
def _shares_down(pool: Pool, amount: uint256) -> uint256:
    return amount * (pool.shares + VIRTUAL_SHARES) // (pool.amount + VIRTUAL_AMOUNT)


@internal
@pure
def _shares_up(pool: Pool, amount: uint256) -> uint256:
    base: uint256 = pool.amount + VIRTUAL_AMOUNT
    return (amount * (pool.shares + VIRTUAL_SHARES) + base - 1) // base


@internal
@pure
def _amount_down(pool: Pool, shares: uint256) -> uint256:
    return shares * (pool.amount + VIRTUAL_AMOUNT) // (pool.shares + VIRTUAL_SHARES)


@internal
def _add(is_active: bool, node: address, pool: Pool, amount: uint256, shares: uint256):
    grown: Pool = Pool(
        amount=pool.amount + amount, shares=pool.shares + shares, generation=pool.generation
    )
    if is_active:
        self.active_pool[node] = grown
    else:
        self.unbonding_pool[node] = grown


@internal
def _open_entry(node: address, amount: uint256) -> uint256:
    pool: Pool = self.unbonding_pool[node]
    shares: uint256 = self._shares_down(pool, amount)
    ready_at: uint256 = block.timestamp + unbonding_period
    id: uint256 = self.entry_count[msg.sender][node]
    self.entry_count[msg.sender][node] = id + 1
    self.open_entries[msg.sender][node] += 1
    self._entries[msg.sender][node][id] = Entry(
        shares=shares, generation=pool.generation, ready_at=ready_at
    )
    self._add(False, node, pool, amount, shares)
    log Unbonded(
        node=node, staker=msg.sender, entry=id, amount=amount, shares=shares, ready_at=ready_at
    )
    return id


@internal
def _take(node: address, amount: uint256) -> uint256:
    active_amount: uint256 = self.active_pool[node].amount
    whole: uint256 = active_amount + self.unbonding_pool[node].amount
    taken: uint256 = min(amount, whole)
    if taken == 0:
        return 0
    from_active: uint256 = taken * active_amount // whole
    dust: uint256 = self._shrink_active(node, from_active)
    return taken + dust + self._shrink_unbonding(node, taken - from_active)


@internal
def _shrink_active(node: address, amount: uint256) -> uint256:
    pool: Pool = self._shrunk(self.active_pool[node], amount)
    dust: uint256 = self.active_pool[node].amount - amount - pool.amount
    self.active_pool[node] = pool
    return dust


@internal
def _shrink_unbonding(node: address, amount: uint256) -> uint256:
    pool: Pool = self._shrunk(self.unbonding_pool[node], amount)
    dust: uint256 = self.unbonding_pool[node].amount - amount - pool.amount
    self.unbonding_pool[node] = pool
    return dust


@internal
@pure
def _shrunk(pool: Pool, amount: uint256) -> Pool:
    left: uint256 = pool.amount - amount
    if pool.shares > 0 and left * VIRTUAL_SHARES * LEAST_FACTOR <= pool.shares:
        return Pool(amount=0, shares=0, generation=pool.generation + 1)
    return Pool(amount=left, shares=pool.shares, generation=pool.generation)


@internal
@view
def _part(receiver: address, wanted: uint256, taken: uint256, amount: uint256) -> uint256:
    if receiver in [empty(address), self]:
        return 0
    return wanted * min(taken, amount) // amount


@internal
def _pay(receiver: address, amount: uint256, purpose: uint8):
    if amount == 0:
        return
    log Movement(token=token, sender=self, recipient=receiver, amount=amount, purpose=purpose)
    assert extcall IToken(token).transfer(
        receiver, amount, default_return_value=True
    ), "staking: transfer failed"
