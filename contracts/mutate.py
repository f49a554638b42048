"""Break a contract in every small way and see whether its tests notice.

Each mutant changes one place of one source: a comparison flipped or moved by one, a constant moved
by one, an operator swapped, an assertion or a guard deleted, a role swapped. A mutant that does not
compile is invalid, one with the same bytecode is equivalent; neither is counted. The others are run
against the contract's tests, which read the mutant's artifact through FREEHOLD_ARTIFACTS, and count
as killed at the first failure. Prints JSON; exit status 1 when fewer than `--floor` are killed.

    python contracts/mutate.py payments --sample 100 --seed 1
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import tokenize
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

CONTRACTS = Path(__file__).resolve().parent
TESTS = CONTRACTS.parent / "tests"
PRELOAD = ("vyper.compiler", "pytest", "hypothesis.stateful", "eth_account.messages", "pyrevm")
# Unit tests first: they are quick and kill most; laws last. Others: test_NAME*.py.
SUITES = {
    "payments": (
        "test_settlement.py",
        "test_payments.py",
        "test_vouchers.py",
        "test_pay_vectors.py",
        "test_payments_laws.py",
    ),
    "faults": ("test_faults.py", "test_columns.py", "test_market_laws.py"),
    "storage": (
        "test_columns.py",
        "test_storage.py",
        "test_arbiter.py",
        "test_faults.py",
        "test_market_laws.py",
    ),
    "subnet": (
        "test_subnet.py",
        "test_subnet_seats.py",
        "test_subnet_weights.py",
        "test_subnet_budgets.py",
        "test_subnet_laws.py",
    ),
    "typed": ("test_token.py", "test_registry.py", "test_vouchers.py"),
    "wide": ("test_issuance_curves.py", "test_issuance.py"),
    "curves": ("test_issuance_curves.py", "test_issuance.py"),
    "pricing": ("test_auction.py", "test_auction_laws.py"),
}
# A module is tried through the contracts that import it.
THROUGH = {
    "typed": ("token", "registry", "payments"),
    "wide": ("issuance",),
    "curves": ("issuance",),
    "pricing": ("auction",),
}
SWAPS = {
    "==": ("!=",),
    "!=": ("==",),
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "+": ("-",),
    "-": ("+",),
    "*": ("//",),
    "//": ("*",),
    "%": ("//",),
    "+=": ("-=",),
    "-=": ("+=",),
    "<<": (">>",),
    ">>": ("<<",),
    "&": ("|",),
    "|": ("&",),
    "and": ("or",),
    "or": ("and",),
    "min": ("max",),
    "max": ("min",),
    "True": ("False",),
    "False": ("True",),
    "not": ("",),
}
ROLES = {
    "_only_guardian": ("_only_self",),
    "_only_self": ("_only_guardian",),
    "_only_owner": ("_live",),
    "_only_market": ("_noted",),
    "slashers": ("lockers",),
    "lockers": ("slashers",),
    "payer": ("payee",),
    "payee": ("payer",),
    "market": ("payer",),
    "owner": ("payout",),
}
GUARD = re.compile(r"^ +self\._(only|check|require|live|use|evaluate)\w*\(.*\)$")
TIME_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: the text between two offsets of the source becomes `after`."""

    line: int
    kind: str
    start: int
    end: int
    before: str
    after: str

    @property
    def name(self) -> str:
        """A name that stays the same while the source does."""
        return f"{self.start}:{self.kind}:{self.after.strip()}"

    def apply(self, source: str) -> str:
        """The mutated source."""
        return source[: self.start] + self.after + source[self.end :]


@dataclass(frozen=True, slots=True)
class Place:
    """One token and where it lies."""

    kind: int
    text: str
    start: int
    end: int
    line: int


def places(source: str) -> list[Place]:
    """The tokens of a source with their offsets."""
    starts = [0]
    for row in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(row))
    return [
        Place(
            token.type,
            token.string,
            starts[token.start[0] - 1] + token.start[1],
            starts[token.end[0] - 1] + token.end[1],
            token.start[0],
        )
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
    ]


