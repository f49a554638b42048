"""A network in memory: a chain of plain fields, and small HTTPS nodes that can misbehave."""

from __future__ import annotations

import base64
import datetime
import json
import secrets
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from freehold.client.chain import Cheque, Funds, NodeRecord, Opened, Terms
from freehold.client.client import Client
from freehold.client.connection import Peer, Timeouts
from freehold.client.options import Options
from freehold.client.packer import Limits
from freehold.client.session import Retry
from freehold.client.wallet import Wallet
from freehold.domain.closing import Closing
from freehold.domain.errors import NotFoundError, RefusedError
from freehold.domain.ids import ZERO_ADDRESS, Address, address, checksum, hex32
from freehold.domain.keys import Key, recover
from freehold.domain.money import RATE_UNIT, UNIT
from freehold.domain.network import CONTRACTS, Network
from freehold.domain.typed import ACCEPTANCE, OFFER, REQUEST, VOUCHER
from freehold.ledger.contracts.storage import (
    ACTIVE,
    Acceptance,
    Column,
    Deal,
    OpenRequest,
)
from freehold.markets.storage.piece import commit, parse_cid

NOW = 1_800_000_000
PRICE = UNIT
MIB = 2**20


def network(network_id: bytes = b"\x07" * 32) -> Network:
    contracts = {c: checksum(bytes([i + 1]) * 20) for i, c in enumerate(CONTRACTS)}
    return Network("test", 31337, network_id, contracts, {}, ("http://127.0.0.1:1",), 0)


