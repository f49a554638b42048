# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize codesize
"""
@title Subnets
@license Apache-2.0
@notice Competitions among model nodes: who takes part, by which rules, what validators think of
        them, and what an epoch may pay.
@dev Epochs are those of the network. A subnet gives out uids from 0 to its `max_nodes`; a full one
     gives a newcomer the uid of whom the last final epoch ranked lowest. Validators commit to a row
     of weights in one epoch and reveal it in the next: packed entries of uid and weight, 16 bits
     each, uids rising. What is stored then is the row's hash, when it was committed, and the stake
     behind it in grains of 10**9 base units; the row itself is in the event `Revealed`. So anyone
     reckons an epoch from the chain alone once it is over, and the judge checks any part of it.
     An epoch's budget is what it drew from the emission, shared by what burned for each subnet,
     and what others granted. `close_epoch` brings both to the roots that pay (`prizes`) at once.
     Threats and what meets them.
     - Trading with oneself: an epoch draws at most `share_bps` of what registrations burned in it,
       and each subnet gets its part of that; what is not earned so is not minted. Who registers his
       own nodes in his own subnet burns more than he can ever get back.
     - A price that differs from the quoted one: `price` is what the same block charges, and nobody
       pays more than the most he states.
     - Filling a subnet: each registration raises its price; newcomers are immune for a while; at
       most 16 uids change hands for each final epoch, and none twice.
     - Inheriting what a former holder of a uid earned or said: a newcomer has his own generation.
       What the former committed is void, what he revealed in the running epoch is erased, and
       rows that were committed before a holder came do not count for him.
     - Copying weights: they are hidden behind a salt until the epoch after. The commitment binds
       network, contract, subnet, uid, generation and epoch, so no other can use it.
     - Choosing weights afterwards: a commitment is fixed when its epoch ends and is opened in the
       next one or never.
     - Hiding a validator's stake by not revealing: anyone records it (`record`).
     - Changed inputs: whatever belongs to an epoch is written while it runs and never after. Rules
       change two epochs ahead at the earliest, and all former ones stay readable.
     - An owner who takes more later: his part can only fall.
     - An owner who leaves: he announces it `notice` epochs ahead, and takes no newcomer from then
       on; his lock stays until then. Grants reach no further.
     - Stake that stands behind two validators of an epoch: what leaves one stays unbonding for an
       epoch at least, which the constructor checks.
     - Names that look alike: lower-case letters, digits and hyphens, and each once for ever.
     - More than the roots can pay: an epoch's emission and its grants come to half of `most` each
       at most, which the roots' bond covers for as long as roots can be disputed. Who grants to
       himself to leave others no room delays grants and nothing else.
     - Promises without money: emission is minted when it is promised. Where the issuance gives
       nothing any more, may not mint, or another is named to draw, an epoch pays its grants alone.
     - Holding up: anyone closes epochs, in any order; one in which nothing burned nor was granted
       needs no closing. A retired validator, or one without stake, is refused alone.
     - Rounding: budgets round down to whole grains; the dust stays with the roots.
     - Re-entrance: state is written before tokens move; the token has no hooks.
     Deliberately not done: voucher fees back nothing, since payments does not tell whose they were.
     Trust: the governor pauses new subnets and registrations, and names the judge once. Whom the
     judge names for a full subnet is believed: a false one costs a uid and no money. The owner of
     a subnet says what is asked and how it is judged, two epochs ahead.
     Parameters of the roots that fall below an epoch's budgets hold its root up until they rise.
     Token, registry, staking, issuance and roots are called and trusted.
"""

from interfaces import IIssuance
from interfaces import IPruner
from interfaces import IRegistry
from interfaces import IStaking
from interfaces import ISubnet
from interfaces import IToken
from modules import pricing

implements: ISubnet

interface IMoney:
    def burn_from(owner: address, amount: uint256): nonpayable
    def approve(spender: address, amount: uint256) -> bool: nonpayable
    def minters(account: address) -> bool: view


interface ISchedule:
    def genesis() -> uint256: view
    def epoch_seconds() -> uint256: view
    def market_of(account: address) -> bytes32: view
    def distributor(market: bytes32) -> address: view


interface IPrizes:
    def fund(epoch: uint256, amount: uint256): nonpayable
    def parameters() -> PrizeRules: view
    def genesis() -> uint256: view
    def epoch_length() -> uint256: view


struct PrizeRules:
    window: uint256
    answer_window: uint256
    bond: uint256
    growth: uint256
    reward_bps: uint256


struct Terms:
    lowest: uint256  # price of a new subnet, base units
    highest: uint256
    half_life: uint256  # seconds
    factor_bps: uint256
    lock: uint256  # base units that come back
    notice: uint256  # epochs before a subnet ends, and how far ahead grants reach
    share_bps: uint256  # of what burned, what an epoch draws at most


# The moving price of a registration: base units, seconds, ten-thousandths.
struct Entry:
    lowest: uint256
    highest: uint256
    half_life: uint256
    factor_bps: uint256


# What is asked, and how answers are scored: hashes of the documents that `uri` leads to.
struct Task:
    schema: bytes32
    scorer: bytes32


# One word: node 160 bits, registered_at 40, generation 40.
struct Seat:
    node: address
    registered_at: uint256
    generation: uint256


struct Record:
    row: bytes32
    committed_at: uint256
    stake: uint256  # grains


struct Commitment:
    hashed: bytes32
    epoch: uint256
    committed_at: uint256
    generation: uint256


event Created:
    subnet: indexed(uint256)
    owner: indexed(address)
    name: bytes32
    max_nodes: uint256
    uri: String[128]
    burned: uint256
    lock: uint256


