"""Account keys: secp256k1, from a phrase (BIP-39, BIP-44) or drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from coincurve import PrivateKey, PublicKey

from freehold.domain.errors import AccessError, UsageError
from freehold.domain.ids import Address, checksum, keccak

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
ACCOUNT_PATH = "m/44'/60'/0'/0/{index}"
"""BIP-44 path of Ethereum accounts, which other wallets open too."""


@dataclass(frozen=True, slots=True)
class Key:
    """A secp256k1 key of an account or a node; its secret never appears in ``repr``."""

    secret: bytes = field(repr=False)
    address: Address

    @classmethod
    def from_secret(cls, secret: bytes) -> Key:
        """The key of a 32-byte secret in the range of the curve; AccessError otherwise."""
        if len(secret) != 32 or not 0 < int.from_bytes(secret, "big") < _ORDER:
            raise AccessError(
                "these bytes are not a secret key", remedy="Make one with `freehold wallet create`."
            )
        public = PrivateKey(secret).public_key.format(compressed=False)
        return cls(secret, checksum(keccak(public[1:])[12:]))

    @classmethod
    def draw(cls, random: Callable[[int], bytes]) -> Key:
        """A new key from ``random(32)``, such as ``secrets.token_bytes``."""
        return cls.from_secret(random(32))

    @classmethod
    def from_phrase(cls, phrase: str, *, index: int = 0) -> Key:
        """Account ``index`` of a BIP-39 phrase; UsageError when a word or the checksum is wrong."""
        from eth_account.hdaccount import ValidationError, key_from_seed, seed_from_mnemonic

        words = " ".join(phrase.split())
        try:
            seed = seed_from_mnemonic(words, passphrase="")
        except (ValidationError, ValueError, LookupError) as error:
            raise UsageError(
                "the seed phrase is not valid",
                remedy="Check its words and their order: 12 or 24 words of the BIP-39 list.",
            ) from error
        return cls.from_secret(key_from_seed(seed, ACCOUNT_PATH.format(index=index)))

    def sign(self, digest: bytes) -> bytes:
        """The 65-byte signature r || s || v (v is 27 or 28) of a 32-byte digest, low s."""
        signature = PrivateKey(self.secret).sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([signature[64] + 27])


def recover(digest: bytes, signature: bytes) -> Address:
    """The address that signed ``digest``; AccessError when the signature is malformed.

    High s and v other than 27 or 28 are refused, as the contracts refuse them (EIP-2).
    """
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise AccessError("the signature is malformed", remedy="Sign again with a current client.")
    if int.from_bytes(signature[32:64], "big") > _ORDER // 2:
        raise AccessError("the signature is not canonical", remedy="Sign again with low s (EIP-2).")
    try:
        public = PublicKey.from_signature_and_message(
            signature[:64] + bytes([signature[64] - 27]), digest, hasher=None
        )
    except ValueError as error:
        raise AccessError(
            "the signature fits no key", remedy="Sign again with the right key."
        ) from error
    return checksum(keccak(public.format(compressed=False)[1:])[12:])


def new_phrase() -> str:
    """A fresh 12-word BIP-39 phrase from the system's randomness."""
    from eth_account.hdaccount import generate_mnemonic
    from eth_account.types import Language

    return generate_mnemonic(12, Language.ENGLISH)
