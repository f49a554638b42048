"""`freehold telemetry` and `freehold alert` against a service that answers as the real one does."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from freehold.cli import alerts, session, telemetry
from freehold.cli.home import Home
from freehold.cli.telemetry import moments, reported, targets
from freehold.cli.telemetry.caller import calling, fields
from freehold.cli.telemetry.plot import plot, spark
from freehold.domain.errors import (
    AccessError,
    ConflictError,
    NotFoundError,
    UnavailableError,
    UsageError,
)

NODE = "0x" + "1" * 40
MEMBER = {
    "id": NODE, "kind": "node", "owner": NODE, "did": "did:key:z", "seen": 1, "quality": 0.5,
    "metrics": ["host.cpu.load"], "marked": "",
}  # fmt: skip
ALERT = {
    "id": 7, "kind": "silent", "subject": NODE, "metric": "", "severity": "warning",
    "state": "open", "since": 1, "at": 1, "times": 1, "reason": "nothing came for 50 seconds",
}  # fmt: skip
READINGS = {
    "device": NODE, "columns": ["device", "metric", "time", "value"], "complete": True,
    "rows": [[NODE, "host.cpu.load", 1_000 * at, float(at)] for at in range(8)],
}  # fmt: skip
HEALTH = {
    "status": "degraded",
    "service": NODE,
    "problems": ["gas runs low"],
    "members": {"node": 1},
}


class Service:
    """Answers by method and path; what came is in ``asked``."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.answers: dict[tuple[str, str], tuple[int, object]] = {
            ("GET", "/health"): (503, HEALTH),
            ("GET", "/devices"): (200, [MEMBER]),
            ("GET", "/readings"): (200, READINGS),
            ("GET", "/alerts"): (200, [ALERT]),
            ("GET", "/sources"): (200, [{"name": "prom", "id": "source:prom"}]),
            ("POST", "/sources"): (201, {"name": "prom", "id": "source:prom", "token": "ab" * 32}),
            ("POST", "/alerts/7/ack"): (204, None),
            ("POST", "/silences"): (201, {"id": 3}),
            ("POST", "/hooks"): (201, {"name": "example.com", "secret": "cd"}),
            ("GET", "/hooks"): (200, [{"name": "a", "url": "http://a", "minimum": "info"}]),
            ("DELETE", "/hooks/a"): (204, None),
            ("DELETE", "/sources/prom"): (204, None),
            ("DELETE", "/sources/x"): (404, {"error": "there is no source", "remedy": "List."}),
            ("GET", "/export"): (200, [1, 2, 3]),
        }

    def answer(self, method: str, path: str, body: bytes, token: str) -> tuple[int, object]:
        self.asked.append((method, path, json.loads(body) if body else None))
        if path != "/health" and token != "Bearer secret":
            return 401, {"error": "not the token", "remedy": "Send it."}
        return self.answers.get((method, path.partition("?")[0]), (404, {"error": "nothing"}))


@pytest.fixture
def service() -> Iterator[tuple[Service, str]]:
    made = Service()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            token = self.headers.get("Authorization", "")
            status, found = made.answer(self.command, self.path, body, token)
            content = b"" if found is None else json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _do

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def home(tmp_path: Path, service: tuple[Service, str]) -> Path:
    made = Home(tmp_path / "home")
    made.claim()
    made.telemetry.mkdir()
    ready = {"pid": 1, "node": NODE, "url": service[1], "tls": ""}
    (made.telemetry / "ready.json").write_text(json.dumps(ready))
    (made.telemetry / "admin.token").write_text("secret\n")
    return made.root


