"""A chain made by hand: blocks, signed transactions and receipts that hash as they must."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO

from eth_account import Account
from eth_utils.address import to_checksum_address

from freehold.audit import abi, blocks, claims, lines, rlp, trie
from freehold.audit.claims import Question
from freehold.audit.headers import BLOOM_BYTES, bloom_of
from freehold.domain.ids import ZERO_ADDRESS, Address, checksum, keccak, raw_address
from freehold.domain.network import CONTRACTS, Network
from freehold.ledger.abi import pack_all, topic_of
from freehold.ledger.values import Value

SECRET = bytes(31) + b"\x07"
SENDER = Address(str(Account.from_key(SECRET).address))
CHAIN_ID = 31_337
NETWORK_ID = bytes(range(32))
GENESIS = 1_800_000_000
PERIOD, GRACE, WINDOW, UNBONDING, CAP = 1_000, 200, 300, 86_400, 10**27
FIRST = 5


@dataclass(frozen=True, slots=True)
class Log:
    """An event to be logged: contract, event, arguments in the order of the ABI."""

    contract: str
    event: str
    args: Sequence[object]


@dataclass(slots=True)
class Press:
    """Builds a network's chain block by block and prints it as an export."""

    blocks: list[tuple[bytes, int, tuple[list[bytes], list[bytes]] | None]] = field(
        default_factory=list
    )
    parent: bytes = bytes(32)
    number: int = FIRST
    time: int = GENESIS
    nonce: int = 0
    contracts: dict[str, Address] = field(default_factory=dict)

    def deploy(self) -> None:
        """One block that creates all contracts, with what their constructors log."""
        for offset, name in enumerate(CONTRACTS):
            pair: list[rlp.Item] = [raw_address(SENDER), rlp.number(offset)]
            self.contracts[name] = checksum(keccak(rlp.encode(pair))[12:])
        at = self.contracts
        arguments: dict[str, list[object]] = {
            "governor": [SENDER, 3_600],
            "token": ["Freehold", "FREE", CAP, NETWORK_ID, at["governor"]],
            "registry": [NETWORK_ID, at["governor"]],
            "staking": [at["token"], at["registry"], at["governor"], UNBONDING],
            "payments": [at["token"], NETWORK_ID, at["governor"], SENDER],
            "beacon": [at["governor"], GENESIS, PERIOD, GRACE],
            "pdp": [at["beacon"], at["governor"], 5, WINDOW],
            "faults": [
                at[n] for n in ("token", "registry", "staking", "pdp", "beacon", "governor")
            ],
            "storage": [
                *(at[n] for n in ("registry", "payments", "pdp", "beacon", "faults", "governor")),
                NETWORK_ID,
            ],
        }
        logs = {"payments": [Log("payments", "TokenSet", [at["token"], True])]}
        self.block(
            [
                (None, abi.interface(name).artifact.initcode(arguments[name]), logs.get(name, []))
                for name in CONTRACTS
            ]
        )

    def block(
        self,
        transactions: Sequence[tuple[str | None, bytes, Sequence[Log]]],
        *,
        later: int = 2,
    ) -> int:
        """Add a block; its number."""
        raw = [self._signed(to, data) for to, data, _ in transactions]
        blooms = 0
        receipts: list[bytes] = []
        for index, (_, _, logs) in enumerate(transactions):
            receipt, bloom = self._receipt(index, logs)
            receipts.append(receipt)
            blooms |= int.from_bytes(bloom, "big")
        self.time += later
        header = self._header(raw, receipts, blooms.to_bytes(BLOOM_BYTES, "big"))
        self.blocks.append((header, self.number, (raw, receipts) if raw else None))
        self.parent = keccak(header)
        self.number += 1
        return self.number - 1

    def call(self, contract: str, function: str, args: Sequence[object], logs: list[Log]) -> int:
        """A block with one call and what it logs."""
        data = abi.interface(contract).call_data(function, args)
        return self.block([(self.contracts[contract], data, logs)])

    def network(self) -> Network:
        """The descriptor of the chain's network."""
        return Network(
            "pressed", CHAIN_ID, NETWORK_ID, dict(self.contracts),
            {"period": PERIOD}, ("http://127.0.0.1:1",), FIRST,
        )  # fmt: skip

    def export(self, answers: Sequence[tuple[Question, list[Value]]] = ()) -> bytes:
        """The chain as an export, with claims at its head."""
        described = json.loads(self.network().render())
        out = BytesIO()
        seal = lines.FIRST_SEAL
        fields: list[tuple[str, dict[str, object]]] = [
            ("export", {"version": 1, "first_block": FIRST, "network": described})
        ]
        fields += [("block", blocks.fields_of(*each)) for each in self.blocks]
        head = self.number - 1
        fields += [("claim", claims.fields_of(head, q, values)) for q, values in answers]
        end = {
            "blocks": len(self.blocks), "claims": len(answers), "head": "0x" + self.parent.hex(),
        }  # fmt: skip
        fields.append(("end", dict(end)))
        for kind, content in fields:
            text, seal = lines.render(kind, content, seal)
            out.write(text)
        return out.getvalue()

    def _signed(self, to: str | None, data: bytes) -> bytes:
        fields: dict[str, object] = {
            "type": 2, "chainId": CHAIN_ID, "nonce": self.nonce, "gas": 10**7,
            "maxFeePerGas": 1, "maxPriorityFeePerGas": 1, "value": 0, "data": data,
        }  # fmt: skip
        if to is not None:
            fields["to"] = to_checksum_address(to)
        self.nonce += 1
        return bytes(Account.sign_transaction(fields, SECRET).raw_transaction)

    def _receipt(self, index: int, logs: Sequence[Log]) -> tuple[bytes, bytes]:
        entries = [self._log(log) for log in logs]
        bloom = bloom_of(part for address, topics, _ in entries for part in (address, *topics))
        listed: list[rlp.Item] = [[a, list(topics), data] for a, topics, data in entries]
        body = rlp.encode([b"\x01", rlp.number(21_000 * (index + 1)), bloom, listed])
        return b"\x02" + body, bloom

    def _log(self, log: Log) -> tuple[bytes, list[bytes], bytes]:
        kind = abi.interface(log.contract).artifact.event(log.event)
        pairs = list(zip(kind.inputs, log.args, strict=True))
        topics = [kind.topic, *(topic_of(p, value) for p, value in pairs if p.indexed)]
        plain = [(p, value) for p, value in pairs if not p.indexed]
        data = pack_all([p for p, _ in plain], [value for _, value in plain], log.event)
        return raw_address(self.contracts[log.contract]), topics, data

    def _header(self, raw: Sequence[bytes], receipts: Sequence[bytes], bloom: bytes) -> bytes:
        return rlp.encode(
            [
                self.parent, keccak(rlp.encode([])), bytes(20), keccak(b"state"),
                trie.ordered_root(raw), trie.ordered_root(receipts), bloom, b"",
                rlp.number(self.number), rlp.number(10**8), rlp.number(21_000 * len(raw)),
                rlp.number(self.time), b"", bytes(32), bytes(8), rlp.number(7),
            ]
        )  # fmt: skip


def small() -> Press:
    """A short history: contracts, a minter, a mint, a transfer, empty blocks, a node."""
    press = Press()
    press.deploy()
    at = press.contracts
    press.call("governor", "setup_call", [at["token"], b"1234"],
               [Log("token", "MinterSet", [SENDER, True])])  # fmt: skip
    press.call("token", "mint", [SENDER, 10**20, 4], [
        Log("token", "Transfer", [ZERO_ADDRESS, SENDER, 10**20]),
        Log("token", "Movement", [at["token"], ZERO_ADDRESS, SENDER, 10**20, 4]),
    ])  # fmt: skip
    press.block([])
    press.call("token", "transfer", [at["governor"], 5],
               [Log("token", "Transfer", [SENDER, at["governor"], 5])])  # fmt: skip
    press.block([])
    return press


def answers(press: Press) -> list[tuple[Question, list[Value]]]:
    """What the contracts of the small history say at its head."""
    return [
        (("token", "totalSupply", ()), [10**20]),
        (("token", "minted", ()), [10**20]),
        (("token", "balanceOf", (SENDER,)), [10**20 - 5]),
        (("token", "balanceOf", (press.contracts["governor"],)), [5]),
        (("beacon", "round_count", ()), [0]),
    ]