# Rules and terms of entry as the words that are stored (`_packed`, `_packed_entry`).
event RulesSet:
    subnet: indexed(uint256)
    from_epoch: indexed(uint256)
    revision: uint256
    rules: uint256
    entry: uint256
    task: Task


event UriSet:
    subnet: indexed(uint256)
    uri: String[128]


event Closing:
    subnet: indexed(uint256)
    epoch: indexed(uint256)


event Unlocked:
    subnet: indexed(uint256)
    owner: indexed(address)
    amount: uint256


event Registered:
    subnet: indexed(uint256)
    uid: indexed(uint256)
    node: indexed(address)
    generation: uint256
    epoch: uint256
    burned: uint256


event Replaced:
    subnet: indexed(uint256)
    uid: indexed(uint256)
    node: indexed(address)
    generation: uint256


event Committed:
    subnet: indexed(uint256)
    uid: indexed(uint256)
    epoch: indexed(uint256)
    generation: uint256
    commitment: bytes32


event Revealed:
    subnet: indexed(uint256)
    uid: indexed(uint256)
    epoch: indexed(uint256)
    generation: uint256
    committed_at: uint256
    stake: uint256
    row: Bytes[16384]


event Recorded:
    subnet: indexed(uint256)
    uid: indexed(uint256)
    epoch: indexed(uint256)
    generation: uint256
    stake: uint256


event Granted:
    subnet: indexed(uint256)
    sender: indexed(address)
    first: uint256
    epochs: uint256
    amount: uint256


event EpochClosed:
    epoch: indexed(uint256)
    burned: uint256
    emitted: uint256
    granted: uint256


event JudgeSet:
    judge: indexed(address)


event PausedSet:
    paused: bool


event Movement:
    token: indexed(address)
    sender: indexed(address)
    recipient: indexed(address)
    amount: uint256
    purpose: uint8


GRAIN: public(constant(uint256)) = 10**9
BPS: constant(uint256) = 10**4
M9: constant(uint256) = 2**9 - 1
M11: constant(uint256) = 2**11 - 1
M16: constant(uint256) = 2**16 - 1
M20: constant(uint256) = 2**20 - 1
M32: constant(uint256) = 2**32 - 1
M40: constant(uint256) = 2**40 - 1
ONE: constant(uint256) = 1
# A one for each of eight entries in a word.
LANES: constant(uint256) = max_value(uint256) // (2**32 - 1)
# In the words of a subnet.
ONE_UID: constant(uint256) = 2**160
ONE_REVISION: constant(uint256) = 2**40
M60: constant(uint256) = 2**60 - 1
M64: constant(uint256) = 2**64 - 1
M80: constant(uint256) = 2**80 - 1
M96: constant(uint256) = 2**96 - 1
M128: constant(uint256) = 2**128 - 1
M160: constant(uint256) = 2**160 - 1
# Roles in the registry.
MODEL: constant(uint256) = 8
VALIDATOR: constant(uint256) = 16
MAX_NODES: constant(uint256) = 4096
MAX_VALIDATORS: constant(uint256) = 256
MAX_ROW: constant(uint256) = 16384
MAX_IMMUNITY: constant(uint256) = 90 * 86400
MAX_PPM: constant(uint256) = 10**6
MAX_STEEPNESS: constant(uint256) = 10**4
MAX_OWNER_BPS: constant(uint256) = 1_800
MAX_SHARE_BPS: constant(uint256) = 9_000
MAX_LOCK: constant(uint256) = 2**96
MIN_NOTICE: constant(uint256) = 2
MAX_NOTICE: constant(uint256) = 64
MAX_AHEAD: constant(uint256) = 2**32
MAX_SPAN: public(constant(uint256)) = 1024
MAX_PAGE: constant(uint256) = 128
PRUNED: constant(uint256) = 16
ADVANCED: constant(uint256) = 64
# Epochs between a change of rules and the first that they hold in: who commits knows them.
AHEAD: constant(uint256) = 2
PURPOSE_DEPOSIT: constant(uint8) = 1
PURPOSE_STAKE: constant(uint8) = 11
PURPOSE_UNSTAKE: constant(uint8) = 12
ROW: constant(bytes32) = keccak256("Freehold subnet row")

token: public(immutable(address))
registry: public(immutable(address))
staking: public(immutable(address))
issuance: public(immutable(address))
prizes: public(immutable(address))
governor: public(immutable(address))
network_id: public(immutable(bytes32))
genesis: public(immutable(uint256))
epoch_length: public(immutable(uint256))
terms: public(immutable(Terms))

paused: public(bool)
judge: public(address)
count: public(uint256)
# Locks, and grants of epochs that are not closed: what the balance here is for.
locked: public(uint256)
waiting: public(uint256)
id_of: public(HashMap[bytes32, uint256])
name_of: public(HashMap[uint256, bytes32])
uri_of: public(HashMap[uint256, String[128]])
# Prices after their last use and its moment, one word: of new subnets, and of registrations.
_last_creation: uint256
_last: HashMap[uint256, uint256]
# Owner 160 bits | uids given out 16 | most of them 16 | closing epoch 40; and created_at 40 |
# revisions 40 | lock.
_states: HashMap[uint256, uint256]
_more: HashMap[uint256, uint256]
# Subnet, revision: first epoch 40 bits | rules.
_rules: HashMap[uint256, HashMap[uint256, uint256]]
_entries: HashMap[uint256, HashMap[uint256, uint256]]
_tasks: HashMap[uint256, HashMap[uint256, Task]]
# Subnet, uid: who holds it; by generation: who did.
_seats: HashMap[uint256, HashMap[uint256, uint256]]
_former: HashMap[uint256, HashMap[uint256, HashMap[uint256, uint256]]]
# Subnet, node: its uid plus one.
place_of: public(HashMap[uint256, HashMap[address, uint256]])
# Subnet, uid, parity of the epoch: the hash, and epoch plus one | time | generation.
_hashes: HashMap[uint256, HashMap[uint256, HashMap[uint256, bytes32]]]
_marks: HashMap[uint256, HashMap[uint256, HashMap[uint256, uint256]]]
# Subnet, epoch, uid: the row's hash, and time of its commitment | stake.
_rows: HashMap[uint256, HashMap[uint256, HashMap[uint256, bytes32]]]
_stakes: HashMap[uint256, HashMap[uint256, HashMap[uint256, uint256]]]
# Subnet, epoch, and epoch: burned 128 bits | granted 128.
_money: HashMap[uint256, HashMap[uint256, uint256]]
_totals: HashMap[uint256, uint256]
# Epoch: what it drew << 1 | closed.
_emitted: HashMap[uint256, uint256]


