# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize codesize
"""
@title Payments
@license Apache-2.0
@notice Accounts in allowlisted ERC-20s; rails that pay by the second for what an arbiter accepts;
        escrow for markets; vouchers; a cumulative network fee.
@dev Units. Amounts are base units. A rate is base units per TiB-month times bytes, so a second
     costs rate / RATE_UNIT. Lockups are kept scaled (amount * RATE_UNIT): nothing is truncated
     until a whole base unit is paid, and the fraction waits on the rail (`dust`).
     An account owes its rails `lockup`: what has run since they were settled, the guarantee
     rate * lockup_period of each, and the fixed lockups. Law: lockup <= funds * RATE_UNIT, and the
     account is "settled" up to its last solvent moment, `settled_at`. A payer who runs dry stops
     there; a later deposit takes the clock up where it stopped.
     Threats and what meets them.
     - A market that pays itself: clients approve each market with caps on rate, fixed lockup and
       escrow; the arbiter of a rail is fixed at opening and can only lower what time allows.
     - An arbiter that fails, or burns gas: it is a gas-capped static call; without it nothing is
       paid, the payer can end the rail, and after a timeout the rest goes back. Callers must bring
       enough gas, so that a failure cannot be staged.
     - A payer that leaves: ending a rail leaves the guarantee locked until its end.
     - Vouchers: cumulative, bound to a rail that is never reused; the payee has the delay that
       stood at opening to redeem. A contract payer (ERC-1271) is asked with capped gas, which the
       payee pays for, and can revoke its signature: a payee should redeem those at once, for
       more than the gas, or refuse them.
     - Changed terms: fee, voucher delay and arbiter of a rail are those of its opening.
     - Foreign tokens: only allowlisted ones, credited by what arrived; fee-on-transfer is refused.
       Re-entrance: every function that changes state holds one lock; views do not, because an
       arbiter may read them.
     - Fees in foreign tokens: nobody can take them. Anyone pushes them to the one auction, which
       the governor names once and for ever.
     Trust: the governor sets parameters within hard bounds, and names tokens and markets; it can
     touch no account and no fee held here. Withdrawals, settlement and endings have no pause.
     Rebasing tokens must not be allowlisted.
"""

from interfaces import IBurned
from interfaces import IToken
from modules import typed

implements: IBurned

event Deposited:
    token: indexed(address)
    owner: indexed(address)
    amount: uint256


event Withdrawn:
    token: indexed(address)
    owner: indexed(address)
    to: address
    amount: uint256


event MarketApproved:
    token: indexed(address)
    owner: indexed(address)
    market: indexed(address)
    rate_cap: uint256
    lockup_cap: uint256


event RailOpened:
    rail: indexed(uint256)
    payer: indexed(address)
    payee: indexed(address)
    token: address
    market: address
    rate: uint256
    lockup_period: uint256
    fixed: uint256


event RailModified:
    rail: indexed(uint256)
    rate: uint256
    fixed: uint256
    lockup_period: uint256


event RailEnded:
    rail: indexed(uint256)
    end_at: uint256


event RailSettled:
    rail: indexed(uint256)
    seconds: uint256
    paid: uint256
    fee: uint256
    until: uint256


event RailClosed:
    rail: indexed(uint256)


event FixedPaid:
    rail: indexed(uint256)
    to: indexed(address)
    amount: uint256
    purpose: uint8


event Collected:
    token: indexed(address)
    payer: indexed(address)
    market: indexed(address)
    amount: uint256


event Sent:
    token: indexed(address)
    sender: indexed(address)
    recipient: indexed(address)
    amount: uint256
    purpose: uint8


event VoucherOpened:
    rail: indexed(uint256)
    payer: indexed(address)
    payee: indexed(address)
    token: address
    collateral: uint256


event VoucherRedeemed:
    rail: indexed(uint256)
    amount: uint256
    paid: uint256
    fee: uint256


event VoucherClosing:
    rail: indexed(uint256)
    ready_at: uint256


event VoucherClosed:
    rail: indexed(uint256)
    refund: uint256


event Movement:
    token: indexed(address)
    sender: indexed(address)
    recipient: indexed(address)
    amount: uint256
    purpose: uint8


event TokenSet:
    token: indexed(address)
    allowed: bool


event MarketSet:
    market: indexed(address)
    allowed: bool


event FeesSet:
    fee_bps: uint256
    burn_bps: uint256


event DelaysSet:
    arbiter_timeout: uint256
    voucher_delay: uint256


event TreasurySet:
    treasury: address


event AuctionSet:
    auction: indexed(address)


struct Account:
    funds: uint256
    lockup: uint256
    lockup_rate: uint256
    settled_at: uint256


struct Rail:
    token: address
    payer: address
    payee: address
    market: address
    rate: uint256
    lockup_period: uint256
    fixed: uint256
    opened_at: uint256
    settled_at: uint256
    end_at: uint256
    accepted: uint256
    paid: uint256
    fee: uint256
    fee_bps: uint256
    dust: uint256
    closed: bool


