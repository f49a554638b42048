# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize codesize
"""
@title Registry
@license Apache-2.0
@notice Who takes part: nodes with their owner, endpoint, TLS fingerprint and payout; session keys.
@dev A node's id is the address of its hot key, its owner another account.
     Threats and what meets them.
     - Registering somebody else's key: the node key signs its consent to the owner, bound to a
       generation, a deadline and (by the domain) to this contract, chain and network.
     - Taking over a node: the first owner is the owner for ever. A retired node returns only under
       the same owner, with a new generation and a new consent.
     - A stolen node key: it can announce an endpoint and nothing else; the owner overwrites it.
     - Filling the list, which clients and watchers read node by node: a new node burns `price` of
       its owner's tokens. Each raises it by the factor, and it halves every half-life.
     - Holding the price up to keep others out: burns what it costs, and lasts some half-lives.
     - Being overtaken by a registration that makes the next one dearer: the owner states the most he
       pays, and approves no more.
     - A retired node that returns, and what a node says of itself, add nothing to the list: free.
     Trust: the governor may pause new registrations and nothing else; what is registered stays. The
     terms of the price are fixed at deployment. Where `lowest` is 0 registering is free, and no
     token is called.
     What a session key may do is for those who accept it; here it is only listed.
"""

from modules import pricing
from modules import typed

interface IBurnable:
    def burn_from(owner: address, amount: uint256): nonpayable


event NodeRegistered:
    node: indexed(address)
    owner: indexed(address)
    generation: uint64
    roles: uint256
    endpoint: String[128]
    tls: bytes32
    info: bytes32
    payout: address
    burned: uint256


event NodeUpdated:
    node: indexed(address)
    owner: indexed(address)
    generation: uint64
    roles: uint256
    endpoint: String[128]
    tls: bytes32
    info: bytes32
    payout: address


event NodeRetired:
    node: indexed(address)
    owner: indexed(address)


event SessionSet:
    account: indexed(address)
    key: indexed(address)
    scope: uint256
    cap: uint256
    expiry: uint64


event PausedSet:
    paused: bool


struct Node:
    owner: address
    payout: address
    roles: uint256
    generation: uint64
    registered_at: uint64
    retired: bool
    endpoint: String[128]
    tls: bytes32
    info: bytes32


struct Session:
    scope: uint256
    cap: uint256
    expiry: uint64


CONSENT_TYPE: constant(bytes32) = keccak256(
    "Consent(address node,address owner,uint64 generation,uint64 deadline)"
)
DOMAIN_NAME: constant(bytes32) = keccak256("Freehold registry")
ALL_ROLES: constant(uint256) = 63
MAX_SESSION: constant(uint256) = 366 * 86400

network_id: public(immutable(bytes32))
governor: public(immutable(address))
token: public(immutable(address))
lowest: public(immutable(uint256))
highest: public(immutable(uint256))
half_life: public(immutable(uint256))
factor_bps: public(immutable(uint256))

paused: public(bool)
count: public(uint256)
_nodes: HashMap[address, Node]
_list: HashMap[uint256, address]
# The price after the last registration and its moment, one word.
_last: uint256
_sessions: HashMap[address, HashMap[address, Session]]


@deploy
def __init__(
    network_id_: bytes32,
    governor_: address,
    token_: address,
    lowest_: uint256,
    highest_: uint256,
    half_life_: uint256,
    factor_bps_: uint256,
):
    assert governor_ != empty(address), "registry: no governor"
    if lowest_ != 0:
        assert token_.is_contract, "registry: token has no code"
        pricing.check(lowest_, highest_, half_life_, factor_bps_)
    network_id = network_id_
    governor = governor_
    token = token_
    lowest = lowest_
    highest = highest_
    half_life = half_life_
    factor_bps = factor_bps_


@external
def register(
    node: address,
    roles: uint256,
    endpoint: String[128],
    tls: bytes32,
    info: bytes32,
    payout: address,
    deadline: uint64,
    consent: Bytes[65],
    most: uint256 = max_value(uint256),
):
    """
    @notice Register a node, or bring a retired one back; the caller is its owner. A new node burns
            `price` of the caller's tokens, for which he approved this contract; refused where that
            is more than `most`.
    """
    assert not self.paused, "registry: paused"
    assert node not in [empty(address), msg.sender], "registry: wrong node"
    assert block.timestamp <= convert(deadline, uint256), "registry: consent expired"
    self._check(roles, payout)
    before: Node = self._nodes[node]
    assert before.owner in [empty(address), msg.sender], "registry: owned by another"
    assert before.generation == 0 or before.retired, "registry: already registered"
    generation: uint64 = before.generation + 1
    self._check_consent(node, generation, deadline, consent)
    burned: uint256 = 0
    if before.generation == 0:
        self._list[self.count] = node
        self.count += 1
        burned = self._raise_price(most)
    self._nodes[node] = Node(
        owner=msg.sender,
        payout=payout,
        roles=roles,
        generation=generation,
        registered_at=convert(block.timestamp, uint64),
        retired=False,
        endpoint=endpoint,
        tls=tls,
        info=info,
    )
    if burned > 0:
        extcall IBurnable(token).burn_from(msg.sender, burned)
    log NodeRegistered(
        node=node,
        owner=msg.sender,
        generation=generation,
        roles=roles,
        endpoint=endpoint,
        tls=tls,
        info=info,
        payout=payout,
        burned=burned,
    )


