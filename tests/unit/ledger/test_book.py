"""The nonce book: one nonce each, whoever asks; foreign and newer files refused."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from freehold.domain.errors import VersionError
from freehold.ledger.book import DROPPED, KEPT, KEPT_TAGGED, MINED, Book, Draft, Row
from unit.ledger.fake_chain import address

DRAFT = Draft(address(1), b"data", 5, 21_000, 10, 1)


def signed(draft: Draft, nonce: int) -> tuple[str, bytes]:
    """A stand-in for a signature that tells fee and nonce."""
    return f"{nonce}:{draft.fee}", f"raw {nonce} {draft.fee}".encode()


def reserve(book: Book, *, free: int = 0, tag: str | None = None) -> Row:
    """The next row of the book."""
    row, _ = book.reserve(DRAFT, first_free=lambda: free, sign=signed, tag=tag, at=1)
    return row


def test_rows_survive_reopening(tmp_path: Path) -> None:
    book = Book(tmp_path / "b.sqlite", "me")
    row = reserve(book, free=7, tag="t")
    book.close()
    book = Book(tmp_path / "b.sqlite", "me")
    assert book.live() == [row]
    assert book.tagged("t") == [row]
    assert row.nonce == 7
    assert (tmp_path / "b.sqlite").stat().st_mode & 0o777 == 0o600


def test_the_lowest_free_nonce_is_taken(tmp_path: Path) -> None:
    book = Book(tmp_path / "b.sqlite", "me")
    first, second, third = (reserve(book) for _ in range(3))
    assert [each.nonce for each in (first, second, third)] == [0, 1, 2]
    book.mark(second, DROPPED)
    assert reserve(book).nonce == 1
    assert reserve(book).nonce == 3
    assert reserve(book, free=9).nonce == 9


def test_a_settled_nonce_drops_its_rivals(tmp_path: Path) -> None:
    book = Book(tmp_path / "b.sqlite", "me")
    row = reserve(book)
    copy = book.replace(row, Draft(address(1), b"data", 5, 21_000, 13, 2), sign=signed, at=2)
    assert [each.hash for each in book.rivals(0)] == [copy.hash, row.hash]
    book.settle(copy, MINED)
    assert book.live() == []


def test_what_a_reorganisation_undid_keeps_its_nonce(tmp_path: Path) -> None:
    book = Book(tmp_path / "b.sqlite", "me")
    rows = [reserve(book) for _ in range(3)]
    for row in rows:
        book.settle(row, MINED)
    row, undone = book.reserve(DRAFT, first_free=lambda: 1, sign=signed, tag=None, at=2)
    assert row.nonce == 3
    assert [each.nonce for each in undone] == [1, 2]
    assert [each.nonce for each in book.live()] == [1, 2, 3]


def test_scopes_do_not_mix(tmp_path: Path) -> None:
    mine, yours = (Book(tmp_path / "b.sqlite", name) for name in ("me", "you"))
    assert reserve(mine).nonce == 0
    assert reserve(yours).nonce == 0
    assert len(mine.live()) == 1


def test_threads_and_connections_never_share_a_nonce(tmp_path: Path) -> None:
    books = [Book(tmp_path / "b.sqlite", "me") for _ in range(3)]
    with ThreadPoolExecutor(6) as pool:
        rows = list(pool.map(lambda number: reserve(books[number % 3]), range(60)))
    assert sorted(row.nonce for row in rows) == list(range(60))


@pytest.mark.parametrize(("tag", "kept"), [(None, KEPT), ("deal", KEPT_TAGGED)])
def test_old_settled_rows_are_forgotten_and_live_ones_never(
    tmp_path: Path, tag: str | None, kept: int
) -> None:
    book = Book(tmp_path / "b.sqlite", "me")
    row, live = reserve(book, tag=tag), reserve(book, tag="live")
    book.settle(row, MINED)
    book.prune(now=row.at + kept)
    assert rows_of(tmp_path) == [row.nonce, live.nonce]
    book.prune(now=row.at + kept + 1)
    assert rows_of(tmp_path) == [live.nonce]
    book.prune(now=row.at + 10 * KEPT_TAGGED)
    assert [each.nonce for each in book.live()] == [live.nonce]


def rows_of(folder: Path) -> list[int]:
    db = sqlite3.connect(folder / "b.sqlite")
    try:
        return [nonce for (nonce,) in db.execute("SELECT nonce FROM sent ORDER BY nonce")]
    finally:
        db.close()


def test_foreign_and_newer_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, but long enough to look at" * 30)
    with pytest.raises(VersionError, match="not a nonce book"):
        Book(tmp_path / "text", "me")
    newer = sqlite3.connect(tmp_path / "newer")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(VersionError, match="version 99"):
        Book(tmp_path / "newer", "me")