# A rail in five words: 160-bit addresses, 128-bit amounts, 64-bit dust, 40-bit times, 16-bit rest.
struct Packed:
    payer: uint256  # payer | token number | opened_at | lockup_period
    payee: uint256  # payee | market number | fee_bps | closed
    clock: uint256  # dust | settled_at | accepted | end_at
    terms: uint256  # rate | fixed
    sums: uint256  # paid | fee


struct Allowance:
    rate_cap: uint256
    rate_used: uint256
    lockup_cap: uint256
    lockup_used: uint256


RATE_UNIT: public(constant(uint256)) = 2**40 * 2592000
MAX_FUNDS: constant(uint256) = 2**120
MAX_RATE: constant(uint256) = 2**128 - 1
MAX_LOCKUP_PERIOD: constant(uint256) = 366 * 86400
MAX_FEE_BPS: constant(uint256) = 500
MAX_BPS: constant(uint256) = 10**4
MIN_DELAY: constant(uint256) = 60
MAX_ARBITER_TIMEOUT: constant(uint256) = 90 * 86400
MAX_VOUCHER_DELAY: constant(uint256) = 30 * 86400
MAX_BATCH: constant(uint256) = 32
ARBITER_GAS: constant(uint256) = 300_000
WALLET_GAS: constant(uint256) = 300_000
# EIP-150 passes on 63/64 of what is left: the rest of a settlement needs its own share.
SETTLE_GAS: constant(uint256) = 360_000
SAME: constant(uint256) = max_value(uint256)
MASK_160: constant(uint256) = 2**160 - 1
MASK_128: constant(uint256) = 2**128 - 1
MASK_64: constant(uint256) = 2**64 - 1
MASK_40: constant(uint256) = 2**40 - 1
MASK_16: constant(uint256) = 2**16 - 1
PURPOSE_DEPOSIT: constant(uint8) = 1
PURPOSE_WITHDRAWAL: constant(uint8) = 2
PURPOSE_PAYMENT: constant(uint8) = 3
PURPOSE_FEE: constant(uint8) = 5
PURPOSE_BURN: constant(uint8) = 6
PURPOSES: constant(uint8) = 17
ERC1271_MAGIC: constant(bytes4) = 0x1626BA7E
VOUCHER_TYPE: constant(bytes32) = keccak256("Voucher(uint256 rail,uint256 amount)")
DOMAIN_NAME: constant(bytes32) = keccak256("Freehold payments")

network_token: public(immutable(address))
network_id: public(immutable(bytes32))
governor: public(immutable(address))

treasury: public(address)
auction: public(address)
fee_bps: public(uint256)
burn_bps: public(uint256)
arbiter_timeout: public(uint256)
voucher_delay: public(uint256)
# Foreign tokens alone; what is taken in the network's own burns or is the treasury's at once.
fees: public(HashMap[address, uint256])
# Network tokens burned as fees of what rails of a market paid to an account; vouchers count for none.
burned: public(HashMap[address, HashMap[address, uint256]])
total_funds: public(HashMap[address, uint256])
rail_count: public(uint256)
tokens: public(HashMap[address, bool])
markets: public(HashMap[address, bool])
_numbers: HashMap[address, uint256]
_addresses: HashMap[uint256, address]
_last_number: uint256
_accounts: HashMap[address, HashMap[address, Account]]
_allowances: HashMap[address, HashMap[address, HashMap[address, Allowance]]]
_rails: HashMap[uint256, Packed]


@deploy
def __init__(network_token_: address, network_id_: bytes32, governor_: address, treasury_: address):
    assert governor_ != empty(address), "payments: no governor"
    network_token = network_token_
    network_id = network_id_
    governor = governor_
    self._set_token(network_token_, True)
    self._set_treasury(treasury_)
    self._set_fees(50, 5000)
    self._set_delays(7 * 86400, 86400)


# Accounts


@external
@nonreentrant
def deposit(token: address, to: address, amount: uint256):
    """
    @notice Bring the caller's tokens into the account of `to`.
    """
    self._deposit(token, to, amount)


@external
@nonreentrant
def deposit_with_permit(
    token: address,
    to: address,
    amount: uint256,
    deadline: uint256,
    v: uint8,
    r: bytes32,
    s: bytes32,
):
    """
    @notice As `deposit`, with an EIP-2612 permit of the caller.
    """
    self._permit(token, amount, deadline, v, r, s)
    self._deposit(token, to, amount)


@external
@nonreentrant
def deposit_with_permit_and_approve(
    token: address,
    amount: uint256,
    deadline: uint256,
    v: uint8,
    r: bytes32,
    s: bytes32,
    market: address,
    rate_cap: uint256,
    lockup_cap: uint256,
):
    """
    @notice Permit, deposit into the caller's account, and approve a market, in one transaction.
    """
    self._permit(token, amount, deadline, v, r, s)
    self._deposit(token, msg.sender, amount)
    self._approve_market(token, market, rate_cap, lockup_cap)


