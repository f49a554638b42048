"""Web3 Secret Storage, version 3: a secret sealed under a password, as other wallets read it.

Source: https://ethereum.org/developers/docs/data-structures-and-encoding/web3-secret-storage.
Own code because the usual package imports a library of elliptic curves, half a second, to do it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from uuid import UUID

from freehold.domain.errors import AccessError, CapacityError, IntegrityError, UsageError
from freehold.domain.ids import keccak

VERSION = 3
SECRET_LENGTH = 32
COST = 2**16
"""scrypt's N with r = 8, p = 1: 64 MiB and 0.2 s a guess, which OWASP's table sets equal to some
300,000 rounds of PBKDF2-HMAC-SHA256, geth's 262,144 rounds of old."""
_R, _P = 8, 1
_KEY_LENGTH = 32
_CIPHER, _PRF = "aes-128-ctr", "hmac-sha256"
_SALT_MAX = 64
_ROUNDS_MAX = 10_000_000
_MEMORY_MAX = 512 * 2**20
"""Bytes that scrypt may take, 128 r (N + p): twice what geth's strongest keystores need."""
_WORK_MAX = 2**24
"""N r p: eight times those."""


def seal(
    secret: bytes, password: str, *, random: Callable[[int], bytes], cost: int = COST
) -> dict[str, object]:
    """The ``crypto`` object, ``id`` and ``version`` of ``secret`` (32 bytes) under ``password``.

    ``cost`` is scrypt's N, a power of two.
    """
    if len(secret) != SECRET_LENGTH:
        raise ValueError(f"a secret has {SECRET_LENGTH} bytes, not {len(secret)}")
    salt, nonce = random(32), random(16)
    derived = stretch(password, salt, n=cost)
    sealed = _crypt(derived, nonce, secret)
    return {
        "crypto": {
            "cipher": _CIPHER,
            "cipherparams": {"iv": nonce.hex()},
            "ciphertext": sealed.hex(),
            "kdf": "scrypt",
            "kdfparams": {"dklen": _KEY_LENGTH, "n": cost, "r": _R, "p": _P, "salt": salt.hex()},
            "mac": _mac(derived, sealed).hex(),
        },
        "id": str(UUID(bytes=random(16), version=4)),
        "version": VERSION,
    }


def unseal(content: Mapping[str, object], password: str) -> bytes:
    """The secret in a keystore's fields.

    AccessError for a wrong password, IntegrityError where the fields are not those of version 3,
    CapacityError when deriving the key would take more memory or time than any wallet asks for,
    UsageError for a password that is not text.
    """
    if content.get("version") != VERSION:
        raise _malformed(f"it has version {content.get('version')!r}, not {VERSION}")
    crypto = _object(content, "crypto" if "crypto" in content else "Crypto")
    if crypto.get("cipher") != _CIPHER:
        raise _malformed(f"its cipher is {crypto.get('cipher')!r}, not {_CIPHER}")
    nonce = _bytes(_object(crypto, "cipherparams"), "iv", 16)
    sealed, mac = _bytes(crypto, "ciphertext", SECRET_LENGTH), _bytes(crypto, "mac", 32)
    derived = _derive(crypto, password)
    if not hmac.compare_digest(_mac(derived, sealed), mac):
        raise AccessError(
            "the password is wrong",
            remedy="Type it again; without it only the recovery phrase brings the key back.",
        )
    return _crypt(derived, nonce, sealed)


def _derive(crypto: Mapping[str, object], password: str) -> bytes:
    parameters, function = _object(crypto, "kdfparams"), crypto.get("kdf")
    if _number(parameters, "dklen") != _KEY_LENGTH:
        raise _malformed(f"its derived key has {parameters['dklen']} bytes, not {_KEY_LENGTH}")
    salt = _bytes(parameters, "salt", None)
    if function == "scrypt":
        n, r, p = (_number(parameters, name) for name in "nrp")
        return stretch(password, salt, n=n, r=r, p=p)
    if function == "pbkdf2":
        if parameters.get("prf") != _PRF:
            raise _malformed(f"its prf is {parameters.get('prf')!r}, not {_PRF}")
        return _pbkdf2(password, salt, rounds=_number(parameters, "c"))
    raise _malformed(f"its key derivation is {function!r}, neither scrypt nor pbkdf2")


def stretch(password: str, salt: bytes, *, n: int, r: int = _R, p: int = _P) -> bytes:
    """32 bytes that cost memory and time to derive from ``password``, by scrypt (RFC 7914).

    IntegrityError and CapacityError for parameters that are none, or beyond all bounds;
    UsageError for a password that is not text.
    """
    if n < 2 or n & (n - 1):
        raise _malformed(f"scrypt's n is {n}, not a power of two")
    if 128 * r * (n + p) > _MEMORY_MAX or n * r * p > _WORK_MAX:
        raise _costly(f"scrypt with n = {n}, r = {r}, p = {p}")
    data = _octets(password)
    if n >= 2 ** (16 * r):
        return _wide_scrypt(data, salt, n=n, r=r, p=p)
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=_KEY_LENGTH, n=n, r=r, p=p).derive(data)


def _octets(password: str) -> bytes:
    try:
        return password.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            "the password holds bytes that are no text",
            remedy="Type it in a terminal, or save it in a file, that is set to UTF-8.",
        ) from error


def _wide_scrypt(password: bytes, salt: bytes, *, n: int, r: int, p: int) -> bytes:
    """scrypt beyond RFC 7914's bound on n, where OpenSSL refuses: early wallets, and the
    definition's own example, have n = 2**18 with r = 1."""
    from Crypto.Protocol.KDF import scrypt

    return bytes(scrypt(password, salt, _KEY_LENGTH, N=n, r=r, p=p))  # type: ignore[arg-type]


def _pbkdf2(password: str, salt: bytes, *, rounds: int) -> bytes:
    if rounds > _ROUNDS_MAX:
        raise _costly(f"pbkdf2 with {rounds} rounds")
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

    derive = PBKDF2HMAC(SHA256(), length=_KEY_LENGTH, salt=salt, iterations=rounds)
    return derive.derive(_octets(password))


def _crypt(derived: bytes, nonce: bytes, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CTR

    return Cipher(AES(derived[:16]), CTR(nonce)).encryptor().update(data)


def _mac(derived: bytes, sealed: bytes) -> bytes:
    return keccak(derived[16:32] + sealed)


def _object(fields: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = fields.get(name)
    if not isinstance(value, dict):
        raise _malformed(f"it has no object {name!r}")
    return value


def _number(fields: Mapping[str, object], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _malformed(f"its {name} is {value!r}, not a positive number")
    return value


def _bytes(fields: Mapping[str, object], name: str, length: int | None) -> bytes:
    value = fields.get(name)
    try:
        data = bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else b""
    except ValueError as error:
        raise _malformed(f"its {name} is not hexadecimal") from error
    if len(data) != length if length is not None else not 0 < len(data) <= _SALT_MAX:
        raise _malformed(f"its {name} has {len(data)} bytes")
    return data


def _malformed(reason: str) -> IntegrityError:
    return IntegrityError(
        f"this is not a keystore that we read: {reason}",
        remedy="Restore it from a backup, or make it anew from the recovery phrase.",
    )


def _costly(what: str) -> CapacityError:
    return CapacityError(
        f"opening this keystore takes {what}, more than any wallet asks for",
        remedy="Do not trust the file; make the keystore anew from the recovery phrase.",
    )
