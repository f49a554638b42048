# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize codesize
"""
@title Staking
@license Apache-2.0
@notice Stake behind a node, its owner's and its delegators', locked by the markets it serves,
        slashable until it is withdrawn, and paid the node's rewards.
@dev Each node has two share pools, active and unbonding. A slash lowers the amount of both pools
     pro rata and leaves the shares: the quotient is the slash factor. A pool slashed to (nearly)
     nothing is retired by its generation number, and shares of an older generation are worth zero.
     Delegated stake counts for locks only up to a multiple of the owner's own, so nobody locks
     others' stake alone. What is locked stays: the owner leaves with free stake only. A delegator
     leaves with free stake at once, and otherwise gives notice: noticed stake counts for nothing
     new from then on, and after the exit term it may unbond whatever is locked. Until it is
     withdrawn it is slashed like all other stake, and the owner's own stays behind the locks.
     Rewards are shared by an index per share and generation, from a position's mark on; the owner
     takes a commission first. Divisions round down; what is left of one is carried to the next
     reward of the node, and what is left of a claim stays here. Rewards of a node whose stake does
     not earn yet are its owner's: nobody else had a share in the work.
     Stake that comes while a node's earlier work is still to be rewarded waits: it is slashed, locked
     and left like all other stake, and earns once every payer of rewards has given what the node
     did before (`owed_since`). What waits is one arrival for each node; who joins it late waits for
     the moment of the last. It leaves before a staker's other stake does.
     Threats and what meets them.
     - First-depositor inflation: virtual shares on both sides of every conversion; amounts are
       counted, never read from the balance, so a donated token changes nothing.
     - Leaving before a fault is known: unbonding and withdrawing first let every evaluator charge
       what is due, and unbonding stake is slashed like active stake until it is withdrawn.
     - Re-entrance: an evaluator calls back into `slash`, `lock` and `unlock`, by design, so there
       is no global lock. `delegate`, `unbond` and `withdraw` call the evaluators before they read
       any state, and every function writes its own state before it moves a token. The token has
       no hooks.
     - Joining after the work: what is due is charged and given before stake comes in, and new stake
       earns only what was done after it came; so a newcomer neither earns nor pays for the past. A
       reward for his time that is given together with one for the time before is not his: anyone
       can have each epoch's given by itself.
     - Keeping others' stake waiting by adding one's own: before stake comes in whatever can be given
       is given, and the stake that waited for that earns from then on.
     - A commission that is raised on those who came for a lower one: a raise waits for the exit
       term and the unbonding period, both; a delegation names the most that it accepts.
     - A delegator held by locks that are renewed for ever: the exit term ends that. An owner whose
       node is left with more locked than active stake earns no commission until it adds stake.
     - Delegating to oneself to lock on borrowed stake: leaving takes the exit term, from the notice
       on the stake counts for nothing new, and the least own share stays.
     - An exit term that is raised on delegators: it holds for new notices only, and the governor's
       delay leaves the time to give one before.
     - A slasher paying itself: parts beyond what was slashable are scaled down, a reporter or
       victim that is this contract or nobody gets nothing, and the rest is burned.
     - Rounding: every conversion rounds against whoever calls; dust stays in the pool.
     - An evaluator that always reverts would hold withdrawals: evaluators are few, and named by
       the governor behind the delay that outlasts unbonding, and removed by it.
     Trust: slashers may take a node's whole stake, lockers may hold it, evaluators may delay its
     withdrawal; the governor names them, sets the least own share and the exit term within bounds,
     and can touch no stake itself.
"""

from interfaces import IEvaluator
from interfaces import IRegistry
from interfaces import IToken

# `waits`: whether the stake does not earn yet.
event Staked:
    node: indexed(address)
    staker: indexed(address)
    amount: uint256
    shares: uint256
    waits: bool


event Unbonded:
    node: indexed(address)
    staker: indexed(address)
    entry: uint256
    amount: uint256
    shares: uint256
    ready_at: uint256


# Stake that waited earns from now on: an index of its arrival, and the shares that came with it.
event Admitted:
    node: indexed(address)
    arrival: uint256
    shares: uint256


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


event NoticeSet:
    node: indexed(address)
    staker: indexed(address)
    amount: uint256
    shares: uint256
    ready_at: uint256


event CommissionSet:
    node: indexed(address)
    bps: uint256
    raised: uint256
    raised_at: uint256


event Rewarded:
    node: indexed(address)
    payer: indexed(address)
    owner: indexed(address)
    amount: uint256
    commission: uint256
    active: uint256