@external
@nonreentrant
def withdraw(token: address, to: address, amount: uint256):
    """
    @notice Take out what is not locked.
    """
    assert to not in [empty(address), self], "payments: wrong recipient"
    self._debit_free(token, msg.sender, amount)
    self.total_funds[token] -= amount
    log Withdrawn(token=token, owner=msg.sender, to=to, amount=amount)
    log Movement(
        token=token, sender=self, recipient=to, amount=amount, purpose=PURPOSE_WITHDRAWAL
    )
    assert extcall IToken(token).transfer(
        to, amount, default_return_value=True
    ), "payments: transfer failed"


@external
@nonreentrant
def send(token: address, to: address, amount: uint256, purpose: uint8):
    """
    @notice Move what is not locked from the caller's account to another account. Every purpose but
            that of a payment is for markets, present or former.
    """
    assert to != empty(address), "payments: wrong recipient"
    self._check_purpose(purpose)
    assert purpose == PURPOSE_PAYMENT or self._numbers[msg.sender] != 0, "payments: not a market"
    self._debit_free(token, msg.sender, amount)
    self._accounts[token][to].funds += amount
    log Sent(token=token, sender=msg.sender, recipient=to, amount=amount, purpose=purpose)


@external
@nonreentrant
def approve_market(token: address, market: address, rate_cap: uint256, lockup_cap: uint256):
    """
    @notice Let a market open rails from the caller's account: the sum of their rates stays within
            `rate_cap` (scaled), fixed lockups plus collected escrow within `lockup_cap` (base
            units). Lowering a cap below its use stops new business only.
    """
    self._approve_market(token, market, rate_cap, lockup_cap)


# Markets


@external
@nonreentrant
def collect(token: address, payer: address, amount: uint256):
    """
    @notice Move free funds of a client that approved the calling market to the market's account.
    """
    self._use_lockup(token, payer, msg.sender, amount)
    self._debit_free(token, payer, amount)
    self._accounts[token][msg.sender].funds += amount
    log Collected(token=token, payer=payer, market=msg.sender, amount=amount)


@external
@nonreentrant
def open_rail(
    token: address,
    payer: address,
    payee: address,
    rate: uint256,
    lockup_period: uint256,
    fixed: uint256,
) -> uint256:
    """
    @notice Open a rail from a client that approved the calling market, which is its arbiter.
    """
    assert lockup_period <= MAX_LOCKUP_PERIOD, "payments: lockup too long"
    self._use_rate(token, payer, msg.sender, rate)
    self._use_lockup(token, payer, msg.sender, fixed)
    id: uint256 = self._open(token, payer, payee, msg.sender, rate, lockup_period, fixed)
    log RailOpened(
        rail=id,
        payer=payer,
        payee=payee,
        token=token,
        market=msg.sender,
        rate=rate,
        lockup_period=lockup_period,
        fixed=fixed,
    )
    return id


@external
@nonreentrant
def modify_rail(id: uint256, rate: uint256, fixed: uint256, lockup_period: uint256 = SAME):
    """
    @notice Change the terms of a running rail, by its market. A changed rate holds from now on, so
            everything before must be settled; what the terms lock more must be free.
    """
    rail: Rail = self._load(id)
    self._only_market(rail)
    assert rail.end_at == 0, "payments: rail has ended"
    period: uint256 = rail.lockup_period if lockup_period == SAME else lockup_period
    assert period <= MAX_LOCKUP_PERIOD, "payments: lockup too long"
    assert rate <= MAX_RATE and fixed <= MAX_FUNDS, "payments: terms out of bounds"
    self._settle_account(rail.token, rail.payer)
    if rate != rail.rate:
        assert rail.settled_at == block.timestamp, "payments: settle the rail first"
    self._swap_allowance(rail, rate, fixed)
    before: uint256 = rail.rate * rail.lockup_period + rail.fixed * RATE_UNIT
    after: uint256 = rate * period + fixed * RATE_UNIT
    account: Account = self._accounts[rail.token][rail.payer]
    account.lockup = account.lockup - before + after
    account.lockup_rate = account.lockup_rate - rail.rate + rate
    if after > before:
        self._require_solvent(account)
    self._accounts[rail.token][rail.payer] = account
    rail.rate = rate
    rail.fixed = fixed
    rail.lockup_period = period
    self._store(id, rail)
    log RailModified(rail=id, rate=rate, fixed=fixed, lockup_period=period)


@external
@nonreentrant
def pay_fixed(id: uint256, to: address, amount: uint256, purpose: uint8):
    """
    @notice Pay out of a rail's fixed lockup, by its market. Payments (purpose 3) bear the fee.
    """
    assert to != empty(address), "payments: wrong recipient"
    self._check_purpose(purpose)
    rail: Rail = self._load(id)
    self._only_market(rail)
    assert amount <= rail.fixed, "payments: more than the fixed lockup"
    rail.fixed -= amount
    self._accounts[rail.token][rail.payer].lockup -= amount * RATE_UNIT
    if purpose == PURPOSE_PAYMENT:
        rail = self._pay(rail, to, amount)
    else:
        self._accounts[rail.token][rail.payer].funds -= amount
        self._accounts[rail.token][to].funds += amount
    self._store(id, rail)
    log FixedPaid(rail=id, to=to, amount=amount, purpose=purpose)


