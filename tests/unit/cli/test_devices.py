"""`freehold device`: from a pairing code to a relay that opens and its receipt on the ledger."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from freehold.cli.device import app, enrolling, looking, ordering, pairing, rules
from freehold.cli.device.folder import device_of, folder_of, names
from freehold.cli.device.service import seen, service_of, with_service
from freehold.cli.home import Home
from freehold.cli.wallets import WalletFolder
from freehold.domain.directive import SignedDirective
from freehold.domain.errors import (
    AccessError,
    ConflictError,
    FreeholdError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from freehold.domain.ids import checksum
from freehold.domain.keys import new_phrase
from freehold.domain.money import UNIT
from freehold.domain.network import Network
from freehold.domain.pairing import PairingCode, place
from freehold.ledger.contracts.automation import DONE
from freehold.ledger.ledger import Ledger
from freehold.node.agent.agent import Agent
from freehold.node.agent.settings import load
from freehold.node.agent.standing import RetiredError
from unit.node.agent.homes import environment, make_home, serving, until

STRANGER = checksum(b"\x08" * 20)
PASSWORD = "only for tests"
pytestmark = pytest.mark.xdist_group("device noun")  # one devnet serves all


@pytest.fixture
def home(
    tmp_path: Path, network: Network, founder: Ledger, monkeypatch: pytest.MonkeyPatch
) -> Home:
    """A home of the network with a wallet that holds coins and tokens."""
    monkeypatch.setenv("FREEHOLD_PASSWORD", PASSWORD)
    made = Home(tmp_path / "home")
    made.claim()
    made.descriptor.write_text(network.render())
    WalletFolder(made.wallet).create(new_phrase(), PASSWORD, cost=2)
    account = WalletFolder(made.wallet).address()
    founder.transfer(account, 5 * 10**18)
    founder.send("token", "transfer", (account, 1_000 * UNIT))
    return made


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_this_machine_becomes_a_device(
    home: Home, founder: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = WalletFolder(home.wallet).address()
    pairing.add("shed", cell="u281z", home=home.root, as_json=True)
    made = told(capsys)
    entry = founder.devices.device(made["device"])
    assert (entry.owner, entry.payout, entry.generation) == (owner, owner, 1)
    kept = json.loads((home.root / "devices/shed/place.json").read_text())
    assert entry.place == place(bytes.fromhex(kept["salt"][2:]), "u281z")
    assert device_of(home.root, "shed") == made["device"]
    assert names(home) == {made["device"]: "shed"}
    with pytest.raises(ConflictError, match="enrolled already"):
        pairing.add("shed", home=home.root)

    looking.list_(home=home.root, as_json=True)
    (row,) = told(capsys)["devices"]
    assert (row["name"], row["state"], row["quality"]) == ("shed", "enrolled", None)
    looking.show("shed", home=home.root, as_json=True)
    shown = told(capsys)
    assert (shown["bound"], shown["did"], shown["rules"]) == (True, made["did"], [])
    looking.list_(home=home.root)
    looking.show("shed", home=home.root)
    assert "by this key" in capsys.readouterr().out

    ordering.retire("shed", yes=True, home=home.root)
    assert founder.devices.device(made["device"]).retired
    capsys.readouterr()
    with pytest.raises(RetiredError, match=r"the device shed .* is retired"):
        Agent.open(home.root / "devices/shed").run()
    pairing.add("shed", home=home.root, as_json=True)
    assert told(capsys)["generation"] == 2


def test_another_machine_shows_a_code_and_its_owner_adds_it(
    home: Home, founder: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = WalletFolder(home.wallet).address()
    other = Home(tmp_path / "pi")
    png = tmp_path / "code.png"
    options: dict[str, Any] = {"owner": owner, "network": home.descriptor, "home": other.root}
    pairing.pair("roof", png=png, service="https://hub:8443", sensors="host", **options)
    shown = capsys.readouterr().out
    assert "█" in shown or "▀" in shown
    assert png.read_bytes()[:4] == b"\x89PNG"
    pairing.pair("roof", as_json=True, **options)  # shown again: the same keys
    made = told(capsys)
    code = PairingCode.decode(made["code"])
    assert (code.owner, code.device) == (owner, load(other.root / "devices/roof").device)
    assert load(other.root / "devices/roof").services == ("https://hub:8443",)

    pairing.add("roof", made["code"], home=home.root)
    assert founder.devices.owner_of(code.device) == owner
    assert not (home.root / "devices/roof/agent.key").exists()
    assert names(home) == {code.device: "roof"}
    assert device_of(home.root, "roof") == code.device
    assert other.network().network_id == home.network().network_id
    with pytest.raises(UsageError, match="pairing code"):
        pairing.add("roof2", made["code"][:-2], home=home.root)


def test_a_device_finds_the_service_of_its_network_and_takes_other_settings(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairing.add("shed", home=home.root)
    assert "nobody yet" in capsys.readouterr().out
    folder = home.root / "devices/shed"
    assert load(folder).services == ()
    home.telemetry.mkdir()
    ready = {"pid": 1, "url": "http://127.0.0.1:7440", "tls": "ab" * 32, "node": STRANGER}
    (home.telemetry / "ready.json").write_text(json.dumps(ready))
    pairing.add("shed", interval=2, board=tmp_path, home=home.root)
    assert "settings of shed are changed" in capsys.readouterr().out
    settings = load(folder)
    assert (settings.services, settings.fingerprint) == (("http://127.0.0.1:7440",), "ab" * 32)
    assert (settings.interval, settings.board) == (2, str(tmp_path))
    (home.telemetry / "ready.json").write_text(json.dumps(ready | {"url": "http://127.0.0.1:1"}))
    assert with_service(home.root, folder, settings) == settings


def test_a_code_for_somebody_else_is_refused(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairing.pair(
        "roof", owner=STRANGER, network=home.descriptor, home=tmp_path / "pi", as_json=True
    )
    code = told(capsys)["code"]
    with pytest.raises(AccessError, match="names the owner"):
        pairing.add("roof", code, home=home.root)
    with pytest.raises(ConflictError, match="another owner"):
        pairing.pair(
            "roof", owner=checksum(b"\x07" * 20), network=home.descriptor, home=tmp_path / "pi"
        )


def test_an_order_switches_a_relay_and_its_receipt_is_on_the_ledger(
    home: Home, founder: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = tmp_path / "board"
    (board / "relay.1").mkdir(parents=True)
    (board / "relay.1/value").write_text("0")
    with serving(tmp_path / "g") as service:
        pairing.add("shed", service=service.url, board=board, home=home.root, as_json=True)
        device = told(capsys)["device"]
        ordering.order("shed", "relay.1 on", hold="1h", home=home.root, as_json=True)
        number = told(capsys)["command"]
        agent = Agent.open(home.root / "devices/shed")
        agent._care.obey()
        assert (board / "relay.1/value").read_text() == "1"
        (told_receipt,) = service.receipts
        founder.automation.acknowledge(
            told_receipt["command"],
            outcome=told_receipt["outcome"],
            detail=bytes.fromhex(told_receipt["detail"][2:]),
            at=told_receipt["at"],
            signature=bytes.fromhex(told_receipt["signature"][2:]),
        )
        agent.stop()
        agent.run()
    found_command = founder.automation.command(number)
    assert (found_command.device, found_command.outcome) == (device, DONE)
    looking.show("shed", home=home.root)
    assert re.search(rf"{number} .*order .*relay\.1 on .*done", capsys.readouterr().out)
    assert founder.automation.open_of(device) == []


def test_rules_are_approved_listed_and_revoked(
    home: Home, founder: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    pairing.add("shed", home=home.root)
    given: dict[str, Any] = {"subject": "shed", "aspect": "honest", "hold": "10m"}
    capsys.readouterr()
    rules.add("shed", "relay.1 off", below=50, home=home.root, as_json=True, **given)
    number = told(capsys)["rule"]
    rules.list_("shed", home=home.root, as_json=True)
    (row,) = told(capsys)["rules"]
    assert (row["rule"], row["aspect"], row["threshold"], row["above"]) == (
        number,
        "honest",
        50,
        False,
    )
    assert row["due"] is False
    assert row["max_age"] == 3 * founder.status.round_length()
    rules.list_("shed", home=home.root)
    assert "below 50" in capsys.readouterr().out
    rules.remove(number, home=home.root)
    rules.list_("shed", home=home.root)
    capsys.readouterr()
    with pytest.raises(RefusedError, match="rule revoked"):
        rules.remove(number, home=home.root)
    rules.add("shed", "x", home=home.root, above=1, max_age="2h", as_json=True, **given)
    assert founder.automation.rule(told(capsys)["rule"]).max_age == 7_200
    for above, below in ((1, 2), (None, None)):
        with pytest.raises(UsageError, match="one threshold"):
            rules.add("shed", "x", home=home.root, above=above, below=below, **given)
    with pytest.raises(UsageError, match="is no aspect"):
        rules.add("shed", "x", home=home.root, above=1, **given | {"aspect": "x" * 33})
    with pytest.raises(UsageError, match="agree on no 'blah'"):
        rules.add("shed", "x", home=home.root, above=1, **given | {"aspect": "blah"})
    capsys.readouterr()
    rain = given | {"aspect": "reading:roof.rain"}
    rules.add("shed", "x", home=home.root, above=1, as_json=True, **rain)
    assert told(capsys)["warning"] == ""


def test_devices_are_listed_at_80_columns(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    looking.list_(home=home.root)
    assert "None yet" in capsys.readouterr().out
    pairing.add("shed", home=home.root)
    capsys.readouterr()
    looking.list_(home=home.root)
    title, *lines = capsys.readouterr().out.splitlines()
    assert "devices of 0x" in title
    assert re.search(r"│ shed +│ enrolled +│ freehold", "\n".join(lines))
    assert max(map(len, lines)) <= 80


def test_a_directive_is_signed_and_left_with_the_service(
    home: Home, network: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(tmp_path / "g") as service:
        service.down = (200, {}, b"{}")
        pairing.add("shed", service=service.url, home=home.root)
        ordering.direct("shed", interval=5, off=["host.uptime"], home=home.root)
        method, path, body = service.requests[-1]
        service.down = (403, {}, b'{"error": "not yours"}')
        with pytest.raises(AccessError, match="not yours"):
            ordering.direct("shed", batch=5, home=home.root)
    device = device_of(home.root, "shed")
    assert (method, path) == ("PUT", f"/directives/{device}")
    signed = SignedDirective.parse(body)
    owner = WalletFolder(home.wallet).address()
    signed.check(network.domain("devices"), owner=owner, after=0, now=0)
    assert (signed.orders.interval, signed.orders.metrics) == (5, {"host.uptime": False})
    with pytest.raises(UsageError, match="nothing is ordered"):
        ordering.direct("shed", home=home.root)


def test_the_service_tells_what_it_saw_a_page_at_a_time(home: Home, tmp_path: Path) -> None:
    (home.root / "telemetry").mkdir()
    (home.root / "telemetry/admin.token").write_text("secret\n")
    pages = iter([[{"id": "0xa", "seen": 5}], [{"id": "0xb", "quality": 0.5}], []])
    with serving(tmp_path / "g") as service:
        service.reply = lambda *_: (200, {}, json.dumps(next(pages)).encode())  # type: ignore[method-assign]
        assert list(seen(home, service.url, "", None)) == ["0xa", "0xb"]
        many = [{"id": f"0x{at:040x}", "metrics": ["m" * 40] * 64} for at in range(501)]
        page = json.dumps(many).encode()
        assert len(page) > 2**20
        service.reply = lambda *_: (200, {}, page)  # type: ignore[method-assign]
        assert len(seen(home, service.url, "", None)) == 501
        service.reply = lambda *_: (401, {}, b"{}")  # type: ignore[method-assign]
        with pytest.raises(AccessError):
            seen(home, service.url, "", None)
    with pytest.raises(AccessError, match="no administrator's token"):
        seen(home, service.url, "", tmp_path / "gone")
    assert service_of(home) == ("", "")


RUN = """
import sys
from pathlib import Path
from freehold.cli.device.running import run
run("shed", home=Path(sys.argv[1]), as_json=True)
heavy = [n for n in ("numpy", "pydantic", "sqlalchemy", "httpx2", "fastapi") if n in sys.modules]
assert not heavy, heavy
"""


def test_a_device_runs_until_it_is_told_to_end(home: Home, tmp_path: Path) -> None:
    with serving(tmp_path / "g") as service:
        folder = home.root / "devices/shed"
        make_home(folder, services=(service.url,))
        child = subprocess.Popen(
            [sys.executable, "-c", RUN, str(home.root)], stdout=subprocess.PIPE, env=environment()
        )
        until(lambda: len(service.counted) > 0, "a batch arrives")
        child.send_signal(signal.SIGTERM)
        out, _ = child.communicate(timeout=20)
    assert child.returncode == 0
    told_at_the_end = json.loads(out)
    assert told_at_the_end["sent"] == len(service.counted)
    assert told_at_the_end["error"] == ""


@pytest.mark.parametrize("name", ["../x", "", "A", "x" * 33])
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        folder_of(Home(tmp_path), name)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no device is called"):
        device_of(tmp_path, "shed")
    with pytest.raises(UsageError):
        device_of(tmp_path, "0x12")
    for text in ("0", "abc", "5"):
        with pytest.raises(FreeholdError):
            ordering.seconds_of(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("host", ("host",)),
        ("host, gpu", ("host", "gpu")),
        ("file:/x#a.level,m,0.1,exec:y", ("file:/x#a.level,m,0.1", "exec:y")),
        ("file:/x,file:/y", ("file:/x", "file:/y")),
        ("", ()),
    ],
)
def test_sensors_as_people_list_them(text: str, parts: tuple[str, ...]) -> None:
    assert enrolling._sensors(text) == parts


def test_all_commands_are_on_the_noun() -> None:
    given = [
        each.name or (each.callback and each.callback.__name__) for each in app.registered_commands
    ]
    assert given == ["add", "pair", "list", "show", "run", "retire", "direct", "order"]
    assert [group.typer_instance is rules.app for group in app.registered_groups] == [True]
