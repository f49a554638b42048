"""Stream a chain into an export: headers of every block, contents where the network appears.

Memory is bounded by a few blocks and by the names of what was seen (accounts, rails, sets, deals).
An export that was interrupted goes on where it stopped; one whose chain was reorganised goes back
to the last block that still stands.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from freehold.audit import blocks, claims, headers, lines
from freehold.audit.blocks import Block
from freehold.audit.claims import Keys, Question
from freehold.audit.events import Reader
from freehold.audit.headers import Header
from freehold.audit.lines import Line
from freehold.audit.quantity import bytes_of, data_of, list_of, mapping_of, number_of
from freehold.audit.receipts import encode_receipt
from freehold.audit.report import Differs
from freehold.audit.transactions import Transaction, encode_transaction
from freehold.domain.errors import ConflictError, FreeholdError, UnavailableError
from freehold.domain.files import sync_folder
from freehold.domain.ids import raw_address
from freehold.domain.network import Network
from freehold.ledger.wire import Json

Progress = Callable[[str, int, int], None]
"""Called with the stage, what is done and what there is."""

SYNC_EVERY = 512
CLAIMS_AT_ONCE = 64
BLOCKS_AT_ONCE = 16
ATTEMPTS = 5
REMEMBERED = 256


class Rpc(Protocol):
    """A JSON-RPC door to the chain."""

    def request(self, method: str, *params: Json) -> Json:
        """The result of a request; a FreeholdError when there is none."""

    def request_many(self, calls: Sequence[tuple[str, Sequence[Json]]]) -> list[Json]:
        """The results of several requests, in order; a FreeholdError when one is lacking."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A finished export: its last block, how much it holds, and the seal that names all of it."""

    path: Path
    head: Header
    blocks: int
    claims: int
    seal: bytes


@dataclass(slots=True)
class _State:
    """How far an export has come."""

    seal: bytes = lines.FIRST_SEAL
    line: int = 0
    end: int = 0
    blocks: int = 0
    claims: int = 0
    head: Header | None = None
    keys: Keys = field(default_factory=Keys)


