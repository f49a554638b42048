"""Pay for readings: exact, conserved, and never worth buying from oneself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import UsageError
from freehold.domain.ids import Address, checksum
from freehold.economics.data_pay import (
    METRICS_MAX,
    SHARE_MAX,
    Part,
    Pay,
    Purchase,
    Query,
    Row,
    Terms,
    matches,
    mintable,
    settle,
)

DEVICES = [checksum(bytes([n]) * 20) for n in range(1, 7)]
OWNERS = [checksum(bytes([100 + n]) * 20) for n in range(3)]
QUERIES = ("metric=roof.*", "metric=*", "metric=cellar.level", f"device={DEVICES[0]}", "nonsense")
FREE = Terms(9_000, 10**40, 10**40)

rows = st.lists(
    st.builds(
        Row,
        device=st.sampled_from(DEVICES),
        owner=st.sampled_from(OWNERS),
        counted=st.dictionaries(
            st.sampled_from(("roof.temperature", "roof.rain", "cellar.level")),
            st.integers(0, 10**5),
        ),
        quality=st.integers(0, 10**6),
        honesty=st.integers(0, 10**4),
        barred=st.booleans(),
    ),
    unique_by=lambda row: row.device,
)
bought = st.lists(
    st.builds(
        Purchase,
        id=st.integers(1, 10**6),
        query=st.sampled_from(QUERIES),
        net=st.integers(0, 10**24),
        burned=st.integers(0, 10**23),
        carried=st.integers(0, 10**24),
    ),
    unique_by=lambda each: each.id,
    max_size=6,
)
terms = st.builds(
    Terms,
    share_bps=st.integers(0, 10**4),
    room=st.integers(0, 10**25),
    drawn=st.integers(0, 10**25),
)


def row(number: int, count: int, **told: object) -> Row:
    made = Row(DEVICES[number], OWNERS[number % 3], {"roof.temperature": count}, 10**6)
    return replace(made, **told)  # type: ignore[arg-type]


@given(bought, rows, terms)
def test_nothing_is_made_or_lost(bought: list[Purchase], rows: list[Row], terms: Terms) -> None:
    pay = settle(bought, rows, terms)
    whole = sum(each.amount for each in bought)
    assert pay.paid + sum(each.waiting + each.dust for each in pay.sold) == whole
    assert pay.paid == sum(each.paid for each in pay.sold)
    assert pay.minted == sum(each.minted for each in pay.sold)
    assert all(each.dust < max(1, len(rows)) for each in pay.sold)
    assert pay.paid + pay.minted <= terms.room
    assert pay.minted <= min(terms.drawn, mintable(bought, rows, terms))
    burned = {each.id: each.burned for each in bought}
    assert all(each.minted * 10_000 <= burned[each.id] * SHARE_MAX for each in pay.sold)


@given(bought, rows, terms, st.randoms())
def test_the_order_does_not_matter(
    bought: list[Purchase], rows: list[Row], terms: Terms, draw: object
) -> None:
    pay = settle(bought, rows, terms)
    draw.shuffle(bought)  # type: ignore[attr-defined]
    draw.shuffle(rows)  # type: ignore[attr-defined]
    assert settle(bought, rows, terms) == pay


@given(bought, rows, terms, st.integers(1, 10**5))
def test_who_does_more_gets_no_less(
    bought: list[Purchase], rows: list[Row], terms: Terms, more: int
) -> None:
    if not rows:
        return
    first, *rest = rows
    counted = dict(first.counted)
    if not any(counted.values()):
        return
    metric = max(counted, key=lambda name: counted[name])
    after = replace(first, counted=counted | {metric: counted[metric] + more})
    before = settle(bought, rows, Terms(0, 10**40)).parts.get(first.device, Part()).paid
    assert settle(bought, [after, *rest], Terms(0, 10**40)).parts.get(
        first.device, Part()
    ).paid >= (before)


@given(
    st.dictionaries(st.text("ab", min_size=1, max_size=5), st.integers(0, 10**5), max_size=24),
    st.lists(st.integers(0, 10**5), max_size=24),
)  # fmt: skip
def test_metrics_that_are_made_up_do_not_multiply_weight(
    real: dict[str, int], more: list[int]
) -> None:
    query, made = Query.parse("metric=*"), {f"made.{n}": count for n, count in enumerate(more)}
    counts = sorted([*real.values(), *more], reverse=True)
    both = row(0, 0, counted=real | made)
    assert both.weight(query) == sum(counts[:METRICS_MAX]) * both.quality * both.honesty
    assert both.weight(query) <= METRICS_MAX * max(counts, default=0) * both.quality * both.honesty
    assert both.weight(query) >= row(0, 0, counted=real).weight(query)
    alone = {f"only.{n}": 7 for n in range(METRICS_MAX + 4)}
    named = Query.parse("metric=only.3")
    assert row(0, 0, counted=real | alone).weight(named) == 7 * both.quality * both.honesty


@given(
    bought, rows, terms, st.integers(10**6, 10**22), st.integers(100, 2_000),
    st.sampled_from(QUERIES), st.sets(st.sampled_from(OWNERS)),
)  # fmt: skip
def test_nobody_gains_by_buying_from_himself(
    bought: list[Purchase], rows: list[Row], terms: Terms, amount: int, fee: int, query: str,
    mine: set[Address],
) -> None:  # fmt: skip
    """Whatever else is bought, whoever else measures, whatever the cap of the emission."""
    burned = -(-amount * fee // 10_000)
    own = Purchase(2_000_000, query, amount - burned, burned)
    room = replace(terms, room=10**40)
    before, after = settle(bought, rows, room), settle([*bought, own], rows, room)
    gained = _of(after, rows, mine) - _of(before, rows, mine)
    waits = next(each.waiting for each in after.sold if each.id == own.id)
    assert gained + waits < amount


def _of(pay: Pay, rows: list[Row], owners: set[Address]) -> int:
    mine = [row.device for row in rows if row.owner in owners]
    parts = [pay.parts.get(device, Part()) for device in mine]
    return sum(part.paid + part.minted for part in parts)


def test_a_purchase_is_split_by_weight_and_brings_its_own_emission() -> None:
    there = [row(0, 300), row(1, 100), row(2, 100, quality=500_000, honesty=5_000)]
    pay = settle([Purchase(1, "metric=roof.*", 1_700, 100)], there, Terms(9_000, 10**9, 1_000))
    paid = [pay.parts[device].paid for device in DEVICES[:3]]
    assert paid == [1_200, 400, 100]
    assert [pay.parts[device].minted for device in DEVICES[:3]] == [63, 21, 5]
    assert pay.sold[0].dust == 0


def test_emission_is_never_all_that_burned() -> None:
    pay = settle([Purchase(1, "metric=*", 0, 10_000, 1)], [row(0, 1)], Terms(10_000, 10**9, 10**9))
    assert pay.minted == SHARE_MAX


def test_emission_follows_a_purchases_own_burn_not_its_amount() -> None:
    """Or who bought before the fee was raised would take what others' burn brings."""
    cheap, dear = Purchase(1, "metric=roof.*", 99_000, 1_000), Purchase(2, "metric=*", 800, 20_000)
    pay = settle([cheap, dear], [row(0, 1)], Terms(9_000, 10**9, 10**9))
    assert [each.minted for each in pay.sold] == [900, 18_000]


