"""Sensors: what is read, what is skipped, and why."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from freehold.domain.errors import FreeholdError, NotFoundError, UnavailableError, UsageError
from freehold.node.agent.disk import PAUSE, Disk
from freehold.node.agent.gpu import Gpu, Nvml
from freehold.node.agent.host import Host
from freehold.node.agent.sensors import OUTPUT_MAX, Collector, File, Program, Value, build, parse
from freehold.telemetry.metrics import check_unit
from freehold.telemetry.units import unit
from unit.node.agent.homes import until


@dataclass
class Given:
    """A sensor that says what it is told to."""

    values: Sequence[Value] | Exception
    name: str = "given"

    def read(self) -> Sequence[Value]:
        if isinstance(self.values, Exception):
            raise self.values
        return self.values


def python(program: str, *, seconds: float = 5.0) -> Program:
    return Program((sys.executable, "-c", program), seconds)


def test_this_machine_reads_as_metrics_that_receivers_take(tmp_path: Path) -> None:
    now = [0.0]
    host = Host(tmp_path, clock=lambda: now[0])
    first = {value.metric for value in host.read()}
    now[0] = 10.0
    second = list(host.read())
    for value in second:
        check_unit(value.metric, unit(value.unit))
    names = {value.metric for value in second}
    assert {"host.cpu.load", "host.memory.used", "host.disk.free", "host.uptime"} <= first
    assert "host.net.in.flow" not in first
    assert psutil.net_io_counters() is None or "host.net.in.flow" in names


def test_flows_are_rates_and_a_counter_that_ran_back_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, counts = [0.0], [1_000]
    counters = lambda: SimpleNamespace(bytes_recv=counts[0], bytes_sent=0)  # noqa: E731
    monkeypatch.setattr(psutil, "net_io_counters", counters)
    host = Host(tmp_path, clock=lambda: now[0])
    flows = []
    for count in (1_000, 6_000, 10):
        counts[0], now[0] = count, now[0] + 10
        flows.append({v.metric: v.value for v in host.read()}.get("host.net.in.flow"))
    assert flows == [None, 500.0, None]


def test_chips_become_names_of_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chips = {
        "Core Temp/" + "x" * 60: [SimpleNamespace(current=51.0)],
        "w1": [SimpleNamespace(current=None)],
    }
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: chips, raising=False)
    found = [v for v in Host(tmp_path).read() if v.unit == "Cel"]
    assert [value.value for value in found] == [51.0]
    check_unit(found[0].metric, unit("Cel"))


def test_files_give_lines_or_one_number(tmp_path: Path) -> None:
    lines, number = tmp_path / "lines", tmp_path / "temp1_input"
    lines.write_text('# sensors\nroof.wind m/s 3.5\n\n{"metric":"a.b","unit":"1","value":2}\n')
    number.write_text("21437\n")
    sensors = build([f"file:{lines}", f"file:{number}#room.temperature,Cel,0.001"], folder=tmp_path)
    assert list(sensors[0].read()) == [Value("roof.wind", "m/s", 3.5), Value("a.b", "1", 2.0)]
    assert list(sensors[1].read()) == [Value("room.temperature", "Cel", 21.437)]


@pytest.mark.parametrize(
    "text", ["", "host:x", "lidar", "file:", "exec:", "exec:'x", "file:/x#a.temperature",
             "file:/x#a.temperature,V", "file:/x#A,1", "file:/x#a,1,z"],
)  # fmt: skip
def test_sensors_of_no_kind(tmp_path: Path, text: str) -> None:
    with pytest.raises(FreeholdError):
        build([text], folder=tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"a b",
        b"a 1 x",
        b'{"metric":1}',
        b"{" * 3_000,
        b"\xff\xfe 1 2 3",
        b"x" * (OUTPUT_MAX + 1),
        b"a 1 2\n" * 65,
    ],
)
def test_output_of_strangers_is_a_typed_error(content: bytes) -> None:
    with pytest.raises(UnavailableError):
        parse("x", content)


def test_a_missing_file_and_one_without_a_number(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("warm")
    for sensor in (File(tmp_path / "gone"), File(tmp_path / "x", "a", "1"), File(tmp_path)):
        with pytest.raises(UnavailableError):
            sensor.read()


def test_programs_give_lines_without_a_shell() -> None:
    assert list(python("print('a.b 1 2')").read()) == [Value("a.b", "1", 2.0)]
    program = Program(("echo", "a.b", "1", "2", ";", "false"))
    with pytest.raises(UnavailableError, match="not `name unit value`"):
        program.read()


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (python("import time; time.sleep(60)", seconds=0.3), "in time"),
        (python("while True: print('x' * 1000)"), "more than"),
        (Program(("/nowhere/at/all",)), "cannot be run"),
    ],
)
def test_programs_are_bounded(program: Program, why: str) -> None:
    with pytest.raises(UnavailableError, match=why):
        program.read()


def test_a_program_ends_with_all_that_it_started(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    sleeping = "import time; time.sleep(60)"
    inner = (
        "import subprocess, sys, pathlib\n"
        f"child = subprocess.Popen([sys.executable, '-c', {sleeping!r}])\n"
        f"pathlib.Path({str(file)!r}).write_text(str(child.pid))\n{sleeping}"
    )
    with pytest.raises(UnavailableError):
        python(inner, seconds=1.5).read()
    pid = int(file.read_text())
    until(lambda: ended(pid), "what it started ends")


def ended(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_a_sensor_that_fails_is_told_once_and_the_others_go_on() -> None:
    told: list[str] = []
    broken = Given(UnavailableError("no answer", remedy="-"), "b")
    bug = Given(KeyError("x"), "c")
    good = Given([Value("a.count", "1", 1.0)])
    collector = Collector([broken, bug, good], tell=told.append)
    for _ in range(3):
        assert [r.metric for r in collector.read(1_000, metrics={})] == ["a.count"]
    assert told == ["no answer", "c failed: KeyError('x')"]
    broken.values = []
    collector.read(1_000, metrics={})
    broken.values = UnavailableError("no answer", remedy="-")
    collector.read(1_000, metrics={})
    assert told.count("no answer") == 2


def test_what_receivers_would_refuse_is_left_out() -> None:
    told: list[str] = []
    values = [
        Value("a", "1", float("nan")), Value("b", "1", float("inf")), Value("c", "1", 1e101),
        Value("d", "furlong", 1.0), Value("e.temperature", "V", 1.0), Value("F", "1", 1.0),
        Value("good", "1", 1.0), Value("off", "1", 1.0),
    ]  # fmt: skip
    given = Given(values)
    collector = Collector([given], tell=told.append)
    assert [r.metric for r in collector.read(5, metrics={"off": False})] == ["good"]
    assert len(told) == 3
    given.values = [Value("good", "%", 1.0)]  # another unit than it began with
    assert collector.read(6, metrics={}) == []


SMART = {
    "smart_status": {"passed": True},
    "temperature": {"current": 35},
    "power_on_time": {"hours": 2},
    "nvme_smart_health_information_log": {"percentage_used": 3, "media_errors": 0},
    "ata_smart_attributes": {"table": [{"id": 5, "raw": {"value": 7}}, {"id": 9}, 3]},
}


def test_disks_tell_of_themselves_now_and_then() -> None:
    asked: list[Sequence[str]] = []
    now = [1.0]

    def run(argv: Sequence[str]) -> bytes:
        asked.append(argv)
        scan = {"devices": [{"name": "/dev/sda"}, {"name": "-rf"}, 5]}
        return json.dumps(scan if "--scan" in argv else SMART).encode()

    disk = Disk(run=run, find=lambda _name: "/sbin/smartctl", clock=lambda: now[0])
    values = {value.metric: value.value for value in disk.read()}
    assert values == {
        "disk.sda.passed": 1.0, "disk.sda.temperature": 35.0, "disk.sda.uptime": 7_200.0,
        "disk.sda.wear": 3.0, "disk.sda.errors.count": 0.0, "disk.sda.reallocated.count": 7.0,
    }  # fmt: skip
    assert list(disk.read()) == []
    now[0] += PAUSE
    assert len(list(disk.read())) == 6
    assert len(asked) == 4


@pytest.mark.parametrize("answer", [b"", b"{}", b"[1]", b'{"devices": [{"name": "/dev/sda"}]}'])
def test_disks_that_say_nothing(answer: bytes) -> None:
    with pytest.raises(UnavailableError):
        Disk(run=lambda _argv: answer, find=lambda _name: "/x").read()
    with pytest.raises(NotFoundError, match="smartctl is not installed"):
        Disk(find=lambda _name: None).read()


class FakeNvml:
    """Two processors, of which one tells no power."""

    def nvmlInit(self) -> None: ...
    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> object:
        return index

    def nvmlDeviceGetTemperature(self, handle: object, sensor: int) -> int:
        return 60

    def nvmlDeviceGetPowerUsage(self, handle: object) -> int:
        if handle == 1:
            raise RuntimeError("not supported")
        return 150_000

    def nvmlDeviceGetMemoryInfo(self, handle: object) -> Any:
        return SimpleNamespace(used=2**30)

    def nvmlDeviceGetUtilizationRates(self, handle: object) -> Any:
        return SimpleNamespace(gpu=50)


def test_graphics_processors() -> None:
    values = {v.metric: v.value for v in Gpu(lambda: cast(Nvml, FakeNvml())).read()}
    assert values["gpu.0.power"] == 150.0
    assert values["gpu.1.temperature"] == 60.0
    assert "gpu.1.power" not in values


def test_no_library_for_graphics_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(NotFoundError, match="nvidia-ml-py is not installed"):
        Gpu().read()


def test_unknown_sensors_name_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        build(["lidar"], folder=tmp_path)
    assert "exec:COMMAND" in caught.value.remedy