def run(app: typer.Typer, home: Path, *words: str) -> Any:
    result = CliRunner().invoke(app, [*words, "--home", str(home), "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return json.loads(result.stdout)


def shown(app: typer.Typer, home: Path, *words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--home", str(home)])
    assert result.exception is None, result.output
    return result.stdout


def test_status_says_what_is_wrong(home: Path) -> None:
    found = run(telemetry.app, home, "status")
    assert (found["status"], [each["id"] for each in found["devices"]]) == ("degraded", [NODE])
    text = shown(telemetry.app, home, "status")
    assert "gas runs low" in text
    assert "1 nodes" in text


def test_query_asks_for_what_is_wanted(home: Path, service: tuple[Service, str]) -> None:
    words = ("--metric", "host.cpu.load", "--since", "2h", "--step", "1m")
    (found,) = run(telemetry.app, home, "query", *words)
    assert found["rows"] == READINGS["rows"]
    path = service[0].asked[-1][1]
    assert all(part in path for part in ("metrics=host.cpu.load", "step=60000", f"device={NODE}"))
    assert "▁▂▃▄▅▆▇█" in shown(telemetry.app, home, "query")
    assert "0 to 7, last 7" in shown(telemetry.app, home, "query", "--plot", "--device", NODE)


def test_patterns_become_the_metrics_that_are_known(
    home: Path, service: tuple[Service, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = run(telemetry.app, home, "query", "--metric", "host.*")
    assert found["units"] == {"host.cpu.load": ""}
    assert "metrics=host.cpu.load" in service[0].asked[-1][1]
    shed = "0x" + "2" * 40
    device = {**MEMBER, "id": shed, "kind": "device", "metrics": ["roof.rain"]}
    service[0].answers["GET", "/devices"] = (200, [MEMBER, device])
    assert reported.members(home) == {shed: frozenset({"roof.rain"})}
    assert set(reported.members(home, everybody=True) or ()) == {NODE, shed}
    monkeypatch.setenv("COLUMNS", "80")
    service[0].answers["GET", "/readings"] = (200, {**READINGS, "rows": []})
    assert "Nothing was measured" in shown(telemetry.app, home, "query")
    assert f"0x111111…1111 is {NODE}" in shown(telemetry.app, home, "status")
    service[0].answers["GET", "/devices"] = (200, [])
    assert "Nobody is a member yet" in shown(telemetry.app, home, "status")


def test_who_is_not_the_owner_learns_patterns_from_the_statement(
    home: Path, service: tuple[Service, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service[0].answers["GET", "/devices"] = (200, [])
    monkeypatch.setattr(session, "open_ledger", lambda _: nullcontext())
    monkeypatch.setattr(reported, "settled", lambda _: {NODE: frozenset({"roof.rain", "a"})})
    run(telemetry.app, home, "query", "--device", NODE, "--metric", "roof.*")
    assert "metrics=roof.rain&" in service[0].asked[-1][1]
    monkeypatch.setattr(reported, "settled", lambda _: None)
    with pytest.raises(NotFoundError, match="not known here"):
        run(telemetry.app, home, "query", "--device", NODE, "--metric", "roof.*")


def test_export_writes_a_new_file_whole(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    assert run(telemetry.app, home, "export", str(file))["bytes"] == 9
    assert file.read_text() == "[1, 2, 3]"
    with pytest.raises(ConflictError):
        run(telemetry.app, home, "export", str(file))
    with pytest.raises(UsageError):
        run(telemetry.app, home, "export", str(tmp_path / "out.xls"))
    assert [each.name for each in tmp_path.iterdir() if "part" in each.name] == []


def test_a_refused_export_leaves_nothing(
    home: Path, tmp_path: Path, service: tuple[Service, str]
) -> None:
    service[0].answers["GET", "/export"] = (403, {"error": "no", "remedy": "-"})
    with pytest.raises(AccessError):
        run(telemetry.app, home, "export", str(tmp_path / "out.csv"))
    assert [each.name for each in tmp_path.iterdir()] == ["home"]


def test_a_source_comes_with_settings_to_paste(home: Path, service: tuple[Service, str]) -> None:
    made = run(telemetry.app, home, "source", "add", "prom")
    for each in (made["prometheus"], made["collector"]):
        assert service[1] in each
        assert "ab" * 32 in each
    assert "credentials: " + "ab" * 32 in shown(telemetry.app, home, "source", "add", "prom")
    assert run(telemetry.app, home, "source", "list")[0]["name"] == "prom"
    assert run(telemetry.app, home, "source", "remove", "prom") == {"removed": "prom"}
    with pytest.raises(NotFoundError):
        run(telemetry.app, home, "source", "remove", "x")


def test_alerts_are_listed_looked_after_and_silenced(
    home: Path, service: tuple[Service, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [each["id"] for each in run(alerts.app, home, "list", "--all")] == [7]
    monkeypatch.setenv("COLUMNS", "200")
    assert "nothing came for 50 seconds" in shown(alerts.app, home, "list", "--state", "open")
    assert run(alerts.app, home, "ack", "7") == {"acknowledged": 7}
    run(alerts.app, home, "silence", NODE, "--for", "2h", "--kind", "silent")
    body = service[0].asked[-1][2]
    assert (body["subject"], body["kind"], body["seconds"]) == (NODE, "silent", 7_200)
    run(alerts.app, home, "silence", "*", "--for", "30s")
    assert service[0].asked[-1][2]["subject"] == ""


def test_hooks(home: Path, service: tuple[Service, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "_addresses", lambda _: [ip_address("93.184.216.34")])
    assert run(alerts.app, home, "hook", "add", "https://example.com/a")["secret"] == "cd"
    assert service[0].asked[-1][2]["name"] == "example.com"
    assert run(alerts.app, home, "hook", "list")[0]["name"] == "a"
    assert run(alerts.app, home, "hook", "remove", "a") == {"removed": "a"}
    with pytest.raises(UsageError):
        run(alerts.app, home, "hook", "add", "nonsense")


@pytest.mark.parametrize(
    ("url", "shown_address"),
    [
        ("http://127.0.0.1:9/a", "127.0.0.1"),
        ("http://localhost/a", "localhost is an address"),
        ("http://[::ffff:10.0.0.1]/a", "::ffff:"),
        ("http://10.1.2.3/", "10.1.2.3"),
        ("http://0.0.0.0/", "0.0.0.0"),
    ],
)
def test_a_private_hook_must_be_meant(
    home: Path, service: tuple[Service, str], url: str, shown_address: str
) -> None:
    with pytest.raises(UsageError, match=shown_address) as told:
        run(alerts.app, home, "hook", "add", url)
    assert "--private" in told.value.remedy
    assert service[0].asked == []
    run(alerts.app, home, "hook", "add", url, "--private")
    assert service[0].asked[-1][2]["private"] is True


def test_a_name_that_only_the_service_knows_is_left_to_it(
    home: Path, service: tuple[Service, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "_addresses", lambda _: [])
    run(alerts.app, home, "hook", "add", "http://inside.example/a")
    assert service[0].asked[-1][2]["private"] is False


def test_fifty_thousand_rows_of_a_series_are_read(home: Path, service: tuple[Service, str]) -> None:
    rows = [[NODE, "host.cpu.load", 1_000 * at, float(at)] for at in range(50_000)]
    service[0].answers["GET", "/readings"] = 200, READINGS | {"rows": rows, "complete": False}
    with calling(home) as caller:
        found = fields(caller.get("/readings", device=NODE, limit=1_000_000))
    assert found["rows"] == rows
    shown_text = " ".join(shown(telemetry.app, home, "query", "--device", NODE).split())
    assert "only the first rows" in shown_text


def test_an_answer_that_nests_without_end_is_refused(
    home: Path, service: tuple[Service, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deep: list[object] = []
    for _ in range(900):
        deep = [deep]
    service[0].answers["GET", "/readings"] = 200, {"rows": [deep, deep]}
    with calling(home) as caller, pytest.raises(UnavailableError, match="nests too deep"):
        caller.get("/readings")


@pytest.mark.parametrize("words", [("list",), ("ack", "7"), ("hook", "list")])
def test_the_password_of_who_signs_may_be_in_a_file(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    given: list[Path | None] = []

    def account(_: Path, password_file: Path | None = None) -> Any:
        given.append(password_file)
        raise AccessError("the wallet stays shut", remedy="")

    monkeypatch.setattr(session, "open_account", account)
    (home / "telemetry/admin.token").unlink()
    with pytest.raises(AccessError, match="stays shut"):
        run(alerts.app, home, *words, "--password-file", str(tmp_path / "word"))
    assert given == [tmp_path / "word"]


def test_a_wrong_token_is_said(home: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("wrong")
    with pytest.raises(AccessError):
        run(telemetry.app, home, "status", "--token-file", str(token))
    with pytest.raises(AccessError):
        run(telemetry.app, home, "status", "--token-file", str(tmp_path / "none"))


def test_serve_needs_a_service_here(tmp_path: Path) -> None:
    made = Home(tmp_path / "home")
    made.claim()
    result = CliRunner().invoke(telemetry.app, ["serve", "--home", str(made.root)])
    assert isinstance(result.exception, NotFoundError)


def test_lines_are_as_high_as_their_values() -> None:
    assert spark([0.0, 1.0, 2.0, 3.0], width=4) == "▁▃▆█"
    assert spark([5.0, 5.0], width=9) == "▄▄"
    assert spark([1.0, None, float("nan"), 2.0], width=4) == "▁  █"
    assert spark([], width=4) == " "
    assert plot([0.0, 10.0], width=2, height=2) == [" █", "▁█"]
    assert len(spark([float(at) for at in range(1_000)], width=32)) == 32


def test_moments_and_spans() -> None:
    assert moments.span("2h") == 7_200
    assert moments.moment("10m", now=1_000.0) == 400_000
    assert moments.moment("now", now=1.0) == 1_000
    assert moments.moment("2026-11-28T10:00:00+00:00") == 1_795_860_000_000
    for text in ("2 parsecs", "yesterday", ""):
        with pytest.raises(UsageError):
            moments.moment(text)
    assert moments.ago(0) == "never"
    assert moments.ago(1_000, now=601.0) == "10m ago"
    assert moments.ago(int(time.time() * 1_000)) == "0s ago"
