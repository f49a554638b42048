"""Scores over epochs, and their file."""

from __future__ import annotations

from pathlib import Path

import pytest

from freehold.domain.errors import ConflictError, IntegrityError
from freehold.domain.ids import ZERO_ADDRESS, checksum
from freehold.ledger.contracts.registry import MODEL, Node
from freehold.ledger.contracts.subnet import Seat
from freehold.markets.models.task import Judgement
from freehold.node.validator import book as book_file
from freehold.node.validator.book import PAST, Book, Shelf, read
from freehold.node.validator.evidence import weighed
from freehold.node.validator.field import Member

NETWORK = b"\x07" * 32


def member(uid: int, generation: int = 1) -> Member:
    node = checksum(bytes([uid + 1]) * 20)
    entry = Node(
        ZERO_ADDRESS, ZERO_ADDRESS, MODEL, 1, 1, False, "https://x:1", bytes(32), bytes(32)
    )
    return Member(uid, Seat(node, 100, generation), entry)


def judged(score: float | None, quality: float | None = None) -> Judgement:
    return Judgement(score if quality is None else quality, score, asked=4, answered=3)


def fold(book: Book, epoch: int, *given: tuple[Member, float | None]) -> Book:
    found = {each.key: judged(score) for each, score in given}
    return book.folded(
        epoch, [each for each, _ in given], found, half_life=1.0, now=1_000 + epoch, heard=0
    )


def test_scores_are_smoothed_and_a_newcomer_in_a_uid_starts_from_nothing() -> None:
    book = Book("0x", 1)
    for epoch, smoothed in enumerate((0.4, 0.6, 0.7)):
        book = fold(book, epoch, (member(3), 0.8))
        assert book.marks[0].smoothed == pytest.approx(smoothed)
    book = fold(book, 3, (member(3, generation=2), 0.8))
    assert [mark.generation for mark in book.marks] == [2]
    assert book.marks[0].smoothed == pytest.approx(0.4)
    assert len(book.marks[0].past) == 1


def test_unknown_keeps_and_zero_ends_at_once() -> None:
    book = fold(Book("0x", 1), 0, (member(1), 0.8), (member(2), 0.8))
    book = fold(book, 1, (member(1), None), (member(2), 0.0))
    assert [mark.standing for mark in book.marks] == pytest.approx([0.4, 0.0])
    assert book.marks[1].smoothed == pytest.approx(0.2)
    book = fold(book, 2, (member(1), 0.0))
    assert [mark.uid for mark in book.marks] == [1]


def test_who_was_called_a_copy_is_known_to_the_next_round() -> None:
    here = [member(1), member(2)]
    found = {here[1].key: Judgement(0.5, 0.0, asked=4, answered=4, copy_of=1)}
    book = Book("0x", 1).folded(0, here, found, half_life=1.0, now=1_000, heard=0)
    assert book.accused() == {here[1].key: 1}
    assert fold(book, 1, (here[1], 0.5)).accused() == {}


def test_who_slept_until_now_came_now() -> None:
    book = fold(Book("0x", 1), 3, (member(1), 0.5))
    assert book.came(member(1), begun=900, now=1_500) == 100  # registered at 100, and known
    assert book.came(member(2), begun=900, now=1_500) == 1_500
    assert book.came(member(1, generation=2), begun=900, now=1_500) == 1_500
    assert book.came(member(2), begun=100, now=1_500) == 100  # a newcomer since then
    assert Book("0x", 1).came(member(2), begun=900, now=1_500) == 100  # before any round


def test_the_past_is_bounded() -> None:
    book = Book("0x", 1)
    for epoch in range(PAST + 5):
        book = fold(book, epoch, (member(1), 0.5))
    assert len(book.marks[0].past) == PAST
    assert book.marks[0].past[-1] == (1_000 + PAST + 4, 0.5)


def test_a_file_holds_all_of_it(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, network=NETWORK, subnet=4)
    found = Judgement(0.5, 0.0, 8, 7, 1, 2, {"silent": 3})
    book = shelf.book.folded(
        7, [member(1), member(2)], {(1, 1): found}, half_life=2.0, now=5, heard=9
    )
    shelf.keep(book)
    assert Shelf(tmp_path, network=NETWORK, subnet=4).book == book
    assert read(tmp_path / "scores.json") == book
    with pytest.raises(ConflictError, match="another subnet"):
        Shelf(tmp_path, network=NETWORK, subnet=5)


def test_a_crash_while_writing_leaves_the_book_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(tmp_path, network=NETWORK, subnet=4)
    shelf.keep(fold(shelf.book, 0, (member(1), 0.5)))
    before = shelf.book

    def die(_: Path, __: bytes) -> None:
        raise OSError("full")

    monkeypatch.setattr(book_file, "replace_file", die)
    with pytest.raises(OSError, match="full"):
        shelf.keep(fold(before, 1, (member(1), 1.0)))
    assert shelf.book == before == Shelf(tmp_path, network=NETWORK, subnet=4).book


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 1}', '{"version": 1, "marks": [{}], "network": "0x"}']
)
def test_what_is_no_book_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "scores.json").write_text(text)
    with pytest.raises(IntegrityError, match="damaged"):
        read(tmp_path / "scores.json")


@pytest.mark.parametrize(
    ("compared", "agreed", "score"),
    [(0, 0, 0.8), (4, 0, 0.8), (5, 5, 0.8), (5, 4, 0.64), (6, 3, 0.4), (5, 2, 0.0)],
)
def test_what_users_saw_weighs(compared: int, agreed: int, score: float) -> None:
    who = member(1)
    found = weighed({who.key: judged(0.8)}, [who], {who.seat.node: (compared, agreed)})[who.key]
    assert found.score == pytest.approx(score)
    assert bool(found.reasons) == (score != 0.8)
