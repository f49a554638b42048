# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize codesize
"""
@title Roots
@license Apache-2.0
@notice Rewards of one market whose work the chain cannot see. A bonded proposer puts down one root
        an epoch over what every account ever earned, watchers co-sign it, anyone can disprove it,
        and once it is final every account is paid what it did not have yet.
@dev A tree's leaf is an account and all that it ever earned, in grains of 10**9 base units; leaves
     are sorted by account. A node is one word: 192 bits of a hash, and the 64-bit sum of the grains
     below it, which the hash above covers. There are ceil(log2 count) levels over the leaves; a
     place where nothing stands is the zero word. Python: `freehold.economics.trees`.
     A root that was proposed is remembered by the hash of its header (the event `Proposed` tells
     the header). Positions number the roots from 2 on; the parent of a root is the one before it.
     A void root costs its proposer the bond in two steps: the verdict in the transaction that shows
     why, which is as short as it can be, and `settle`, by anyone, which takes the bond. The header
     of a root whose verdict is not settled is remembered together with the winner.
     Threats and what meets them, each with one transaction that voids the root and all after it:
     - A repeated or hidden account: two neighbours out of order (`dispute_order`), something behind
       the last leaf (`dispute_padding`).
     - A sum that is not the sum: `dispute_sum`, and `dispute_leaf` for a leaf's own.
     - Earnings that shrink or move to another account: `dispute_sunk`, against the parent.
     - Data that is withheld: anyone demands a leaf with the gas of the answer prepaid; silence
       voids the root. A leaf is answerable only where every sum on its path is true.
     - Overpaying: the total may not exceed what was funded, nor grow faster than a bound, and what
       all roots that are not final can pay stays below one bond. Bonds are kept in this contract's
       account in `payments`: no claim can reach them, whatever root became final.
     - Minting what nobody earned, with a bond that is taken back at once: a draw reaches no further
       than one bond above the final roots, which no root can pass either.
     - Paying twice: amounts are cumulative; what an account got is counted once for all roots.
     - A root for an epoch to come, to block the others: an epoch must have ended.
     - Disputing oneself to save the bond: the larger part of it burns.
     - Taking a bond back before the verdict on its root is settled, or drawing by it, or putting
       the next root in the place of the void one: nothing of that before all verdicts are settled,
       for nobody. Whoever wants to go on can settle: events tell all that it takes.
     - A verdict that is forgotten for another on an earlier root: each one is counted and settled by
       itself, in any order, and takes what is left of the bond of its root's proposer.
     - Stale roots: voided positions are overwritten, and a header counts only up to the tip.
     - Flooding by demands: each pays for its answer, and an answer is good until somebody expires
       the demand.
     - Earnings that the tree adds up rightly and that nobody made: who can tell is a judge, another
       contract, whose word voids a root as a dispute here does. It is named once, before the first
       root, so that who posts a bond knows by whose code it can be lost.
     - A root that becomes final while the judge waits for an answer: the judge holds it.
     - An answer at the last moment, that nobody can use before the root is final: a root waits one
       answer window from the last answer on. No demand is taken behind its window, so that its end
       moves by two answer windows at most.
     - Rounding: grains round down before they come here; the dust stays with whoever funds.
     - Stakers who get nothing of what their node earns: it goes to the node's stake, which splits
       it, where others have staked for the node; and to its payout where there is no such stake.
     - Re-entrance: state is written before tokens or ether move; the token has no hooks.
     Deliberately not done: who sees a dispute on its way can send the same and take the reward, and
     a proposer with several false roots can void an earlier one himself and settle that first; all
     of them are void and the bond is gone all the same. Stake that comes before a claim has a part
     in what the node earned before: an epoch is known only once its root is final. It cannot leave
     again before it could have been slashed, and the owner's commission goes off it.
     Trust: a quorum of watchers must sign, or no root comes; a quorum and a proposer that lie are
     believed if nobody looks within the window. The governor names watchers and sets parameters
     within hard bounds; it can touch no root, bond or reward. Without it everything goes on.
     A judge can void every open root, hold one for ever, and name a winner who cannot be paid, so
     that no root comes any more: it must be code without an owner. It can touch no final root and
     no claim. Most markets have none.
"""

from interfaces import IEmission
from interfaces import IRegistry
from interfaces import IRoots
from interfaces import IStaking
from interfaces import IToken
from modules import typed

implements: IRoots

interface IApproval:
    def approve(spender: address, amount: uint256) -> bool: nonpayable


interface ICustody:
    def deposit(token: address, to: address, amount: uint256): nonpayable
    def withdraw(token: address, to: address, amount: uint256): nonpayable


struct Parameters:
    window: uint256  # seconds in which a root can be disputed
    answer_window: uint256  # seconds to answer a demand, within the other
    bond: uint256  # base units behind every root
    growth: uint256  # grains that one root may add
    reward_bps: uint256  # of a lost bond, to who disproved the root


struct Proof:
    account: address
    grains: uint256
    index: uint256
    path: DynArray[uint256, 32]  # from the leaf up