@deploy
def __init__(
    token_: address,
    registry_: address,
    staking_: address,
    issuance_: address,
    prizes_: address,
    governor_: address,
    network_id_: bytes32,
    genesis_: uint256,
    epoch_length_: uint256,
    terms_: Terms,
):
    """
    @param prizes_ The roots that pay.
    @param genesis_ Start of epoch 0, seconds, as of the issuance and the roots.
    """
    for each: address in [token_, registry_, staking_, issuance_, prizes_]:
        assert each.is_contract, "subnet: no code"
    assert governor_ != empty(address), "subnet: no governor"
    assert genesis_ <= block.timestamp, "subnet: genesis lies ahead"
    assert staticcall ISchedule(issuance_).genesis() == genesis_, "subnet: other epochs"
    assert staticcall ISchedule(issuance_).epoch_seconds() == epoch_length_, "subnet: other epochs"
    assert staticcall IPrizes(prizes_).genesis() == genesis_, "subnet: other epochs"
    assert staticcall IPrizes(prizes_).epoch_length() == epoch_length_, "subnet: other epochs"
    # Else the same stake could stand behind two validators in one epoch.
    unbonding: uint256 = staticcall IStaking(staking_).unbonding_period()
    assert unbonding >= epoch_length_, "subnet: stake moves too fast"
    pricing.check(terms_.lowest, terms_.highest, terms_.half_life, terms_.factor_bps)
    assert terms_.lock <= MAX_LOCK, "subnet: lock out of bounds"
    assert MIN_NOTICE <= terms_.notice, "subnet: notice out of bounds"
    assert terms_.notice <= MAX_NOTICE, "subnet: notice out of bounds"
    assert 0 < terms_.share_bps, "subnet: share out of bounds"
    assert terms_.share_bps <= MAX_SHARE_BPS, "subnet: share out of bounds"
    token = token_
    registry = registry_
    staking = staking_
    issuance = issuance_
    prizes = prizes_
    governor = governor_
    network_id = network_id_
    genesis = genesis_
    epoch_length = epoch_length_
    terms = terms_


# Subnets


@external
def create(
    name: bytes32,
    max_nodes: uint256,
    rules: ISubnet.Rules,
    entry: Entry,
    task: Task,
    uri: String[128],
    most: uint256,
) -> uint256:
    """
    @notice Open a subnet, which the caller owns for ever. Burns `creation_price` of the caller's
            tokens, refused where that is more than `most`, and locks `terms.lock` more until the
            subnet has ended; the caller approved both to this contract.
    @return The subnet's id, from 1.
    """
    assert not self.paused, "subnet: paused"
    self._check_name(name)
    assert 0 < max_nodes and max_nodes <= MAX_NODES, "subnet: nodes out of bounds"
    price: uint256 = self._creation_price()
    assert price <= most, "subnet: the price is higher"
    self._last_creation = pricing.packed(
        pricing.raised(price, terms.factor_bps, terms.highest), block.timestamp
    )
    id: uint256 = self.count + 1
    self.count = id
    self.id_of[name] = id
    self.name_of[id] = name
    self.uri_of[id] = uri
    self._more[id] = terms.lock << 80 | ONE_REVISION | block.timestamp
    self._states[id] = max_nodes << 176 | convert(msg.sender, uint256)
    self.locked += terms.lock
    log Created(
        subnet=id,
        owner=msg.sender,
        name=name,
        max_nodes=max_nodes,
        uri=uri,
        burned=price,
        lock=terms.lock,
    )
    self._revise(id, 0, self._epoch(), self._packed(rules), self._packed_entry(entry), task)
    extcall IMoney(token).burn_from(msg.sender, price)
    if terms.lock > 0:
        self._pull(terms.lock, PURPOSE_STAKE)
    return id


@external
def set_rules(
    id: uint256, from_epoch: uint256, rules: ISubnet.Rules, entry: Entry, task: Task
):
    """
    @notice Change a subnet's rules, what registering costs, and what is asked, from an epoch on
            that is two ahead or more; by its owner. One that is still that far ahead is replaced.
            The owner's part can only fall.
    """
    self._check_owner(id)
    now: uint256 = self._epoch()
    assert from_epoch >= now + AHEAD, "subnet: too soon"
    assert from_epoch <= now + MAX_AHEAD, "subnet: too far ahead"
    revision: uint256 = self._more[id] >> 40 & M40
    if self._rules[id][revision - 1] >> 216 >= now + AHEAD:
        revision -= 1
    else:
        self._more[id] += ONE_REVISION
    word: uint256 = self._packed(rules)
    before: uint256 = self._rules[id][revision - 1]
    assert word >> 143 & M11 <= before >> 143 & M11, "subnet: the owner's part rises"
    self._revise(id, revision, from_epoch, word, self._packed_entry(entry), task)


