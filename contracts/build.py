"""Compile every contract to the committed artifact that the package ships.

An artifact is `src/freehold/ledger/artifacts/NAME.json` with the keys name, abi, bytecode (hex of
the init code), runtime_size (bytes), compiler, settings and source_sha256. The compiler settings
stand as pragmas in each source, so a source and the pinned compiler are all that decides the
bytes. `--check` compiles again and fails where a committed artifact differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import vyper
from vyper.compiler import compile_from_file_input
from vyper.compiler.input_bundle import FilesystemInputBundle

CONTRACTS = Path(__file__).resolve().parent
ARTIFACTS = CONTRACTS.parent / "src" / "freehold" / "ledger" / "artifacts"
COMPILER = "0.4.3"
RUNTIME_LIMIT = 24_576  # EIP-170
FORMATS = ("abi", "bytecode", "bytecode_runtime", "layout", "settings_dict")


class BuildError(Exception):
    """A contract that cannot be shipped; the message names it and the remedy."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract. `abi` is the JSON ABI, `bytecode` 0x-hex init code."""

    name: str
    abi: list[dict[str, object]]
    bytecode: str
    runtime_size: int
    compiler: str
    settings: dict[str, object]
    source_sha256: str

    def dump(self) -> str:
        """The exact text of the artifact file."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


def compile_contract(source: Path) -> Artifact:
    """Compile one source; its imports are looked up in the contracts folder.

    Raises BuildError when another compiler is installed, and the compiler's own errors.
    """
    if vyper.__version__.split("+")[0] != COMPILER:
        raise BuildError(f"vyper {vyper.__version__} is installed, {COMPILER} is pinned: uv sync")
    bundle = FilesystemInputBundle([CONTRACTS])
    output = compile_from_file_input(
        bundle.load_file(source.resolve()),
        input_bundle=bundle,
        output_formats=FORMATS,
        no_bytecode_metadata=True,
    )
    return Artifact(
        name=source.stem,
        abi=output["abi"],
        bytecode=output["bytecode"],
        runtime_size=len(output["bytecode_runtime"]) // 2 - 1 + immutables(output["layout"]),
        compiler=vyper.__version__,
        settings=json.loads(json.dumps(output["settings_dict"], default=str)),
        source_sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
    )


def immutables(layout: Mapping[str, object]) -> int:
    """Bytes of immutables behind the code, which a chain counts too."""
    code = layout.get("code_layout", {})
    return _length(code) if isinstance(code, Mapping) else 0


def _length(entry: Mapping[str, object]) -> int:
    """Bytes of a variable, or of all variables of a module."""
    length = entry.get("length")
    if isinstance(length, int):
        return length
    return sum(_length(each) for each in entry.values() if isinstance(each, Mapping))


def sources(folder: Path, names: Sequence[str]) -> list[Path]:
    """The sources of the named contracts in a folder, or of all."""
    found = {path.stem: path for path in sorted(folder.glob("*.vy"))}
    unknown = [name for name in names if name not in found]
    if unknown:
        raise BuildError(f"no contract named {', '.join(unknown)}; there are {', '.join(found)}")
    return [found[name] for name in names] if names else list(found.values())


def write(folder: Path, artifact: Artifact) -> None:
    """Replace the artifact file in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{artifact.name}.json"
    temporary = path.with_suffix(f".tmp{os.getpid()}")
    temporary.write_text(artifact.dump(), encoding="utf-8")
    temporary.replace(path)


def differs(folder: Path, artifact: Artifact) -> bool:
    """Whether the file in the folder is absent or not byte for byte this artifact."""
    path = folder / f"{artifact.name}.json"
    return not path.exists() or path.read_text(encoding="utf-8") != artifact.dump()


def report(artifact: Artifact) -> None:
    """Print one line of sizes against the EIP-170 limit."""
    size = artifact.runtime_size
    print(f"{artifact.name:12} {size:6} of {RUNTIME_LIMIT} bytes, {RUNTIME_LIMIT - size} left")


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="contracts (default: all)")
    parser.add_argument("--check", action="store_true", help="compare with what is committed")
    parser.add_argument("--sources", type=Path, default=CONTRACTS, help="folder of the .vy files")
    parser.add_argument("--out", type=Path, default=ARTIFACTS, help="folder of the artifacts")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; exit status 1 when a check fails or a contract is too large."""
    options = options_of(arguments)
    stale: list[str] = []
    large: list[str] = []
    for source in sources(options.sources, options.names):
        artifact = compile_contract(source)
        report(artifact)
        if artifact.runtime_size > RUNTIME_LIMIT:
            large.append(artifact.name)
        if not options.check:
            write(options.out, artifact)
        elif differs(options.out, artifact):
            stale.append(artifact.name)
    if stale:
        print(f"stale: {', '.join(stale)}; run contracts/build.py", file=sys.stderr)
    if large:
        print(f"over the EIP-170 limit, split: {', '.join(large)}", file=sys.stderr)
    return 1 if stale or large else 0


if __name__ == "__main__":
    sys.exit(main())