@external
@nonreentrant
def end_rail(id: uint256) -> uint256:
    """
    @notice End a rail at the account's last settled moment plus the lockup period; by its market,
            or by the payer while the arbiter fails. An ended rail keeps its end.
    """
    rail: Rail = self._load(id)
    assert rail.market != empty(address), "payments: a voucher"
    if msg.sender != rail.market:
        assert msg.sender == rail.payer, "payments: not the market or the payer"
        assert not self._ask(id, rail, block.timestamp)[0], "payments: end it through its market"
    if rail.end_at == 0:
        rail = self._end(id, rail)
        self._store(id, rail)
        log RailEnded(rail=id, end_at=rail.end_at)
    return rail.end_at


@external
@nonreentrant
def stop_rail(id: uint256, end_at: uint256) -> uint256:
    """
    @notice End a rail at an agreed moment, by its market: not before what is settled, not after
            the end that `end_rail` would give; the surplus lockup is returned. Returns the end.
    """
    rail: Rail = self._load(id)
    self._only_market(rail)
    if rail.closed:
        return rail.end_at
    if rail.end_at == 0:
        rail = self._end(id, rail)
    agreed: uint256 = max(min(end_at, rail.end_at), rail.settled_at)
    surplus: uint256 = rail.rate * (rail.end_at - agreed)
    self._accounts[rail.token][rail.payer].lockup -= surplus
    rail.end_at = agreed
    self._store(id, rail)
    log RailEnded(rail=id, end_at=agreed)
    return agreed


# Settlement


@external
@nonreentrant
def settle(id: uint256) -> (uint256, uint256):
    """
    @notice Pay what the arbiter accepted since the last settlement, by anyone.
    @return What was paid (fee included), and the moment up to which the rail is settled.
    """
    return self._settle(id)


@external
@nonreentrant
def settle_many(ids: DynArray[uint256, MAX_BATCH]) -> uint256:
    """
    @notice Settle several rails; returns the sum paid.
    """
    paid: uint256 = 0
    for id: uint256 in ids:
        paid += self._settle(id)[0]
    return paid


@external
@nonreentrant
def force_close(id: uint256):
    """
    @notice Close a rail whose arbiter fails, or does not decide, `arbiter_timeout` after its end:
            what was accepted so far is paid, the rest goes back. By anyone.
    """
    rail: Rail = self._load(id)
    assert rail.market != empty(address), "payments: a voucher"
    assert rail.end_at != 0, "payments: rail has not ended"
    assert not rail.closed, "payments: rail is closed"
    assert block.timestamp >= rail.end_at + self.arbiter_timeout, "payments: too early"
    answered: bool = False
    accepted: uint256 = 0
    decided: uint256 = 0
    answered, accepted, decided = self._ask(id, rail, rail.end_at)
    if answered:
        rail = self._settle_to(id, rail, accepted, min(decided, rail.end_at))
    if not rail.closed:
        self._accounts[rail.token][rail.payer].lockup -= rail.rate * (
            rail.end_at - rail.settled_at
        )
        rail.settled_at = rail.end_at
        rail = self._close(id, rail)
    self._store(id, rail)


@external
@nonreentrant
def push_fees(token: address) -> uint256:
    """
    @notice Send all fees held in a foreign token to the auction, by anyone. Returns their sum.
    """
    to: address = self.auction
    assert to != empty(address), "payments: no auction"
    amount: uint256 = self.fees[token]
    assert amount > 0, "payments: no fees"
    self.fees[token] = 0
    log Movement(token=token, sender=self, recipient=to, amount=amount, purpose=PURPOSE_FEE)
    assert extcall IToken(token).transfer(
        to, amount, default_return_value=True
    ), "payments: transfer failed"
    return amount


# Vouchers


@external
@nonreentrant
def open_voucher(token: address, payee: address, collateral: uint256) -> uint256:
    """
    @notice Lock collateral of the caller behind vouchers to a payee; returns the rail.
    """
    assert collateral > 0, "payments: no collateral"
    id: uint256 = self._open(
        token, msg.sender, payee, empty(address), 0, self.voucher_delay, collateral
    )
    log VoucherOpened(
        rail=id, payer=msg.sender, payee=payee, token=token, collateral=collateral
    )
    return id


@external
@nonreentrant
def add_collateral(id: uint256, amount: uint256):
    """
    @notice Lock more behind a voucher rail, by its payer.
    """
    rail: Rail = self._load_voucher(id)
    assert msg.sender == rail.payer, "payments: not the payer"
    assert rail.end_at == 0, "payments: voucher is closing"
    assert amount > 0, "payments: no collateral"
    self._settle_account(rail.token, rail.payer)
    account: Account = self._accounts[rail.token][rail.payer]
    account.lockup += amount * RATE_UNIT
    self._require_solvent(account)
    self._accounts[rail.token][rail.payer] = account
    rail.fixed += amount
    self._store(id, rail)
    log VoucherOpened(
        rail=id, payer=rail.payer, payee=rail.payee, token=rail.token, collateral=rail.fixed
    )