struct Leaf:
    account: address
    grains: uint256


# One word: where the roots stand.
struct State:
    final: uint256  # 32 bits: position of the last final root, 1 at first
    tip: uint256  # 32: position of the last root
    next_epoch: uint256  # 48: first epoch that no root covers
    tip_total: uint256  # 64: grains
    final_total: uint256  # 64
    unsettled: uint256  # 16: verdicts by which no bond was taken yet


struct Bond:
    amount: uint256  # 128 bits
    last: uint256  # 32: position of the proposer's last root


struct Demand:
    header: bytes32
    index: uint256
    deadline: uint256
    challenger: address
    prepaid: uint256


event Funded:
    epoch: indexed(uint256)
    sender: indexed(address)
    amount: uint256
    total: uint256


event BondPosted:
    proposer: indexed(address)
    amount: uint256
    total: uint256


event BondWithdrawn:
    proposer: indexed(address)
    amount: uint256


event BondLost:
    position: indexed(uint256)
    proposer: indexed(address)
    winner: indexed(address)
    reward: uint256
    burned: uint256


event Proposed:
    epoch: indexed(uint256)
    proposer: indexed(address)
    header: IRoots.Header


# By a dispute here or by the judge, whose reasons are others.
event Voided:
    position: indexed(uint256)
    winner: indexed(address)
    reason: String[16]


event Finalized:
    position: indexed(uint256)
    epoch: indexed(uint256)
    root: uint256


event Demanded:
    id: indexed(uint256)
    position: indexed(uint256)
    index: uint256
    deadline: uint256
    prepaid: uint256


event Answered:
    id: indexed(uint256)
    proof: Proof


event Expired:
    id: indexed(uint256)


event JudgeSet:
    judge: indexed(address)


event Held:
    header: indexed(bytes32)


event Released:
    header: indexed(bytes32)


# Besides the movement to the payout, where that is not the account itself.
event PaidElsewhere:
    account: indexed(address)
    payout: indexed(address)
    grains: uint256


event PayoutSet:
    account: indexed(address)
    payout: address


event Movement:
    token: indexed(address)
    sender: indexed(address)
    recipient: indexed(address)
    amount: uint256
    purpose: uint8


event ParametersSet:
    parameters: Parameters


event WatchersSet:
    watchers: DynArray[address, MAX_WATCHERS]
    quorum: uint256


GRAIN: public(constant(uint256)) = 10**9
LEAF: constant(bytes32) = keccak256("Freehold reward leaf")
NODE: constant(bytes32) = keccak256("Freehold reward node")
UNSETTLED: constant(uint256) = 2**240  # one verdict in the word of the state
M16: constant(uint256) = 2**16 - 1
M32: constant(uint256) = 2**32 - 1
M48: constant(uint256) = 2**48 - 1
M64: constant(uint256) = 2**64 - 1
M128: constant(uint256) = 2**128 - 1
HASH: constant(uint256) = max_value(uint256) - M64
MAX_WATCHERS: constant(uint256) = 24
MAX_SIGNATURES: constant(uint256) = 16
MAX_BATCH: constant(uint256) = 128
MAX_DEPTH: constant(uint256) = 32
MAX_COUNT: constant(uint256) = 2**32
MIN_WINDOW: constant(uint256) = 60
MAX_WINDOW: constant(uint256) = 30 * 86400
MAX_EPOCH: constant(uint256) = 366 * 86400
MAX_BOND: constant(uint256) = 2**96
MAX_REWARD_BPS: constant(uint256) = 4000
BPS: constant(uint256) = 10**4
ANSWER_GAS: public(constant(uint256)) = 150_000
LEAST_GAS_PRICE: constant(uint256) = 10**9
REFUND_GAS: constant(uint256) = 30_000
PURPOSE_DEPOSIT: constant(uint8) = 1
PURPOSE_REWARD: constant(uint8) = 4
PURPOSE_SLASH: constant(uint8) = 7
PURPOSE_STAKE: constant(uint8) = 11
PURPOSE_BOUNTY: constant(uint8) = 15
DOMAIN_NAME: constant(bytes32) = keccak256("Freehold roots")
ATTESTATION: constant(bytes32) = keccak256(
    "Attestation(uint256 epoch,bytes32 root,uint256 count,bytes32 data,bytes32 parent)"
)

token: public(immutable(address))
payments: public(immutable(address))
emission: public(immutable(address))
registry: public(immutable(address))
staking: public(immutable(address))
governor: public(immutable(address))
network_id: public(immutable(bytes32))
genesis: public(immutable(uint256))
epoch_length: public(immutable(uint256))

funded: public(uint256)
demand_count: public(uint256)
headers: public(HashMap[uint256, bytes32])
final_root: public(HashMap[uint256, uint256])
open_demands: public(HashMap[bytes32, uint256])
released: public(HashMap[bytes32, uint256])  # when a demand for a root was last closed
watchers: public(HashMap[address, bool])
judge: public(address)
_rules: uint256  # window | answer_window | bond | growth | reward_bps | quorum
_state: uint256
_watchers: DynArray[address, MAX_WATCHERS]
_bonds: HashMap[address, uint256]
_demands: HashMap[uint256, Demand]
_accounts: HashMap[address, uint256]  # payout | grains paid


