"""Model nodes that behave as they are told: real servers, in the test's own event loop."""

from __future__ import annotations

import asyncio
import datetime
import json
import random
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np

from freehold.client.asking.caller import Caller
from freehold.client.asking.candidate import Candidate
from freehold.client.asking.journal import Journal
from freehold.client.asking.purse import Purse
from freehold.client.asking.router import Router
from freehold.client.asking.spots import NONE, Canaries, Shares
from freehold.client.chain import Cheque
from freehold.client.token import Identity
from freehold.domain.ids import ZERO_ADDRESS, Address, checksum
from freehold.domain.keys import Key, recover
from freehold.domain.network import Network
from freehold.domain.typed import VOUCHER
from freehold.markets.models.tensor import Schema
from freehold.node.tls import Certificate, ensure_certificate, server_context

SUBNET = "digits"
INPUTS = {"x": np.array([[1.0, 2.0]], dtype=np.float32)}
SCHEMA = Schema.of(
    {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
    }
)


@dataclass
class Got:
    """A request as a node saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Behaviour = Callable[["FakeNode", Got, asyncio.StreamWriter], Awaitable[None]]


def number(seed: int) -> Address:
    return checksum(sha256(str(seed).encode()).digest()[:20])


@cache
def certificate() -> tuple[Certificate, TemporaryDirectory[str]]:
    folder = TemporaryDirectory(prefix="freehold-asking-")
    now = int(datetime.datetime.now(datetime.UTC).timestamp())
    return ensure_certificate(Path(folder.name), host="127.0.0.1", now=now), folder


def answer_body(values: Sequence[float] = (0.1, 0.7, 0.2), name: str = "y") -> bytes:
    outputs = [{"name": name, "datatype": "FP32", "shape": [1, len(values)], "data": list(values)}]
    return json.dumps({"model_name": SUBNET, "outputs": outputs}).encode()


def http(status: int, body: bytes, **headers: str) -> bytes:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in named.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def says(status: int = 200, body: bytes | None = None, **headers: str) -> Behaviour:
    async def behave(node: FakeNode, got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(http(status, answer_body() if body is None else body, **headers))

    return behave


def sends(raw: bytes, *, close: bool = False) -> Behaviour:
    async def behave(node: FakeNode, got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        if close:
            writer.close()

    return behave


async def hang(node: FakeNode, got: Got, writer: asyncio.StreamWriter) -> None:
    await node.gone.wait()


async def trickle(node: FakeNode, got: Got, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    while not node.gone.is_set():
        writer.write(b"x")
        await asyncio.sleep(0.02)


async def drop(node: FakeNode, got: Got, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


good = says()
BAD: dict[str, Behaviour] = {
    "hangs": hang,
    "trickles": trickle,
    "drops": drop,
    "dies midway": sends(b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{", close=True),
    "garbage": sends(b"\x00\x01 garbage garbage\r\n\r\n"),
    "no JSON": says(200, b"<html>hello</html>"),
    "NaN": says(200, answer_body().replace(b"0.7", b"NaN")),
    "other outputs": says(200, answer_body(name="z")),
    "other shape": says(200, answer_body((0.1, 0.9))),
    "500": says(500, b'{"error":"my model broke"}'),
    "404": says(404, b""),
    "400": says(400, b'{"error":"I do not like it"}'),
    "429": says(429, b"", retry_after="7"),
    "503": says(503, b"", retry_after="99999999999999999"),
    "402": says(402, b'{"due":"5","price":"5"}'),
    "endless head": sends(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000),
    "endless 1xx": sends(b"HTTP/1.1 102 Processing\r\n\r\n" * 4_000),
    "too long": sends(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"),
    "redirect": says(302, b"", location="http://169.254.169.254/"),
}


@dataclass
class FakeNode:
    """A server on loopback; ``got`` are the requests it saw."""

    seed: int
    behave: Behaviour = good
    secure: bool = False
    score: float = 0.8
    price: int = 0
    payee: Address = ZERO_ADDRESS
    got: list[Got] = field(default_factory=list)
    port: int = 0

    @property
    def node(self) -> Address:
        return number(self.seed)

    async def start(self) -> Self:
        self.gone = asyncio.Event()
        self.writers: set[asyncio.StreamWriter] = set()
        self.readers: list[asyncio.StreamReader] = []
        context = server_context(certificate()[0]) if self.secure else None
        self.server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=context, reuse_address=True
        )
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        self.gone.set()
        self.server.close()
        for writer in list(self.writers):
            writer.transport.abort()
        await self.server.wait_closed()

    def candidate(self, **changes: object) -> Candidate:
        made = Candidate(
            node=self.node,
            uid=self.seed,
            endpoint=f"{'https' if self.secure else 'http'}://127.0.0.1:{self.port}",
            fingerprint=certificate()[0].fingerprint if self.secure else b"",
            score=self.score,
            price=self.price,
            payee=self.payee,
        )
        return replace(made, **changes)  # type: ignore[arg-type]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        self.readers.append(reader)
        try:
            while not self.gone.is_set():
                got = await _request(reader)
                self.got.append(got)
                await self.behave(self, got, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()


async def _request(reader: asyncio.StreamReader) -> Got:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
    return Got(
        method, path, headers, await reader.readexactly(int(headers.get("content-length", "0")))
    )


class Listed:
    """A ranking that the test fills."""

    def __init__(self, *candidates: Candidate, schema: Schema | None = SCHEMA) -> None:
        self.known: Sequence[Candidate] = list(candidates)
        self.shape = schema

    def candidates(self, subnet: str) -> Sequence[Candidate]:
        return self.known

    def schema(self, subnet: str) -> Schema | None:
        return self.shape


class World:
    """Nodes and a router between them, closed at the end."""

    def __init__(
        self,
        *nodes: FakeNode,
        seed: int = 1,
        journal: Journal | None = None,
        purse: Purse | None = None,
        identity: Identity | None = None,
        shares: Shares = NONE,
        canaries: Canaries | None = None,
        schema: Schema | None = SCHEMA,
        under_way: int = 256,
        waiting: int = 1_024,
    ) -> None:
        self.nodes = nodes
        self.ranking = Listed(schema=schema)
        self._make: Callable[[], Router] = lambda: Router(
            self.ranking,
            Caller(plain=True, purse=purse, identity=identity),
            journal=journal,
            purse=purse,
            chance=random.Random(seed),
            shares=shares,
            canaries=canaries,
            under_way=under_way,
            waiting=waiting,
        )

    async def __aenter__(self) -> Self:
        for node in self.nodes:
            await node.start()
        self.ranking.known = [node.candidate() for node in self.nodes]
        self.router = self._make()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.router.close()
        for node in self.nodes:
            await node.stop()


NETWORK_ID = b"\x07" * 32


class Payments:
    """Voucher rails in memory, and the till of a node that is paid by them."""

    def __init__(self, network: Network, payer: Key) -> None:
        self.network, self.payer = network, payer
        self.rails: dict[int, Cheque] = {}
        self.payouts: dict[Address, Address] = {}
        self.opened = 0

    def open_cheque(self, node: Address, collateral: int) -> int:
        self.opened += 1
        rail = len(self.rails) + 1
        payee = self.payouts.get(node, node)
        self.rails[rail] = Cheque(rail, payee, collateral, 0, closing=False)
        return rail

    def add_collateral(self, rail: int, amount: int) -> None:
        self.rails[rail] = replace(
            self.rails[rail], collateral=self.rails[rail].collateral + amount
        )

    def cheque(self, rail: int) -> Cheque:
        return self.rails[rail]


class Till:
    """What a paid node does with a voucher, as ``node.vouchers`` does."""

    def __init__(self, payments: Payments, price: int) -> None:
        self.payments, self.price = payments, price
        self.best, self.spent, self.signature = 0, 0, b""
        self.rail = 0

    def charge(self, header: str | None) -> dict[str, object] | None:
        """None when paid, else the bill."""
        bill: dict[str, object] = {"error": "pay", "price_per_byte": str(self.price)}
        if header is None:
            return bill | {"due": str(self.price)}
        rail, amount, signature = header.split(":")
        self.rail = int(rail)
        digest = VOUCHER.digest(self.payments.network.domain("payments"), [self.rail, int(amount)])
        raw = bytes.fromhex(signature[2:])
        assert recover(digest, raw) == self.payments.payer.address
        assert int(amount) <= self.payments.rails[self.rail].collateral
        if int(amount) > self.best:
            self.best, self.signature = int(amount), raw
        if self.spent + self.price > self.best:
            return bill | {
                "due": str(self.spent + self.price),
                "rail": self.rail,
                "signed": str(self.best),
                "signature": "0x" + self.signature.hex(),
            }
        self.spent += self.price
        return None

    async def __call__(self, node: FakeNode, got: Got, writer: asyncio.StreamWriter) -> None:
        bill = self.charge(got.headers.get("freehold-voucher"))
        if bill is None:
            writer.write(http(200, answer_body()))
        else:
            writer.write(http(402, json.dumps(bill).encode()))
