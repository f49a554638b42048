"""The wallet folder: the account's key, its phrase, and the slots of its data seed, on disk."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from freehold.client.wallet import Wallet
from freehold.domain.errors import AccessError, ConflictError, IntegrityError, NotFoundError
from freehold.domain.files import write_whole
from freehold.domain.ids import Address, address
from freehold.domain.keys import Key
from freehold.ledger import keystore, secret
from freehold.markets.storage.keys import Slot, SlotKind

_PHRASE_VERSION = 1


@dataclass(frozen=True, slots=True)
class WalletFolder:
    """One account's secrets, each file sealed under the same password and mode 0600."""

    path: Path

    @property
    def key_file(self) -> Path:
        return self.path / "key.json"

    @property
    def phrase_file(self) -> Path:
        return self.path / "phrase.json"

    @property
    def slots_file(self) -> Path:
        return self.path / "slots.json"

    @property
    def state(self) -> Path:
        """Where the client keeps its journal and catalog."""
        return self.path / "state"

    def exists(self) -> bool:
        """Whether there is an account here."""
        return self.key_file.exists()

    def address(self) -> Address:
        """The account's address, which needs no password."""
        self._require()
        return keystore_address(self.key_file)

    def create(self, phrase: str, password: str, *, cost: int = secret.COST) -> Key:
        """Keep the account of a phrase; ConflictError when there is one already.

        ``cost`` is what guessing the password takes: scrypt's N.
        """
        if self.exists():
            raise ConflictError(
                f"there is a wallet in {self.path} already ({self.address()})",
                remedy="Use it, or choose another --home for another account.",
            )
        key = Key.from_phrase(phrase)
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(self.phrase_file, _seal(" ".join(phrase.split()), password, cost))
        keystore.save(self.key_file, key, password, cost=cost)
        return key

    def key(self, password: str) -> Key:
        """The account's key; AccessError when the password is wrong."""
        self._require()
        return keystore.load(self.key_file, password)

    def phrase(self, password: str) -> str:
        """The seed phrase; AccessError when the password is wrong."""
        self._require()
        return _open(self.phrase_file, password)

    def keep(self, wallet: Wallet) -> None:
        """Keep the slots that open the account's data seed."""
        slots = [[int(s.kind), base64.b64encode(s.body).decode()] for s in wallet.slots]
        write_whole(self.slots_file, json.dumps(slots).encode())

    def unlock(self, password: str, *, network_id: bytes) -> Wallet:
        """The wallet; with the account's first data seed when this machine knows no other."""
        key = self.key(password)
        if self.slots_file.exists():
            return Wallet.unlock(key, self._slots(), network_id=network_id)
        wallet = Wallet.create(key, network_id=network_id, random=secrets.token_bytes)
        self.keep(wallet)
        return wallet

    def _slots(self) -> list[Slot]:
        try:
            rows = json.loads(self.slots_file.read_text())
            return [
                Slot(SlotKind(kind), base64.b64decode(body, validate=True)) for kind, body in rows
            ]
        except (ValueError, TypeError) as error:
            raise IntegrityError(
                f"{self.slots_file} is damaged",
                remedy="Recover the wallet from its kit: `freehold recover KIT`.",
            ) from error

    def _require(self) -> None:
        if not self.exists():
            raise NotFoundError(
                f"there is no wallet in {self.path}",
                remedy="Make one with `freehold wallet create`, or bring one back with "
                "`freehold wallet restore`.",
            )


def keystore_address(path: Path) -> Address:
    """The address that a keystore names, which needs no password."""
    try:
        return address("0x" + str(json.loads(path.read_text())["address"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"the keystore {path} is missing or damaged",
            remedy="Restore it from a backup, or from the recovery kit.",
        ) from error


def _seal(phrase: str, password: str, cost: int) -> bytes:
    salt, nonce = os.urandom(16), os.urandom(12)
    stretched = secret.stretch(password, salt, n=cost)
    sealed = AESGCM(stretched).encrypt(nonce, phrase.encode(), b"freehold phrase")
    fields = {"freehold_phrase": _PHRASE_VERSION, "scrypt": {"n": cost, "r": 8, "p": 1}}
    parts = {"salt": salt.hex(), "nonce": nonce.hex(), "sealed": sealed.hex()}
    return json.dumps(fields | parts).encode()


def _open(path: Path, password: str) -> str:
    try:
        fields = json.loads(path.read_text())
        salt, nonce, sealed = (bytes.fromhex(fields[n]) for n in ("salt", "nonce", "sealed"))
        key = secret.stretch(password, salt, n=int(fields["scrypt"]["n"]))
        return AESGCM(key).decrypt(nonce, sealed, b"freehold phrase").decode()
    except InvalidTag as error:
        raise AccessError(
            "the password is wrong", remedy="Give the password that the wallet was made with."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{path} is missing or damaged",
            remedy="Restore the wallet from its recovery kit: `freehold wallet restore KIT`.",
        ) from error