@deploy
def __init__(
    token_: address,
    payments_: address,
    emission_: address,
    registry_: address,
    staking_: address,
    governor_: address,
    network_id_: bytes32,
    genesis_: uint256,
    epoch_length_: uint256,
    parameters_: Parameters,
):
    """
    @param emission_ Whom to draw from, the zero address where others fund.
    @param registry_ Who knows the payouts of nodes, the zero address where nobody does.
    @param staking_ Who splits what nodes earn among their stakers, the zero address where none of
           the accounts has any.
    @param genesis_ Start of epoch 0, seconds.
    """
    assert empty(address) not in [token_, payments_, governor_], "roots: zero address"
    assert genesis_ <= block.timestamp, "roots: genesis lies ahead"
    assert 0 < epoch_length_ and epoch_length_ <= MAX_EPOCH, "roots: epoch out of bounds"
    token = token_
    payments = payments_
    emission = emission_
    registry = registry_
    staking = staking_
    governor = governor_
    network_id = network_id_
    genesis = genesis_
    epoch_length = epoch_length_
    # The empty root stands at position 1, so that the word of the state is never zero.
    self._save_state(State(final=1, tip=1, next_epoch=0, tip_total=0, final_total=0, unsettled=0))
    self._set_parameters(parameters_)


# Money in


@external
def fund(epoch: uint256, amount: uint256):
    """
    @notice Bring the caller's tokens to be paid out by the roots from this epoch on.
    """
    self._receive(epoch, amount)
    self._pull(amount, PURPOSE_DEPOSIT)


@external
def draw(epoch: uint256, amount: uint256):
    """
    @notice Have part of an epoch's emission minted to this contract, by a bonded proposer, who
            draws what the next root needs and no more: what nobody earned is not minted. Whatever
            the caller wants, what was funded stays within a bond above what the final roots paid.
    """
    assert emission != empty(address), "roots: no emission"
    bond: uint256 = self._bond_of(self._rules)
    self._bonded(bond)
    self._receive(epoch, amount)
    most: uint256 = self._settled_state().final_total * GRAIN + bond
    assert self.funded <= most, "roots: more than a root can pay"
    before: uint256 = staticcall IToken(token).balanceOf(self)
    extcall IEmission(emission).draw(epoch, amount, self)
    assert staticcall IToken(token).balanceOf(self) == before + amount, "roots: not minted"


@external
def post_bond(amount: uint256):
    """
    @notice Add to the caller's bond: who has enough may propose.
    """
    assert amount > 0, "roots: nothing to post"
    bond: Bond = self._bond(msg.sender)
    bond.amount += amount
    assert bond.amount <= MAX_BOND, "roots: bond too large"
    self._save_bond(msg.sender, bond)
    log BondPosted(proposer=msg.sender, amount=amount, total=bond.amount)
    self._pull(amount, PURPOSE_STAKE)
    self._approve(payments, amount)
    extcall ICustody(payments).deposit(token, self, amount)


@external
def withdraw_bond():
    """
    @notice Take the caller's bond back once none of their roots can be disputed any more.
    """
    bond: Bond = self._bonded(1)
    state: State = self._settled_state()
    # Of a proposer whose last root was voided an earlier one may be open.
    assert min(bond.last, state.tip) <= state.final, "roots: a root is open"
    self._save_bond(msg.sender, empty(Bond))
    log BondWithdrawn(proposer=msg.sender, amount=bond.amount)
    extcall ICustody(payments).withdraw(token, msg.sender, bond.amount)


# Roots


@external
def propose(
    epoch: uint256,
    root: uint256,
    count: uint256,
    data: bytes32,
    signatures: DynArray[Bytes[65], MAX_SIGNATURES],
) -> uint256:
    """
    @notice Put down the root of an epoch that has ended, with the watchers' signatures in rising
            order of their addresses. Epochs may be skipped: amounts are cumulative.
    @return The root's position.
    """
    state: State = self._settled_state()
    rules: uint256 = self._rules
    assert epoch >= state.next_epoch, "roots: epoch is not later"
    assert block.timestamp >= genesis + (epoch + 1) * epoch_length, "roots: epoch has not ended"
    assert 0 < count and count <= MAX_COUNT, "roots: no accounts"
    total: uint256 = root & M64
    assert total > 0, "roots: nothing earned"
    assert total >= state.tip_total, "roots: total sank"
    assert total - state.tip_total <= rules >> 128 & M64, "roots: grows too fast"
    assert total * GRAIN <= self.funded, "roots: more than was funded"
    required: uint256 = self._bond_of(rules)
    assert (total - state.final_total) * GRAIN <= required, "roots: more than the bond"
    self._check_signatures(
        rules & 255, epoch, root, count, data, self.headers[state.tip], signatures
    )
    position: uint256 = state.tip + 1
    bond: Bond = self._bonded(required)
    bond.last = position
    self._save_bond(msg.sender, bond)
    header: IRoots.Header = IRoots.Header(
        position=position,
        since=state.next_epoch,
        epoch=epoch,
        parent_total=state.tip_total,
        root=root,
        count=count,
        data=data,
        proposer=msg.sender,
        until=block.timestamp + (rules >> 224),
        bond=required,
    )
    self.headers[position] = self._hash(header)
    state.tip = position
    state.next_epoch = epoch + 1
    state.tip_total = total
    self._save_state(state)
    log Proposed(epoch=epoch, proposer=msg.sender, header=header)
    return position


