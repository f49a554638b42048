"""Cuts the power of a folder: what no fsync made durable is gone, names included."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_name("powercut.c")


def build(folder: Path) -> Path:
    """Compile the preloaded library into ``folder``; skips the test where no compiler is."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not Path("/proc/self/fd").exists():
        pytest.skip("a power cut needs Linux and a C compiler: apt-get install gcc libc6-dev")
    library = folder / "powercut.so"
    subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"],
        check=True,
        timeout=60,
    )
    return library


@dataclass(frozen=True, slots=True)
class ForgetfulDisk:
    """The disk below ``root``; processes started with ``environment()`` write to it."""

    root: Path
    shadow: Path
    library: Path

    @classmethod
    def below(cls, root: Path, *, scratch: Path) -> ForgetfulDisk:
        """Watch ``root`` (on the same file system as ``scratch``); all in it now is durable."""
        disk = cls(root.resolve(), scratch.resolve() / "shadow", build(scratch))
        for part in "cdp":
            (disk.shadow / part).mkdir(parents=True)
        disk.keep_all()
        return disk

    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to write to this disk."""
        return {
            "LD_PRELOAD": str(self.library),
            "POWERCUT_ROOT": str(self.root),
            "POWERCUT_SHADOW": str(self.shadow),
        }

    def cut(self) -> int:
        """Forget all that was not synced; no process may run. The number of files changed."""
        return sum(self._restore(folder) for folder in self._folders())

    def _folders(self) -> list[Path]:
        return [self.root, *(p for p in self.root.rglob("*") if p.is_dir() and not p.is_symlink())]

    def _restore(self, folder: Path) -> int:
        durable = self._entries(folder)
        changed = 0
        for path in list(folder.iterdir()):
            if path.is_file() and not path.is_symlink() and path.name not in durable:
                path.unlink()
                changed += 1
        return changed + sum(self._rewrite(folder / name, ino) for name, ino in durable.items())

    def _entries(self, folder: Path) -> dict[str, int]:
        listing = self.shadow / "d" / str(folder.stat().st_ino)
        if not listing.exists():
            return {}
        lines = (line.split(" ", 1) for line in listing.read_text().splitlines())
        return {name: int(inode) for inode, name in lines}

    def _rewrite(self, path: Path, inode: int) -> int:
        content = self.shadow / "c" / str(inode)
        data = content.read_bytes() if content.exists() else b""
        if path.exists() and path.stat().st_ino == inode and path.read_bytes() == data:
            return 0
        mode = (self.shadow / "p" / str(inode)).stat().st_mode
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        path.chmod(mode & 0o777)
        self._keep_file(path)
        self._keep_folder(path.parent)
        return 1

    def keep_all(self) -> None:
        """Take all that lies there now as durable."""
        for folder in self._folders():
            for path in folder.iterdir():
                if path.is_file() and not path.is_symlink():
                    self._keep_file(path)
            self._keep_folder(folder)

    def _keep_file(self, path: Path) -> None:
        inode = str(path.stat().st_ino)
        shutil.copyfile(path, self.shadow / "c" / inode)
        if not (self.shadow / "p" / inode).exists():
            os.link(path, self.shadow / "p" / inode)

    def _keep_folder(self, folder: Path) -> None:
        entries = [p for p in folder.iterdir() if p.is_file() and not p.is_symlink()]
        listing = "".join(f"{p.stat().st_ino} {p.name}\n" for p in entries)
        (self.shadow / "d" / str(folder.stat().st_ino)).write_text(listing)
