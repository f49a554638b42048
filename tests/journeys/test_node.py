"""A node process on a devnet: join, store, prove, get paid, restart, leave."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from freehold.client.token import Identity
from freehold.domain.ids import ZERO_ADDRESS
from freehold.domain.keys import Key
from freehold.domain.money import UNIT
from freehold.domain.network import Network
from freehold.domain.typed import CONSENT
from freehold.ledger import keystore
from freehold.ledger.contracts.registry import SESSION_READ, STORAGE
from freehold.ledger.contracts.storage import ACTIVE, FINISHED, Acceptance, Mandate, OpenRequest
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.ledger import Ledger
from freehold.markets.storage.piece import commit
from freehold.node.daemon import request_leave
from freehold.node.keeper import Keeper
from freehold.node.tls import ensure_certificate
from unit.ledger.founding import found, installed_engine

pytestmark = pytest.mark.journey

DATA = secrets.token_bytes(3_000_000)
PIECE = commit(DATA)
STAKE = 1_000 * UNIT
PASSWORD = "only for tests"
PATIENCE = 150.0


def wait_for(what: str, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.2)


@dataclass
class NodeProcess:
    """One node's home and, between ``start`` and ``stop``, its process."""

    home: Path
    network: Path
    key: Key
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = (self.home / "log").open("ab")
        arguments = ["--home", str(self.home), "--network", str(self.network), "--port", "0"]
        arguments += ["--settle-every", "5s", "--min-term", "10s"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "freehold.node", *arguments], stderr=log, env=dict(os.environ)
        )
        log.close()
        wait_for("the node serves", self.ready)

    def ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.home / "log").read_text()[-2000:]
        return (self.home / "ready.json").exists()

    def stop(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(60)
        (self.home / "ready.json").unlink(missing_ok=True)
        return code

    @property
    def endpoint(self) -> str:
        return str(json.loads((self.home / "ready.json").read_text())["endpoint"])

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        identity: Identity | None,
        **headers: str,
    ) -> tuple[int, bytes]:
        """One request over TLS, with a token when there is an identity."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        host, _, port = self.endpoint.removeprefix("https://").rpartition(":")
        connection = http.client.HTTPSConnection(host, int(port), timeout=60, context=context)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if identity is not None:
            signed = body if method == "POST" else b""
            sent["Authorization"] = identity.token(
                audience=self.key.address, method=method, path=path, body=signed
            )
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            return response.status, response.read()

    def health(self) -> dict[str, object]:
        found = json.loads(self.ask("GET", "/health", identity=None)[1])
        assert isinstance(found, dict)
        return found

    def metric(self, name: str) -> float:
        text = self.ask("GET", "/metrics", identity=None)[1].decode()
        lines = [line for line in text.splitlines() if line.startswith(f"freehold_node_{name}")]
        return sum(float(line.rpartition(" ")[2]) for line in lines)


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    installed_engine()
    with Devnet.start(tmp_path_factory.mktemp("devnet"), admin=True) as running:
        yield running


@pytest.fixture(scope="module")
def network(devnet: Devnet, tmp_path_factory: pytest.TempPathFactory) -> Network:
    return found(devnet, tmp_path_factory.mktemp("deploy"))


@pytest.fixture
def ledger(network: Network, devnet: Devnet, tmp_path: Path) -> Iterator[Ledger]:
    """The funder's view: owner of the node and client of its deal."""
    with Ledger.open(network, state=tmp_path / "owner", key=devnet.funder) as opened:
        yield opened


@pytest.fixture
def node(network: Network, tmp_path: Path) -> Iterator[NodeProcess]:
    home, descriptor = tmp_path / "node", tmp_path / "network.json"
    home.mkdir()
    descriptor.write_text(network.render())
    key = Key.draw(secrets.token_bytes)
    keystore.save(home / "key.json", key, PASSWORD, cost=2)
    (home / "password").write_text(PASSWORD)
    made = NodeProcess(home, descriptor, key)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait(30)


def join(ledger: Ledger, owner: Key, node: NodeProcess) -> int:
    """Register, stake and join a node; its proof set."""
    deadline = ledger.now() + 600
    consent = node.key.sign(
        CONSENT.digest(
            ledger.network.domain("registry"), [node.key.address, owner.address, 1, deadline]
        )
    )
    made = ensure_certificate(node.home, host="127.0.0.1", now=ledger.now())
    ledger.token.approve(ledger.registry.address, ledger.registry.price())
    ledger.registry.register(
        node.key.address,
        roles=STORAGE,
        endpoint="https://127.0.0.1:1",
        tls=made.fingerprint,
        info=bytes(32),
        payout=owner.address,
        deadline=deadline,
        consent=consent,
    )
    ledger.transfer(node.key.address, UNIT)
    ledger.token.approve(ledger.staking.address, STAKE)
    ledger.staking.stake(node.key.address, STAKE)
    ledger.faults.join(node.key.address)
    return ledger.faults.set_of(node.key.address)