@external
def finalize(header: IRoots.Header):
    """
    @notice After its window, and an answer window after the last answer, make the oldest open root
            final, by anyone.
    """
    self._check_pending(header)
    state: State = self._load_state()
    assert header.position == state.final + 1, "roots: not the next"
    hashed: bytes32 = self._hash(header)
    assert self.open_demands[hashed] == 0, "roots: a demand is open"
    quiet: uint256 = self.released[hashed] + self._answer_window()
    assert block.timestamp > max(header.until, quiet), "roots: can be disputed"
    state.final = header.position
    state.final_total = header.root & M64
    self._save_state(state)
    self.final_root[header.epoch] = header.root
    log Finalized(position=header.position, epoch=header.epoch, root=header.root)


# Disputes


@external
def dispute_order(header: IRoots.Header, first: Proof, second: Proof):
    """
    @notice Show two neighbouring leaves whose accounts do not rise: a repeat or a wrong order.
    """
    self._check_pending(header)
    assert second.index == first.index + 1, "roots: not neighbours"
    self._check_proof(header, first)
    self._check_proof(header, second)
    assert not self._rises(first.account, second.account), "roots: accounts rise"
    self._void(header, msg.sender, "order")


@external
def dispute_padding(header: IRoots.Header, last: Proof):
    """
    @notice Show the last leaf, with something to the right of its path.
    """
    self._check_pending(header)
    self._check_proof(header, last)
    assert last.index + 1 == header.count, "roots: not the last leaf"
    assert not self._ends(last), "roots: nothing behind"
    self._void(header, msg.sender, "padding")


@external
def dispute_sum(
    header: IRoots.Header,
    left: uint256,
    right: uint256,
    stated: uint256,
    index: uint256,
    path: DynArray[uint256, MAX_DEPTH],
):
    """
    @notice Show a node of which the two below are known, and whose sum is not theirs.
    @param stated The sum that the node has in the tree; `index` counts the nodes of its level.
    """
    self._check_pending(header)
    assert stated <= M64 and stated != (left & M64) + (right & M64), "roots: sum is true"
    word: uint256 = convert(keccak256(abi_encode(NODE, left, right)), uint256) & HASH | stated
    self._check_path(word, index, path, header.root)
    self._void(header, msg.sender, "sum")


@external
def dispute_leaf(header: IRoots.Header, leaf: Proof, stated: uint256):
    """
    @notice Show a leaf whose node has another sum than its grains.
    """
    self._check_pending(header)
    assert stated <= M64 and stated != leaf.grains, "roots: leaf is true"
    hashed: bytes32 = keccak256(abi_encode(LEAF, leaf.account, leaf.grains))
    word: uint256 = convert(hashed, uint256) & HASH | stated
    self._check_path(word, leaf.index, leaf.path, header.root)
    self._void(header, msg.sender, "leaf")


@external
def dispute_sunk(
    header: IRoots.Header, parent: IRoots.Header, before: Proof, after: DynArray[Proof, 2]
):
    """
    @notice Show a leaf of the root before whose account has less here, or nothing.
    @param after The account's leaf; or the two leaves between which it is missing; or the first or
           last leaf, where it is missing before or behind.
    """
    self._check_pending(header)
    assert parent.position + 1 == header.position, "roots: not the parent"
    assert self.headers[parent.position] == self._hash(parent), "roots: no such root"
    self._check_proof(parent, before)
    for proof: Proof in after:
        self._check_proof(header, proof)
    assert self._sank(header.count, before, after), "roots: did not sink"
    self._void(header, msg.sender, "sunk")


@external
@payable
def demand(header: IRoots.Header, index: uint256) -> uint256:
    """
    @notice Ask for a leaf and its path, by anyone, while a root can be disputed, with the gas of
            the answer prepaid at this transaction's gas price.
    @return The demand's id, from 1.
    """
    self._check_pending(header)
    assert block.timestamp <= header.until, "roots: too late"
    assert index < header.count, "roots: no such leaf"
    price: uint256 = max(tx.gasprice, LEAST_GAS_PRICE)
    assert msg.value >= ANSWER_GAS * price, "roots: prepay the answer's gas"
    id: uint256 = self.demand_count + 1
    self.demand_count = id
    hashed: bytes32 = self._hash(header)
    deadline: uint256 = block.timestamp + self._answer_window()
    self.open_demands[hashed] += 1
    self._demands[id] = Demand(
        header=hashed, index=index, deadline=deadline, challenger=msg.sender, prepaid=msg.value
    )
    log Demanded(
        id=id, position=header.position, index=index, deadline=deadline, prepaid=msg.value
    )
    return id


