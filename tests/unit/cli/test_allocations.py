"""A founder's file of allocations is read to the unit, or refused with what is wrong in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from freehold.cli.allocations import Allocation, budgets, parse, read, waiting
from freehold.domain.errors import UsageError
from freehold.domain.ids import ZERO_ADDRESS, Address, checksum
from freehold.domain.money import UNIT
from freehold.economics.schedules.vesting import MONTH_SECONDS
from freehold.ledger.plan import Vesting

A, B, C = (checksum(bytes([n]) * 20) for n in (0xA1, 0xB2, 0xC3))
MILLION = 10**6 * UNIT
SMALL = A.lower()


def entry(account: Address = A, **fields: object) -> str:
    """A table of TOML; texts are written as they are."""
    lines = [f'account = "{account}"', *(f"{name} = {value}" for name, value in fields.items())]
    return "\n".join(["[[allocation]]", *lines, ""])


def test_amounts_are_exact_and_months_count_from_genesis() -> None:
    text = entry(amount=1_000) + entry(B, amount="2.000000000000000001", cliff=12, vesting=36)
    found = parse(text + entry(C, amount='"0.5"', cliff=6), "own")
    assert found == (
        Allocation(A, 1_000 * UNIT),
        Allocation(B, 2 * UNIT + 1, 12, 24),
        Allocation(C, UNIT // 2, 6),
    )
    assert [each.waits for each in found] == [False, True, True]
    assert found[1].vesting() == Vesting(B, 2 * UNIT + 1, 12 * MONTH_SECONDS, 24)
    assert parse(entry(amount=1, vesting=3), "own") == (Allocation(A, UNIT, 0, 3),)


def test_when_they_come_is_told_in_words() -> None:
    month = MONTH_SECONDS
    told = [
        waiting(*each) for each in ((0, 0), (month, 0), (12 * month, 24), (0, 3), (7, 1), (0, 1))
    ]
    assert told == [
        "at once",
        "after a month",
        "after 12 months, in 24 monthly parts",
        "in 3 monthly parts",
        "after 2,629,807 seconds",
        "after a month",
    ]


def test_tranches_of_the_preset_are_handed_out_by_name() -> None:
    text = entry(tranche='"Seed"') + entry(B, tranche='"core"', amount=40_000_000)
    assert parse(text + entry(C, tranche='"core"', amount="50_400_000"), "ionet") == (
        Allocation(A, 100 * MILLION, 12, 24, "seed"),
        Allocation(B, 40 * MILLION, 12, 36, "core"),
        Allocation(C, 504 * MILLION // 10, 12, 36, "core"),
    )
    with pytest.raises(UsageError, match="core has 90,400,000 tokens, but 90,400,001"):
        parse(text + entry(C, tranche='"core"', amount="50_400_001"), "ionet")
    with pytest.raises(UsageError, match="'gold'; those of the preset are seed, series A, core"):
        parse(entry(tranche='"gold"'), "ionet")
    with pytest.raises(UsageError, match="this token model has none"):
        parse(entry(tranche='"seed"'), "bittensor")
    with pytest.raises(UsageError, match="vesting of its own beside those of seed"):
        parse(entry(tranche='"seed"', cliff=1), "ionet")


def test_the_example_of_the_page_is_one() -> None:
    page = Path(__file__).parents[3] / "docs" / "how-to" / "found-a-network.md"
    example = page.read_text().split("```toml")[1].split("```")[0]
    found = parse(example, "ionet")
    assert [(each.amount, each.cliff, each.parts) for each in found] == [
        (100 * MILLION, 12, 24), (40 * MILLION, 12, 36),
        (25 * MILLION // 10 + UNIT // 2, 12, 24), (1_000 * UNIT, 0, 0),
    ]  # fmt: skip


def test_json_is_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "genesis.json"
    fields = {"account": SMALL, "amount": "2.5", "cliff": 3, "vesting": 3}
    path.write_text(json.dumps({"allocation": [fields]}))
    assert read(path, "own") == (Allocation(A, 5 * UNIT // 2, 3),)
    path.write_text(path.read_text().replace('"2.5"', "2.500000000000000001"))
    assert read(path, "own") == (Allocation(A, 5 * UNIT // 2 + 1, 3),)
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "none", "own")


JSON_TWICE = f'{{"allocation": [{{"account": "{A}", "amount": 1, "amount": 9}}]}}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"no \[\[allocation\]\]"),
        ("allocation = 5", r"no \[\[allocation\]\]"),
        ("allocation = []", r"no \[\[allocation\]\]"),
        ("allocation = [1]", "allocation 1 is no table"),
        ("account; amount\n", "neither TOML nor JSON"),
        ("{", "begins as JSON, but is none"),
        (JSON_TWICE, "a field is there twice"),
        ('{"allocation": NaN}', r"no \[\[allocation\]\]"),
        ("x = " + "[" * 5_000, "neither TOML nor JSON"),
        ("#" * 70_000, "longer than 65,536"),
        ("genesis = 1\n" + entry(amount=1), "the file has an unknown field 'genesis'"),
        (entry(amount=1, clif=12), "allocation 1 has an unknown field 'clif'; known are account, "),
        (entry(amount=1, amount2=1), "unknown field 'amount2'"),
        (entry(amount=1) + "amount = 2\n", "neither TOML nor JSON"),
        (entry(amount=1) + entry(B, amount=1) + entry(A, amount=2), "1 and 3 have the same"),
        (entry(amount=1) + entry(SMALL, amount=2), "1 and 2 have the same"),  # type: ignore[arg-type]
        ("".join(entry(amount=1) for _ in range(65)), "more than 64 allocations"),
        ("[[allocation]]\namount = 1\n", "allocation 1 names no account"),
        (entry(ZERO_ADDRESS, amount=1), "zero address"),
        (entry(Address("0x12"), amount=1), "allocation 1: '0x12' is not an address"),
        (entry(Address(A[:-1] + "f"), amount=1), "allocation 1: the checksum"),
        (entry(), "has no amount"),
        (entry(amount="true"), "an amount True"),
        (entry(amount=0), "amount of 0 tokens"),
        (entry(amount="0.0"), "amount of 0 tokens"),
        (entry(amount=-5), "negative amount of -5 tokens"),
        (entry(amount="-5.5"), "no decimal number of tokens"),
        (entry(amount="1e30"), "no decimal number of tokens"),
        (entry(amount="nan"), "no decimal number of tokens"),
        (entry(amount="inf"), "no decimal number of tokens"),
        (entry(amount="0.0000000000000000001"), "no decimal number of tokens"),
        (entry(amount="9" * 31), "no decimal number of tokens"),
        (entry(amount="9" * 5_000), "neither TOML nor JSON"),
        (entry(amount=1, cliff=12, vesting=11), "cliff of 12 months that is after its end: all "),
        (entry(amount=1, cliff=-1), "cliff is not within 0 to 480 months"),
        (entry(amount=1, vesting=-1), "vesting is not within"),
        (entry(amount=1, vesting=481), "vesting is not within"),
        (entry(amount=1, cliff="1.5"), "cliff is '1.5', not a whole number of months"),
        (entry(amount=1, cliff="true"), "cliff is True, not a whole number"),
    ],
)
def test_what_cannot_be_is_named_with_a_remedy(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse(text, "ionet")
    assert caught.value.message.startswith("--allocations: ") or "address" in caught.value.message
    assert len(caught.value.remedy) > 10


def test_budgets_are_by_account() -> None:
    assert budgets([f"{A}=2.5", f" {B} = 7"]) == {A: 5 * UNIT // 2, B: 7 * UNIT}
    assert budgets([]) == {}
    for text, words in (
        ("12", "names no amount"),
        ("0x12=1", "--allocator: '0x12' is not an address"),
        (f"{A}=-1", "is not an amount"),
        (f"{ZERO_ADDRESS}=1", "zero address"),
    ):
        with pytest.raises(UsageError, match=words):
            budgets([text])
    with pytest.raises(UsageError, match="twice"):
        budgets([f"{A}=1", f"{SMALL}=2"])
