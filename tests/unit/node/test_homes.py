"""Homes that cannot be: a typed error that names the place, and no traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from freehold.domain.errors import UnavailableError
from freehold.node import logs
from freehold.node.judging.shelf import Shelf
from freehold.node.validator import daemon as validator
from freehold.node.validator.settings import Settings as ValidatorSettings
from freehold.node.workloads.models import daemon as models
from freehold.node.workloads.models.settings import Settings as ModelSettings


def model(home: Path) -> None:
    models.serve(ModelSettings(home, home, home, home, model="m.py", alone="yes"))


def judge(home: Path) -> None:
    validator.serve(ValidatorSettings(home, home, home, home))


@pytest.mark.parametrize("begin", [model, judge, Shelf])
def test_a_home_that_cannot_be_made_is_named(
    begin: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "setup", lambda _: None)
    (tmp_path / "file").touch()
    for home in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UnavailableError, match="file"):
            begin(home)
