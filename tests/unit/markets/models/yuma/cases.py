"""Whole epochs that other implementations agree on, read from files of vectors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freehold.markets.models.yuma.permits import permits
from freehold.markets.models.yuma.stake import shares
from freehold.markets.models.yuma.values import Flags, Inputs, Liquid, Result, Rules, Sparse
from unit.markets.storage.vectors import folders

Json = dict[str, Any]
CUTOFF, EMISSION = 5_000, 1_000_000_000


def named(pattern: str) -> list[tuple[Path, Json]]:
    """Every vector file of that name, in every folder."""
    paths = [path for folder in folders() for path in sorted(folder.glob(pattern))]
    return [(path, json.loads(path.read_text())) for path in paths]


def parameters(pattern: str) -> list[Any]:
    """Every case of the files of that name, as parameters of a test."""
    found = [
        pytest.param(file, case, id=f"{path.parent.name}-{path.stem}-{case['name']}")
        for path, file in named(pattern)
        for case in file["cases"]
    ]
    missing = ", ".join(str(folder) for folder in folders())
    absent = pytest.mark.skip(reason=f"no {pattern} in {missing}")
    return found or [pytest.param({}, {}, marks=absent, id="absent")]


@dataclass(frozen=True, slots=True)
class Step:
    """One epoch of a case and all that it names as its result."""

    rules: Rules
    inputs: Inputs
    emission: int
    figures: Json
    validators: int


class Case:
    """A case run step by step: permits and bonds go from one epoch into the next.

    ``gap`` says when the epoch before was where a file does not: None at the step before, else so
    many blocks ago (upstream's tempo).
    """

    def __init__(self, content: Json, gap: int | None) -> None:
        self.content, self.gap = content, gap
        self.n = int(self.content["n"])
        self.state: Json = {"stake": self.content.get("stake")}
        self.permits: Flags | None = None
        self.bonds = Sparse.of(self.n, self.content.get("bonds", []))
        self.last: int | None = None

    def steps(self) -> Iterator[Step]:
        """Every epoch; ``take`` the result of one before asking for the next."""
        for at, step in enumerate(self.content["steps"]):
            self.state |= step
            rules = rules_of(self.content["params"] | step.get("params", {}))
            now = int(step.get("block", step.get("epoch", at) + 1))
            inputs = self._inputs(rules, step, now)
            emission = int(step.get("emission", self.content["params"]["epoch_emission"]))
            yield Step(rules, inputs, emission, dict(_figures(step)), self._validators())
            self.last = now

    def take(self, result: Result) -> None:
        """Carry what an epoch leaves behind into the next one."""
        self.permits, self.bonds = result.permits, result.stored_bonds

    def _inputs(self, rules: Rules, step: Json, now: int) -> Inputs:
        registered = times(self.state.get("block_at_registration", "all 0"), self.n)
        inputs = Inputs(
            stake=np.array(numbers(self.state["stake"], self.n), np.uint64),
            updated=times(self.state.get("last_update", f"all {now}"), self.n),
            registered=registered,
            permits=np.ones(self.n, np.bool_),
            weights=Sparse.of(self.n, entries(self.state.get("weights", []))),
            bonds=Sparse.of(self.n, step["bonds"]) if "bonds" in step else self.bonds,
            now=now,
            last_epoch=self._last_epoch(step, now),
            committed=self._committed(),
        )
        return replaced(inputs, self._permits(rules, step, inputs))

    def _committed(self) -> Any:
        for name in ("commit_block", "commit_blocks", "committed"):
            if self.state.get(name) is not None:
                values = self.state[name]
                if isinstance(values, list):
                    values = [1 << 61 if v is None else min(v, 1 << 61) for v in values]
                return times(values, self.n)
        return None

    def _last_epoch(self, step: Json, now: int) -> int:
        if "last_epoch" in step:
            return int(step["last_epoch"])
        tempo = step.get("tempo", self.content["params"].get("tempo", self.gap))
        if tempo is not None:
            return max(now - int(tempo), 0)
        return 1 if self.last is None else self.last

    def _permits(self, rules: Rules, step: Json, inputs: Inputs) -> Flags:
        for given in (step.get("permits"), self.permits, self.content.get("permits")):
            if given is not None:
                return flags(given, self.n)
        if self.content.get("initial_permits_all"):
            return np.ones(self.n, np.bool_)
        return permits(shares(rules, inputs), rules.max_validators)

    def _validators(self) -> int:
        return int(self.content["params"]["max_validators"])


def replaced(inputs: Inputs, seated: Flags) -> Inputs:
    """The same inputs with those permits."""
    fields = {name: getattr(inputs, name) for name in inputs.__dataclass_fields__}
    return Inputs(**(fields | {"permits": seated}))


def filled(file: Json, case: Json) -> Json:
    """A case with the file's defaults under its own parameters."""
    base = {"activity_cutoff": CUTOFF, "epoch_emission": EMISSION, "max_validators": case["n"]}
    return case | {"params": base | file.get("defaults", {}) | case.get("params", {})}


def rules_of(params: Json) -> Rules:
    """The rules that a case's parameters name."""
    optional = {
        "kappa": params.get("kappa_u16", params.get("kappa")),
        "bonds_penalty": params.get("bonds_penalty_u16", params.get("bonds_penalty")),
        "bonds_ema_ppm": params.get("bonds_moving_average_ppm"),
        "min_stake": params.get("min_stake", params.get("stake_threshold")),
    }
    return Rules(
        max_validators=int(params["max_validators"]),
        activity_cutoff=int(params["activity_cutoff"]),
        yuma3=bool(params.get("yuma3", False)),
        liquid=liquid_of(params) if params.get("liquid_alpha") and params.get("yuma3") else None,
        **{name: int(value) for name, value in optional.items() if value is not None},
    )


def liquid_of(params: Json) -> Liquid:
    """Liquid alpha's bounds, as proportions or of 65535, as upstream keeps them: rounded down."""
    usual = Liquid()
    low, high = (
        params.get(f"{name}_u16", int(params[name] * 65_535) if name in params else default)
        for name, default in (("alpha_low", usual.low), ("alpha_high", usual.high))
    )
    return Liquid(int(low), int(high), int(params.get("alpha_sigmoid_steepness", 1_000)))


def numbers(value: Any, n: int) -> list[int]:
    """A list of n, or "all 7"."""
    if isinstance(value, str):
        return [int(value.removeprefix("all "))] * n
    if isinstance(value, int):
        return [value] * n
    return [int(each) for each in value]


def times(value: Any, n: int) -> Any:
    """The same as an array of times."""
    return np.array(numbers(value, n), np.int64)


def flags(value: Any, n: int) -> Flags:
    """Flags, a list of n truth values, or a list of uids."""
    if isinstance(value, np.ndarray):
        return value
    if len(value) == n and all(isinstance(each, bool) or each in (0, 1) for each in value):
        return np.array(value, np.bool_)
    seated = np.zeros(n, np.bool_)
    seated[value] = True
    return seated


def entries(value: Any) -> list[tuple[int, int, int]]:
    """Triples, or "every validator 0..63 sets 65535 on every server 64..511"."""
    if not isinstance(value, str):
        return [(int(i), int(j), int(w)) for i, j, w in value]
    found = re.findall(r"\d+", value)
    first, last, weight, start, end = (int(each) for each in found)
    return [(i, j, weight) for i in range(first, last + 1) for j in range(start, end + 1)]


def _figures(step: Json) -> Iterator[tuple[str, Any]]:
    for key, value in step.items():
        if key in ("expect", "recomputed", "trace", "upstream_asserted"):
            if isinstance(value, dict):
                yield from ((f"{key}.{name}", figure) for name, figure in value.items())
        elif key.startswith("recomputed_"):
            name = key.removeprefix("recomputed_")
            yield f"recomputed.{name}{'_rows' if name == 'bonds_u16' else ''}", value
