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
from freehold.economics.schedules.plan import GEOMETRIC, Plan
from freehold.ledger.abi import pack_all, topic_of
from freehold.ledger.values import Value

SECRET = bytes(31) + b"\x07"
SENDER = Address(str(Account.from_key(SECRET).address))
CHAIN_ID = 31_337
NETWORK_ID = bytes(range(32))
GENESIS = 1_800_000_000
PERIOD, GRACE, WINDOW, UNBONDING, CAP = 1_000, 200, 300, 86_400, 10**27
FIRST = 5
EPOCH = 900
ECONOMY = (
    "issuance", "rewards", "roots", "auction", "capacity", "devices", "status", "automation",
    "streams",
)  # fmt: skip
FOREIGN = checksum(b"\x11" * 20)
LOTS = [100, 1_000, 600, 15_000]
ROUND = 100
WATCHING = {"least_stake": 0, "seats": 24, "floor": 1_000, "tolerance_bps": 500}
SPEED = b"speed".ljust(32, b"\0")
PLAN = Plan(kind=GEOMETRIC, limit=10**9, amount=1_000, step=EPOCH, factor=10**18, steps=1_000)
TERMS = PLAN.terms(budget=0, window=9)
SHARES = [(b"storage".ljust(32, b"\0"), 6_001)]
RULES = {"window": 600, "answer_window": 300, "bond": 10**15, "growth": 10**6, "reward_bps": 3_000}


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

    def deploy(self, *, economy: bool = False) -> None:
        """One block that creates all contracts, with what their constructors log; with
        ``economy`` those of emission, rewards and auction too."""
        names = (*CONTRACTS, *ECONOMY) if economy else CONTRACTS
        for offset, name in enumerate(names):
            pair: list[rlp.Item] = [raw_address(SENDER), rlp.number(offset)]
            self.contracts[name] = checksum(keccak(rlp.encode(pair))[12:])
        at = self.contracts
        arguments: dict[str, list[object]] = {
            "governor": [SENDER, 3_600],
            "token": ["Freehold", "FREE", CAP, NETWORK_ID, at["governor"]],
            "registry": [NETWORK_ID, at["governor"], at["token"], 0, 0, 0, 0],
            "staking": [at["token"], at["registry"], at["governor"], UNBONDING],
            "payments": [at["token"], NETWORK_ID, at["governor"], SENDER],
            "beacon": [at["governor"], GENESIS, PERIOD, GRACE],
            "pdp": [at["beacon"], at["governor"], 5, WINDOW, at.get("rewards", ZERO_ADDRESS)],
            "faults": [
                at[n] for n in ("token", "registry", "staking", "pdp", "beacon", "governor")
            ],
            "storage": [
                *(at[n] for n in ("registry", "payments", "pdp", "beacon", "faults", "governor")),
                NETWORK_ID,
            ],
        }
        logs = {"payments": [Log("payments", "TokenSet", [at["token"], True])]}
        if economy:
            arguments |= self._economy()
            shares = [{"market": market, "bps": bps} for market, bps in SHARES]
            logs["issuance"] = [Log("issuance", "SplitSet", [1, 0, shares])]
            logs["roots"] = [Log("roots", "ParametersSet", [RULES])]
            logs["status"] = [Log("status", "ParametersSet", [WATCHING])]
            logs["streams"] = [Log("streams", "FeeSet", [500])]
        self.block(
            [
                (None, abi.interface(name).artifact.initcode(arguments[name]), logs.get(name, []))
                for name in names
            ]
        )

    def _economy(self) -> dict[str, list[object]]:
        at = self.contracts
        parts = [at[name] for name in ("token", "payments", "registry", "staking")]
        terms, rules = list(TERMS.values()), list(RULES.values())
        return {
            "issuance": [at["token"], at["governor"], GENESIS, EPOCH, terms, SHARES, []],
            "rewards": [*parts, at["issuance"], at["governor"], at["pdp"], GENESIS, EPOCH, 10**6,
                        9_000],
            "roots": [*parts[:2], at["issuance"], at["registry"], ZERO_ADDRESS, at["governor"],
                      NETWORK_ID, GENESIS, EPOCH, rules],
            "auction": [at["token"], *LOTS],
            "capacity": [at["registry"], at["staking"], at["governor"]],
            "devices": [NETWORK_ID, at["governor"], at["token"], 0],
            "status": [*(at[n] for n in ("registry", "staking", "beacon", "governor")), GENESIS,
                       ROUND, list(WATCHING.values())],
            "automation": [NETWORK_ID, *(at[n] for n in ("governor", "devices", "status"))],
            "streams": [at["token"], at["roots"], at["governor"], 500],
        }  # fmt: skip

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


def earning() -> Press:
    """A history of an economy: two epochs are closed, a share of one is drawn, and most of that
    burns for half a lot."""
    press = Press()
    press.deploy(economy=True)
    at, market = press.contracts, SHARES[0][0]
    press.call("governor", "setup_call", [at["issuance"], b"1234"], [
        Log("token", "MinterSet", [at["issuance"], True]),
        Log("issuance", "DistributorSet", [market, SENDER, press.time + 2]),
        Log("rewards", "MarketSet", [at["storage"], at["faults"]]),
    ])  # fmt: skip
    press.block([], later=2 * EPOCH)
    press.call("issuance", "advance", [9], [
        Log("issuance", "EpochClosed", [0, 1_000, 1_000, 1, 0]),
        Log("issuance", "EpochClosed", [1, 1_000, 2_000, 1, 0]),
    ])  # fmt: skip
    press.call("issuance", "draw", [1, 600, SENDER], [
        Log("issuance", "Drawn", [market, 1, SENDER, 600]),
        Log("token", "Transfer", [ZERO_ADDRESS, SENDER, 600]),
        Log("token", "Movement", [at["token"], ZERO_ADDRESS, SENDER, 600, 4]),
    ])  # fmt: skip
    press.call("rewards", "close", [0], [Log("rewards", "EpochClosed", [0, 0, 0, 0])])
    _sell(press)
    _ask(press)
    _sense(press)
    return press