event RewardsClaimed:
    node: indexed(address)
    staker: indexed(address)
    amount: uint256


event DelegationSet:
    least_own_bps: uint256
    exit_term: uint256


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


# Of the shares, `fresh` came with an arrival and earn from that one's admission on, the others from
# the mark on.
struct Position:
    shares: uint256
    generation: uint256
    mark: uint256
    fresh: uint256
    arrival: uint256


# Shares of a node's stake that do not earn yet, the last of which came at `since`.
struct Arrival:
    number: uint256
    shares: uint256
    since: uint256


struct Delegated:
    shares: uint256
    noticed: uint256


struct Notice:
    shares: uint256
    generation: uint256
    ready_at: uint256


struct Commission:
    bps: uint256
    raised: uint256
    raised_at: uint256


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
BPS: constant(uint256) = 10_000
LEAST_OWN_BPS: constant(uint256) = 100
FIRST_OWN_BPS: constant(uint256) = 1_000
MAX_COMMISSION: constant(uint256) = 5_000
# Scale of a reward index. Rewards held stay under 2**96, so no position's part of an index comes
# near 2**256.
INDEX_UNIT: constant(uint256) = 10**36
PURPOSE_REWARD: constant(uint8) = 4
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
delegated: public(HashMap[address, Delegated])
_notices: HashMap[address, HashMap[address, Notice]]
_commissions: HashMap[address, Commission]
reward_index: public(HashMap[address, HashMap[uint256, uint256]])
# What an arrival's shares earn from: the index at its admission.
_admitted: HashMap[address, HashMap[uint256, uint256]]
arrival: public(HashMap[address, Arrival])
_carried: HashMap[address, uint256]
_owed: HashMap[address, HashMap[address, uint256]]
rewards: public(uint256)
least_own_bps: public(uint256)
exit_term: public(uint256)
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
    self._set_delegation(FIRST_OWN_BPS, unbonding_period_)


@external
def stake(node: address, amount: uint256):
    """
    @notice Add the caller's tokens to the active stake of a node that the caller owns. What the
            node owes is charged first, and what it earned is given out.
    """
    assert msg.sender == staticcall IRegistry(registry).owner_of(node), "staking: not the owner"
    self._evaluate(node)
    self._join(node, amount)
    self._pull(amount, PURPOSE_STAKE)


@external
def delegate(node: address, amount: uint256, most_bps: uint256 = MAX_COMMISSION):
    """
    @notice Add the caller's tokens to the active stake of another's node. What the node owes is
            charged first, and what it earned is given out.
    @param most_bps The highest commission, in force or announced, that the caller accepts.
    """
    assert msg.sender != self._owner(node), "staking: the owner stakes"
    self._evaluate(node)
    terms: Commission = self._commissions[node]
    assert max(terms.bps, terms.raised) <= most_bps, "staking: commission too high"
    shares: uint256 = self._join(node, amount)
    self.delegated[node].shares += shares
    pool: Pool = self.active_pool[node]
    assert pool.amount <= self._backed(node, pool), "staking: own share too small"
    self._pull(amount, PURPOSE_STAKE)


@external
def admit(node: address):
    """
    @notice Have what a node's work brought given out, and let stake earn that waited for it; by
            anyone.
    """
    self._evaluate(node)


@external
def give_notice(node: address, amount: uint256):
    """
    @notice Say that the caller's delegated stake will leave: it counts for no new lock from now on
            and after the exit term it may unbond though it is locked. A new notice replaces the
            caller's last and starts anew; none of it is left by an amount of zero.
    """
    assert msg.sender != self._owner(node), "staking: the owner gives none"
    pool: Pool = self.active_pool[node]
    shares: uint256 = self._shares_up(pool, amount)
    held: uint256 = self._shares(msg.sender, node, pool.generation)
    assert shares <= held, "staking: more than staked"
    before: uint256 = self._notice(msg.sender, node, pool.generation).shares
    self.delegated[node].noticed = self.delegated[node].noticed - before + shares
    ready_at: uint256 = 0
    if amount > 0:
        ready_at = block.timestamp + self.exit_term
    self._notices[msg.sender][node] = Notice(
        shares=shares, generation=pool.generation, ready_at=ready_at
    )
    log NoticeSet(
        node=node, staker=msg.sender, amount=amount, shares=shares, ready_at=ready_at
    )