@external
def answer(id: uint256, header: IRoots.Header, proof: Proof):
    """
    @notice Answer a demand, by anyone, until it is expired; the prepayment goes to the proposer.
            The last leaf must have nothing behind it.
    """
    found: Demand = self._close_demand(id, header)
    assert proof.index == found.index, "roots: another leaf"
    self._check_proof(header, proof)
    assert proof.index + 1 < header.count or self._ends(proof), "roots: something behind"
    log Answered(id=id, proof=proof)
    self._refund(header.proposer, found.prepaid)


@external
def expire(id: uint256, header: IRoots.Header):
    """
    @notice After its deadline void the root whose demand was not answered, by anyone; the demander
            gets the prepayment back and the reward. Only the prepayment, where it is void already.
    """
    found: Demand = self._close_demand(id, header)
    assert block.timestamp > found.deadline, "roots: can be answered"
    log Expired(id=id)
    if self._is_pending(header):
        self._void(header, found.challenger, "not served")
    self._refund(found.challenger, found.prepaid)


@external
def settle(header: IRoots.Header, winner: address):
    """
    @notice Take the bond of a void root's proposer, as far as it goes: part of it goes to who
            disproved the root, the rest burns. By anyone, once for each verdict; until it is done
            nobody proposes, draws or takes a bond back.
    """
    hashed: bytes32 = self._hash(header)
    assert self.headers[header.position] == self._verdict(
        hashed, winner
    ), "roots: no such verdict"
    self.headers[header.position] = hashed
    self._state -= UNSETTLED
    word: uint256 = self._bonds[header.proposer]
    lost: uint256 = min(word & M128, header.bond)
    self._bonds[header.proposer] = word - lost
    reward: uint256 = lost * self._parameters().reward_bps // BPS
    burned: uint256 = lost - reward
    log BondLost(
        position=header.position,
        proposer=header.proposer,
        winner=winner,
        reward=reward,
        burned=burned,
    )
    extcall ICustody(payments).withdraw(token, self, lost)
    if reward > 0:
        self._send(winner, reward, PURPOSE_BOUNTY)
    extcall IToken(token).burn(burned, PURPOSE_SLASH)


# The judge


@external
def void(header: IRoots.Header, winner: address, reason: String[16]):
    """
    @notice Make an open root and all after it void, with the bond lost as by a dispute; the judge.
    @param winner Who disproved it, and gets the reward.
    """
    self._only_judge()
    self._check_pending(header)
    self._void(header, winner, reason)


@external
def hold(hashed: bytes32):
    """
    @notice Keep a root from becoming final until it is released; the judge, who waits for
            an answer.
    @param hashed The hash of its header; the judge looks whether it can be disputed.
    """
    self._only_judge()
    self.open_demands[hashed] += 1
    log Held(header=hashed)


@external
def release(hashed: bytes32):
    """
    @notice End what `hold` began, once for each time; the judge, before it voids a root for
            silence.
    """
    self._only_judge()
    self._release(hashed)
    log Released(header=hashed)


# Claims


@external
def claim(
    epoch: uint256,
    account: address,
    grains: uint256,
    index: uint256,
    path: DynArray[uint256, MAX_DEPTH],
) -> uint256:
    """
    @notice Pay an account what it did not have yet of a leaf of any final root, by anyone.
    @return Base units paid.
    """
    self._check_final(epoch, self._fold(self._leaf(account, grains), index, path))
    due: uint256 = self._pay(account, grains)
    assert due > 0, "roots: nothing to claim"
    return due


@external
def claim_many(
    epoch: uint256,
    first: uint256,
    leaves: DynArray[Leaf, MAX_BATCH],
    depth: uint256,
    beside: DynArray[uint256, 2 * MAX_DEPTH],
) -> uint256:
    """
    @notice As `claim`, for neighbouring leaves with one proof; who has nothing due is passed over.
    @param beside The nodes beside the leaves' paths, from the leaves up, left before right.
    @return Base units paid in all.
    """
    self._check_final(epoch, self._fold_span(first, leaves, depth, beside))
    total: uint256 = 0
    for leaf: Leaf in leaves:
        total += self._pay(leaf.account, leaf.grains)
    assert total > 0, "roots: nothing to claim"
    return total


@external
def set_payout(account: address, payout: address):
    """
    @notice Name who gets the rewards of an account: the account itself, or the owner of a node.
    """
    assert payout not in [empty(address), self, token], "roots: wrong payout"
    if msg.sender != account:
        assert registry != empty(address), "roots: not the account"
        assert msg.sender == staticcall IRegistry(registry).owner_of(
            account
        ), "roots: not the account or its owner"
    self._accounts[account] = convert(payout, uint256) << 96 | self._accounts[account] & M64
    log PayoutSet(account=account, payout=payout)