@external
def set_uri(id: uint256, uri: String[128]):
    """
    @notice Say where a subnet's documents are, by its owner; their hashes are in its task.
    """
    self._check_owner(id)
    self.uri_of[id] = uri
    log UriSet(subnet=id, uri=uri)


@external
def close(id: uint256) -> uint256:
    """
    @notice Announce that a subnet ends, by its owner: after `terms.notice` whole epochs more it has
            no part in any, and nobody can register from now on.
    @return The first epoch that it has no part in.
    """
    state: uint256 = self._check_owner(id)
    assert state >> 192 == 0, "subnet: closing"
    closing: uint256 = self._epoch() + 1 + terms.notice
    self._states[id] = state | closing << 192
    log Closing(subnet=id, epoch=closing)
    return closing


@external
def unlock(id: uint256) -> uint256:
    """
    @notice Return an ended subnet's lock to its owner, by anyone.
    @return Base units returned.
    """
    state: uint256 = self._known(id)
    closing: uint256 = state >> 192
    assert closing != 0 and self._epoch() >= closing, "subnet: not ended"
    amount: uint256 = self._more[id] >> 80
    assert amount > 0, "subnet: nothing is locked"
    self._more[id] &= M80
    self.locked -= amount
    owner: address = convert(state & M160, address)
    log Unlocked(subnet=id, owner=owner, amount=amount)
    log Movement(
        token=token, sender=self, recipient=owner, amount=amount, purpose=PURPOSE_UNSTAKE
    )
    self._check(extcall IToken(token).transfer(owner, amount))
    return amount


# Nodes


@external
def register(id: uint256, node: address, max_price: uint256) -> uint256:
    """
    @notice Enter a node that serves models or validates, by its owner. Burns `price` of the
            caller's tokens, for which he approved this contract; refused where that is more than
            `max_price`. In a full subnet it takes the place of whom the judge's list names first
            among those that are not immune and were not replaced since.
    @return The node's uid.
    """
    assert not self.paused, "subnet: paused"
    epoch: uint256 = self._epoch()
    state: uint256 = self._running(id, epoch)
    assert state >> 192 == 0, "subnet: closing"
    self._check_node(node)
    assert self.place_of[id][node] == 0, "subnet: already in it"
    revision: uint256 = self._revision(id, epoch)
    price: uint256 = self._paid(id, revision, max_price)
    uid: uint256 = state >> 160 & M16
    generation: uint256 = 1
    if uid < state >> 176:
        self._states[id] = state + ONE_UID
    else:
        uid = self._replaceable(id, revision, uid)
        generation = self._remove(id, uid, epoch) + 1
    self._seats[id][uid] = (
        generation << 200 | block.timestamp << 160 | convert(node, uint256)
    )
    self.place_of[id][node] = uid + 1
    self._add(id, epoch, price << 128)
    log Registered(
        subnet=id, uid=uid, node=node, generation=generation, epoch=epoch, burned=price
    )
    extcall IMoney(token).burn_from(msg.sender, price)
    return uid


# Weights


@external
def commit(id: uint256, uid: uint256, commitment: bytes32):
    """
    @notice Commit to the row that is revealed in the next epoch, by a validator's key or its owner;
            a later one in the same epoch takes its place. `commitment_of` is what it must be.
    """
    epoch: uint256 = self._epoch()
    self._running(id, epoch)
    seat: Seat = self._validator(id, uid)
    self._check_holder(seat.node)
    assert commitment != empty(bytes32), "subnet: no commitment"
    self._hashes[id][uid][epoch % 2] = commitment
    self._marks[id][uid][epoch % 2] = (
        (epoch + 1) << 80 | block.timestamp << 40 | seat.generation
    )
    log Committed(
        subnet=id, uid=uid, epoch=epoch, generation=seat.generation, commitment=commitment
    )


@external
def reveal(id: uint256, uid: uint256, row: Bytes[MAX_ROW], salt: bytes32):
    """
    @notice Open what was committed in the epoch before, by the validator's key or its owner. Stores
            the row's hash and the stake behind the validator at this moment.
    @param row Entries of four bytes, uid and weight; uids rise, weights are not zero.
    """
    epoch: uint256 = self._epoch()
    state: uint256 = self._running(id, epoch)
    seat: Seat = self._validator(id, uid)
    self._check_holder(seat.node)
    assert self._rows[id][epoch][uid] == empty(bytes32), "subnet: already revealed"
    committed: Commitment = self._committed(id, uid, epoch)
    assert committed.generation == seat.generation, "subnet: of a former holder"
    self._check_row(row, state >> 160 & M16)
    hashed: bytes32 = keccak256(row)
    assert committed.hashed == self._commitment(
        id, uid, seat.generation, committed.epoch, hashed, salt
    ), "subnet: not what was committed"
    stake: uint256 = self._stake(seat.node)
    self._rows[id][epoch][uid] = hashed
    self._stakes[id][epoch][uid] = committed.committed_at << 64 | stake
    log Revealed(
        subnet=id,
        uid=uid,
        epoch=epoch,
        generation=seat.generation,
        committed_at=committed.committed_at,
        stake=stake,
        row=row,
    )


@external
def record(id: uint256, uid: uint256):
    """
    @notice Put down the stake of a validator that has not revealed, for the running epoch, by
            anyone: permits are given by it.
    """
    epoch: uint256 = self._epoch()
    self._running(id, epoch)
    seat: Seat = self._validator(id, uid)
    assert self._stakes[id][epoch][uid] == 0, "subnet: already recorded"
    stake: uint256 = self._stake(seat.node)
    self._stakes[id][epoch][uid] = stake
    log Recorded(
        subnet=id, uid=uid, epoch=epoch, generation=seat.generation, stake=stake
    )


# Budgets