def body_lines(source: str) -> set[int]:
    """The lines that hold behaviour: function bodies and constants, no signatures or docstrings."""
    found: set[int] = set()
    state = "outside"
    for number, row in enumerate(source.splitlines(), 1):
        if row and not row.startswith((" ", ")")):
            state = "signature" if row.startswith("def ") else "outside"
            if "constant(" in row:
                found.add(number)
        if state == "signature":
            state = "body" if row.rstrip().endswith(":") else state
        elif state == "body" and row.strip().startswith('"""'):
            state = "docstring"
        elif state == "docstring":
            state = "body" if row.strip().endswith('"""') else state
        elif state == "body" and not row.strip().startswith("log "):
            found.add(number)
    return found


def token_mutants(source: str) -> Iterator[Mutant]:
    """Swapped operators, moved constants and swapped roles, token by token."""
    lines, rows, tokens = body_lines(source), source.splitlines(), places(source)
    for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if token.line not in lines or in_type(before, token, after):
            continue
        row = rows[token.line - 1]
        for text in SWAPS.get(token.text, ()):
            yield Mutant(token.line, "swap", token.start, token.end, token.text, text)
        if token.text == "in" and before.text != "not" and "for " not in row:
            yield Mutant(token.line, "swap", token.start, token.end, "in", "not in")
        if token.kind == tokenize.NUMBER and not token.text.startswith("0x"):
            moved = str(int(token.text.replace("_", "")) + 1)
            yield Mutant(token.line, "constant", token.start, token.end, token.text, moved)
        if source.startswith("msg.sender", token.start):
            yield Mutant(token.line, "role", token.start, token.end + 7, "msg.sender", "tx.origin")
        if "msg.sender" in row or "self._only" in row:
            for text in ROLES.get(token.text, ()):
                yield Mutant(token.line, "role", token.start, token.end, token.text, text)


def in_type(before: Place, token: Place, after: Place) -> bool:
    """Whether a token belongs to a type or a keyword argument, not to behaviour."""
    if token.text == "not" and after.text == "in":
        return False
    if token.kind == tokenize.NUMBER and before.text == "[":
        return True
    return token.text in {"owner", "market", "payer", "payee"} and after.text in "=:"


def statement_mutants(source: str) -> Iterator[Mutant]:
    """Deleted assertions, guards and locks, whole statements."""
    lines, offset = body_lines(source), 0
    rows = source.splitlines(keepends=True)
    for number, row in enumerate(rows, 1):
        if row == "@nonreentrant\n":
            yield Mutant(number, "delete", offset, offset + len(row), row.strip(), "")
        if number in lines and (row.lstrip().startswith("assert ") or GUARD.match(row.rstrip())):
            length = statement_length(rows[number - 1 :])
            before = "".join(rows[number - 1 : number - 1 + length])
            indent = row[: len(row) - len(row.lstrip())]
            end = offset + len(before)
            yield Mutant(number, "delete", offset, end, before.strip(), f"{indent}pass\n")
        offset += len(row)


def statement_length(rows: Sequence[str]) -> int:
    """How many lines a statement takes, by its brackets."""
    depth = 0
    for count, row in enumerate(rows, 1):
        depth += sum(row.count(c) for c in "([{") - sum(row.count(c) for c in ")]}")
        if depth == 0:
            return count
    return len(rows)


def mutants_of(source: str) -> list[Mutant]:
    """All mutants of a source, in order, none twice."""
    found = {m.name: m for m in (*token_mutants(source), *statement_mutants(source))}
    return sorted(found.values(), key=lambda mutant: (mutant.start, mutant.name))


def suite(name: str) -> list[str]:
    """The test files of a contract."""
    folder = TESTS / "contracts"
    named = [folder / file for file in SUITES.get(name, ())]
    return [str(path) for path in named or sorted(folder.glob(f"test_{name}*.py"))]


def compile_into(work: Path, name: str) -> str:
    """Compile the contracts that hold a source below `work`; returns their joined bytecode."""
    sys.path.insert(0, str(work / "contracts"))
    build = importlib.import_module("build")
    made = ""
    for contract in THROUGH.get(name, (name,)):
        artifact = build.compile_contract(work / "contracts" / f"{contract}.vy")
        build.write(work / "artifacts", artifact)
        made += artifact.bytecode
    return made


