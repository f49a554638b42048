from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import IntegrityError
from freehold.markets.storage.listing import fold
from freehold.markets.storage.manifest import Delete, Entry, Location, Manifest, Put, rename

_NAMES = [f"b/{letter}" for letter in "wxyz"]


def _id(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _put(name: str, number: int) -> Put:
    return Put(name, Location(_id(number), b"k" * 32, 0, number), number)


@st.composite
def logs(draw: st.DrawFn) -> list[Manifest]:
    """Pages that put, link to earlier objects and delete, some written at once."""
    pages = []
    for number in range(draw(st.integers(0, 12))):
        entries: list[Entry] = []
        for name in draw(st.lists(st.sampled_from(_NAMES), max_size=3, unique=True)):
            source = draw(st.integers(-1, number))
            entries.append(Delete(name) if source < 0 else _put(name, source))
        sequence = draw(st.sampled_from([number, max(0, number - 1)]))
        pages.append(Manifest(_id(number), sequence, 0, tuple(entries)))
    return pages


@settings(deadline=None)
@given(logs(), st.randoms(use_true_random=False))
def test_the_order_of_manifests_does_not_matter(pages: list[Manifest], random: object) -> None:
    shuffled = pages + pages[: len(pages) // 2]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fold(shuffled) == fold(pages)


@settings(deadline=None)
@given(logs())
def test_the_latest_page_that_speaks_of_a_name_holds(pages: list[Manifest]) -> None:
    state: dict[str, Put] = {}
    for page in sorted(pages, key=lambda p: (p.sequence, p.object_id)):
        for entry in page.entries:
            state.pop(entry.name, None)
            if isinstance(entry, Put):
                state[entry.name] = entry
    listing = fold(pages)
    assert {name: item.put for name, item in listing.items.items()} == state
    assert list(listing.items) == sorted(state)


@settings(max_examples=300, deadline=None)
@given(logs(), st.data())
def test_closing_obsolete_objects_changes_nothing(
    pages: list[Manifest], data: st.DataObject
) -> None:
    listing = fold(pages)
    obsolete = sorted(listing.obsolete)
    if not obsolete:
        return
    gone = set(data.draw(st.lists(st.sampled_from(obsolete), unique=True)))
    kept = fold(page for page in pages if page.object_id not in gone)
    assert kept.items == listing.items
    assert kept.obsolete >= listing.obsolete - gone
    assert not {item.put.location.object_id for item in kept.items.values()} & gone


def test_everything_deleted_is_closed_in_two_steps() -> None:
    """The log page that hides an object must outlive it."""
    first = Manifest(_id(0), 0, 0, (_put("b/x", 0),))
    gone = Manifest(_id(1), 1, 0, (Delete("b/x"),))
    assert fold([first, gone]).obsolete == {_id(0)}
    assert fold([gone]).obsolete == {_id(1)}
    assert fold([first, gone]).sequence == 1


def test_a_renamed_object_keeps_its_bytes_and_its_page() -> None:
    first = Manifest(_id(0), 0, 0, (_put("b/x", 0),))
    moved = Manifest(_id(1), 1, 0, rename(_put("b/x", 0), "c/y"))
    listing = fold([moved, first])
    assert list(listing.items) == ["c/y"]
    assert listing.items["c/y"].object_id == _id(1)
    assert listing.items["c/y"].put.location.object_id == _id(0)
    assert not listing.obsolete


def test_two_manifests_of_one_object_are_refused() -> None:
    with pytest.raises(IntegrityError, match="two different manifests"):
        fold([Manifest(_id(0), 0, 0, ()), Manifest(_id(0), 1, 0, ())])


def test_nothing_folds_to_nothing() -> None:
    listing = fold([])
    assert (dict(listing.items), listing.sequence, listing.obsolete) == ({}, -1, frozenset())


def test_a_directory_is_listed_without_its_neighbours() -> None:
    page = Manifest(_id(0), 0, 0, tuple(_put(n, 0) for n in ("b/a/x", "b/ab", "b/a", "c/x")))
    listing = fold([page])
    assert [item.put.name for item in listing.under("b/a")] == ["b/a/x"]
    assert len(listing.under("b")) == 3