def _sell(press: Press) -> None:
    """Goods of a foreign token arrive, and half of them are sold."""
    at = press.contracts
    press.call("governor", "setup_call", [at["payments"], b"1234"],
               [Log("payments", "AuctionSet", [at["auction"]])])  # fmt: skip
    press.call("auction", "take_in", [FOREIGN],
               [Log("auction", "Arrived", [FOREIGN, 1_000, 1_000, 1_000])])  # fmt: skip
    press.call("auction", "buy", [FOREIGN, 500, SENDER, 499, 500, press.time + 2], [
        Log("token", "Transfer", [SENDER, ZERO_ADDRESS, 499]),
        Log("token", "Movement", [at["token"], SENDER, ZERO_ADDRESS, 499, 6]),
        Log("auction", "Movement", [FOREIGN, at["auction"], SENDER, 500, 5]),
        Log("auction", "Sold", [FOREIGN, SENDER, SENDER, 500, 499, 500, 500, 624]),
    ])  # fmt: skip


def _ask(press: Press) -> None:
    """Devices ask for stake from now on."""
    press.call("governor", "setup_call", [press.contracts["capacity"], b"1234"],
               [Log("capacity", "RuleSet", [4, 200, 3, True])])  # fmt: skip


def _sense(press: Press) -> None:
    """The terms of devices, watchers, rules and sales change."""
    for contract, event, told in (
        ("devices", "FeeSet", [7]),
        ("status", "ToleranceSet", [SPEED, [0, 3]]),
        ("automation", "PausedSet", [True]),
        ("streams", "FeeSet", [333]),
    ):
        press.call("governor", "setup_call", [press.contracts[contract], b"1234"],
                   [Log(contract, event, told)])  # fmt: skip


EARNED: list[tuple[Question, list[Value]]] = [
    (("issuance", "closed", ()), [2]),
    (("issuance", "scheduled_total", ()), [2_000]),
    (("issuance", "drawn_total", ()), [600]),
    (("issuance", "budget", (1,)), [1_000, 1]),
    (("issuance", "drawn", (1, "0x" + SHARES[0][0].hex())), [600]),
    (("rewards", "emitted", ()), [0]),
    (("rewards", "account", (1,)),
     [{"epoch": 0, "weight": 0, "last_epoch": 0, "last_weight": 0, "credit": 0}]),
    (("rewards", "due", (1,)), [{"reward": 0, "waits": 0}]),
    (("staking", "arrival", (FOREIGN,)), [{"number": 0, "shares": 0, "since": 0}]),
    (("staking", "waiting_of", (FOREIGN, FOREIGN)), [0]),
    (("rewards", "waiting", (1, 0)), [0]),
    (("auction", "last_sale", (FOREIGN,)), [{"amount": 500, "price": 499}]),
    (("payments", "fees", (FOREIGN,)), [0]),
    (("capacity", "rule", (4,)), [{"amount": 200, "per": 3, "weighed": True}]),
    (("capacity", "declaration", (FOREIGN, 4)),
     [{"units": 0, "held": 0, "multiplier": 0, "per": 0, "amount": 0}]),
    (("roots", "state", ()),
     [{"final": 1, "tip": 1, "next_epoch": 0, "tip_total": 0, "final_total": 0,
       "unsettled": 0}]),
    (("roots", "parameters", ()), [dict(RULES)]),
    (("devices", "fee", ()), [7]),
    (("devices", "device", (FOREIGN,)), [{
        "owner": ZERO_ADDRESS, "payout": ZERO_ADDRESS, "generation": 0, "enrolled_at": 0,
        "retired": False, "key": b"", "binding": b"", "place": bytes(32), "firmware": "",
    }]),
    (("status", "parameters", ()), [dict(WATCHING)]),
    (("status", "tolerance_of", ("0x" + SPEED.hex(),)), [{"bps": 0, "least": 3}]),
    (("status", "value_of", (FOREIGN, "0x" + SPEED.hex())), [0, 0]),
    (("status", "score_of", (FOREIGN,)), [5_000]),
    (("automation", "paused", ()), [True]),
    (("automation", "rules_of", (FOREIGN,)), [[]]),
    (("streams", "fee_bps", ()), [333]),
    (("streams", "burned_of", (3,)), [0]),
]  # fmt: skip
"""What the contracts of the earning history say at its head."""


def answers(press: Press) -> list[tuple[Question, list[Value]]]:
    """What the contracts of the small history say at its head."""
    return [
        (("token", "totalSupply", ()), [10**20]),
        (("token", "minted", ()), [10**20]),
        (("token", "balanceOf", (SENDER,)), [10**20 - 5]),
        (("token", "balanceOf", (press.contracts["governor"],)), [5]),
        (("beacon", "round_count", ()), [0]),
    ]