@external
def unbond(node: address, amount: uint256) -> uint256:
    """
    @notice Move active stake of the caller that nothing holds to the unbonding pool; returns the
            entry's id. A notice that covers the amount is used up first.
    """
    self._evaluate(node)
    assert amount > 0, "staking: nothing to unbond"
    assert self.open_entries[msg.sender][node] < MAX_ENTRIES, "staking: too many entries"
    pool: Pool = self.active_pool[node]
    burned: uint256 = self._shares_up(pool, amount)
    assert amount <= self._most(msg.sender, node, pool, burned), "staking: locked"
    position: Position = self._settle(msg.sender, node, pool)
    assert burned <= position.shares, "staking: more than staked"
    # The newest leaves first.
    fresh: uint256 = min(position.fresh, burned)
    if fresh > 0:
        self.arrival[node].shares -= fresh
    position.fresh -= fresh
    position.shares -= burned
    self._positions[msg.sender][node] = position
    if self._is_delegator(msg.sender, node):
        self._leave(node, pool.generation, burned)
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
def reward(node: address, amount: uint256):
    """
    @notice Give the caller's tokens to those whose active stake behind a node earns, less the
            owner's commission; all to the owner where none does. Stake that waited for this earns
            from then on.
    """
    assert amount > 0, "staking: nothing to give"
    held: uint256 = self.rewards + amount
    assert held <= MAX_AMOUNT, "staking: too much"
    owner: address = self._owner(node)
    pool: Pool = self.active_pool[node]
    commission: uint256 = self._commission_of(node, pool, amount)
    self.rewards = held
    self._owed[owner][node] += commission
    if commission < amount:
        self._share(node, pool, amount - commission)
    log Rewarded(
        node=node,
        payer=msg.sender,
        owner=owner,
        amount=amount,
        commission=commission,
        active=pool.amount,
    )
    self._admit(node)
    self._pull(amount, PURPOSE_REWARD)


@external
def claim_rewards(node: address) -> uint256:
    """
    @notice Pay out what the caller has earned behind a node, from whichever generation of its pool;
            returns it.
    """
    self._positions[msg.sender][node] = self._settle(
        msg.sender, node, self.active_pool[node]
    )
    amount: uint256 = self._owed[msg.sender][node]
    assert amount > 0, "staking: nothing to claim"
    self._owed[msg.sender][node] = 0
    self.rewards -= amount
    log RewardsClaimed(node=node, staker=msg.sender, amount=amount)
    self._pay(msg.sender, amount, PURPOSE_REWARD)
    return amount


@external
def set_commission(node: address, bps: uint256):
    """
    @notice Set the part of rewards that goes to the owner before the rest is shared, by the owner.
            Where others have stake, a raise begins after the exit term and the unbonding period;
            naming the commission in force takes an announced raise back.
    """
    assert msg.sender == self._owner(node), "staking: not the owner"
    assert bps <= MAX_COMMISSION, "staking: commission too high"
    terms: Commission = Commission(bps=bps, raised=0, raised_at=0)
    before: uint256 = self._commission(node)
    if bps > before and self.delegated[node].shares > 0:
        terms = Commission(
            bps=before,
            raised=bps,
            raised_at=block.timestamp + self.exit_term + unbonding_period,
        )
    self._commissions[node] = terms
    log CommissionSet(
        node=node, bps=terms.bps, raised=terms.raised, raised_at=terms.raised_at
    )