@external
@nonreentrant
def redeem(id: uint256, amount: uint256, signature: Bytes[1024]) -> uint256:
    """
    @notice Pay the payee up to the cumulative amount that the payer signed, as far as the
            collateral reaches; by anyone. Returns what was paid now (fee included).
    """
    rail: Rail = self._load_voucher(id)
    assert amount > rail.paid, "payments: nothing new"
    self._check_voucher(rail.payer, id, amount, signature)
    due: uint256 = min(amount - rail.paid, rail.fixed)
    assert due > 0, "payments: no collateral left"
    fee: uint256 = rail.fee
    rail.fixed -= due
    self._accounts[rail.token][rail.payer].lockup -= due * RATE_UNIT
    rail = self._pay(rail, rail.payee, due)
    self._store(id, rail)
    log VoucherRedeemed(rail=id, amount=amount, paid=due, fee=rail.fee - fee)
    return due


@external
@nonreentrant
def close_voucher(id: uint256):
    """
    @notice Start the delay after which the payer gets the collateral back.
    """
    rail: Rail = self._load_voucher(id)
    assert msg.sender == rail.payer, "payments: not the payer"
    assert rail.end_at == 0, "payments: voucher is closing"
    rail.end_at = block.timestamp + rail.lockup_period
    self._store(id, rail)
    log VoucherClosing(rail=id, ready_at=rail.end_at)


@external
@nonreentrant
def finish_voucher(id: uint256):
    """
    @notice Return what is left of the collateral after the delay, by anyone.
    """
    rail: Rail = self._load_voucher(id)
    assert rail.end_at != 0, "payments: voucher is open"
    assert block.timestamp >= rail.end_at, "payments: too early"
    refund: uint256 = rail.fixed
    rail = self._close(id, rail)
    self._store(id, rail)
    log VoucherClosed(rail=id, refund=refund)


# The governor


@external
def set_token(token: address, allowed: bool):
    """
    @notice Allow or refuse new deposits and rails in a token.
    """
    self._only_governor()
    self._set_token(token, allowed)


@external
def set_market(market: address, allowed: bool):
    """
    @notice Allow or refuse a market new rails and escrow; the governor, behind its longer delay.
            The rails that a former market arbitrates stay its own.
    """
    self._only_governor()
    assert market.is_contract, "payments: market has no code"
    self._number(market)
    self.markets[market] = allowed
    log MarketSet(market=market, allowed=allowed)


@external
def set_fees(fee_bps_: uint256, burn_bps_: uint256):
    """
    @notice The fee of new rails (at most 5 %), and the share of fees that burns.
    """
    self._only_governor()
    self._set_fees(fee_bps_, burn_bps_)


@external
def set_delays(arbiter_timeout_: uint256, voucher_delay_: uint256):
    """
    @notice How long an arbiter may fail after a rail's end, and the delay of new vouchers, seconds.
    """
    self._only_governor()
    self._set_delays(arbiter_timeout_, voucher_delay_)


@external
def set_treasury(treasury_: address):
    """
    @notice Whose account gets the fees that do not burn.
    """
    self._only_governor()
    self._set_treasury(treasury_)


@external
def set_auction(auction_: address):
    """
    @notice Name the auction that sells fees taken in foreign tokens; once, for ever.
    """
    self._only_governor()
    assert self.auction == empty(address), "payments: auction is set"
    assert auction_.is_contract, "payments: auction has no code"
    self.auction = auction_
    log AuctionSet(auction=auction_)


# Views


@external
@view
def rail(id: uint256) -> Rail:
    """
    @notice A rail; refused where it was never opened. A voucher has no market.
    """
    return self._load(id)


@external
@view
def account(token: address, owner: address) -> Account:
    """
    @notice An account as last written: funds in base units, lockup and rate scaled.
    """
    return self._accounts[token][owner]


@external
@view
def status(token: address, owner: address) -> (uint256, uint256, uint256):
    """
    @notice An account as of now: funds, what could be withdrawn (base units), and the moment up to
            which it is or will be solvent (the largest value where nothing runs).
    """
    now: Account = self._settled(self._accounts[token][owner])
    left: uint256 = now.funds * RATE_UNIT - now.lockup
    until: uint256 = max_value(uint256)
    if now.lockup_rate > 0:
        until = now.settled_at + left // now.lockup_rate
    if now.settled_at < block.timestamp:
        return now.funds, 0, until
    return now.funds, left // RATE_UNIT, until


@external
@view
def approval(token: address, owner: address, market: address) -> Allowance:
    """
    @notice What an owner lets a market do, and how much of it is used.
    """
    return self._allowances[token][owner][market]


# Internals: accounts