@external
def grant(id: uint256, amount: uint256, epochs: uint256):
    """
    @notice Bring the caller's tokens for a subnet's budget: `amount`, whole grains, for each of
            `epochs` epochs from the running one on, at most `terms.notice`. They do not come back.
    """
    assert amount > 0 and amount % GRAIN == 0, "subnet: not whole grains"
    assert 0 < epochs and epochs <= terms.notice, "subnet: epochs out of bounds"
    first: uint256 = self._epoch()
    closing: uint256 = self._running(id, first) >> 192
    assert closing == 0 or first + epochs <= closing, "subnet: ends before"
    room: uint256 = self._most() // 2
    # Beyond it an amount could reach into the other half of a word.
    assert amount <= room, "subnet: more than roots can pay"
    for i: uint256 in range(epochs, bound=MAX_NOTICE):
        self._add(id, first + i, amount)
        assert self._totals[first + i] & M128 <= room, "subnet: more than roots can pay"
    self.waiting += amount * epochs
    log Granted(subnet=id, sender=msg.sender, first=first, epochs=epochs, amount=amount)
    self._pull(amount * epochs, PURPOSE_DEPOSIT)


@external
def close_epoch(epoch: uint256) -> uint256:
    """
    @notice Fix the budgets of an ended epoch: draw what its burned tokens back of the emission, and
            bring it with the grants to the roots that pay; by anyone.
    @return What was drawn, base units.
    """
    assert epoch < self._epoch(), "subnet: the epoch has not ended"
    assert self._emitted[epoch] == 0, "subnet: closed already"
    total: uint256 = self._totals[epoch]
    assert total != 0, "subnet: nothing to close"
    burned: uint256 = total >> 128
    granted: uint256 = total & M128
    amount: uint256 = min(burned * terms.share_bps // BPS, self._most() // 2)
    if amount > 0:
        amount = min(amount, self._drawable(epoch))
    amount -= amount % GRAIN
    self._emitted[epoch] = amount << 1 | 1
    self.waiting -= granted
    log EpochClosed(epoch=epoch, burned=burned, emitted=amount, granted=granted)
    if amount > 0:
        extcall IIssuance(issuance).draw(epoch, amount, self)
    if amount + granted > 0:
        self._check(extcall IMoney(token).approve(prizes, amount + granted))
        extcall IPrizes(prizes).fund(epoch, amount + granted)
    return amount


# The governor


@external
def set_judge(judge_: address):
    """
    @notice Name who tells whom newcomers replace, once and for ever; the governor.
    """
    self._check_governor()
    assert self.judge == empty(address), "subnet: the judge is named"
    assert judge_.is_contract, "subnet: no code"
    self.judge = judge_
    log JudgeSet(judge=judge_)


@external
def set_paused(paused_: bool):
    """
    @notice Stop or allow new subnets and registrations; the governor.
    """
    self._check_governor()
    self.paused = paused_
    log PausedSet(paused=paused_)


# Views


@external
@view
def epoch() -> uint256:
    """
    @notice The running epoch, counted from genesis.
    """
    return self._epoch()


@external
@view
def creation_price() -> uint256:
    """
    @notice What a new subnet burns at this moment, base units; the lock comes on top.
    """
    return self._creation_price()


@external
@view
def price(id: uint256) -> uint256:
    """
    @notice What a registration burns at this moment, base units; what `register` charges in the
            same block.
    """
    self._known(id)
    return self._price(id, self._revision(id, self._epoch()))


@external
@view
def subnet_of(id: uint256) -> ISubnet.Subnet:
    """
    @notice Where a subnet stands.
    """
    state: uint256 = self._known(id)
    more: uint256 = self._more[id]
    return ISubnet.Subnet(
        owner=convert(state & M160, address),
        created_at=more & M40,
        closing=state >> 192,
        max_nodes=state >> 176 & M16,
        nodes=state >> 160 & M16,
        lock=more >> 80,
        revisions=more >> 40 & M40,
    )


@external
@view
def rules_at(id: uint256, epoch: uint256) -> ISubnet.Rules:
    """
    @notice The rules that an epoch is reckoned by, past or to come.
    """
    self._known(id)
    return self._unpacked(self._rules[id][self._revision(id, epoch)])


@external
@view
def entry_at(id: uint256, epoch: uint256) -> Entry:
    """
    @notice By which terms the price of a registration moves in an epoch.
    """
    self._known(id)
    return self._entry(id, self._revision(id, epoch))


@external
@view
def task_at(id: uint256, epoch: uint256) -> Task:
    """
    @notice What is asked in an epoch, and how answers are scored.
    """
    self._known(id)
    return self._tasks[id][self._revision(id, epoch)]


@external
@view
def generation(id: uint256, uid: uint256) -> uint256:
    """
    @notice How many have held a uid, 0 where it was not given out.
    """
    return self._seats[id][uid] >> 200


@external
@view
def uid_at(id: uint256, uid: uint256, generation: uint256) -> (address, uint256):
    """
    @notice Who held a uid in a generation, and since when, seconds.
    """
    word: uint256 = self._seats[id][uid]
    if word >> 200 != generation:
        word = self._former[id][uid][generation]
    assert generation != 0 and word != 0, "subnet: no such holder"
    return convert(word & M160, address), word >> 160 & M40


@external
@view
def seat(id: uint256, uid: uint256) -> Seat:
    """
    @notice Who holds a uid.
    """
    return self._seat(id, uid)


@external
@view
def seats(id: uint256, first: uint256) -> DynArray[Seat, MAX_PAGE]:
    """
    @notice Who holds the uids from one on, at most 128.
    """
    found: DynArray[Seat, MAX_PAGE] = []
    nodes: uint256 = self._known(id) >> 160 & M16
    for i: uint256 in range(MAX_PAGE):
        if first + i >= nodes:
            break
        found.append(self._seat(id, first + i))
    return found


@external
@view
def row(id: uint256, epoch: uint256, uid: uint256) -> (bytes32, uint256):
    """
    @notice Hash of the row that a uid revealed in an epoch, and when it was committed; zeros where
            none was.
    """
    return self._rows[id][epoch][uid], self._stakes[id][epoch][uid] >> 64


@external
@view
def stake_at(id: uint256, epoch: uint256, uid: uint256) -> uint256:
    """
    @notice Stake that stood behind a uid in an epoch, grains; 0 where none was recorded.
    """
    return self._stakes[id][epoch][uid] & M64


@external
@view
def records(id: uint256, epoch: uint256, first: uint256) -> DynArray[Record, MAX_PAGE]:
    """
    @notice Rows and stakes of an epoch of the uids from one on, at most 128.
    """
    found: DynArray[Record, MAX_PAGE] = []
    nodes: uint256 = self._known(id) >> 160 & M16
    for i: uint256 in range(MAX_PAGE):
        uid: uint256 = first + i
        if uid >= nodes:
            break
        word: uint256 = self._stakes[id][epoch][uid]
        found.append(
            Record(row=self._rows[id][epoch][uid], committed_at=word >> 64, stake=word & M64)
        )
    return found


@external
@view
def committed(id: uint256, uid: uint256, epoch: uint256) -> Commitment:
    """
    @notice What a uid committed in one of the last two epochs that it committed in; zeros where it
            did not or the commitment is older.
    """
    word: uint256 = self._marks[id][uid][epoch % 2]
    if word >> 80 != epoch + 1:
        return empty(Commitment)
    return self._unmarked(id, uid, epoch % 2)


@external
@view
def commitment_of(
    id: uint256,
    uid: uint256,
    generation: uint256,
    epoch: uint256,
    row_hash: bytes32,
    salt: bytes32,
) -> bytes32:
    """
    @notice What to commit in an epoch, to a row of this hash.
    """
    return self._commitment(id, uid, generation, epoch, row_hash, salt)


@external
@view
def most() -> uint256:
    """
    @notice What the roots can pay of an epoch, base units: their bond covers as many epochs as can
            be open at once. Half of it is for the emission, half for grants.
    """
    return self._most()


@external
@view
def money(id: uint256, epoch: uint256) -> (uint256, uint256):
    """
    @notice Base units that registrations in a subnet burned in an epoch, and what it was granted.
    """
    word: uint256 = self._money[id][epoch]
    return word >> 128, word & M128


@external
@view
def totals(epoch: uint256) -> (uint256, uint256):
    """
    @notice As `money`, of all subnets together.
    """
    word: uint256 = self._totals[epoch]
    return word >> 128, word & M128


@external
@view
def emitted(epoch: uint256) -> uint256:
    """
    @notice What an epoch drew from the emission, base units; 0 while it is open.
    """
    return self._emitted[epoch] >> 1


@external
@view
def closed(epoch: uint256) -> bool:
    """
    @notice Whether an epoch's budgets are fixed.
    """
    return self._is_closed(epoch)


@external
@view
def budget(id: uint256, since: uint256, epoch: uint256) -> uint256:
    """
    @notice What a subnet pays for some epochs together, at most 1024, base units in whole grains;
            refused until all of them are closed.
    """
    assert since <= epoch and epoch - since < MAX_SPAN, "subnet: span out of bounds"
    sum: uint256 = 0
    for i: uint256 in range(epoch + 1 - since, bound=MAX_SPAN):
        sum += self._budget(id, since + i)
    return sum


# Internals: subnets


@internal
@view
def _check_governor():
    assert msg.sender == governor, "subnet: not the governor"


@internal
@view
def _epoch() -> uint256:
    return (block.timestamp - genesis) // epoch_length


@internal
@view
def _known(id: uint256) -> uint256:
    state: uint256 = self._states[id]
    assert state != 0, "subnet: no such subnet"
    return state


@internal
@view
def _check_owner(id: uint256) -> uint256:
    state: uint256 = self._known(id)
    assert msg.sender == convert(state & M160, address), "subnet: not the owner"
    return state


@internal
@view
def _running(id: uint256, epoch: uint256) -> uint256:
    state: uint256 = self._known(id)
    closing: uint256 = state >> 192
    assert closing == 0 or epoch < closing, "subnet: ended"
    return state


@internal
@view
def _check_name(name: bytes32):
    # A letter, then letters, digits and hyphens, then nothing but zeros.
    word: uint256 = convert(name, uint256)
    for i: uint256 in range(32):
        sign: uint256 = word >> 248
        letter: bool = 97 <= sign and sign <= 122
        other: bool = sign == 45 or (48 <= sign and sign <= 57)
        assert letter or (other and i > 0), "subnet: malformed name"
        word <<= 8
        if word == 0:
            break
    assert self.id_of[name] == 0, "subnet: the name is taken"


@internal
@view
def _creation_price() -> uint256:
    price: uint256 = 0
    moment: uint256 = 0
    price, moment = pricing.unpacked(self._last_creation)
    return pricing.decayed(price, block.timestamp - moment, terms.half_life, terms.lowest)


# Internals: rules


@internal
def _revise(
    id: uint256,
    revision: uint256,
    from_epoch: uint256,
    rules: uint256,
    entry: uint256,
    task: Task,
):
    assert empty(bytes32) not in [task.schema, task.scorer], "subnet: no task"
    self._rules[id][revision] = from_epoch << 216 | rules
    self._entries[id][revision] = entry
    self._tasks[id][revision] = task
    log RulesSet(
        subnet=id, from_epoch=from_epoch, revision=revision, rules=rules, entry=entry, task=task
    )


@internal
@view
def _revision(id: uint256, epoch: uint256) -> uint256:
    # The last that begins by the epoch; nothing to search where there is only one.
    low: uint256 = 0
    high: uint256 = self._more[id] >> 40 & M40
    for _: uint256 in range(40):
        if low + 1 >= high:
            break
        middle: uint256 = (low + high) // 2
        if self._rules[id][middle] >> 216 <= epoch:
            low = middle
        else:
            high = middle
    assert self._rules[id][low] >> 216 <= epoch, "subnet: before its first epoch"
    return low


@internal
@pure
def _packed(rules: ISubnet.Rules) -> uint256:
    bounded: bool = (
        0 < rules.max_validators
        and rules.max_validators <= MAX_VALIDATORS
        and rules.immunity <= MAX_IMMUNITY
        and rules.kappa <= M16
        and rules.bonds_penalty <= M16
        and rules.bonds_ema_ppm <= MAX_PPM
        and (rules.yuma3 or not rules.liquid)
        and rules.liquid_low <= rules.liquid_high
        and rules.liquid_high <= M16
        and rules.steepness <= MAX_STEEPNESS
        and rules.min_stake <= M60
        and rules.owner_bps <= MAX_OWNER_BPS
    )
    assert bounded, "subnet: rules out of bounds"
    return (
        rules.kappa
        | rules.bonds_penalty << 16
        | rules.bonds_ema_ppm << 32
        | convert(rules.yuma3, uint256) << 52
        | convert(rules.liquid, uint256) << 53
        | rules.liquid_low << 54
        | rules.liquid_high << 70
        | rules.steepness << 86
        | rules.max_validators << 102
        | rules.immunity << 111
        | rules.owner_bps << 143
        | rules.min_stake << 154
    )


@internal
@pure
def _packed_entry(entry: Entry) -> uint256:
    pricing.check(entry.lowest, entry.highest, entry.half_life, entry.factor_bps)
    return entry.factor_bps << 224 | entry.half_life << 192 | entry.highest << 96 | entry.lowest


@internal
@pure
def _unpacked(word: uint256) -> ISubnet.Rules:
    return ISubnet.Rules(
        max_validators=word >> 102 & M9,
        immunity=word >> 111 & M32,
        kappa=word & M16,
        bonds_penalty=word >> 16 & M16,
        bonds_ema_ppm=word >> 32 & M20,
        yuma3=word >> 52 & 1 == 1,
        liquid=word >> 53 & 1 == 1,
        liquid_low=word >> 54 & M16,
        liquid_high=word >> 70 & M16,
        steepness=word >> 86 & M16,
        min_stake=word >> 154 & M60,
        owner_bps=word >> 143 & M11,
    )


@internal
@view
def _entry(id: uint256, revision: uint256) -> Entry:
    word: uint256 = self._entries[id][revision]
    return Entry(
        lowest=word & M96,
        highest=word >> 96 & M96,
        half_life=word >> 192 & M32,
        factor_bps=word >> 224,
    )


# Internals: nodes


@internal
@view
def _price(id: uint256, revision: uint256) -> uint256:
    entry: Entry = self._entry(id, revision)
    price: uint256 = 0
    moment: uint256 = 0
    price, moment = pricing.unpacked(self._last[id])
    # The last price may be of terms that went higher.
    return pricing.decayed(
        min(price, entry.highest), block.timestamp - moment, entry.half_life, entry.lowest
    )


@internal
def _paid(id: uint256, revision: uint256, max_price: uint256) -> uint256:
    # What the present registration costs.
    price: uint256 = self._price(id, revision)
    assert price <= max_price, "subnet: the price is higher"
    entry: Entry = self._entry(id, revision)
    self._last[id] = pricing.packed(
        pricing.raised(price, entry.factor_bps, entry.highest), block.timestamp
    )
    return price


@internal
@view
def _check_node(node: address):
    assert msg.sender == staticcall IRegistry(registry).owner_of(node), "subnet: not the owner"
    serves: bool = staticcall IRegistry(registry).active(node, MODEL)
    if not serves:
        serves = staticcall IRegistry(registry).active(node, VALIDATOR)
    assert serves, "subnet: wrong role"


@internal
@view
def _replaceable(id: uint256, revision: uint256, nodes: uint256) -> uint256:
    assert self.judge != empty(address), "subnet: full"
    word: uint256 = 0
    ended_at: uint256 = 0
    word, ended_at = staticcall IPruner(self.judge).prune_list(id)
    immunity: uint256 = self._rules[id][revision] >> 111 & M32
    for i: uint256 in range(PRUNED):
        uid: uint256 = word >> (240 - 16 * i) & M16
        if uid >= nodes:
            continue
        since: uint256 = self._seats[id][uid] >> 160 & M40
        # Who came after the list was made is not the one that it names.
        if since < ended_at and since + immunity <= block.timestamp:
            return uid
    raise "subnet: full for now"


@internal
def _remove(id: uint256, uid: uint256, epoch: uint256) -> uint256:
    # Returns the generation that ends.
    seat: Seat = self._seat(id, uid)
    self._former[id][uid][seat.generation] = self._seats[id][uid]
    self.place_of[id][seat.node] = 0
    self._rows[id][epoch][uid] = empty(bytes32)
    self._stakes[id][epoch][uid] = 0
    log Replaced(subnet=id, uid=uid, node=seat.node, generation=seat.generation)
    return seat.generation


@internal
@view
def _seat(id: uint256, uid: uint256) -> Seat:
    word: uint256 = self._seats[id][uid]
    assert word != 0, "subnet: no such uid"
    return Seat(
        node=convert(word & M160, address),
        registered_at=word >> 160 & M40,
        generation=word >> 200,
    )


# Internals: weights


@internal
@view
def _validator(id: uint256, uid: uint256) -> Seat:
    seat: Seat = self._seat(id, uid)
    assert staticcall IRegistry(registry).active(seat.node, VALIDATOR), "subnet: not a validator"
    return seat


@internal
@view
def _check_holder(node: address):
    if msg.sender != node:
        assert msg.sender == staticcall IRegistry(registry).owner_of(
            node
        ), "subnet: not the node or its owner"


@internal
@view
def _stake(node: address) -> uint256:
    stake: uint256 = min(staticcall IStaking(staking).active(node) // GRAIN, M64)
    assert stake > 0, "subnet: no stake"
    return stake


@internal
@view
def _unmarked(id: uint256, uid: uint256, parity: uint256) -> Commitment:
    word: uint256 = self._marks[id][uid][parity]
    return Commitment(
        hashed=self._hashes[id][uid][parity],
        epoch=(word >> 80) - 1,
        committed_at=word >> 40 & M40,
        generation=word & M40,
    )


@internal
@view
def _committed(id: uint256, uid: uint256, epoch: uint256) -> Commitment:
    # Marks hold the epoch plus one: that of the epoch before is the number of this one.
    before: uint256 = (epoch + 1) % 2
    last: uint256 = self._marks[id][uid][before] >> 80
    if last == epoch and last != 0:
        return self._unmarked(id, uid, before)
    latest: uint256 = self._marks[id][uid][epoch % 2] >> 80
    assert latest != epoch + 1, "subnet: too early to reveal"
    assert last | latest == 0, "subnet: too late to reveal"
    raise "subnet: nothing committed"


@internal
@view
def _commitment(
    id: uint256,
    uid: uint256,
    generation: uint256,
    epoch: uint256,
    row_hash: bytes32,
    salt: bytes32,
) -> bytes32:
    return keccak256(
        abi_encode(ROW, network_id, self, id, uid, generation, epoch, row_hash, salt)
    )


@internal
@pure
def _check_row(row: Bytes[MAX_ROW], nodes: uint256):
    size: uint256 = len(row)
    assert size > 0, "subnet: empty row"
    assert size % 4 == 0, "subnet: wrong length of row"
    next: uint256 = 0
    for i: uint256 in range(size // 32, bound=MAX_ROW // 32):
        next = self._after(extract32(row, 32 * i, output_type=uint256), 8, next)
    rest: uint256 = size % 32
    word: uint256 = 0
    for i: uint256 in range(rest // 4, bound=7):
        word = word << 32 | convert(slice(row, size - rest + 4 * i, 4), uint256)
    if rest > 0:
        next = self._after(word << (256 - 8 * rest), rest // 4, next)
    assert next <= nodes, "subnet: unknown uid in the row"


@internal
@pure
def _after(word: uint256, count: uint256, least: uint256) -> uint256:
    # The least uid that may come after the entries at the upper end of a word. All are looked at at
    # once: each has a lane of 32 bits, whose upper bit stays set where what is taken from the lane
    # is not more than what is in it. Lanes that say nothing are filled.
    blank: uint256 = 256 - 32 * count
    ones: uint256 = LANES
    upper: uint256 = ones << 31
    lower: uint256 = unsafe_mul(ones, M16)
    uids: uint256 = word >> 16 & lower
    rises: uint256 = unsafe_sub(unsafe_sub(uids << 32 | upper, uids), ones)
    rises |= unsafe_sub(ONE << (blank + 32), 1)
    assert ~rises & upper == 0 and word >> 240 >= least, "subnet: uids do not rise"
    weighs: uint256 = unsafe_sub(word & lower | upper, ones) | unsafe_sub(ONE << blank, 1)
    assert ~weighs & upper == 0, "subnet: a weight of zero"
    return (uids >> blank & M16) + 1


# Internals: money


@internal
@view
def _most() -> uint256:
    rules: PrizeRules = staticcall IPrizes(prizes).parameters()
    return min(rules.growth * GRAIN, rules.bond) // (2 + rules.window // epoch_length)


@internal
def _add(id: uint256, epoch: uint256, amounts: uint256):
    # Each half stays below what was ever minted, far below 2**128.
    self._money[id][epoch] += amounts
    self._totals[epoch] += amounts


@internal
def _drawable(epoch: uint256) -> uint256:
    market: bytes32 = staticcall ISchedule(issuance).market_of(self)
    if staticcall ISchedule(issuance).distributor(market) != self:
        return 0
    # Else an epoch could not be closed, and what it pays not be disputed.
    if not staticcall IMoney(token).minters(issuance):
        return 0
    if staticcall IIssuance(issuance).closed() <= epoch:
        extcall IIssuance(issuance).advance(ADVANCED)
    return staticcall IIssuance(issuance).drawable(epoch)


@internal
@view
def _is_closed(epoch: uint256) -> bool:
    if self._totals[epoch] == 0:
        return epoch < self._epoch()
    return self._emitted[epoch] != 0


@internal
@view
def _budget(id: uint256, epoch: uint256) -> uint256:
    assert self._is_closed(epoch), "subnet: an epoch is not closed"
    word: uint256 = self._money[id][epoch]
    if word == 0:
        return 0
    burned: uint256 = word >> 128
    part: uint256 = 0
    if burned > 0:
        part = (self._emitted[epoch] >> 1) * burned // (self._totals[epoch] >> 128)
    return part - part % GRAIN + (word & M128)


@internal
def _pull(amount: uint256, purpose: uint8):
    log Movement(token=token, sender=msg.sender, recipient=self, amount=amount, purpose=purpose)
    self._check(extcall IToken(token).transferFrom(msg.sender, self, amount))


@internal
@pure
def _check(done: bool):
    assert done, "subnet: the token refused"