@external
def set_delegation(least_own_bps: uint256, exit_term: uint256):
    """
    @notice Set the least own share of stake that counts, and how long a notice runs from now on;
            the governor.
    """
    self._only_governor()
    self._set_delegation(least_own_bps, exit_term)


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
    @notice Active stake that a locker can still hold, base units: neither locked nor noticed, and
            within what the owner's own stake backs.
    """
    return self._free(node)


@external
@view
def own(node: address) -> uint256:
    """
    @notice What of a node's active stake is its owner's, base units.
    """
    return self._own(node, self.active_pool[node])


@external
@view
def shortfall(node: address) -> uint256:
    """
    @notice How much more is locked than there is active stake, base units; a node that is short
            takes nothing new and its owner earns no commission.
    """
    held: uint256 = self.locked[node]
    return held - min(held, self.active_pool[node].amount)


@external
@view
def commission(node: address) -> Commission:
    """
    @notice The commission in force, and the one announced with the time it begins, zeros where
            none is announced.
    """
    terms: Commission = self._commissions[node]
    if terms.raised_at <= block.timestamp:
        return Commission(bps=self._commission(node), raised=0, raised_at=0)
    return terms


@external
@view
def can_unbond(staker: address, node: address, amount: uint256) -> bool:
    """
    @notice Whether a staker has so much active stake and nothing holds it; faults that are not
            charged yet are not counted.
    """
    pool: Pool = self.active_pool[node]
    burned: uint256 = self._shares_up(pool, amount)
    if burned > self._shares(staker, node, pool.generation):
        return False
    return amount <= self._most(staker, node, pool, burned)


@external
@view
def notice(staker: address, node: address) -> Notice:
    """
    @notice A staker's notice; shares 0 where there is none.
    """
    return self._notice(staker, node, self.active_pool[node].generation)


@external
@view
def claimable(staker: address, node: address) -> uint256:
    """
    @notice What a staker has earned behind a node and not claimed, base units.
    """
    return self._owed[staker][node] + self._earned(self._positions[staker][node], node)


@external
@view
def stake_of(staker: address, node: address) -> uint256:
    """
    @notice What a staker's active shares are worth, base units.
    """
    pool: Pool = self.active_pool[node]
    return self._amount_down(pool, self._shares(staker, node, pool.generation))


@external
@view
def waiting_of(staker: address, node: address) -> uint256:
    """
    @notice What of a staker's active stake does not earn yet, base units.
    """
    pool: Pool = self.active_pool[node]
    return self._amount_down(pool, self._fresh(self._positions[staker][node], node, pool))


@external
@view
def shares_of(staker: address, node: address) -> uint256:
    """
    @notice A staker's shares of the present active pool.
    """
    return self._shares(staker, node, self.active_pool[node].generation)


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
    self._admit(node)


@internal
@view
def _owed_since(node: address) -> uint256:
    since: uint256 = block.timestamp
    for evaluator: address in self._evaluators:
        since = min(since, staticcall IEvaluator(evaluator).owed_since(node))
    return since


@internal
def _admit(node: address):
    found: Arrival = self.arrival[node]
    if found.shares == 0 or self._owed_since(node) < found.since:
        return
    self._admit_all(node, found)
    log Admitted(node=node, arrival=found.number, shares=found.shares)


@internal
def _admit_all(node: address, found: Arrival):
    generation: uint256 = self.active_pool[node].generation
    self._admitted[node][found.number] = self.reward_index[node][generation]
    self.arrival[node] = Arrival(number=found.number + 1, shares=0, since=0)


@internal
@view
def _owner(node: address) -> address:
    owner: address = staticcall IRegistry(registry).owner_of(node)
    assert owner != empty(address), "staking: unknown node"
    return owner


@internal
@view
def _is_delegator(staker: address, node: address) -> bool:
    # Where nothing is delegated the registry need not be asked: only the owner has stake.
    return self.delegated[node].shares > 0 and staker != self._owner(node)


@internal
@view
def _own(node: address, pool: Pool) -> uint256:
    return self._amount_down(pool, pool.shares - self.delegated[node].shares)


@internal
@view
def _backed(node: address, pool: Pool) -> uint256:
    # The active stake that the owner's own share lets count, where others have some.
    return min(pool.amount, self._own(node, pool) * BPS // self.least_own_bps)


@internal
@view
def _staying(node: address, pool: Pool) -> uint256:
    noticed: uint256 = self.delegated[node].noticed
    if noticed == 0:
        return pool.amount
    return pool.amount - self._amount_down(pool, noticed)


@internal
@view
def _free(node: address) -> uint256:
    held: uint256 = self.locked[node]
    if self.delegated[node].shares == 0:
        amount: uint256 = self.active_pool[node].amount
        return amount - min(amount, held)
    pool: Pool = self.active_pool[node]
    counted: uint256 = min(self._staying(node, pool), self._backed(node, pool))
    return counted - min(counted, held)


@internal
@view
def _most(staker: address, node: address, pool: Pool, burned: uint256) -> uint256:
    # The most that a staker may unbond now, of any stake, where it costs so many shares.
    held: uint256 = self.locked[node]
    if self.delegated[node].shares == 0:
        return pool.amount - min(pool.amount, held)
    notice: Notice = self._notice(staker, node, pool.generation)
    if burned <= notice.shares:
        if block.timestamp >= notice.ready_at:
            return pool.amount
        return pool.amount - min(pool.amount, held)
    staying: uint256 = self._staying(node, pool)
    most: uint256 = staying - min(staying, held)
    if self._is_delegator(staker, node):
        return most
    own: uint256 = self._own(node, pool)
    needed: uint256 = (held * self.least_own_bps + BPS - 1) // BPS
    return min(most, own - min(own, needed))


@internal
def _leave(node: address, generation: uint256, burned: uint256):
    notice: Notice = self._notice(msg.sender, node, generation)
    spent: uint256 = min(notice.shares, burned)
    self.delegated[node].shares -= burned
    if spent > 0:
        self.delegated[node].noticed -= spent
        self._notices[msg.sender][node].shares = notice.shares - spent


@internal
@view
def _notice(staker: address, node: address, generation: uint256) -> Notice:
    found: Notice = self._notices[staker][node]
    if found.generation != generation or found.shares == 0:
        return Notice(shares=0, generation=generation, ready_at=0)
    return found


@internal
@view
def _shares(staker: address, node: address, generation: uint256) -> uint256:
    # Shares of a retired pool are worth nothing.
    found: Position = self._positions[staker][node]
    if found.generation != generation:
        return 0
    return found.shares


@internal
@view
def _fresh(position: Position, node: address, pool: Pool) -> uint256:
    if position.generation != pool.generation or position.arrival != self.arrival[node].number:
        return 0
    return position.fresh


@internal
@view
def _earned(position: Position, node: address) -> uint256:
    index: uint256 = self.reward_index[node][position.generation]
    scaled: uint256 = (position.shares - position.fresh) * (index - position.mark)
    if position.fresh > 0 and position.arrival < self.arrival[node].number:
        scaled += position.fresh * (index - self._admitted[node][position.arrival])
    return scaled // INDEX_UNIT


@internal
def _settle(staker: address, node: address, pool: Pool) -> Position:
    # Books what the position earned; the caller stores the position of today that this returns.
    found: Position = self._positions[staker][node]
    earned: uint256 = self._earned(found, node)
    if earned > 0:
        self._owed[staker][node] += earned
    return Position(
        shares=self._shares(staker, node, pool.generation),
        generation=pool.generation,
        mark=self.reward_index[node][pool.generation],
        fresh=self._fresh(found, node, pool),
        arrival=self.arrival[node].number,
    )


@internal
@view
def _commission(node: address) -> uint256:
    terms: Commission = self._commissions[node]
    if terms.raised_at != 0 and block.timestamp >= terms.raised_at:
        return terms.raised
    return terms.bps


@internal
@view
def _commission_of(node: address, pool: Pool, amount: uint256) -> uint256:
    if pool.amount == 0 or self._earning(node, pool) == 0:
        return amount
    if self.locked[node] > pool.amount:
        return 0
    return amount * self._commission(node) // BPS


@internal
def _share(node: address, pool: Pool, amount: uint256):
    scaled: uint256 = amount * INDEX_UNIT + self._carried[node]
    earning: uint256 = self._earning(node, pool)
    self.reward_index[node][pool.generation] += scaled // earning
    self._carried[node] = scaled % earning


@internal
@view
def _earning(node: address, pool: Pool) -> uint256:
    return pool.shares - self.arrival[node].shares


@internal
def _set_delegation(least_own_bps: uint256, exit_term: uint256):
    assert LEAST_OWN_BPS <= least_own_bps, "staking: own share out of bounds"
    assert least_own_bps <= BPS, "staking: own share out of bounds"
    assert unbonding_period <= exit_term, "staking: exit term out of bounds"
    assert exit_term <= MAX_UNBONDING, "staking: exit term out of bounds"
    self.least_own_bps = least_own_bps
    self.exit_term = exit_term
    log DelegationSet(least_own_bps=least_own_bps, exit_term=exit_term)


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
def _join(node: address, amount: uint256) -> uint256:
    assert amount > 0, "staking: nothing to stake"
    assert self.total + amount <= MAX_AMOUNT, "staking: too much"
    pool: Pool = self.active_pool[node]
    shares: uint256 = self._shares_down(pool, amount)
    assert shares > 0, "staking: too little"
    position: Position = self._settle(msg.sender, node, pool)
    position.shares += shares
    waits: bool = self._owed_since(node) < block.timestamp
    if waits:
        position.fresh += shares
        self.arrival[node].shares += shares
        self.arrival[node].since = block.timestamp
    self._positions[msg.sender][node] = position
    self._add(True, node, pool, amount, shares)
    self.total += amount
    log Staked(node=node, staker=msg.sender, amount=amount, shares=shares, waits=waits)
    return shares


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
    if pool.generation != self.active_pool[node].generation:
        self.delegated[node] = empty(Delegated)
        # Its shares are worth nothing, and an arrival is of one generation.
        self._admit_all(node, self.arrival[node])
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


@internal
def _pull(amount: uint256, purpose: uint8):
    log Movement(
        token=token, sender=msg.sender, recipient=self, amount=amount, purpose=purpose
    )
    assert extcall IToken(token).transferFrom(
        msg.sender, self, amount, default_return_value=True
    ), "staking: transfer failed"
