"""Commands: carried out once, undone after their hold, and answered until the chain knows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from freehold.domain.errors import IntegrityError, UnavailableError, VersionError
from freehold.domain.ids import Address, checksum
from freehold.domain.keys import Key, recover
from freehold.domain.receipt import Receipt
from freehold.domain.typed import RECEIPT, Domain
from freehold.ledger.abi import artifact, pack_all
from freehold.node.agent import deeds, words
from freehold.node.agent.board import FileBoard, NoBoard
from freehold.node.agent.care import Care, sign_receipt
from freehold.node.agent.chain import Chain, Command
from freehold.node.agent.commands import AGAIN_SECONDS, Commands
from freehold.node.agent.deeds import DONE, FAILED, REFUSED, Deeds
from freehold.node.agent.directives import Directives
from unit.node.agent.homes import AUTOMATION, NETWORK, make_home, serving

ME, OTHER = checksum(b"\x05" * 20), checksum(b"\x06" * 20)


class CrashError(BaseException):
    """The power went."""


class Breaking(FileBoard):
    """A board at which something happens before or after it sets a line."""

    before: ClassVar[list[BaseException]] = []
    after: ClassVar[list[BaseException]] = []

    def set(self, line: str, value: str) -> None:
        if self.before:
            raise self.before.pop()
        super().set(line, value)
        if self.after:
            raise self.after.pop()


@dataclass
class World:
    """A board in a folder, a chain that says what it is told to, and clocks."""

    folder: Path
    open: dict[int, Command] = field(default_factory=dict)
    block: int = 1_000
    seconds: float = 1_000.0
    wall_ahead: float = 1e9
    delivered: list[Receipt] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    deeds: Deeds | None = None

    def open_of(self, device: Address) -> list[int]:
        return list(self.open)

    def command(self, number: int) -> Command:
        return self.open[number]

    def now(self) -> int:
        return self.block

    def issue(self, number: int, text: str, *, hold: int = 60, **more: Any) -> None:
        given: dict[str, Any] = {"device": ME, "answer_by": 1_600, "open": True} | more
        self.open[number] = Command(id=number, text=text, hold=hold, **given)

    def line(self, name: str) -> str:
        return (self.folder / "board" / name / "value").read_text()

    def start(self) -> Commands:
        if self.deeds is not None:
            self.deeds.close()
        self.deeds = Deeds(self.folder / "deeds")
        return Commands(
            self.deeds, Breaking(self.folder / "board"), device=ME, chain=self,
            sign=lambda *_: b"s" * 65, deliver=self.delivered.append, tell=self.told.append,
            wall=lambda: self.seconds + self.wall_ahead, clock=lambda: self.seconds,
        )  # fmt: skip

    def outcomes(self) -> list[tuple[int, int, bytes]]:
        return [(r.command, r.outcome, r.detail.rstrip(b"\0")) for r in self.delivered]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    for line in ("relay.1", "relay.2"):
        (tmp_path / "board" / line).mkdir(parents=True)
        (tmp_path / "board" / line / "value").write_text("0")
    made = World(tmp_path)
    yield made
    Breaking.before, Breaking.after = [], []
    if made.deeds is not None:
        made.deeds.close()


def test_a_command_is_done_once_answered_and_undone(world: World) -> None:
    commands = world.start()
    world.issue(7, "relay.1 on")
    commands.poll()
    assert world.line("relay.1") == "1"
    assert world.outcomes() == [(7, DONE, b"done")]
    (world.folder / "board/relay.1/value").write_text("x")
    commands.poll()
    assert world.line("relay.1") == "x", "done twice"
    world.seconds += 59
    commands.end_due()
    assert commands.held() == 1
    world.seconds += 1
    commands.end_due()
    assert (world.line("relay.1"), commands.held()) == ("0", 0)


def test_receipts_are_brought_until_the_chain_knows(world: World) -> None:
    commands = world.start()
    world.issue(7, "relay.1 on")
    for _ in range(3):
        commands.poll()
    assert len(world.delivered) == 1
    world.seconds += AGAIN_SECONDS
    commands.poll()
    assert len(world.delivered) == 2
    commands = world.start()
    commands.poll()
    assert len(world.delivered) == 3, "a restart brings it again"
    assert len({(r.outcome, r.detail, r.at) for r in world.delivered}) == 1
    del world.open[7]
    world.seconds += AGAIN_SECONDS
    commands.poll()
    assert len(world.delivered) == 3


@pytest.mark.parametrize(
    "text", ["relay.9 on", "relay.1 maybe", "relay.1", "../x on", "relay.1 on\n", "", "relay.1  on"]
)
def test_what_the_board_does_not_know_is_refused(world: World, text: str) -> None:
    commands = world.start()
    world.issue(1, text)
    commands.poll()
    assert world.outcomes() == [(1, REFUSED, b"unknown command")]
    assert world.line("relay.1") == "0"


def test_what_the_chain_does_not_show_for_this_device_is_not_done(world: World) -> None:
    commands = world.start()
    world.issue(1, "relay.1 on", device=OTHER)
    world.issue(2, "relay.1 on", open=False)
    commands.poll()
    assert (world.line("relay.1"), world.delivered) == ("0", [])


def test_a_command_that_came_too_late_is_refused(world: World) -> None:
    commands = world.start()
    world.issue(1, "relay.1 on")
    world.block = 1_601
    commands.poll()
    assert world.outcomes() == [(1, REFUSED, b"came too late")]
    assert world.line("relay.1") == "0"


def test_no_command_waits_for_a_receipt_that_cannot_be_brought(world: World) -> None:
    commands = world.start()
    world.issue(1, "relay.1 on")
    world.issue(2, "relay.2 on")

    def deaf(_receipt: Receipt) -> None:
        raise UnavailableError("no service", remedy="-")

    commands._deliver = deaf
    with pytest.raises(UnavailableError, match="no service"):
        commands.poll()
    assert (world.line("relay.1"), world.line("relay.2")) == ("1", "1")


def test_an_outcome_that_could_not_be_noted_ends_as_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = world.start()
    world.issue(1, "relay.1 on")

    def full(*_: object) -> None:
        raise UnavailableError("disk full", remedy="-")

    with monkeypatch.context() as broken:
        broken.setattr(Deeds, "finish", full)
        with pytest.raises(UnavailableError, match="disk full"):
            commands.poll()
    commands.poll()
    commands.end_due()
    assert world.outcomes() == [(1, FAILED, b"journal failed")]
    assert (world.line("relay.1"), commands.held()) == ("0", 0)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_in_the_midst_never_acts_twice(world: World, moment: str) -> None:
    commands = world.start()
    world.issue(1, "relay.1 on")
    setattr(Breaking, moment, [CrashError()])
    with pytest.raises(CrashError):
        commands.poll()
    commands = world.start()
    assert world.line("relay.1") == "0", "the line goes back at once"
    commands.poll()
    assert world.outcomes() == [(1, FAILED, b"restarted while acting")]
    assert (world.line("relay.1"), commands.held()) == ("0", 0)


def test_a_board_that_fails_is_told(world: World) -> None:
    commands = world.start()
    world.issue(1, "relay.1 on")
    Breaking.before = [UnavailableError("stuck", remedy="-")]
    commands.poll()
    assert world.outcomes() == [(1, FAILED, b"board failed")]
    commands.end_due()
    assert (world.told, commands.held()) == (["stuck"], 0)


def test_an_undo_that_fails_is_tried_again(world: World) -> None:
    commands = world.start()
    world.issue(1, "relay.1 on")
    commands.poll()
    world.seconds += 60
    Breaking.before = [UnavailableError("stuck", remedy="-")]
    commands.end_due()
    assert (world.line("relay.1"), commands.held()) == ("1", 1)
    commands.end_due()
    assert (world.line("relay.1"), commands.held()) == ("0", 0)


def test_a_hold_ends_across_a_restart(world: World) -> None:
    world.start()
    world.issue(1, "relay.1 on")
    world.start().poll()
    world.seconds += 30
    commands = world.start()
    assert commands.held() == 1
    world.seconds += 29
    commands.end_due()
    assert world.line("relay.1") == "1"
    world.seconds += 1
    commands.end_due()
    assert world.line("relay.1") == "0"
    world.issue(2, "relay.1 on")
    commands.poll()
    world.seconds += 1_000
    world.start()
    assert world.line("relay.1") == "0", "what was due while it was off is undone at the start"


def test_a_clock_that_was_set_back_lengthens_no_hold(world: World) -> None:
    world.issue(1, "relay.1 on")
    world.start().poll()
    world.wall_ahead = 0  # such as a machine without a clock of its own after a power cut
    commands = world.start()
    world.seconds += 60
    commands.end_due()
    assert world.line("relay.1") == "0"


def test_two_commands_on_one_line_go_back_to_what_was_before_both(world: World) -> None:
    commands = world.start()
    world.issue(1, "relay.1 on", hold=60)
    commands.poll()
    world.issue(2, "relay.1 2", hold=600)
    commands.poll()
    assert world.line("relay.1") == "2"
    world.seconds += 60
    commands.end_due()
    assert world.line("relay.1") == "2", "the longer hold goes on"
    world.issue(3, "relay.1 off", hold=60)
    commands.poll()
    world.seconds += 60
    commands.end_due()
    assert world.line("relay.1") == "2"
    world.seconds += 600
    commands.end_due()
    assert world.line("relay.1") == "0"


def test_a_device_without_a_board_refuses(world: World) -> None:
    world.start()
    assert world.deeds is not None
    commands = Commands(
        world.deeds, NoBoard(), device=ME, chain=world, sign=lambda *_: b"", tell=world.told.append,
        deliver=world.delivered.append,
    )  # fmt: skip
    world.issue(1, "relay.1 on")
    commands.poll()
    assert world.outcomes()[0][1] == REFUSED
    for call in (lambda: NoBoard().read("x"), lambda: NoBoard().set("x", "1")):
        with pytest.raises(UnavailableError):
            call()


def test_the_journal_forgets_only_what_is_over_and_long_ago(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deeds, "KEPT", 5)
    commands = world.start()
    assert world.deeds is not None
    world.issue(1, "relay.1 on", hold=10**6)
    commands.poll()
    for number in range(2, 20):
        world.deeds.refuse(number, REFUSED, "x", 1)
    assert world.deeds.find(1) is not None
    assert world.deeds.find(14) is None
    assert world.deeds.find(15) is not None


def test_a_damaged_journal_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(b"y" * 9_000)
    with pytest.raises((IntegrityError, VersionError)):
        Deeds(tmp_path / "d")


def test_the_receipt_is_what_the_contract_checks(tmp_path: Path) -> None:
    settings, keys = make_home(tmp_path, automation=AUTOMATION)
    signature = sign_receipt(settings, keys.agent, 7, 1, b"d" * 32, 99)
    place = Domain("Freehold automation", 31337, AUTOMATION, NETWORK)
    digest = RECEIPT.digest(place, [7, keys.agent.address, 1, b"d" * 32, 99])
    assert recover(digest, signature) == keys.agent.address


FIELDS: dict[str, Any] = {
    "device": ME, "generation": 2, "rule": 3, "command": "relay.1 on", "issued_at": 1_000,
    "hold": 60, "answer_by": 1_600, "until": 1_660, "outcome": 0, "detail": bytes(32), "at": 0,
    "answered_at": 0,
}  # fmt: skip


def rpc(method: str, params: list[Any], fields: dict[str, Any] = FIELDS) -> object:
    """A chain whose contract answers as its ABI says."""
    if method == "eth_chainId":
        return hex(31337)
    if method == "eth_getBlockByNumber":
        return {"timestamp": hex(1_234)}
    contract = artifact("automation")
    data = bytes.fromhex(params[0]["data"][2:])
    for (name, count), found in contract.functions.items():
        if found.selector == data[:4] and (name, count) in (("open_of", 1), ("command", 1)):
            given = [[4, 7]] if name == "open_of" else [fields]
            return "0x" + pack_all(found.outputs, given, name).hex()
    raise AssertionError(data[:4].hex())


def test_the_chain_is_read_as_the_contract_writes(tmp_path: Path) -> None:
    with serving(tmp_path / "g") as service:
        service.rpc = rpc
        urls = ["http://127.0.0.1:9", service.url]  # the first one does not answer
        chain = Chain(urls, chain_id=31337, automation=AUTOMATION)
        assert chain.open_of(ME) == [4, 7]
        assert chain.command(7) == Command(7, ME, "relay.1 on", 60, 1_600, open=True)
        assert chain.now() == 1_234
        service.rpc = lambda method, params: rpc(method, params, FIELDS | {"outcome": 4})
        assert not chain.command(7).open
        chain.close()


@pytest.mark.parametrize("answer", [None, 5, "0x", "zz", "0x" + "ff" * 64, "0x" + "00" * 31])
def test_odd_answers_of_a_chain_are_typed_errors(tmp_path: Path, answer: object) -> None:
    with serving(tmp_path / "g") as service:
        service.rpc = lambda method, _: hex(31337) if method == "eth_chainId" else answer
        chain = Chain([service.url], chain_id=31337, automation=AUTOMATION)
        for ask in (lambda: chain.open_of(ME), lambda: chain.command(1)):
            with pytest.raises((UnavailableError, IntegrityError)):
                ask()
        chain.close()


def test_another_chain_is_not_believed(tmp_path: Path) -> None:
    with serving(tmp_path / "g") as service:
        service.rpc = rpc
        chain = Chain([service.url], chain_id=1, automation=AUTOMATION)
        with pytest.raises(UnavailableError, match="is on chain 31337"):
            chain.open_of(ME)
        chain.close()


def test_a_list_that_is_too_long_is_refused() -> None:
    data = words.number(32) + words.number(2**200)
    with pytest.raises(IntegrityError, match="lacks a list"):
        words.numbers(data, most=64)


def test_from_the_chain_to_the_service(tmp_path: Path) -> None:
    (tmp_path / "board/relay.1").mkdir(parents=True)
    (tmp_path / "board/relay.1/value").write_text("0")
    with serving(tmp_path / "g") as service:
        settings, keys = make_home(
            tmp_path / "home",
            services=(service.url,),
            rpc_urls=(service.url,),
            automation=AUTOMATION,
        )
        mine = FIELDS | {"device": keys.agent.address}
        service.rpc = lambda method, params: rpc(method, params, mine)
        care = Care(
            settings, tmp_path / "home", Key.from_secret(keys.agent.secret),
            board=FileBoard(tmp_path / "board"), tell=print, wall=lambda: 5_000.0,
            directives=Directives(tmp_path / "home", settings, clock=lambda: 0.0),
        )  # fmt: skip
        care.obey()
        care.follow()
        assert care.held() == 2
        care.close()
    assert (tmp_path / "board/relay.1/value").read_text() == "1"
    assert [r["command"] for r in service.receipts] == [4, 7]
    told = service.receipts[1]
    place = Domain("Freehold automation", 31337, AUTOMATION, NETWORK)
    values = [7, keys.agent.address, told["outcome"], bytes.fromhex(told["detail"][2:]), told["at"]]
    signer = recover(RECEIPT.digest(place, values), bytes.fromhex(told["signature"][2:]))
    assert (signer, told["device"]) == (keys.agent.address, keys.agent.address)
    assert json.dumps(told)
