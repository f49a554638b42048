from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from journeys.town import Logs, Town


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """Six nodes of six owners, a watcher, a ledger with an eight-second period, an account."""
    found = Town.found(tmp_path / "town")
    yield found
    found.stop()


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    """A folder for logs."""
    folder = tmp_path / "logs"
    folder.mkdir()
    return Logs(folder)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the ends of all logs where a journey fails."""
    report = yield
    values = getattr(item, "funcargs", {}).values() if report.failed else ()
    report.sections += [("logs", each.tails()) for each in values if isinstance(each, Logs | Town)]
    return report
