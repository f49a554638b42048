# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize codesize
"""
@title Governor
@license Apache-2.0
@notice A timelock in front of every parameter and role, and one view of all powers anyone has.
@dev Threats and what meets them.
     - A stolen guardian key: it can propose, cancel, and pause *new* business, and never move
       funds. Everything else waits in public: `delay` for parameters, and for roles (minter,
       slasher, locker, evaluator, market) `delay` plus the whole unbonding period, so that whoever
       disagrees has left with their stake before the role begins.
     - Hidden roles: role calls have one accepted form (account, bool) and are written to the list
       of powers by the call itself; nobody needs to remember to, and nothing else can write or
       remove a role of such a name.
     - A shortened timelock: the delay has a lower bound, and changing it waits the old delay.
     - Stale proposals: what is not executed within EXECUTION_WINDOW is void.
     Trust: until `finish_setup` the guardian acts at once (deployment); afterwards never again.
     Each target bounds its own parameters; this contract does not know them.
"""

interface IStaking:
    def unbonding_period() -> uint256: view


interface IPausable:
    def set_paused(paused: bool): nonpayable


event Proposed:
    id: indexed(uint256)
    target: indexed(address)
    data: Bytes[1024]
    ready_at: uint256


event Executed:
    id: indexed(uint256)


event Cancelled:
    id: indexed(uint256)


event SetupFinished:
    pass


event PowerGranted:
    contract: indexed(address)
    role: String[32]
    holder: indexed(address)


event PowerRevoked:
    contract: indexed(address)
    role: String[32]
    holder: indexed(address)


event PauseSet:
    target: indexed(address)
    paused: bool


event DelaySet:
    delay: uint256


event GuardianSet:
    guardian: indexed(address)


struct Proposal:
    target: address
    data: Bytes[1024]
    ready_at: uint256
    state: uint8


struct Power:
    contract: address
    role: String[32]
    holder: address
    delay: uint256


struct Grant:
    contract: address
    role: String[32]
    holder: address


PENDING: constant(uint8) = 1
EXECUTED: constant(uint8) = 2
CANCELLED: constant(uint8) = 3
MIN_DELAY: constant(uint256) = 60
MAX_DELAY: constant(uint256) = 30 * 86400
EXECUTION_WINDOW: constant(uint256) = 14 * 86400
MAX_GRANTS: constant(uint256) = 62

guardian: public(address)
delay: public(uint256)
staking: public(address)
setup_done: public(bool)
proposal_count: public(uint256)
_proposals: HashMap[uint256, Proposal]
_grants: DynArray[Grant, MAX_GRANTS]


@deploy
def __init__(guardian_: address, delay_: uint256):
    assert guardian_ != empty(address), "governor: no guardian"
    self.guardian = guardian_
    self._set_delay(delay_)


@external
def setup_call(target: address, data: Bytes[1024]):
    """
    @notice Act at once, by the guardian, until the setup is finished.
    """
    self._only_guardian()
    assert not self.setup_done, "governor: setup is finished"
    self._perform(target, data)


@external
def finish_setup():
    """
    @notice End the setup for ever. The staking contract must be known by then, because the delay
            of roles is measured by its unbonding period.
    """
    self._only_guardian()
    assert not self.setup_done, "governor: setup is finished"
    assert self.staking != empty(address), "governor: no staking set"
    self.setup_done = True
    log SetupFinished()


@external
def propose(target: address, data: Bytes[1024]) -> uint256:
    """
    @notice Queue a call, by the guardian; returns its id. It can be executed after `delay`, or
            `role_delay` where it sets a role.
    """
    self._only_guardian()
    assert self.setup_done, "governor: setup is not finished"
    ready_at: uint256 = block.timestamp + self._delay_of(data)
    self.proposal_count += 1
    id: uint256 = self.proposal_count
    self._proposals[id] = Proposal(target=target, data=data, ready_at=ready_at, state=PENDING)
    log Proposed(id=id, target=target, data=data, ready_at=ready_at)
    return id


@external
def execute(id: uint256):
    """
    @notice Perform a queued call, by anyone, once it is ready and until it is stale.
    """
    waiting: Proposal = self._proposals[id]
    assert waiting.state == PENDING, "governor: not pending"
    assert block.timestamp >= waiting.ready_at, "governor: too early"
    assert block.timestamp <= waiting.ready_at + EXECUTION_WINDOW, "governor: stale"
    self._proposals[id].state = EXECUTED
    self._perform(waiting.target, waiting.data)
    log Executed(id=id)


@external
def cancel(id: uint256):
    """
    @notice Drop a queued call, by the guardian.
    """
    self._only_guardian()
    assert self._proposals[id].state == PENDING, "governor: not pending"
    self._proposals[id].state = CANCELLED
    log Cancelled(id=id)


@external
def pause(target: address):
    """
    @notice Stop new business of a contract at once, by the guardian.
    """
    self._set_paused(target, True)


@external
def unpause(target: address):
    """
    @notice Allow new business again, by the guardian.
    """
    self._set_paused(target, False)


@external
def grant_power(contract: address, role: String[32], holder: address):
    """
    @notice List a power that no role call shows; the guardian during setup, else a proposal.
    """
    self._only_self_or_setup()
    self._check_unmanaged(role)
    self._grant(contract, role, holder)


@external
def revoke_power(contract: address, role: String[32], holder: address):
    """
    @notice Take such a power off the list; the guardian during setup, else a proposal.
    """
    self._only_self_or_setup()
    self._check_unmanaged(role)
    self._revoke(contract, role, holder)


