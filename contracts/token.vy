# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Token
@license Apache-2.0
@notice The network's token: ERC-20, EIP-2612 permit, burn, and a cap on everything ever minted.
@dev Threats and what meets them.
     - Inflation: the cap bounds the *cumulative* minted amount, so burning never re-opens minting.
       Minters are named by the governor alone, behind the longer of its two delays.
     - Replay of permits: EIP-712 domain with chain id, contract and network id; one nonce a permit;
       high-s and malformed signatures are refused; the zero address never signs.
     - Lost tokens: transfers to the zero address and to this contract are refused.
     Deliberately not done: no pause, no blocklist, no hooks, no owner; the race of changing an
     allowance from one non-zero value to another is ERC-20's own (use permit, or set zero first).
     Trust: the governor may name minters, and nothing else. Minters may mint up to the cap.
"""

from modules import typed

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256


event Approval:
    owner: indexed(address)
    spender: indexed(address)
    value: uint256


event Movement:
    token: indexed(address)
    sender: indexed(address)
    recipient: indexed(address)
    amount: uint256
    purpose: uint8


event MinterSet:
    account: indexed(address)
    allowed: bool


PERMIT_TYPE: constant(bytes32) = keccak256(
    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
)
PURPOSE_BURN: constant(uint8) = 6
PURPOSES: constant(uint8) = 17
decimals: public(constant(uint8)) = 18

name: public(immutable(String[32]))
symbol: public(immutable(String[8]))
cap: public(immutable(uint256))
network_id: public(immutable(bytes32))
governor: public(immutable(address))
NAME_HASH: immutable(bytes32)

balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
nonces: public(HashMap[address, uint256])
minters: public(HashMap[address, bool])
minted: public(uint256)
burned: public(uint256)


@deploy
def __init__(
    name_: String[32], symbol_: String[8], cap_: uint256, network_id_: bytes32, governor_: address
):
    assert cap_ > 0, "token: cap of zero"
    assert governor_ != empty(address), "token: no governor"
    name = name_
    symbol = symbol_
    cap = cap_
    network_id = network_id_
    governor = governor_
    NAME_HASH = keccak256(name_)


@external
@view
def totalSupply() -> uint256:
    """
    @notice What exists: everything minted less everything burned.
    """
    return self.minted - self.burned


@external
@view
def DOMAIN_SEPARATOR() -> bytes32:
    """
    @notice The EIP-712 domain separator of permits.
    """
    return typed.separator(NAME_HASH, network_id)


@external
def transfer(receiver: address, amount: uint256) -> bool:
    """
    @notice Move the caller's tokens.
    """
    self._move(msg.sender, receiver, amount)
    return True


@external
def transferFrom(owner: address, receiver: address, amount: uint256) -> bool:
    """
    @notice Move an owner's tokens within the allowance given to the caller.
    """
    self._spend(owner, amount)
    self._move(owner, receiver, amount)
    return True


@external
def approve(spender: address, amount: uint256) -> bool:
    """
    @notice Let a spender move up to `amount`; the largest value is never used up.
    """
    self._approve(msg.sender, spender, amount)
    return True


@external
def permit(
    owner: address,
    spender: address,
    amount: uint256,
    deadline: uint256,
    v: uint8,
    r: bytes32,
    s: bytes32,
):
    """
    @notice EIP-2612: an allowance by the owner's signature.
    """
    assert block.timestamp <= deadline, "token: permit expired"
    nonce: uint256 = self.nonces[owner]
    self.nonces[owner] = nonce + 1
    hashed: bytes32 = keccak256(abi_encode(PERMIT_TYPE, owner, spender, amount, nonce, deadline))
    message: bytes32 = typed.digest(NAME_HASH, network_id, hashed)
    signer: address = typed.recover(message, convert(v, uint256), r, s)
    assert signer != empty(address) and signer == owner, "token: wrong signature"
    self._approve(owner, spender, amount)


@external
def mint(receiver: address, amount: uint256, purpose: uint8):
    """
    @notice Create tokens, by a minter, within the cap on everything ever minted.
    """
    assert self.minters[msg.sender], "token: not a minter"
    assert receiver not in [empty(address), self], "token: wrong receiver"
    assert 0 < purpose and purpose <= PURPOSES, "token: unknown purpose"
    total: uint256 = self.minted + amount
    assert total <= cap, "token: over the cap"
    self.minted = total
    self.balanceOf[receiver] += amount
    log Transfer(sender=empty(address), receiver=receiver, value=amount)
    log Movement(
        token=self, sender=empty(address), recipient=receiver, amount=amount, purpose=purpose
    )


@external
def burn(amount: uint256, purpose: uint8 = PURPOSE_BURN):
    """
    @notice Destroy the caller's tokens; contracts name the purpose (6 burn, 7 slash).
    """
    assert 0 < purpose and purpose <= PURPOSES, "token: unknown purpose"
    self._burn(msg.sender, amount, purpose)


@external
def burn_from(owner: address, amount: uint256):
    """
    @notice Destroy an owner's tokens within the allowance given to the caller.
    """
    self._spend(owner, amount)
    self._burn(owner, amount, PURPOSE_BURN)


@external
def set_minter(account: address, allowed: bool):
    """
    @notice Name or remove a minter; the governor, behind its longer delay.
    """
    assert msg.sender == governor, "token: not the governor"
    self.minters[account] = allowed
    log MinterSet(account=account, allowed=allowed)


@internal
def _move(sender: address, receiver: address, amount: uint256):
    assert receiver not in [empty(address), self], "token: wrong receiver"
    self._debit(sender, amount)
    self.balanceOf[receiver] += amount
    log Transfer(sender=sender, receiver=receiver, value=amount)


@internal
def _burn(owner: address, amount: uint256, purpose: uint8):
    self._debit(owner, amount)
    self.burned += amount
    log Transfer(sender=owner, receiver=empty(address), value=amount)
    log Movement(
        token=self, sender=owner, recipient=empty(address), amount=amount, purpose=purpose
    )


@internal
def _debit(owner: address, amount: uint256):
    balance: uint256 = self.balanceOf[owner]
    assert balance >= amount, "token: balance too low"
    self.balanceOf[owner] = balance - amount


@internal
def _spend(owner: address, amount: uint256):
    allowed: uint256 = self.allowance[owner][msg.sender]
    if allowed == max_value(uint256):
        return
    assert allowed >= amount, "token: allowance too low"
    self._approve(owner, msg.sender, allowed - amount)


@internal
def _approve(owner: address, spender: address, amount: uint256):
    self.allowance[owner][spender] = amount
    log Approval(owner=owner, spender=spender, value=amount)