def test_what_matches_nobody_waits() -> None:
    pay = settle([Purchase(1, "metric=cellar.*", 10, 1, 5)], [row(0, 1)], FREE)
    assert (pay.parts, pay.sold[0].waiting, pay.minted) == ({}, 15, 0)


def test_marked_devices_get_nothing() -> None:
    pay = settle([Purchase(1, "metric=*", 10, 0)], [row(0, 9, barred=True), row(1, 1)], FREE)
    assert pay.parts == {DEVICES[1]: Part(10, 0)}


def test_what_a_root_has_no_room_for_waits() -> None:
    there = [Purchase(1, "metric=*", 300, 0), Purchase(2, "metric=*", 100, 0)]
    pay = settle(there, [row(0, 1)], Terms(9_000, 200, 50))
    assert [(each.paid, each.waiting) for each in pay.sold] == [(150, 150), (50, 50)]
    assert pay.minted == 0


@pytest.mark.parametrize(
    ("glob", "name", "found"),
    [
        ("", "a", True), ("*", "a", True), ("a*", "ab", True), ("a*", "ba", False),
        ("*b", "ab", True), ("a*a", "a", False), ("a*a", "aa", True), ("a*b*c", "axbyc", True),
        ("a*b*c", "acb", False), ("roof.*", "roof.rain", True), ("a**b", "ab", True),
        ("*ab*ab", "xab", False), ("*.b*", "a.b", True),
    ],
)  # fmt: skip
def test_stars_stand_for_any_text(glob: str, name: str, found: bool) -> None:
    assert matches(glob, name) is found


@given(st.text("ab*", max_size=8), st.text("ab", max_size=8))
def test_stars_are_what_a_regular_expression_says(glob: str, name: str) -> None:
    import re

    wanted = re.fullmatch(".*".join(map(re.escape, glob.split("*"))), name) is not None
    assert matches(glob, name) is (wanted or not glob)


@pytest.mark.parametrize(
    "text",
    ["", "roof", "metric=", "metric=A", "metric=a;metric=b", "unit=c", "metric=*****",
     "device=0x12", "cell=u 3", "metric=" + "a" * 49, "metric=a;"],
)  # fmt: skip
def test_a_query_is_read_strictly(text: str) -> None:
    with pytest.raises(UsageError):
        Query.parse(text)


def test_a_query_has_one_text() -> None:
    text = f"metric=roof.*;device={DEVICES[0]};cell=u33"
    assert Query.parse(f"cell=u33;device={DEVICES[0].lower()};metric=roof.*").text() == text
    assert Query.parse("cell=u33").readings(row(0, 5)) == 0
    assert Query.parse("cell=u33").readings(row(0, 5, cell="u33dc")) == 5