@internal
def _deposit(token: address, to: address, amount: uint256):
    assert self.tokens[token], "payments: token not allowed"
    assert to != empty(address), "payments: wrong recipient"
    total: uint256 = self.total_funds[token] + amount
    assert total <= MAX_FUNDS, "payments: too much"
    self.total_funds[token] = total
    self._accounts[token][to].funds += amount
    log Deposited(token=token, owner=to, amount=amount)
    log Movement(
        token=token, sender=msg.sender, recipient=self, amount=amount, purpose=PURPOSE_DEPOSIT
    )
    before: uint256 = staticcall IToken(token).balanceOf(self)
    assert extcall IToken(token).transferFrom(
        msg.sender, self, amount, default_return_value=True
    ), "payments: transfer failed"
    after: uint256 = staticcall IToken(token).balanceOf(self)
    assert after == before + amount, "payments: token takes a fee"


@internal
def _permit(token: address, amount: uint256, deadline: uint256, v: uint8, r: bytes32, s: bytes32):
    # A permit that somebody submitted first has done its work: the transfer decides.
    assert self.tokens[token], "payments: token not allowed"
    done: bool = raw_call(
        token,
        abi_encode(
            msg.sender,
            self,
            amount,
            deadline,
            v,
            r,
            s,
            method_id=method_id("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)"),
        ),
        revert_on_failure=False,
    )


@internal
def _approve_market(token: address, market: address, rate_cap: uint256, lockup_cap: uint256):
    # Taking consent back must work for a former market too.
    assert self.markets[market] or max(rate_cap, lockup_cap) == 0, "payments: not a market"
    self._allowances[token][msg.sender][market].rate_cap = rate_cap
    self._allowances[token][msg.sender][market].lockup_cap = lockup_cap
    log MarketApproved(
        token=token, owner=msg.sender, market=market, rate_cap=rate_cap, lockup_cap=lockup_cap
    )