@external
def update(
    node: address,
    roles: uint256,
    endpoint: String[128],
    tls: bytes32,
    info: bytes32,
    payout: address,
):
    """
    @notice Change what a node says of itself, by its owner.
    """
    self._only_owner(node)
    self._check(roles, payout)
    self._nodes[node].roles = roles
    self._nodes[node].endpoint = endpoint
    self._nodes[node].tls = tls
    self._nodes[node].info = info
    self._nodes[node].payout = payout
    self._log_update(node)


@external
def announce(node: address, endpoint: String[128], tls: bytes32):
    """
    @notice Change where a node is reached, by its owner or its own key.
    """
    assert msg.sender in [node, self._nodes[node].owner], "registry: not the owner or the node"
    self._live(node)
    self._nodes[node].endpoint = endpoint
    self._nodes[node].tls = tls
    self._log_update(node)


@external
def retire(node: address):
    """
    @notice Take a node out of service, by its owner; its stake and deals keep their rules.
    """
    self._only_owner(node)
    self._nodes[node].retired = True
    log NodeRetired(node=node, owner=msg.sender)


@external
def set_session(key: address, scope: uint256, cap: uint256, expiry: uint64):
    """
    @notice List a session key of the caller: what it may do, how much it may spend, until when.
    """
    assert key not in [empty(address), msg.sender], "registry: wrong key"
    until: uint256 = convert(expiry, uint256)
    assert block.timestamp < until, "registry: session expired"
    assert until <= block.timestamp + MAX_SESSION, "registry: session too long"
    self._sessions[msg.sender][key] = Session(scope=scope, cap=cap, expiry=expiry)
    log SessionSet(account=msg.sender, key=key, scope=scope, cap=cap, expiry=expiry)


@external
def revoke_session(key: address):
    """
    @notice Take a session key of the caller off the list.
    """
    self._sessions[msg.sender][key] = empty(Session)
    log SessionSet(account=msg.sender, key=key, scope=0, cap=0, expiry=0)


@external
def set_paused(paused_: bool):
    """
    @notice Stop or allow new registrations; the governor.
    """
    assert msg.sender == governor, "registry: not the governor"
    self.paused = paused_
    log PausedSet(paused=paused_)


@external
@view
def node(node: address) -> Node:
    """
    @notice Everything about a node; generation 0 where it is unknown.
    """
    return self._nodes[node]


@external
@view
def owner_of(node: address) -> address:
    """
    @notice The owner, the zero address where the node is unknown.
    """
    return self._nodes[node].owner


@external
@view
def payout_of(node: address) -> address:
    """
    @notice Where the node is paid, the zero address where it is unknown.
    """
    return self._nodes[node].payout


@external
@view
def active(node: address, role: uint256) -> bool:
    """
    @notice Whether a node is in service and has every role in the mask.
    """
    if self._nodes[node].generation == 0 or self._nodes[node].retired:
        return False
    return role != 0 and self._nodes[node].roles & role == role


@external
@view
def at(i: uint256) -> address:
    """
    @notice The i-th node ever registered, from 0.
    """
    assert i < self.count, "registry: no such place"
    return self._list[i]


@external
@view
def price() -> uint256:
    """
    @notice What registering a new node burns at this moment, base units; 0 where it is free.
    """
    return self._price()


@external
@view
def session(account: address, key: address) -> Session:
    """
    @notice A session key of an account; expiry 0 where there is none.
    """
    return self._sessions[account][key]


@internal
@view
def _price() -> uint256:
    price: uint256 = 0
    moment: uint256 = 0
    price, moment = pricing.unpacked(self._last)
    return pricing.decayed(price, block.timestamp - moment, half_life, lowest)


@internal
def _raise_price(most: uint256) -> uint256:
    # What the present registration costs.
    if lowest == 0:
        return 0
    price: uint256 = self._price()
    assert price <= most, "registry: the price is higher"
    self._last = pricing.packed(pricing.raised(price, factor_bps, highest), block.timestamp)
    return price


@internal
@pure
def _check(roles: uint256, payout: address):
    assert roles != 0 and roles & ALL_ROLES == roles, "registry: unknown roles"
    assert payout != empty(address), "registry: no payout"


@internal
@view
def _check_consent(node: address, generation: uint64, deadline: uint64, consent: Bytes[65]):
    hashed: bytes32 = keccak256(
        abi_encode(CONSENT_TYPE, node, msg.sender, generation, deadline)
    )
    message: bytes32 = typed.digest(DOMAIN_NAME, network_id, hashed)
    assert typed.recover_packed(message, consent) == node, "registry: wrong consent"


@internal
@view
def _only_owner(node: address):
    assert msg.sender == self._nodes[node].owner, "registry: not the owner"
    self._live(node)


@internal
@view
def _live(node: address):
    assert self._nodes[node].generation != 0, "registry: unknown node"
    assert not self._nodes[node].retired, "registry: retired"


@internal
def _log_update(node: address):
    now: Node = self._nodes[node]
    log NodeUpdated(
        node=node,
        owner=now.owner,
        generation=now.generation,
        roles=now.roles,
        endpoint=now.endpoint,
        tls=now.tls,
        info=now.info,
        payout=now.payout,
    )