@lru_cache(maxsize=4)
def certificate(number: int = 0) -> tuple[bytes, bytes]:
    """A self-signed certificate as PEM with its key, and the SHA-256 of its DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"node {number}")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem, sha256(made.public_bytes(serialization.Encoding.DER)).digest()


@dataclass
class FakeNode:
    """One node: a key, an owner, pieces by CID, and knobs for every way to misbehave."""

    key: Key
    owner: Address
    net: Network
    folder: Path
    price: int = PRICE
    retrieval_price: int = 0
    capacity: int = 2**40
    window: int = 3600
    pieces: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)
    clients: dict[str, set[Address]] = field(default_factory=dict)
    spent: dict[int, int] = field(default_factory=dict)
    best: dict[int, tuple[int, str]] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    served: int = 0
    cut_after: int | None = None
    cuts_left: int = 0
    refuse: Callable[[str, str], tuple[int, str] | None] = field(default=lambda m, p: None)
    before: Callable[[str, str], None] = field(default=lambda m, p: None)
    tamper: Callable[[str, int, bytes], bytes] = field(default=lambda cid, at, data: data)
    speak: Callable[[_Handler], None] | None = None
    lie_about_root: bool = False
    down: bool = False
    acceptor: Key | None = None
    now: Callable[[], int] = field(default=lambda: NOW)
    rail: Callable[[int], tuple[Address, int]] = field(default=lambda rail: (ZERO_ADDRESS, 0))
    nonces: set[str] = field(default_factory=set)
    sessions: dict[Address, Address] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)
    server: ThreadingHTTPServer | None = None

    def start(self, port: int = 0) -> FakeNode:
        pem = self.folder / f"{self.key.address}.pem"
        pem.write_bytes(certificate()[0])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        node = self

        class Handler(_Handler):
            fake = node

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def get_request(self):  # type: ignore[no-untyped-def]
                raw, where = super().get_request()
                raw.settimeout(20)
                return context.wrap_socket(
                    raw, server_side=True, do_handshake_on_connect=False
                ), where

            def handle_error(self, request: object, client_address: object) -> None:
                return

        self.server = Server(("127.0.0.1", port), Handler)
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return self

    @property
    def port(self) -> int:
        assert self.server is not None
        return int(self.server.server_address[1])

    def stop(self) -> None:
        """As ``kill -9``: nothing listens, and connections that are open say no more."""
        self.down = True
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def peer(self) -> Peer:
        port = self.port if self.server else 1
        return Peer(self.key.address, f"https://127.0.0.1:{port}", certificate()[1])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeNode

    def log_message(self, format: str, *args: object) -> None:
        return

    def _run(self) -> None:
        node = self.fake
        method, path = self.command, self.path
        length = int(self.headers.get("Content-Length") or 0)
        with node.guard:
            node.calls.append((method, path))
        node.before(method, path)
        if node.down:
            self.close_connection = True
            self.connection.close()
            return
        refusal = node.refuse(method, path)
        body = b"" if method == "PATCH" else self.rfile.read(length)
        if refusal is not None:
            self.close_connection = True
            self._json(refusal[0], {"error": refusal[1], "remedy": "as told"})
            return
        if node.speak is not None:
            node.speak(self)
            return
        account: Address | None = None
        if path != "/offer":
            account = self._account(method, path, body)
            if account is None:
                return
        getattr(self, f"_{method.lower()}")(path, body, length, account)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _run

    def _account(self, method: str, path: str, body: bytes) -> Address | None:
        node = self.fake
        text = (self.headers.get("Authorization") or "").removeprefix("Freehold ")
        fields = json.loads(base64.urlsafe_b64decode(text))
        digest = hex32(fields["body"]) if fields["body"] else bytes(32)
        signed = REQUEST.digest(
            node.net.domain("registry"),
            [
                address(fields["audience"]),
                fields["method"],
                fields["path"],
                digest,
                fields["expiry"],
                hex32(fields["nonce"]),
            ],
        )
        signer = recover(signed, bytes.fromhex(fields["signature"][2:]))
        account = node.sessions.get(signer, signer)
        with node.guard:
            fresh = fields["nonce"] not in node.nonces
            node.nonces.add(fields["nonce"])
        right = (
            fresh
            and account == fields["account"]
            and fields["audience"] == node.key.address
            and (fields["method"], fields["path"]) == (method, path)
            and node.now() < fields["expiry"] <= node.now() + 300
            and (method == "PATCH" or digest == (sha256(body).digest() if body else bytes(32)))
        )
        if right:
            return account
        self._json(401, {"error": "the token is wrong", "remedy": "sign again"})
        return None

    def _json(self, status: int, fields: object, headers: dict[str, str] | None = None) -> None:
        raw = json.dumps(fields).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def answer(self, raw: bytes) -> None:
        """Whatever bytes, as a JSON answer."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def trickle(self, length: int) -> None:
        """An answer in single bytes."""
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        try:
            for _ in range(length):
                self.wfile.write(b" ")
                self.wfile.flush()
        except OSError:
            self.close_connection = True

    def _empty(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", "0")
        self.end_headers()

    def _missing(self) -> None:
        self._json(404, {"error": "there is nothing here", "remedy": "look elsewhere"})

    def _post(self, path: str, body: bytes, length: int, account: Address) -> None:
        node, fields = self.fake, json.loads(body)
        if path == "/upload":
            if fields["size"] > node.capacity:
                self._json(507, {"error": "the node is full", "remedy": "choose another"})
                return
            name = secrets.token_hex(8)
            node.uploads[name] = bytearray()
            self._json(201, {"id": name})
            return
        self._accept(fields, account)

    def _accept(self, fields: dict[str, object], account: Address) -> None:
        node, cid = self.fake, str(fields["cid"])
        if cid not in node.pieces:
            self._missing()
            return
        piece, client = parse_cid(cid), address(str(fields["client"]))
        term_end = int(str(fields["term_end"]))
        nonce, deadline = secrets.randbits(200), node.now() + node.window
        digest = ACCEPTANCE.digest(
            node.net.domain("storage"),
            [
                node.key.address, client, account, address(str(fields["token"])), piece.root,
                piece.raw_size, piece.height, node.price, term_end, deadline, nonce,
            ],
        )  # fmt: skip
        node.clients.setdefault(cid, set()).add(client)
        self._json(
            200,
            {
                "node": node.key.address,
                "price": str(node.price),
                "term_end": term_end,
                "deadline": deadline,
                "nonce": str(nonce),
                "signature": "0x" + (node.acceptor or node.key).sign(digest).hex(),
            },
        )

    def _patch(self, path: str, body: bytes, length: int, account: Address) -> None:
        node = self.fake
        upload = node.uploads.get(path.rpartition("/")[2])
        if upload is None:
            self._missing()
            return
        if int(self.headers["Upload-Offset"]) != len(upload):
            self.close_connection = True
            self._json(409, {"error": "the upload stands elsewhere", "remedy": "ask with HEAD"})
            return
        left = length
        while left:
            if node.cuts_left and node.cut_after is not None and len(upload) >= node.cut_after:
                node.cuts_left -= 1
                self.close_connection = True
                self.connection.close()
                return
            part = self.rfile.read(min(left, 65536))
            upload += part
            left -= len(part)
        self._empty(202)

    def _put(self, path: str, body: bytes, length: int, account: Address) -> None:
        node, cid = self.fake, path.rpartition("/")[2]
        upload = node.uploads.pop(self.headers.get("Upload-Id", ""), None)
        if upload is None:
            self._missing()
            return
        if node.lie_about_root or commit(bytes(upload)).cid != cid:
            self._json(422, {"error": "the bytes are another piece", "remedy": "send them again"})
            return
        node.pieces[cid] = bytes(upload)
        self._json(201, {"cid": cid})

    def _delete(self, path: str, body: bytes, length: int, account: Address) -> None:
        self.fake.uploads.pop(path.rpartition("/")[2], None)
        self._empty(204)

    def _head(self, path: str, body: bytes, length: int, account: Address) -> None:
        node, name = self.fake, path.rpartition("/")[2]
        if path.startswith("/upload/") and name in node.uploads:
            self._empty(200, {"Upload-Offset": str(len(node.uploads[name]))})
        elif path.startswith("/piece/") and name in node.pieces:
            self._empty(200)
        else:
            self._missing()

    def _get(self, path: str, body: bytes, length: int, account: Address | None) -> None:
        if path == "/offer":
            self._offer()
            return
        node, cid = self.fake, path.rpartition("/")[2]
        if cid not in node.pieces:
            self._missing()
            return
        first, _, last = (
            (self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")
        )
        piece = node.pieces[cid]
        start, stop = int(first), min(len(piece), int(last or len(piece) - 1) + 1)
        if not self._paid(cid, account or ZERO_ADDRESS, stop - start):
            return
        data = node.tamper(cid, start, piece[start:stop])
        self.send_response(206)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(piece)}")
        self.end_headers()
        if node.cuts_left and node.cut_after is not None and len(data) > node.cut_after:
            node.cuts_left -= 1
            data = data[: node.cut_after]
        self.wfile.write(data)
        node.served += len(data)
        if len(data) < stop - start:
            self.close_connection = True
            self.wfile.flush()
            self.connection.close()

    def _paid(self, cid: str, account: Address, length: int) -> bool:
        node = self.fake
        if not node.retrieval_price or account in node.clients.get(cid, set()):
            return True
        cost = length * node.retrieval_price
        header = self.headers.get("Freehold-Voucher")
        rail, amount, signature = 0, 0, ""
        if header is not None:
            rail_text, amount_text, signature = header.split(":")
            rail, amount = int(rail_text), int(amount_text)
            digest = VOUCHER.digest(node.net.domain("payments"), [rail, amount])
            payer, collateral = node.rail(rail)
            signer = recover(digest, bytes.fromhex(signature[2:]))
            if signer != payer or account != payer or amount > collateral:
                amount = 0
        with node.guard:
            due = node.spent.get(rail, 0) + cost
            if amount >= due:
                node.spent[rail] = due
                node.best[rail] = max(node.best.get(rail, (0, "")), (amount, signature))
                return True
        bill: dict[str, object] = {
            "error": "these bytes have a price",
            "remedy": "pay",
            "due": str(due),
            "price_per_byte": str(node.retrieval_price),
        }
        if rail in node.best:
            amount, signature = node.best[rail]
            bill |= {"rail": rail, "signed": str(amount), "signature": signature}
        self._json(402, bill)
        return False

    def _offer(self) -> None:
        node = self.fake
        values = [node.price, node.retrieval_price, 0, 10**9, node.capacity, node.now() + 600]
        digest = OFFER.digest(node.net.domain("registry"), [node.key.address, *values])
        names = ("price", "retrieval_price", "min_term", "max_term", "capacity_free", "expiry")
        self._json(
            200,
            {
                "node": node.key.address,
                **dict(zip(names, values, strict=True)),
                "price": str(node.price),
                "signature": "0x" + node.key.sign(digest).hex(),
            },
        )


@dataclass
class FakeLedger:
    """What all accounts share: deals, columns, cheques."""

    net: Network
    nodes: list[FakeNode] = field(default_factory=list)
    opened: dict[int, Deal] = field(default_factory=dict)
    columns: dict[tuple[int, int], Column] = field(default_factory=dict)
    tags: dict[str, Opened] = field(default_factory=dict)
    nonces: set[int] = field(default_factory=set)
    cheques: dict[int, Cheque] = field(default_factory=dict)
    payers: dict[int, Address] = field(default_factory=dict)
    barred: dict[Address, str] = field(default_factory=dict)
    moves: list[tuple[int, int, Address]] = field(default_factory=list)
    time: int = NOW
    refuse_open: Callable[[OpenRequest], str | None] = field(default=lambda request: None)
    lock: threading.RLock = field(default_factory=threading.RLock)


@dataclass
class FakeChain:
    """``chain.Chain`` of one account over the shared ledger."""

    ledger: FakeLedger
    account: Address
    available: int = 10**30
    approved: int = 10**60
    gas: int = 10**20
    funded: list[int] = field(default_factory=list)

    @property
    def network(self) -> Network:
        return self.ledger.net

    def now(self) -> int:
        return self.ledger.time

    def nodes(self, *, fresh: bool = False) -> Sequence[NodeRecord]:
        return [
            NodeRecord(n.peer(), n.owner, 10**30, 10, 0, self.ledger.barred.get(n.key.address, ""))
            for n in self.ledger.nodes
        ]

    def peer(self, node: Address) -> Peer:
        return next(n.peer() for n in self.ledger.nodes if n.key.address == node)

    def terms(self) -> Terms:
        return Terms(600, UNIT, 1)

    def funds(self) -> Funds:
        return Funds(
            self.available, self.available, 2**63, 5 * UNIT, self.gas, 10**9, self.approved,
            self.approved,
        )  # fmt: skip

    def fund(self, amount: int, *, rate_cap: int, lockup_cap: int) -> str:
        self.available += amount
        self.approved = min(rate_cap, lockup_cap)
        self.funded.append(amount)
        return "0x1"

    def deals(self, client: Address) -> Sequence[int]:
        return [
            i
            for i, d in self.ledger.opened.items()
            if d.client == client and not d.closed_at and d.term_end > self.now()
        ]

    def deal(self, deal: int) -> Deal:
        if deal not in self.ledger.opened:
            raise NotFoundError(f"there is no deal {deal}", remedy="look again")
        return self.ledger.opened[deal]

    def column(self, deal: int, slot: int) -> Column:
        return self.ledger.columns[deal, slot]

    def former(self, deal: int) -> Sequence[tuple[int, Address]]:
        return [(slot, node) for d, slot, node in reversed(self.ledger.moves) if d == deal]

    def find(self, object_id: bytes) -> int | None:
        for i, deal in self.ledger.opened.items():
            if (deal.client, deal.object_id) == (self.account, object_id):
                return i
        return None

    def open(self, request: OpenRequest, acceptances: Sequence[Acceptance], *, tag: str) -> Opened:
        with self.ledger.lock:
            if tag in self.ledger.tags:
                return self.ledger.tags[tag]
            problem = self.ledger.refuse_open(request)
            for slot, acceptance in enumerate(acceptances):
                problem = problem or self._wrong(request, slot, acceptance)
            if problem:
                raise RefusedError(f"storage.open was refused: {problem}", remedy="see why")
            return self._open(request, acceptances, tag)

    def _wrong(self, request: OpenRequest, slot: int, a: Acceptance) -> str | None:
        digest = ACCEPTANCE.digest(
            self.network.domain("storage"),
            [
                a.node, self.account, self.account, request.token, request.roots[slot],
                request.size, request.height, a.price, a.term_end, a.deadline, a.nonce,
            ],
        )  # fmt: skip
        if recover(digest, a.signature) != a.node:
            return "storage: wrong signature"
        if a.nonce in self.ledger.nonces or a.deadline < self.now():
            return "storage: used or expired"
        return "pdp: rounds owed" if a.node in self.ledger.barred else None

    def _open(self, request: OpenRequest, acceptances: Sequence[Acceptance], tag: str) -> Opened:
        deal = len(self.ledger.opened) + 1
        self.ledger.opened[deal] = Deal(
            self.account, request.token, request.object_id, request.k, len(request.roots),
            request.size, request.height, self.now(), acceptances[0].term_end, 0,
            request.mandate, 0, request.mandate.repair_fee * request.mandate.repairs, b"",
        )  # fmt: skip
        for slot, a in enumerate(acceptances):
            self.ledger.nonces.add(a.nonce)
            self.ledger.columns[deal, slot] = Column(
                a.node,
                request.roots[slot],
                slot,
                slot,
                a.price,
                0,
                0,
                0,
                ACTIVE,
                0,
                ZERO_ADDRESS,
                False,
            )
        lockup = sum(a.price * request.size for a in acceptances) * 600 // RATE_UNIT
        self.available -= lockup
        self.ledger.tags[tag] = Opened(deal, "0x2", 2_000_000, 10**15)
        return self.ledger.tags[tag]

    def close(self, deal: int) -> str:
        if self.ledger.opened[deal].closed_at:
            raise RefusedError("storage.close was refused: storage: deal is closed", remedy="-")
        self.ledger.opened[deal] = replace(self.ledger.opened[deal], closed_at=self.now())
        return "0x3"

    def renew(self, deal: int, term_end: int, acceptances: Sequence[Acceptance]) -> str:
        self.ledger.opened[deal] = replace(self.ledger.opened[deal], term_end=term_end)
        return "0x4"

    def replace(self, deal: int, slot: int, acceptance: Acceptance, *, tag: str) -> str:
        old = self.ledger.columns[deal, slot]
        self.ledger.moves.append((deal, slot, old.node))
        self.ledger.columns[deal, slot] = replace(
            old, node=acceptance.node, price=acceptance.price, replacer=self.account
        )
        return "0x5"

    def open_cheque(self, node: Address, collateral: int) -> int:
        rail = len(self.ledger.cheques) + 1
        self.ledger.cheques[rail] = Cheque(rail, node, collateral, 0, closing=False)
        self.ledger.payers[rail] = self.account
        return rail

    def add_collateral(self, rail: int, amount: int) -> None:
        old = self.ledger.cheques[rail]
        self.ledger.cheques[rail] = replace(old, collateral=old.collateral + amount)

    def cheque(self, rail: int) -> Cheque:
        return self.ledger.cheques[rail]


OPTIONS = Options(
    pack_below=4096,
    segment_length=256 * 1024,
    timeouts=Timeouts(connect=5, idle=5),
    retry=Retry(pause=0.0, sleep=lambda seconds: None),
    limits=Limits(wait=10**9),
)


class World(Closing):
    """Nodes that run, and clients over them; leave it to stop everything."""

    def __init__(self, folder: Path, nodes: int = 6) -> None:
        self.folder = folder
        self.ledger = FakeLedger(network())
        self.closing: list[Callable[[], None]] = []
        for i in range(nodes):
            self.add_node(i)

    def add_node(self, number: int, **changes: object) -> FakeNode:
        node = FakeNode(
            Key.from_secret(bytes([number + 1]) * 32),
            checksum(bytes([0x80 + number]) * 20),
            self.ledger.net,
            self.folder,
        )
        node.rail = lambda rail: (
            self.ledger.payers.get(rail, ZERO_ADDRESS),
            self.ledger.cheques[rail].collateral if rail in self.ledger.cheques else 0,
        )
        node.now = lambda: self.ledger.time
        for name, value in changes.items():
            setattr(node, name, value)
        self.ledger.nodes.append(node.start())
        return node

    @property
    def nodes(self) -> list[FakeNode]:
        return self.ledger.nodes

    def wallet(self, number: int = 0xA0) -> Wallet:
        key = Key.from_secret(bytes([number]) * 32)
        return Wallet.create(key, network_id=self.ledger.net.network_id, random=secrets.token_bytes)

    def chain(self, wallet: Wallet) -> FakeChain:
        return FakeChain(self.ledger, wallet.account)

    def client(
        self,
        wallet: Wallet,
        *,
        home: str = "home",
        options: Options = OPTIONS,
        chain: FakeChain | None = None,
    ) -> Client:
        made = Client(chain or self.chain(wallet), wallet, self.folder / home, options=options)
        self.closing.append(made.close)
        return made

    def by_address(self, node: Address) -> FakeNode:
        return next(n for n in self.nodes if n.key.address == node)

    def close(self) -> None:
        """Stop everything."""
        for close in self.closing:
            close()
        for node in self.nodes:
            node.stop()