@internal
@view
def _settled(account: Account) -> Account:
    # Runs the account's clock to now, or to the last moment it can pay for.
    elapsed: uint256 = block.timestamp - account.settled_at
    if account.lockup_rate > 0:
        left: uint256 = account.funds * RATE_UNIT - account.lockup
        elapsed = min(elapsed, left // account.lockup_rate)
    account.lockup += account.lockup_rate * elapsed
    account.settled_at += elapsed
    return account


@internal
def _settle_account(token: address, owner: address):
    self._accounts[token][owner] = self._settled(self._accounts[token][owner])


@internal
@view
def _require_solvent(account: Account):
    assert account.settled_at == block.timestamp, "payments: account in arrears"
    assert account.lockup <= account.funds * RATE_UNIT, "payments: too little free funds"


@internal
def _debit_free(token: address, owner: address, amount: uint256):
    self._settle_account(token, owner)
    account: Account = self._accounts[token][owner]
    assert amount <= account.funds, "payments: too little free funds"
    account.funds -= amount
    self._require_solvent(account)
    self._accounts[token][owner] = account


@internal
@pure
def _check_purpose(purpose: uint8):
    assert 0 < purpose and purpose <= PURPOSES, "payments: unknown purpose"


# Internals: what a client lets a market do


@internal
def _use_rate(token: address, payer: address, market: address, rate: uint256):
    assert self.markets[market], "payments: not a market"
    allowance: Allowance = self._allowances[token][payer][market]
    used: uint256 = allowance.rate_used + rate
    assert rate <= MAX_RATE and used <= allowance.rate_cap, "payments: over the rate cap"
    self._allowances[token][payer][market].rate_used = used


@internal
def _use_lockup(token: address, payer: address, market: address, amount: uint256):
    assert self.markets[market], "payments: not a market"
    allowance: Allowance = self._allowances[token][payer][market]
    assert amount <= MAX_FUNDS, "payments: over the lockup cap"
    used: uint256 = allowance.lockup_used + amount
    assert used <= allowance.lockup_cap, "payments: over the lockup cap"
    self._allowances[token][payer][market].lockup_used = used


@internal
def _swap_allowance(rail: Rail, rate: uint256, fixed: uint256):
    if rate > rail.rate:
        self._use_rate(rail.token, rail.payer, rail.market, rate - rail.rate)
    else:
        self._allowances[rail.token][rail.payer][rail.market].rate_used -= rail.rate - rate
    if fixed > rail.fixed:
        self._use_lockup(rail.token, rail.payer, rail.market, fixed - rail.fixed)
    else:
        self._allowances[rail.token][rail.payer][rail.market].lockup_used -= rail.fixed - fixed


# Internals: rails


@internal
def _open(
    token: address,
    payer: address,
    payee: address,
    market: address,
    rate: uint256,
    lockup_period: uint256,
    fixed: uint256,
) -> uint256:
    assert self.tokens[token], "payments: token not allowed"
    assert payee != empty(address), "payments: wrong recipient"
    assert fixed <= MAX_FUNDS, "payments: terms out of bounds"
    self._settle_account(token, payer)
    account: Account = self._accounts[token][payer]
    account.lockup += rate * lockup_period + fixed * RATE_UNIT
    account.lockup_rate += rate
    self._require_solvent(account)
    self._accounts[token][payer] = account
    id: uint256 = self.rail_count + 1
    self.rail_count = id
    rail: Rail = empty(Rail)
    rail.token = token
    rail.payer = payer
    rail.payee = payee
    rail.market = market
    rail.rate = rate
    rail.lockup_period = lockup_period
    rail.fixed = fixed
    rail.opened_at = block.timestamp
    rail.settled_at = block.timestamp
    rail.fee_bps = self.fee_bps
    self._store(id, rail)
    return id


@internal
def _end(id: uint256, rail: Rail) -> Rail:
    # From here on the rail no longer runs the account's clock: its whole end is already locked.
    self._settle_account(rail.token, rail.payer)
    self._accounts[rail.token][rail.payer].lockup_rate -= rail.rate
    self._allowances[rail.token][rail.payer][rail.market].rate_used -= rail.rate
    rail.end_at = self._accounts[rail.token][rail.payer].settled_at + rail.lockup_period
    return rail


@internal
def _settle(id: uint256) -> (uint256, uint256):
    rail: Rail = self._load(id)
    assert rail.market != empty(address), "payments: a voucher"
    if rail.closed:
        return 0, rail.settled_at
    limit: uint256 = min(block.timestamp, rail.end_at)
    if rail.end_at == 0:
        self._settle_account(rail.token, rail.payer)
        limit = self._accounts[rail.token][rail.payer].settled_at
    answered: bool = False
    accepted: uint256 = 0
    decided: uint256 = 0
    answered, accepted, decided = self._ask(id, rail, limit)
    assert answered, "payments: arbiter failed"
    before: uint256 = rail.paid
    rail = self._settle_to(id, rail, accepted, min(decided, limit))
    self._store(id, rail)
    return rail.paid - before, rail.settled_at


@internal
@view
def _ask(id: uint256, rail: Rail, limit: uint256) -> (bool, uint256, uint256):
    # (answered, accepted seconds since opening, decided until); a caller that brings too little gas
    # is refused, so that it cannot make a working arbiter look failed.
    assert msg.gas >= SETTLE_GAS, "payments: bring more gas"
    success: bool = False
    answer: Bytes[64] = b""
    success, answer = raw_call(
        rail.market,
        abi_encode(id, limit, method_id=method_id("accepted(uint256,uint256)")),
        max_outsize=64,
        gas=ARBITER_GAS,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not success or len(answer) != 64:
        return False, 0, 0
    return True, extract32(answer, 0, output_type=uint256), extract32(
        answer, 32, output_type=uint256
    )


@internal
def _settle_to(id: uint256, rail: Rail, accepted: uint256, until: uint256) -> Rail:
    # Pays for accepted seconds and releases what the others had locked.
    if until > rail.settled_at:
        elapsed: uint256 = until - rail.settled_at
        seconds: uint256 = 0
        if accepted > rail.accepted:
            seconds = min(accepted - rail.accepted, elapsed)
        owed: uint256 = rail.dust + rail.rate * seconds
        amount: uint256 = owed // RATE_UNIT
        fee: uint256 = rail.fee
        rail.dust = owed % RATE_UNIT
        rail.accepted += seconds
        rail.settled_at = until
        released: uint256 = rail.rate * (elapsed - seconds) + amount * RATE_UNIT
        self._accounts[rail.token][rail.payer].lockup -= released
        rail = self._pay(rail, rail.payee, amount)
        log RailSettled(
            rail=id, seconds=seconds, paid=amount, fee=rail.fee - fee, until=until
        )
    if rail.settled_at == rail.end_at:
        rail = self._close(id, rail)
    return rail


@internal
def _close(id: uint256, rail: Rail) -> Rail:
    # What is left locked (fixed, and less than one base unit of dust) is free again.
    self._accounts[rail.token][rail.payer].lockup -= rail.fixed * RATE_UNIT + rail.dust
    if rail.market != empty(address):
        self._allowances[rail.token][rail.payer][rail.market].lockup_used -= rail.fixed
    rail.fixed = 0
    rail.dust = 0
    rail.closed = True
    log RailClosed(rail=id)
    return rail


@internal
def _pay(rail: Rail, to: address, amount: uint256) -> Rail:
    # The fee is cumulative over the rail: many small payments bear what one large one does.
    if amount == 0:
        return rail
    rail.paid += amount
    fee: uint256 = rail.paid * rail.fee_bps // MAX_BPS - rail.fee
    rail.fee += fee
    self._accounts[rail.token][rail.payer].funds -= amount
    self._accounts[rail.token][to].funds += amount - fee
    if fee > 0:
        self._take_fee(rail.token, rail.payer, fee, rail.market, to)
    return rail


@internal
def _take_fee(token: address, payer: address, fee: uint256, market: address, payee: address):
    if token != network_token:
        self.fees[token] += fee
        self.total_funds[token] -= fee
        log Movement(token=token, sender=payer, recipient=self, amount=fee, purpose=PURPOSE_FEE)
        return
    burning: uint256 = fee * self.burn_bps // MAX_BPS
    kept: uint256 = fee - burning
    if kept > 0:
        self._accounts[token][self.treasury].funds += kept
        log Movement(
            token=token, sender=payer, recipient=self.treasury, amount=kept, purpose=PURPOSE_FEE
        )
    if burning > 0:
        self.total_funds[token] -= burning
        if market != empty(address):
            self.burned[market][payee] += burning
        extcall IToken(token).burn(burning, PURPOSE_BURN)


@internal
@view
def _only_market(rail: Rail):
    assert rail.market != empty(address), "payments: a voucher"
    assert msg.sender == rail.market, "payments: not the rail's market"


@internal
@view
def _load_voucher(id: uint256) -> Rail:
    rail: Rail = self._load(id)
    assert rail.market == empty(address), "payments: not a voucher"
    assert not rail.closed, "payments: voucher is closed"
    return rail


@internal
@view
def _check_voucher(payer: address, id: uint256, amount: uint256, signature: Bytes[1024]):
    hashed: bytes32 = keccak256(abi_encode(VOUCHER_TYPE, id, amount))
    message: bytes32 = typed.digest(DOMAIN_NAME, network_id, hashed)
    if typed.recover_packed(message, signature) == payer:
        return
    assert payer.is_contract, "payments: wrong signature"
    # Capped, because the payee pays for the gas and the wallet sees who asks; a wallet that is left
    # with less can only fail.
    success: bool = False
    answer: Bytes[32] = b""
    success, answer = raw_call(
        payer,
        abi_encode(message, signature, method_id=ERC1271_MAGIC),
        max_outsize=32,
        gas=WALLET_GAS,
        is_static_call=True,
        revert_on_failure=False,
    )
    assert success and answer == abi_encode(ERC1271_MAGIC), "payments: wrong voucher"


@internal
@view
def _load(id: uint256) -> Rail:
    words: Packed = self._rails[id]
    assert words.payer != 0, "payments: no such rail"
    return Rail(
        token=self._addresses[words.payer >> 160 & MASK_16],
        payer=convert(words.payer & MASK_160, address),
        payee=convert(words.payee & MASK_160, address),
        market=self._addresses[words.payee >> 160 & MASK_16],
        rate=words.terms & MASK_128,
        lockup_period=words.payer >> 216,
        fixed=words.terms >> 128,
        opened_at=words.payer >> 176 & MASK_40,
        settled_at=words.clock >> 64 & MASK_40,
        end_at=words.clock >> 144,
        accepted=words.clock >> 104 & MASK_40,
        paid=words.sums & MASK_128,
        fee=words.sums >> 128,
        fee_bps=words.payee >> 176 & MASK_16,
        dust=words.clock & MASK_64,
        closed=words.payee >> 192 != 0,
    )


@internal
def _store(id: uint256, rail: Rail):
    assert rail.paid <= MASK_128, "payments: paid too much"
    self._rails[id] = Packed(
        payer=convert(rail.payer, uint256)
        | self._numbers[rail.token] << 160
        | rail.opened_at << 176
        | rail.lockup_period << 216,
        payee=convert(rail.payee, uint256)
        | self._numbers[rail.market] << 160
        | rail.fee_bps << 176
        | convert(rail.closed, uint256) << 192,
        clock=rail.dust | rail.settled_at << 64 | rail.accepted << 104 | rail.end_at << 144,
        terms=rail.rate | rail.fixed << 128,
        sums=rail.paid | rail.fee << 128,
    )


# Internals: the governor


@internal
@view
def _only_governor():
    assert msg.sender == governor, "payments: not the governor"


@internal
def _number(account: address):
    # Tokens and markets get small numbers, for ever, so that a rail packs into five words.
    if self._numbers[account] == 0:
        self._last_number += 1
        assert self._last_number <= MASK_16, "payments: too many markets"
        self._numbers[account] = self._last_number
        self._addresses[self._last_number] = account


@internal
def _set_token(token: address, allowed: bool):
    assert token.is_contract, "payments: token has no code"
    self._number(token)
    self.tokens[token] = allowed
    log TokenSet(token=token, allowed=allowed)


@internal
def _set_fees(fee_bps_: uint256, burn_bps_: uint256):
    assert fee_bps_ <= MAX_FEE_BPS, "payments: fee out of bounds"
    assert burn_bps_ <= MAX_BPS, "payments: burn out of bounds"
    self.fee_bps = fee_bps_
    self.burn_bps = burn_bps_
    log FeesSet(fee_bps=fee_bps_, burn_bps=burn_bps_)


@internal
def _set_delays(arbiter_timeout_: uint256, voucher_delay_: uint256):
    assert (
        MIN_DELAY <= arbiter_timeout_ and arbiter_timeout_ <= MAX_ARBITER_TIMEOUT
    ), "payments: timeout out of bounds"
    assert (
        MIN_DELAY <= voucher_delay_ and voucher_delay_ <= MAX_VOUCHER_DELAY
    ), "payments: delay out of bounds"
    self.arbiter_timeout = arbiter_timeout_
    self.voucher_delay = voucher_delay_
    log DelaysSet(arbiter_timeout=arbiter_timeout_, voucher_delay=voucher_delay_)


@internal
def _set_treasury(treasury_: address):
    assert treasury_ != empty(address), "payments: no treasury"
    self.treasury = treasury_
    log TreasurySet(treasury=treasury_)
