"""Rows that are committed and revealed, whenever the process dies."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.evm import Chain
from contracts.subnets import EPOCH, RULES, row_of
from freehold.domain.errors import IntegrityError, NotFoundError, RefusedError, UnavailableError
from freehold.domain.ids import keccak
from freehold.domain.money import UNIT
from freehold.node import files
from freehold.node.validator import vault as vault_file
from freehold.node.validator.book import Book, Mark
from freehold.node.validator.standing import Stand, stand
from freehold.node.validator.vault import Vault
from unit.node.validator.arena import Town, build

ROW = {1: 65_535, 2: 32_768}


class Killed(BaseException):
    """The process dies here."""


@pytest.fixture(scope="module")
def founded() -> Town:
    return build(Chain())


@pytest.fixture
def town(founded: Town) -> Iterator[Town]:
    with founded.chain.anchor():
        founded.ledgers.clear()
        yield founded


def score(town: Town, home: Path, epoch: int, **standing: float) -> None:
    """A book as a round leaves it: the models weigh 1 and a half."""
    shelf = town.shelf(home)
    given = dict(zip(town.models, standing.values() or (1.0, 0.5), strict=False))
    marks = []
    for hot, share in given.items():
        uid, generation = town.key(hot)
        node = town.ledger().subnet.seat(town.subnet, uid).node
        marks.append(Mark(uid, generation, node, smoothed=share, standing=share, epoch=epoch))
    shelf.keep(replace(shelf.book, epoch=epoch, marks=tuple(marks)))


def test_what_is_committed_is_revealed(town: Town, tmp_path: Path) -> None:
    epoch = town.to(0.1)
    town.clerk(tmp_path).step()
    assert town.ledger().sent == []
    score(town, tmp_path, epoch)
    clerk = town.clerk(tmp_path)
    clerk.step()
    clerk.step()
    assert town.ledger().sent == ["commit"]
    for later in range(epoch + 1, epoch + 4):
        town.arena.next()
        clerk.step()
        wanted = keccak(row_of(ROW)) if later == epoch + 1 else bytes(32)
        assert town.record(later, 0).row == wanted
    assert town.ledger().sent == ["commit", "reveal"]


def test_without_a_round_what_is_known_is_committed_late_in_the_epoch(
    town: Town, tmp_path: Path
) -> None:
    epoch = town.to(0.5)
    score(town, tmp_path, epoch - 1)
    clerk = town.clerk(tmp_path)
    for share, sent in ((0.7, 0), (0.76, 1)):
        town.to(share)
        clerk.step()
        assert town.ledger().sent.count("commit") == sent


def test_too_late_is_not_tried(town: Town, tmp_path: Path) -> None:
    score(town, tmp_path, town.to(0.97))
    town.clerk(tmp_path).step()
    assert "commit" not in town.ledger().sent


def dying_at(step: int) -> Callable[[str], None]:
    """Dies at the given one of all durable steps and transactions, before it or after it."""
    count = iter(range(step, -1, -1))

    def tell(_: str) -> None:
        if next(count, -1) == 0:
            raise Killed

    return tell


@pytest.mark.parametrize("step", range(21))
def test_a_kill_at_any_step_costs_no_row(
    town: Town, tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, die = files.replace_file, dying_at(step)

    def write(path: Path, data: bytes) -> None:
        die("before a write")
        real(path, data)
        die("after a write")

    monkeypatch.setattr(vault_file, "replace_file", write)
    ledger = town.ledger()
    ledger.before, ledger.after = die, die
    first, kills = town.to(0.2), 0
    for epoch in (first, first + 1):
        score(town, tmp_path, epoch, one=1.0, two=0.5 if epoch == first else 0.25)
        for share in (0.2, 0.3, 0.4):
            town.to(share)
            kills += not survived(town, tmp_path)
        town.arena.next()
    for share in (0.01, 0.02):
        town.to(share)
        kills += not survived(town, tmp_path)
    assert kills == (step < 20)
    for epoch, half in ((first, 32_768), (first + 1, 16_384)):
        assert town.record(epoch + 1, 0).row == keccak(row_of({1: 65_535, 2: half}))
    assert ledger.sent.count("reveal") == 2
    assert len({each.salt for each in Vault(tmp_path).rows}) == 2


def test_a_row_that_may_be_mined_is_never_replaced(town: Town, tmp_path: Path) -> None:
    epoch, ledger = town.to(0.2), town.ledger()
    score(town, tmp_path, epoch)

    def die(_: str) -> None:
        raise Killed

    def unreachable(_: str) -> None:
        raise UnavailableError("no RPC answers", remedy="-")

    ledger.after = die
    assert not survived(town, tmp_path)
    ledger.after, ledger.before = lambda _: None, unreachable
    score(town, tmp_path, epoch, one=0.1, two=1.0)
    town.clerk(tmp_path).step()
    ledger.before = lambda _: None
    town.arena.next()
    town.clerk(tmp_path).step()
    assert town.record(epoch + 1, 0).row == keccak(row_of(ROW))


def survived(town: Town, home: Path) -> bool:
    try:
        town.clerk(home).step()
    except Killed:
        return False
    return True


def test_a_missed_reveal_is_told_with_its_cost(
    town: Town, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    score(town, tmp_path, town.to(0.2))
    clerk = town.clerk(tmp_path)
    clerk.step()
    town.arena.next(2)
    with caplog.at_level(logging.ERROR):
        clerk.step()
        town.clerk(tmp_path).step()
    told = [record for record in caplog.records if record.message == "a reveal was missed"]
    assert len(told) == 1
    assert "no dividends" in str(vars(told[0])["fields"]["cost"])
    assert "reveal" not in town.ledger().sent


def test_a_commitment_that_was_mined_too_late_is_replaced(town: Town, tmp_path: Path) -> None:
    epoch = town.to(0.9)
    score(town, tmp_path, epoch)
    ledger, clerk = town.ledger(), town.clerk(tmp_path)
    ledger.before = lambda _: town.chain.warp(EPOCH // 10 + 1)
    clerk.step()
    ledger.before = lambda _: None
    assert town.arena.epoch == epoch + 1
    score(town, tmp_path, epoch + 1)
    again = town.clerk(tmp_path)
    again.step()
    town.arena.next()
    again.step()
    assert town.record(epoch + 2, 0).row == keccak(row_of(ROW))
    assert ledger.sent == ["commit", "commit", "reveal"]


def test_a_damaged_vault_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "committed.json").write_text('{"version": 1, "rows": [{}]}')
    with pytest.raises(IntegrityError, match="damaged"):
        Vault(tmp_path)


def test_a_newcomer_in_a_uid_weighs_nothing(tmp_path: Path) -> None:
    town = build(Chain(), rules=replace(RULES, immunity=0), places=3)
    epoch = town.to(0.1)
    town.arena.next()
    town.arena.prune(town.subnet, [2])
    score(town, tmp_path, epoch + 1)
    newcomer = town.arena.node("newcomer")
    assert town.arena.enter(town.subnet, newcomer).value == 2
    clerk = town.clerk(tmp_path)
    clerk.step()
    town.arena.next()
    clerk.step()
    assert town.record(town.arena.epoch, 0).row == keccak(row_of({1: 65_535}))


def test_a_validator_that_lost_its_seat_says_so(tmp_path: Path) -> None:
    town = build(Chain(), rules=replace(RULES, immunity=0), places=3)
    town.arena.next()
    clerk, ledger = town.clerk(tmp_path), town.ledger()
    score(town, tmp_path, town.to(0.2))
    clerk = town.clerk(tmp_path)
    town.arena.prune(town.subnet, [0])
    town.arena.enter(town.subnet, town.arena.validator("newcomer"))
    with pytest.raises(NotFoundError, match="given to another node"):
        clerk.step()
    assert ledger.sent == []


def test_who_stays_away_is_recorded_once(tmp_path: Path) -> None:
    town = build(Chain(), validators=3, models=1)
    homes = [tmp_path / str(which) for which in range(3)]
    for home in homes:
        home.mkdir()
    first = town.to(0.5)
    for share in (0.5, 0.6, 0.7, 0.8):
        town.to(share)
        for which in range(3):
            town.clerk(homes[which], which=which).step()
    # Nobody knows the others yet: each records itself.
    assert [town.record(first, uid).stake > 0 for uid in range(4)] == [True] * 3 + [False]
    town.arena.next()
    for share in (0.5, 0.6, 0.7, 0.8):
        town.to(share)
        for which in range(2):  # the third is gone
            town.clerk(homes[which], which=which).step()
    assert [town.record(first + 1, uid).stake > 0 for uid in range(3)] == [True] * 3
    assert sum(town.ledger(which).sent.count("record") for which in range(2)) == 5


def test_an_empty_book_says_nothing(town: Town, tmp_path: Path) -> None:
    shelf = town.shelf(tmp_path)
    assert isinstance(shelf.book, Book)
    town.to(0.8)
    town.clerk(tmp_path).step()
    assert town.ledger().sent == ["record"]


def test_what_cannot_be_revealed_does_not_stop_the_next_row(town: Town, tmp_path: Path) -> None:
    epoch, ledger = town.to(0.2), town.ledger()
    score(town, tmp_path, epoch)
    town.clerk(tmp_path).step()
    town.arena.next()
    score(town, tmp_path, epoch + 1)

    def refuse(function: str) -> None:
        if function == "reveal":
            raise RefusedError("subnet: no stake", remedy="-")

    ledger.before = refuse
    with pytest.raises(RefusedError, match="no stake"):
        town.clerk(tmp_path).step()
    assert ledger.sent == ["commit", "commit"]


def test_too_little_stake_is_told() -> None:
    town = build(Chain(), validators=2, rules=replace(RULES, max_validators=1))
    first, second = (place.node for place in (town.place(0), town.place(1)))
    epoch = town.arena.epoch
    ledger = town.ledger()
    assert stand(ledger, town.subnet, first, epoch=epoch).warning(first) == ""  # type: ignore[arg-type]
    ledger.subnet.record(town.subnet, 1)
    told = stand(ledger, town.subnet, first, epoch=epoch)  # type: ignore[arg-type]
    assert "a permit takes more than 5" in told.warning(first)
    assert float(told.warning(first).rpartition(f"freehold stake add {first} ")[2]) > 0
    assert Stand(0, 2_000 * UNIT, 0).warning(first).endswith(f"stake add {first} 2000")
    assert "nothing is staked" in Stand(0, 0, 0).warning(first)
    assert stand(ledger, town.subnet, second, epoch=epoch).warning(second) == ""  # type: ignore[arg-type]