def store(node: NodeProcess, who: Identity) -> None:
    """Upload the piece in two parts."""
    size = json.dumps({"size": len(DATA)}).encode()
    status, body = node.ask("POST", "/upload", size, identity=who)
    assert status == 201, body
    upload, half = json.loads(body)["id"], len(DATA) // 2
    for start, end in ((0, half), (half, len(DATA))):
        part, offset = DATA[start:end], str(start)
        status, body = node.ask(
            "PATCH", f"/upload/{upload}", part, identity=who, Upload_Offset=offset
        )
        assert status == 202, body
    status, body = node.ask("PUT", f"/piece/{PIECE.cid}", identity=who, Upload_Id=upload)
    assert status == 201, body


def open_deal(ledger: Ledger, node: NodeProcess, who: Identity, term_end: int) -> int:
    """Have the piece accepted and open a deal of one column; its number."""
    wish = {"client": who.key.address, "cid": PIECE.cid, "term_end": term_end}
    status, body = node.ask("POST", "/deals/accept", json.dumps(wish).encode(), identity=who)
    assert status == 200, body
    fields = json.loads(body)
    acceptance = Acceptance(
        node.key.address,
        int(fields["price"]),
        fields["term_end"],
        fields["deadline"],
        int(fields["nonce"]),
        bytes.fromhex(fields["signature"][2:]),
    )
    token = ledger.token.address
    ledger.token.approve(ledger.payments.address, 100 * UNIT)
    ledger.payments.deposit(token, who.key.address, 100 * UNIT)
    ledger.payments.approve_market(
        token, ledger.storage.address, rate_cap=2**200, lockup_cap=2**100
    )
    mandate = Mandate(10**25, 0, 1, 0, 0, 0)
    request = OpenRequest(
        secrets.token_bytes(32), token, 1, PIECE.raw_size, PIECE.height, (PIECE.root,), mandate, b""
    )
    return ledger.storage.open(request, [acceptance]).one("DealOpened").number("deal")


@pytest.fixture
def beacon(ledger: Ledger, devnet: Devnet) -> Iterator[None]:
    """Somebody who keeps the beacon, for a node that has only just started does not."""
    keeper, stop = Keeper(ledger, devnet.funder.address), threading.Event()

    def keep() -> None:
        while not stop.wait(0.3):
            keeper.step()

    thread = threading.Thread(target=keep)
    thread.start()
    yield
    stop.set()
    thread.join(30)


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("beacon")
def test_a_node_joins_stores_proves_earns_restarts_and_leaves(
    ledger: Ledger, devnet: Devnet, node: NodeProcess
) -> None:
    me = Identity(devnet.funder, ledger.network.domain("registry"), ledger, secrets.token_bytes)
    set_id = join(ledger, devnet.funder, node)
    node.start()
    wait_for(
        "the node announced where it listens",
        lambda: ledger.registry.node(node.key.address).endpoint == node.endpoint,
    )

    store(node, me)
    deal = open_deal(ledger, node, me, ledger.now() + 3_600)
    column = ledger.storage.column(deal, 0)
    assert (column.node, column.state) == (node.key.address, ACTIVE)
    wait_for("the node knows its column", lambda: node.health()["columns"] == 1)

    first = ledger.pdp.next_round(set_id)
    wait_for("two rounds are proven", lambda: ledger.pdp.next_round(set_id) >= first + 3)
    assert ledger.pdp.missed(set_id) == 0
    wait_for("the node settled its rail", lambda: ledger.payments.rail(column.rail).paid > 0)
    assert node.metric("proofs_total") >= 2

    node.stop(signal.SIGKILL)
    node.start()
    assert node.ask("GET", f"/piece/{PIECE.cid}", identity=me) == (200, DATA)
    guest = Key.draw(secrets.token_bytes)
    asking = replace(me, key=guest, account=me.key.address)
    assert node.ask("HEAD", f"/piece/{PIECE.cid}", identity=asking)[0] == 401
    limits = {"scope": SESSION_READ, "cap": 0, "expiry": ledger.now() + 3_600}
    ledger.registry.set_session(guest.address, **limits)
    wait_for(
        "the session key is heard of",
        lambda: node.ask("HEAD", f"/piece/{PIECE.cid}", identity=asking)[0] == 200,
    )
    after = ledger.pdp.next_round(set_id)
    wait_for("it proves again", lambda: ledger.pdp.next_round(set_id) > after)
    health = node.health()
    assert (health["status"], health["columns"], health["quarantined"]) == ("ok", 1, 0), health

    request_leave(node.home)
    assert node.process is not None
    assert node.process.wait(200) == 0, (node.home / "log").read_text()[-3000:]
    assert ledger.storage.column(deal, 0).state == FINISHED
    assert ledger.faults.node_state(node.key.address).columns == 0
    assert ledger.staking.locked(node.key.address) == 0
    # A slow machine may miss a round while the node is down, which costs a fee and no more.
    missed, active = ledger.pdp.missed(set_id), ledger.staking.active(node.key.address)
    assert active == STAKE if missed == 0 else STAKE * 99 // 100 < active < STAKE
    assert ledger.registry.owner_of(node.key.address) != ZERO_ADDRESS