@external
def set_staking(staking_: address):
    """
    @notice Name the staking contract, once; by `setup_call` to this contract.
    """
    self._only_self()
    assert self.staking == empty(address), "governor: staking is set"
    assert staticcall IStaking(staking_).unbonding_period() > 0, "governor: no unbonding period"
    self.staking = staking_


@external
def set_delay(delay_: uint256):
    """
    @notice Change the delay of parameters (and with it that of roles), within its bounds.
    """
    self._only_self()
    self._set_delay(delay_)


@external
def set_guardian(guardian_: address):
    """
    @notice Hand the guardian's powers to another account.
    """
    self._only_self()
    assert guardian_ != empty(address), "governor: no guardian"
    self.guardian = guardian_
    log GuardianSet(guardian=guardian_)


@external
@view
def proposal(id: uint256) -> Proposal:
    """
    @notice A queued call; state 1 pending, 2 executed, 3 cancelled, 0 unknown.
    """
    return self._proposals[id]


@external
@view
def role_delay() -> uint256:
    """
    @notice The delay of a new minter, slasher, locker, evaluator or market, seconds.
    """
    return self._role_delay()


@external
@view
def powers() -> DynArray[Power, 64]:
    """
    @notice Every power anyone has: over which contract, which role, who, and the delay with which
            it can be given to another.
    """
    found: DynArray[Power, 64] = [
        Power(contract=self, role="propose", holder=self.guardian, delay=self.delay),
        Power(contract=self, role="pause", holder=self.guardian, delay=self.delay),
    ]
    wait: uint256 = self._role_delay()
    for grant: Grant in self._grants:
        found.append(
            Power(contract=grant.contract, role=grant.role, holder=grant.holder, delay=wait)
        )
    return found


@internal
@view
def _only_guardian():
    assert msg.sender == self.guardian, "governor: not the guardian"


@internal
@view
def _only_self():
    assert msg.sender == self, "governor: not by proposal"


@internal
@view
def _only_self_or_setup():
    assert msg.sender == self or (
        msg.sender == self.guardian and not self.setup_done
    ), "governor: not by proposal"


@internal
def _set_delay(delay_: uint256):
    assert MIN_DELAY <= delay_ and delay_ <= MAX_DELAY, "governor: delay out of bounds"
    self.delay = delay_
    log DelaySet(delay=delay_)


@internal
def _set_paused(target: address, paused: bool):
    self._only_guardian()
    extcall IPausable(target).set_paused(paused)
    log PauseSet(target=target, paused=paused)


@internal
@view
def _role_delay() -> uint256:
    if self.staking == empty(address):
        return self.delay
    return self.delay + staticcall IStaking(self.staking).unbonding_period()


@internal
@view
def _delay_of(data: Bytes[1024]) -> uint256:
    if self._role_of(data) != "":
        return self._role_delay()
    return self.delay


@internal
@pure
def _role_of(data: Bytes[1024]) -> String[32]:
    # The name of the role that a call sets, empty where it sets none. A role call has exactly one
    # form, so that no padding or trailing byte can hide one.
    assert len(data) >= 4, "governor: no selector"
    selector: bytes4 = convert(slice(data, 0, 4), bytes4)
    role: String[32] = ""
    if selector == method_id("set_minter(address,bool)", output_type=bytes4):
        role = "minter"
    elif selector == method_id("set_slasher(address,bool)", output_type=bytes4):
        role = "slasher"
    elif selector == method_id("set_locker(address,bool)", output_type=bytes4):
        role = "locker"
    elif selector == method_id("set_evaluator(address,bool)", output_type=bytes4):
        role = "evaluator"
    elif selector == method_id("set_market(address,bool)", output_type=bytes4):
        role = "market"
    if role != "":
        assert len(data) == 68, "governor: malformed role call"
    return role


@internal
@pure
def _check_unmanaged(role: String[32]):
    assert (
        role != "minter"
        and role != "slasher"
        and role != "locker"
        and role != "evaluator"
        and role != "market"
    ), "governor: set by a role call"


@internal
def _perform(target: address, data: Bytes[1024]):
    assert target.is_contract, "governor: target has no code"
    role: String[32] = self._role_of(data)
    if role != "":
        holder: address = convert(
            convert(slice(data, 4, 32), uint256) & convert(max_value(uint160), uint256), address
        )
        if convert(slice(data, 36, 32), uint256) == 0:
            self._revoke(target, role, holder)
        else:
            self._grant(target, role, holder)
    raw_call(target, data)


@internal
@view
def _find(contract: address, role: String[32], holder: address) -> uint256:
    # The place of a grant in the list, or the list's length where it is not there.
    place: uint256 = 0
    for grant: Grant in self._grants:
        if grant.contract == contract and grant.holder == holder and grant.role == role:
            return place
        place += 1
    return place


@internal
def _grant(contract: address, role: String[32], holder: address):
    count: uint256 = len(self._grants)
    if self._find(contract, role, holder) < count:
        return
    assert count < MAX_GRANTS, "governor: too many powers"
    self._grants.append(Grant(contract=contract, role=role, holder=holder))
    log PowerGranted(contract=contract, role=role, holder=holder)


@internal
def _revoke(contract: address, role: String[32], holder: address):
    place: uint256 = self._find(contract, role, holder)
    count: uint256 = len(self._grants)
    if place == count:
        return
    self._grants[place] = self._grants[count - 1]
    self._grants.pop()
    log PowerRevoked(contract=contract, role=role, holder=holder)