def attempt(work: Path, name: str, tests: Sequence[str], original: str | None) -> int:
    """Compile and test, in this process: 0 passed, 1 failed, 3 invalid, 4 equivalent."""
    try:
        made = compile_into(work, name)
    except Exception as error:  # noqa: BLE001 - whatever the compiler says, it is no contract
        print(f"does not compile: {error}", flush=True)
        return 3
    if original is None:
        (work / "original").write_text(made, encoding="utf-8")
    elif made == original:
        return 4
    os.environ["FREEHOLD_ARTIFACTS"] = str(work / "artifacts")
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    pytest = importlib.import_module("pytest")
    # Plain assertions: quicker, and what is preloaded need not be rewritten.
    options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--assert=plain"]
    return 0 if pytest.main([*options, *tests]) == 0 else 1


def isolated(work: Path, name: str, tests: Sequence[str], original: str | None) -> int:
    """Run an attempt in a forked child with a time limit; too long counts as failed."""
    child = os.fork()
    if child == 0:
        signal.alarm(TIME_LIMIT)
        with open(work / "log", "w", encoding="utf-8") as sink:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            code = 1
            try:
                code = attempt(work, name, tests, original)
            except BaseException:  # noqa: BLE001 - the child must not run the parent's code
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1


def source_of(folder: Path, name: str) -> Path:
    """Where the source of a contract or a module lies."""
    here = folder / f"{name}.vy"
    return here if here.exists() else folder / "modules" / f"{name}.vy"


def survey(
    name: str, chosen: Sequence[Mutant], work: Path
) -> tuple[dict[str, int], list[dict[str, object]]]:
    """Try the chosen mutants: how many had which outcome, and the survivors."""
    shutil.copytree(CONTRACTS, work / "contracts")
    path = source_of(work / "contracts", name)
    source, tests = path.read_text(encoding="utf-8"), suite(name)
    if isolated(work, name, tests, None) != 0:
        raise SystemExit(f"{name}: fails without a mutant\n{(work / 'log').read_text()[-4000:]}")
    original = (work / "original").read_text(encoding="utf-8")
    counts, survivors = dict.fromkeys(("killed", "survived", "invalid", "equivalent"), 0), []
    outcomes = {0: "survived", 1: "killed", 3: "invalid", 4: "equivalent"}
    for mutant in chosen:
        path.write_text(mutant.apply(source), encoding="utf-8")
        outcome = outcomes[isolated(work, name, tests, original)]
        counts[outcome] += 1
        print(f"{outcome:10} {name}:{mutant.line} {mutant.name}", file=sys.stderr, flush=True)
        if outcome == "survived":
            survivors.append({**asdict(mutant), "name": mutant.name})
    return counts, survivors


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contract", help="a contract's or a module's name")
    parser.add_argument("--sample", type=int, help="try this many, chosen by the seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="try the mutants of these names")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    parser.add_argument("--floor", type=float, default=0.95, help="least share to kill")
    return parser.parse_args(arguments)


def choose(found: Sequence[Mutant], options: argparse.Namespace) -> list[Mutant]:
    """The mutants that the options name."""
    if options.only:
        return [mutant for mutant in found if mutant.name in options.only]
    if options.sample is None or options.sample >= len(found):
        return list(found)
    drawn = random.Random(options.seed).sample(list(found), options.sample)
    return sorted(drawn, key=lambda mutant: mutant.start)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    options = options_of(arguments)
    name = options.contract
    found = mutants_of(source_of(CONTRACTS, name).read_text(encoding="utf-8"))
    if options.list:
        print(json.dumps([{**asdict(m), "name": m.name} for m in found], indent=1))
        return 0
    for module in PRELOAD:
        importlib.import_module(module)
    started, chosen = time.monotonic(), choose(found, options)
    with tempfile.TemporaryDirectory(prefix="freehold-mutants-") as folder:
        counts, survivors = survey(name, chosen, Path(folder))
    share = counts["killed"] / max(1, counts["killed"] + counts["survived"])
    print(
        json.dumps(
            {
                "contract": name,
                "mutants": len(found),
                "tried": len(chosen),
                "seed": options.seed,
                "share_killed": round(share, 4),
                "seconds": round(time.monotonic() - started),
                **counts,
                "survivors": survivors,
            },
            indent=1,
        )
    )
    return 0 if share >= options.floor else 1


if __name__ == "__main__":
    sys.exit(main())