# The governor


@external
def set_parameters(parameters_: Parameters):
    """
    @notice Change the parameters within their hard bounds, for the roots to come; the governor.
    """
    self._only_governor()
    self._set_parameters(parameters_)


@external
def set_watchers(watchers_: DynArray[address, MAX_WATCHERS], quorum_: uint256):
    """
    @notice Name all watchers, and how many must sign, more than half of them; the governor.
    """
    self._only_governor()
    assert quorum_ <= len(watchers_) and quorum_ <= MAX_SIGNATURES, "roots: quorum too large"
    assert 2 * quorum_ > len(watchers_), "roots: quorum too small"
    for watcher: address in self._watchers:
        self.watchers[watcher] = False
    for watcher: address in watchers_:
        assert watcher != empty(address) and not self.watchers[watcher], "roots: wrong watcher"
        self.watchers[watcher] = True
    self._watchers = watchers_
    self._rules = self._rules & ~convert(255, uint256) | quorum_
    log WatchersSet(watchers=watchers_, quorum=quorum_)


@external
def set_judge(judge_: address):
    """
    @notice Name the contract that may void roots besides the disputes here, once and before the
            first root; the governor.
    """
    self._only_governor()
    assert self.judge == empty(address), "roots: judge is set"
    assert self.headers[2] == empty(bytes32), "roots: a root was there"
    assert judge_.is_contract, "roots: judge has no code"
    self.judge = judge_
    log JudgeSet(judge=judge_)


# Views


@external
@view
def pending(header: IRoots.Header) -> bool:
    """
    @notice Whether a root was proposed so and is neither final nor void.
    """
    return self._is_pending(header)


@external
@view
def parameters() -> Parameters:
    """
    @notice The parameters as they stand.
    """
    return self._parameters()


@external
@view
def quorum() -> (uint256, uint256):
    """
    @notice How many watchers must sign, and how many there are.
    """
    return self._rules & 255, len(self._watchers)


@external
@view
def state() -> State:
    """
    @notice Where the roots stand.
    """
    return self._load_state()


@external
@view
def bond_of(proposer: address) -> Bond:
    """
    @notice A proposer's bond and the position of their last root.
    """
    return self._bond(proposer)


@external
@view
def claimed(account: address) -> uint256:
    """
    @notice Grains that an account was paid so far.
    """
    return self._accounts[account] & M64


@external
@view
def payout_of(account: address) -> address:
    """
    @notice Who will get the next rewards of an account.
    """
    return self._payout(account, self._accounts[account])


@external
@view
def demanded(id: uint256) -> Demand:
    """
    @notice An open demand; deadline 0 where it is answered, expired or unknown.
    """
    return self._demands[id]


# Internals: trees


@internal
@pure
def _leaf(account: address, grains: uint256) -> uint256:
    return convert(keccak256(abi_encode(LEAF, account, grains)), uint256) & HASH | grains


@internal
@pure
def _fold(leaf: uint256, index: uint256, path: DynArray[uint256, MAX_DEPTH]) -> uint256:
    # The word that a path leads to, 0 where the sums do not fit into 64 bits.
    word: uint256 = leaf
    place: uint256 = index
    total: uint256 = leaf & M64
    for beside: uint256 in path:
        total = unsafe_add(total, beside & M64)
        if place & 1 == 0:
            word = convert(keccak256(abi_encode(NODE, word, beside)), uint256) & HASH | total
        else:
            word = convert(keccak256(abi_encode(NODE, beside, word)), uint256) & HASH | total
        place >>= 1
    if total > M64:
        return 0
    return word


@internal
@pure
def _parent(left: uint256, right: uint256) -> uint256:
    total: uint256 = (left & M64) + (right & M64)
    assert total <= M64, "roots: sum too large"
    return convert(keccak256(abi_encode(NODE, left, right)), uint256) & HASH | total


