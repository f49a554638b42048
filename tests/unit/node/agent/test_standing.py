"""A device that its owner retired ends, and says how it comes back; nothing else ends it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from freehold.domain.errors import IntegrityError, UnavailableError
from freehold.domain.ids import Address
from freehold.ledger.abi import artifact, pack_all
from freehold.node.agent.__main__ import main
from freehold.node.agent.agent import Agent, Progress
from freehold.node.agent.chain import Enrolled, Ledger
from freehold.node.agent.standing import LOOK_SECONDS, RetiredError, Standing
from unit.node.agent.homes import DEVICES, OWNER, Service, make_home, serving, until


def rpc(retired: bool, *, generation: int = 3, asked: list[str] | None = None) -> Any:
    """A chain whose contract devices answers as its ABI says."""
    contract = artifact("devices")
    entry = {
        "owner": OWNER.address, "payout": OWNER.address, "generation": generation,
        "enrolled_at": 5, "retired": retired, "key": b"k" * 34, "binding": b"b" * 64,
        "place": b"p" * 32, "firmware": "1.0",
    }  # fmt: skip

    def answer(method: str, params: list[Any]) -> object:
        if method == "eth_chainId":
            return hex(31337)
        view = contract.function("device", 1)
        assert params[0]["data"].startswith("0x" + view.selector.hex())
        assert params[0]["to"] == DEVICES
        if asked is not None:
            asked.append(params[0]["data"])
        return "0x" + pack_all(view.outputs, [entry], "device").hex()

    return answer


class Devices:
    """A ledger that tells what it is told to, or nothing."""

    def __init__(self) -> None:
        self.found: Enrolled | Exception = Enrolled(1, retired=False)
        self.looks = 0

    def enrolled(self, contract: Address, device: Address) -> Enrolled:
        self.looks += 1
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def standing(folder: Path, devices: Devices, clock: Callable[[], float]) -> Standing:
    settings, _ = make_home(folder)
    return Standing(settings, DEVICES, devices, clock=clock)


def test_the_ledger_is_read_as_the_contract_writes(tmp_path: Path) -> None:
    with serving(tmp_path / "g") as service:
        ledger = Ledger([service.url], chain_id=31337)
        for retired in (False, True):
            service.rpc = rpc(retired)
            assert ledger.enrolled(DEVICES, OWNER.address) == Enrolled(3, retired)
        service.rpc = lambda method, _: hex(31337) if method == "eth_chainId" else "0x"
        with pytest.raises((UnavailableError, IntegrityError)):
            ledger.enrolled(DEVICES, OWNER.address)
        ledger.close()


def test_it_is_looked_at_once_a_minute(tmp_path: Path) -> None:
    devices, now = Devices(), [0.0]
    found = standing(tmp_path, devices, lambda: now[0])
    found.check()
    found.check()
    assert devices.looks == 1
    devices.found = Enrolled(1, retired=True)
    found.check()
    now[0] += LOOK_SECONDS
    with pytest.raises(RetiredError, match=r"the device shed .* is retired") as told:
        found.check()
    assert "device add shed" in told.value.remedy
    assert "--generation 2" in told.value.remedy


def test_a_look_that_failed_is_made_up_for_and_an_unknown_device_goes_on(tmp_path: Path) -> None:
    devices = Devices()
    found = standing(tmp_path, devices, lambda: 0.0)
    devices.found = UnavailableError("no RPC answers", remedy="")
    for _ in range(2):
        with pytest.raises(UnavailableError):
            found.check()
    devices.found = Enrolled(0, retired=False)
    found.check()
    assert devices.looks == 3


def retired_home(folder: Path, service: Service) -> Path:
    service.rpc = rpc(retired=True)
    make_home(folder, services=(service.url,), rpc_urls=(service.url,))
    return folder


def test_a_retired_device_ends_with_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("freehold.node.agent.__main__.on_signals", lambda _: None)
    with serving(tmp_path / "g") as service:
        folder = retired_home(tmp_path / "d", service)
        ended: list[int] = []
        agent = threading.Thread(
            target=lambda: ended.append(main(["--home", str(folder)])), daemon=True
        )
        agent.start()
        agent.join(20)
        assert ended == [RetiredError.exit_code]
    told = capsys.readouterr().err
    assert "is retired" in told
    assert "freehold device add shed" in told


def test_refusals_of_the_service_alone_end_nothing(tmp_path: Path) -> None:
    said: list[Progress] = []
    asked: list[str] = []
    with serving(tmp_path / "g") as service:
        service.down = (403, {}, b'{"error": "the device is retired"}')
        service.rpc = rpc(retired=False, asked=asked)
        make_home(tmp_path / "d", services=(service.url,), rpc_urls=(service.url,))
        agent = Agent.open(tmp_path / "d")
        thread = threading.Thread(target=agent.run, args=(said.append,))
        thread.start()
        until(lambda: bool(asked) and any("403" in each.error for each in said), "it is refused")
        assert thread.is_alive()
        agent.stop()
        thread.join()
    assert "retired" in said[-1].error
