"""The network's token: ERC-20, EIP-2612 permit, burning, capped minting."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.domain.typed import PERMIT, Domain
from freehold.ledger.contracts.base import Contract
from freehold.ledger.values import Receipt

(
    DEPOSIT, WITHDRAWAL, PAYMENT, REWARD, FEE, BURN, SLASH, REFUND, BRIDGE, VESTING, STAKE,
    UNSTAKE, ESCROW, COMPENSATION, BOUNTY, VOUCHER, REPAIR,
) = range(1, 18)  # fmt: skip
"""Purposes in Movement events."""


@dataclass(frozen=True, slots=True)
class Permit:
    """An EIP-2612 permission to spend, as contracts take it; ``amount`` in base units."""

    amount: int
    deadline: int
    v: int
    r: bytes
    s: bytes


class Token(Contract):
    """The network's token; amounts in base units (10^-18)."""

    name = "token"

    def balance_of(self, account: Address) -> int:
        """What an account holds."""
        return self._view(int, "balanceOf", account)

    def allowance(self, owner: Address, spender: Address) -> int:
        """What ``spender`` may still take from ``owner``."""
        return self._view(int, "allowance", owner, spender)

    def total_supply(self) -> int:
        """Minted minus burned."""
        return self._view(int, "totalSupply")

    def nonces(self, owner: Address) -> int:
        """The nonce of the owner's next permit."""
        return self._view(int, "nonces", owner)

    def title(self) -> str:
        """The token's long name."""
        return self._view(str, "name")

    def symbol(self) -> str:
        """The token's short name."""
        return self._view(str, "symbol")

    def minted(self) -> int:
        """Everything ever minted; never above ``cap``."""
        return self._view(int, "minted")

    def burned(self) -> int:
        """Everything ever burned."""
        return self._view(int, "burned")

    def cap(self) -> int:
        """The limit of everything ever minted."""
        return self._view(int, "cap")

    def transfer(self, to: Address, amount: int) -> Receipt:
        """Send tokens."""
        return self._send("transfer", to, amount)

    def approve(self, spender: Address, amount: int) -> Receipt:
        """Let ``spender`` take up to ``amount``."""
        return self._send("approve", spender, amount)

    def transfer_from(self, owner: Address, to: Address, amount: int) -> Receipt:
        """Send an owner's tokens within the allowance."""
        return self._send("transferFrom", owner, to, amount)

    def mint(self, to: Address, amount: int, purpose: int) -> Receipt:
        """Create tokens; minters only."""
        return self._send("mint", to, amount, purpose)

    def burn(self, amount: int) -> Receipt:
        """Destroy own tokens."""
        return self._send("burn", amount)

    def burn_from(self, owner: Address, amount: int) -> Receipt:
        """Destroy an owner's tokens within the allowance."""
        return self._send("burn_from", owner, amount)

    def sign_permit(self, key: Key, spender: Address, *, amount: int, deadline: int) -> Permit:
        """A permit of the key's account for ``spender``, signed with its next nonce."""
        network = self._door.network
        domain = Domain(self.title(), network.chain_id, self.address, network.network_id)
        nonce = self.nonces(key.address)
        digest = PERMIT.digest(domain, (key.address, spender, amount, nonce, deadline))
        signature = key.sign(digest)
        return Permit(amount, deadline, signature[64], signature[:32], signature[32:64])