@internal
@pure
def _fold_span(
    first: uint256,
    leaves: DynArray[Leaf, MAX_BATCH],
    depth: uint256,
    beside: DynArray[uint256, 2 * MAX_DEPTH],
) -> uint256:
    nodes: uint256[MAX_BATCH] = empty(uint256[MAX_BATCH])
    count: uint256 = 0
    for leaf: Leaf in leaves:
        assert leaf.grains <= M64, "roots: wrong proof"
        nodes[count] = self._leaf(leaf.account, leaf.grains)
        count += 1
    assert count > 0, "roots: no leaves"
    low: uint256 = first
    used: uint256 = 0
    for level: uint256 in range(depth, bound=MAX_DEPTH):
        source: uint256 = 0
        made: uint256 = 0
        if low & 1 == 1:
            nodes[0] = self._parent(beside[used], nodes[0])
            used += 1
            source = 1
            made = 1
        pairs: uint256 = (count - source) // 2
        for pair: uint256 in range(pairs, bound=MAX_BATCH // 2):
            nodes[made] = self._parent(nodes[source], nodes[source + 1])
            source += 2
            made += 1
        if source < count:
            nodes[made] = self._parent(nodes[source], beside[used])
            used += 1
            made += 1
        count = made
        low >>= 1
    assert count == 1 and used == len(beside), "roots: wrong proof"
    return nodes[0]


@internal
@pure
def _check_path(word: uint256, index: uint256, path: DynArray[uint256, MAX_DEPTH], root: uint256):
    assert self._fold(word, index, path) == root, "roots: wrong proof"


@internal
@pure
def _check_proof(header: IRoots.Header, proof: Proof):
    depth: uint256 = len(proof.path)
    assert proof.index < header.count, "roots: no such leaf"
    fits: bool = header.count <= 1 << depth
    assert fits and (depth == 0 or header.count > 1 << (depth - 1)), "roots: wrong depth"
    assert proof.grains <= M64, "roots: wrong proof"
    word: uint256 = self._leaf(proof.account, proof.grains)
    self._check_path(word, proof.index, proof.path, header.root)


@internal
@pure
def _ends(last: Proof) -> bool:
    # Whether nothing stands to the right of a path.
    place: uint256 = last.index
    for beside: uint256 in last.path:
        if place & 1 == 0 and beside != 0:
            return False
        place >>= 1
    return True


@internal
@pure
def _rises(first: address, second: address) -> bool:
    return convert(first, uint256) < convert(second, uint256)


@internal
@pure
def _sank(count: uint256, before: Proof, after: DynArray[Proof, 2]) -> bool:
    if len(after) == 2:
        return (
            after[1].index == after[0].index + 1
            and self._rises(after[0].account, before.account)
            and self._rises(before.account, after[1].account)
        )
    if len(after) == 0:
        return False
    if after[0].account == before.account:
        return after[0].grains < before.grains
    if self._rises(before.account, after[0].account):
        return after[0].index == 0
    return after[0].index + 1 == count


# Internals: roots


@internal
@view
def _check_signatures(
    quorum: uint256,
    epoch: uint256,
    root: uint256,
    count: uint256,
    data: bytes32,
    parent: bytes32,
    signatures: DynArray[Bytes[65], MAX_SIGNATURES],
):
    assert quorum > 0, "roots: no watchers"
    assert len(signatures) >= quorum, "roots: too few signatures"
    hashed: bytes32 = keccak256(abi_encode(ATTESTATION, epoch, root, count, data, parent))
    message: bytes32 = typed.digest(DOMAIN_NAME, network_id, hashed)
    last: address = empty(address)
    for signature: Bytes[65] in signatures:
        watcher: address = typed.recover_packed(message, signature)
        assert self._rises(last, watcher), "roots: signatures out of order"
        assert self.watchers[watcher], "roots: not a watcher"
        last = watcher


@internal
@pure
def _hash(header: IRoots.Header) -> bytes32:
    return keccak256(abi_encode(header))


@internal
@view
def _is_pending(header: IRoots.Header) -> bool:
    state: State = self._load_state()
    if header.position <= state.final or header.position > state.tip:
        return False
    return self.headers[header.position] == self._hash(header)


@internal
@view
def _check_pending(header: IRoots.Header):
    assert self._is_pending(header), "roots: no open root"


@internal
def _void(header: IRoots.Header, winner: address, reason: String[16]):
    # The caller has seen that the root is open.
    state: State = self._load_state()
    state.tip = header.position - 1
    state.next_epoch = header.since
    state.tip_total = header.parent_total
    state.unsettled += 1
    assert state.unsettled <= M16, "roots: settle the verdicts"
    self._save_state(state)
    self.headers[header.position] = self._verdict(self.headers[header.position], winner)
    log Voided(position=header.position, winner=winner, reason=reason)


@internal
@pure
def _verdict(hashed: bytes32, winner: address) -> bytes32:
    # What is remembered of a void root until its verdict is settled.
    return keccak256(abi_encode(hashed, winner))


@internal
def _close_demand(id: uint256, header: IRoots.Header) -> Demand:
    found: Demand = self._demands[id]
    assert found.deadline != 0, "roots: no such demand"
    assert found.header == self._hash(header), "roots: another root"
    self._demands[id] = empty(Demand)
    self._release(found.header)
    return found


@internal
def _release(hashed: bytes32):
    self.open_demands[hashed] -= 1
    self.released[hashed] = block.timestamp


@internal
def _refund(to: address, amount: uint256):
    # A receiver that refuses ether holds up nothing: it goes without.
    sent: bool = raw_call(to, b"", value=amount, gas=REFUND_GAS, revert_on_failure=False)


# Internals: money


@internal
def _receive(epoch: uint256, amount: uint256):
    assert amount > 0, "roots: nothing to fund"
    total: uint256 = self.funded + amount
    self.funded = total
    log Funded(epoch=epoch, sender=msg.sender, amount=amount, total=total)


@internal
@view
def _check_final(epoch: uint256, found: uint256):
    root: uint256 = self.final_root[epoch]
    assert root != 0, "roots: epoch is not final"
    assert found == root, "roots: wrong proof"


@internal
def _pay(account: address, grains: uint256) -> uint256:
    # What an account is due, counted as paid. Where others have staked for a node too, the stake
    # gets what it earned, and splits it.
    word: uint256 = self._accounts[account]
    paid: uint256 = word & M64
    if grains <= paid:
        return 0
    payout: address = self._payout(account, word)
    self._accounts[account] = convert(payout, uint256) << 96 | grains
    due: uint256 = (grains - paid) * GRAIN
    shared: bool = self._is_shared(account)
    if shared:
        payout = staking
    if payout != account:
        log PaidElsewhere(account=account, payout=payout, grains=grains)
    if shared:
        self._approve(staking, due)
        extcall IStaking(staking).reward(account, due)
    else:
        self._send(payout, due, PURPOSE_REWARD)
    return due


@internal
@view
def _is_shared(node: address) -> bool:
    # Whether others than its owner have staked for a node.
    if staking == empty(address):
        return False
    return staticcall IStaking(staking).active(node) > staticcall IStaking(staking).own(node)


@internal
@view
def _payout(account: address, word: uint256) -> address:
    # Asked of the registry until the first payment, then kept: a claim reads one word.
    if word >> 96 != 0:
        return convert(word >> 96, address)
    if registry != empty(address):
        named: address = staticcall IRegistry(registry).payout_of(account)
        if named != empty(address):
            return named
    return account


@internal
def _approve(spender: address, amount: uint256):
    assert extcall IApproval(token).approve(
        spender, amount, default_return_value=True
    ), "roots: approval failed"


@internal
def _pull(amount: uint256, purpose: uint8):
    log Movement(token=token, sender=msg.sender, recipient=self, amount=amount, purpose=purpose)
    assert extcall IToken(token).transferFrom(
        msg.sender, self, amount, default_return_value=True
    ), "roots: transfer failed"


@internal
def _send(to: address, amount: uint256, purpose: uint8):
    log Movement(token=token, sender=self, recipient=to, amount=amount, purpose=purpose)
    assert extcall IToken(token).transfer(
        to, amount, default_return_value=True
    ), "roots: transfer failed"


# Internals: roles


@internal
@view
def _only_governor():
    assert msg.sender == governor, "roots: not the governor"


@internal
@view
def _only_judge():
    assert msg.sender == self.judge, "roots: not the judge"


# Internals: words


@internal
@view
def _load_state() -> State:
    word: uint256 = self._state
    return State(
        final=word & M32,
        tip=word >> 32 & M32,
        next_epoch=word >> 64 & M48,
        tip_total=word >> 112 & M64,
        final_total=word >> 176 & M64,
        unsettled=word >> 240,
    )


@internal
@view
def _settled_state() -> State:
    state: State = self._load_state()
    assert state.unsettled == 0, "roots: a verdict is not settled"
    return state


@internal
def _save_state(state: State):
    self._state = (
        state.final
        | state.tip << 32
        | state.next_epoch << 64
        | state.tip_total << 112
        | state.final_total << 176
        | state.unsettled << 240
    )


@internal
@view
def _bond(proposer: address) -> Bond:
    word: uint256 = self._bonds[proposer]
    return Bond(amount=word & M128, last=word >> 128)


@internal
@view
def _bonded(least: uint256) -> Bond:
    # The caller's bond, which is enough.
    bond: Bond = self._bond(msg.sender)
    assert bond.amount >= least, "roots: no bond"
    return bond


@internal
def _save_bond(proposer: address, bond: Bond):
    self._bonds[proposer] = bond.amount | bond.last << 128


@internal
@pure
def _bond_of(rules: uint256) -> uint256:
    return rules >> 24 & (2**104 - 1)


@internal
@view
def _answer_window() -> uint256:
    return self._rules >> 192 & (2**32 - 1)


@internal
@view
def _parameters() -> Parameters:
    rules: uint256 = self._rules
    return Parameters(
        window=rules >> 224,
        answer_window=self._answer_window(),
        bond=self._bond_of(rules),
        growth=rules >> 128 & M64,
        reward_bps=rules >> 8 & (2**16 - 1),
    )


@internal
def _set_parameters(p: Parameters):
    assert MIN_WINDOW <= p.window and p.window <= MAX_WINDOW, "roots: window out of bounds"
    assert (
        MIN_WINDOW <= p.answer_window and p.answer_window <= p.window
    ), "roots: answer window out of bounds"
    assert 0 < p.bond and p.bond <= MAX_BOND, "roots: bond out of bounds"
    assert 0 < p.growth and p.growth <= M64, "roots: growth out of bounds"
    assert p.reward_bps <= MAX_REWARD_BPS, "roots: reward out of bounds"
    self._rules = (
        p.window << 224
        | p.answer_window << 192
        | p.growth << 128
        | p.bond << 24
        | p.reward_bps << 8
        | self._rules & 255
    )
    log ParametersSet(parameters=p)