class Exporter:
    """Writes one export; `run` may be called again after a failure and goes on."""

    def __init__(self, rpc: Rpc, network: Network, path: Path, *, progress: Progress) -> None:
        self._rpc = rpc
        self._network = network
        self._path = path
        self._progress = progress
        self._reader = Reader(network)
        self._contracts = {raw_address(at): name for name, at in network.contracts.items()}
        self._state = _State()

    @property
    def partial(self) -> Path:
        """Where the export grows until it is whole."""
        return self._path.with_name(self._path.name + ".partial")

    def run(self) -> Summary:
        """Export up to the head; UnavailableError when the chain cannot be read as it stands."""
        self.partial.touch(mode=0o600)
        with self.partial.open("r+b") as file:
            self._resume(file)
            self._blocks(file, self._head())
            self._claims(file)
            summary = self._finish(file)
        self.partial.replace(self._path)
        sync_folder(self._path.parent)
        return summary

    def _resume(self, file: BinaryIO) -> None:
        """Stand behind the last line that still holds, and cut off what follows it."""
        self._state = self._scan(file, limit=None)
        self._state = self._standing(file)
        file.truncate(self._state.end)
        file.seek(self._state.end)
        if self._state.line == 0:
            described = json.loads(self._network.render())
            first = self._network.deployed_block
            self._write(file, "export", {"version": 1, "first_block": first, "network": described})

    def _scan(self, file: BinaryIO, *, limit: int | None) -> _State:
        """Read what is there, up to its first claim or fault, or up to an offset."""
        state = _State()
        file.seek(0)
        self._recent: deque[tuple[int, bytes, int]] = deque(maxlen=REMEMBERED)
        try:
            for line in lines.read(file):
                if line.kind not in ("export", "block") or (limit and line.end > limit):
                    break
                lines.check_seal(line, state.seal)
                self._take(line, state)
        except Differs:
            pass  # an interrupted write leaves a cut line behind: it is written again
        return state

    def _take(self, line: Line, state: _State) -> None:
        if line.kind == "export":
            described = json.loads(self._network.render())
            if line.fields.get("network") != described:
                raise ConflictError(
                    f"{self.partial} is an unfinished export of another network",
                    remedy="Remove it, or export to another file.",
                )
        else:
            self._note(blocks.parse(line), state)
            self._recent.append((state.blocks, _head_of(state).hash, line.end))
        state.seal, state.line, state.end = line.seal, line.number, line.end

    def _note(self, block: Block, state: _State) -> None:
        blocks.check_link(block, state.head, self._contracts)
        for event in self._reader.read(block):
            state.keys.see(event)
        state.head = block.header
        state.blocks += 1

    def _standing(self, file: BinaryIO) -> _State:
        """The state behind the last exported block that is still on the chain."""
        state = self._state
        if state.head is None:
            return state
        first = self._network.deployed_block
        for count, hashed, end in reversed(self._recent):
            if self._hash_at(first + count - 1) == hashed:
                return state if end == state.end else self._scan(file, limit=end)
        raise ConflictError(
            f"the blocks in {self.partial} are not on this chain",
            remedy="Remove it and export again.",
        )

    def _blocks(self, file: BinaryIO, head: int) -> None:
        first = self._network.deployed_block
        for start in range(first + self._state.blocks, head + 1, BLOCKS_AT_ONCE):
            numbers = range(start, min(start + BLOCKS_AT_ONCE, head + 1))
            raw = self._rpc.request_many(
                [("eth_getBlockByNumber", (hex(number), True)) for number in numbers]
            )
            for number, each in zip(numbers, raw, strict=True):
                self._block(file, number, mapping_of(each, "block"))
            self._progress("export", numbers[-1] - first + 1, head - first + 1)

    def _block(self, file: BinaryIO, number: int, raw: dict[str, object]) -> None:
        header = headers.encode_header(raw)
        bodies = list_of(raw.get("transactions"), "transactions")
        content = self._content(number, bodies) if self._matters(header, bodies) else None
        text = blocks.fields_of(header, number, content)
        try:
            self._note(blocks.parse(Line(0, "block", text, b"", 0)), self._state)
        except Differs as failure:
            raise UnavailableError(
                f"the RPC contradicts itself, or the chain changed meanwhile: {failure}",
                remedy="Export again: it goes on from the last block that still stands.",
            ) from failure
        self._write(file, "block", text)

    def _matters(self, header: bytes, bodies: Sequence[object]) -> bool:
        """Whether a block may hold a log of the network, or creates one of its contracts."""
        if blocks.names_network(Header.parse(header).bloom, self._contracts):
            return True
        created = [b for b in bodies if mapping_of(b, "transaction").get("to") is None]
        return any(self._creates(self._transaction(body)) for body in created)

    def _creates(self, raw: bytes) -> bool:
        made = Transaction.parse(raw).created()
        return made is not None and made in self._network.contracts.values()

    def _content(self, number: int, bodies: Sequence[object]) -> tuple[list[bytes], list[bytes]]:
        transactions = [self._transaction(body) for body in bodies]
        found = list_of(self._rpc.request("eth_getBlockReceipts", hex(number)), "receipts")
        return transactions, [encode_receipt(mapping_of(each, "receipt")) for each in found]

    def _transaction(self, body: object) -> bytes:
        fields = mapping_of(body, "transaction")
        if fields.get("type") in (None, "0x0", "0x1", "0x2"):
            return encode_transaction(fields)
        name = "0x" + data_of(fields, "hash").hex()
        return bytes_of(self._rpc.request("eth_getRawTransactionByHash", name), "raw transaction")

    def _claims(self, file: BinaryIO) -> None:
        questions = list(self._state.keys.questions())
        for start in range(0, len(questions), CLAIMS_AT_ONCE):
            self._ask(file, questions[start : start + CLAIMS_AT_ONCE])
            self._progress("claims", min(start + CLAIMS_AT_ONCE, len(questions)), len(questions))

    def _ask(self, file: BinaryIO, questions: Sequence[Question]) -> None:
        """Claim a few answers at the head, which pruned chains forget soon: move up and retry."""
        failure: FreeholdError | None = None
        for _ in range(ATTEMPTS):
            head = self._head()
            self._blocks(file, head)
            try:
                answers = self._answers(questions, head)
            except FreeholdError as error:
                failure = error
                continue
            if self._hash_at(head) == _head_of(self._state).hash:
                for text in answers:
                    self._write(file, "claim", text)
                    self._state.claims += 1
                return
        raise UnavailableError(
            f"the state at the head cannot be read: {failure or 'it keeps changing'}",
            remedy="Use an RPC that keeps the state of the last few blocks.",
        )

    def _answers(self, questions: Sequence[Question], block: int) -> list[dict[str, object]]:
        calls = [("eth_call", (self._call(question), hex(block))) for question in questions]
        found = self._rpc.request_many(calls)
        answers = []
        for question, raw in zip(questions, found, strict=True):
            contract, view, arguments = question
            interface = self._reader.interface(contract)
            values = interface.read_result(view, len(arguments), bytes_of(raw, view))
            answers.append(claims.fields_of(block, question, values))
        return answers

    def _call(self, question: Question) -> dict[str, Json]:
        contract, view, arguments = question
        data = self._reader.interface(contract).call_data(view, list(arguments))
        return {"to": self._network.contracts[contract], "data": "0x" + data.hex()}

    def _finish(self, file: BinaryIO) -> Summary:
        state = self._state
        head = _head_of(state)
        self._write(
            file,
            "end",
            {"blocks": state.blocks, "claims": state.claims, "head": "0x" + head.hash.hex()},
        )
        _sync(file)
        return Summary(self._path, head, state.blocks, state.claims, state.seal)

    def _write(self, file: BinaryIO, kind: str, fields: dict[str, object]) -> None:
        text, self._state.seal = lines.render(kind, fields, self._state.seal)
        file.write(text)
        self._state.line += 1
        self._state.end += len(text)
        if self._state.line % SYNC_EVERY == 0:
            _sync(file)

    def _head(self) -> int:
        head = number_of(self._rpc.request("eth_blockNumber"), "eth_blockNumber")
        if head < self._network.deployed_block:
            raise UnavailableError(
                f"the chain ends at block {head}, before the network was deployed",
                remedy="Wait until the RPC has synchronised, or check its URL.",
            )
        return head

    def _hash_at(self, number: int) -> bytes | None:
        block = self._rpc.request("eth_getBlockByNumber", hex(number), False)
        return None if block is None else data_of(mapping_of(block, "block"), "hash")


def export(
    rpc: Rpc, network: Network, path: Path, *, progress: Progress = lambda *_: None
) -> Summary:
    """Export a network's chain to ``path``; going on where an earlier attempt stopped.

    Raises UnavailableError when the RPC fails or contradicts itself, ConflictError when an
    unfinished export of something else is in the way.
    """
    return Exporter(rpc, network, path, progress=progress).run()


def _head_of(state: _State) -> Header:
    if state.head is None:
        raise UnavailableError("no block was exported", remedy="Check the RPC of the network.")
    return state.head


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
