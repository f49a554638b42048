"""Who is handed which part of a genesis, and when: read from a founder's file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from freehold.cli.home import read_text
from freehold.domain import money
from freehold.domain.errors import UsageError
from freehold.domain.ids import ZERO_ADDRESS, Address, address
from freehold.domain.money import UNIT
from freehold.economics.schedules.vesting import MONTH_SECONDS
from freehold.economics.simulation import presets
from freehold.economics.simulation.scenario import Tranche
from freehold.ledger.plan import CLIFF_MAX, PARTS_MAX, VESTINGS_MAX, Vesting

SIZE_MAX = 2**16
FIELDS = ("account", "tranche", "amount", "cliff", "vesting")
_MONTHS_MAX = CLIFF_MAX // MONTH_SECONDS + PARTS_MAX
_EXAMPLE = (
    'Write tables [[allocation]] with account = "0x..." and amount = 1000, and where it waits '
    "cliff = 12 and vesting = 36 (months after genesis); docs/how-to/found-a-network.md has an "
    "example."
)


@dataclass(frozen=True, slots=True)
class Allocation:
    """``amount`` base units for an account: nothing for ``cliff`` months after genesis, then
    ``parts`` equal monthly ones. Neither: all of it at once. ``tranche`` is the preset's word."""

    account: Address
    amount: int
    cliff: int = 0
    parts: int = 0
    tranche: str = ""

    @property
    def waits(self) -> bool:
        """Whether any of it comes after genesis."""
        return bool(self.cliff or self.parts)

    def vesting(self) -> Vesting:
        """As the network is deployed with it."""
        return Vesting(self.account, self.amount, self.cliff * MONTH_SECONDS, self.parts)

    def words(self) -> str:
        """When it comes, for people."""
        return waiting(self.cliff * MONTH_SECONDS, self.parts)


def waiting(cliff: int, parts: int) -> str:
    """How an allocation comes that waits ``cliff`` seconds and then has ``parts`` months."""
    if parts == 1:
        cliff, parts = cliff + MONTH_SECONDS, 0
    whole, rest = divmod(cliff, MONTH_SECONDS)
    first = f"after {cliff:,} seconds" if rest else f"after {_months(whole)}"
    then = f"in {parts} monthly parts"
    if not parts:
        return first if cliff else "at once"
    return f"{first}, {then}" if cliff else then


def read(path: Path, model: str) -> tuple[Allocation, ...]:
    """The allocations of a TOML or JSON file for a token model; UsageError naming the entry and the
    field that cannot be."""
    return parse(read_text(path), model)


def parse(text: str, model: str) -> tuple[Allocation, ...]:
    """As ``read``, of a text."""
    top = _document(text)
    _known(top, ("allocation",), "the file")
    tables = top.get("allocation")
    if not isinstance(tables, list) or not tables:
        raise _wrong("the file", "has no [[allocation]]")
    if len(tables) > 2 * VESTINGS_MAX:
        raise _wrong("the file", f"has more than {2 * VESTINGS_MAX} allocations")
    tranches = _tranches(model)
    found = tuple(_allocation(each, n, tranches) for n, each in enumerate(tables, 1))
    _check_accounts(found)
    _check_tranches(found, tranches.values())
    return found


def budgets(texts: Iterable[str]) -> dict[Address, int]:
    """Base units by account, of texts such as ``"0x...=1000"``; UsageError for any other."""
    found: dict[Address, int] = {}
    for text in texts:
        who, sign, amount = text.partition("=")
        if not sign:
            raise UsageError(
                f"--allocator {text!r} names no amount",
                remedy="Write ACCOUNT=AMOUNT, such as 0x...=1000, with an amount in tokens.",
            )
        account = _account(who.strip(), "--allocator")
        if account in found:
            raise UsageError(
                f"--allocator names {account} twice", remedy="Give one budget, their sum."
            )
        found[account] = money.parse(amount)
    return found


def _document(text: str) -> Mapping[str, object]:
    if len(text) > SIZE_MAX:
        raise _wrong("the file", f"is longer than {SIZE_MAX:,} characters")
    if text.lstrip().startswith("{"):
        return _json(text)
    try:
        # Amounts keep all of their places: a float would round them.
        return tomllib.loads(text, parse_float=str)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise _wrong("the file", f"is neither TOML nor JSON: {error}") from error


def _json(text: str) -> Mapping[str, object]:
    try:
        found = json.loads(text, parse_float=str, parse_constant=str, object_pairs_hook=_once)
    except (RecursionError, ValueError) as error:
        raise _wrong("the file", f"begins as JSON, but is none: {error}") from error
    if not isinstance(found, dict):
        raise _wrong("the file", "is no JSON object")
    return found


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """A JSON object whose fields are there once, as in TOML."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is there twice in an object")
    return found


def _known(table: Mapping[str, object], names: Sequence[str], place: str) -> None:
    for name in table:
        if name not in names:
            raise _wrong(place, f"has an unknown field {name!r}; known are {', '.join(names)}")


def _tranches(model: str) -> dict[str, Tranche]:
    preset = presets.PRESETS.get(model)
    return {each.name.lower(): each for each in preset.genesis} if preset else {}


def _allocation(value: object, number: int, tranches: Mapping[str, Tranche]) -> Allocation:
    place = f"allocation {number}"
    if not isinstance(value, dict):
        raise _wrong(place, "is no table")
    _known(value, FIELDS, place)
    account = _account(value.get("account"), place)
    if "tranche" in value:
        return _of_tranche(value, account, place, tranches)
    cliff = _whole(value.get("cliff", 0), f"{place}'s cliff")
    vesting = _whole(value.get("vesting", cliff), f"{place}'s vesting")
    if cliff > vesting:
        raise _wrong(
            place,
            f"has a cliff of {_months(cliff)} that is after its end: all has vested after "
            f"{_months(vesting)}, counted from genesis like the cliff",
        )
    amount = _amount(value.get("amount"), place)
    return Allocation(account, amount, cliff, vesting - cliff)


def _of_tranche(
    table: Mapping[str, object], account: Address, place: str, tranches: Mapping[str, Tranche]
) -> Allocation:
    """A tranche of the preset or a part of it: its cliff and its months, and all of its amount
    unless one is given."""
    name = table["tranche"]
    tranche = tranches.get(name.lower()) if isinstance(name, str) else None
    if tranche is None:
        known = ", ".join(each.name for each in tranches.values())
        lack = f"those of the preset are {known}" if known else "this token model has none"
        raise _wrong(place, f"names a tranche {name!r}; {lack}")
    if "cliff" in table or "vesting" in table:
        raise _wrong(place, f"has a cliff or vesting of its own beside those of {tranche.name}")
    whole = tranche.tokens * UNIT
    amount = _amount(table["amount"], place) if "amount" in table else whole
    return Allocation(account, amount, tranche.cliff, tranche.parts, tranche.name)


def _account(value: object, place: str) -> Address:
    if not isinstance(value, str):
        raise _wrong(place, "names no account")
    try:
        found = address(value)
    except UsageError as error:
        raise UsageError(f"{place}: {error.message}", remedy=error.remedy) from error
    if found == ZERO_ADDRESS:
        raise UsageError(
            f"{place}: the zero address is nobody's", remedy="Name an account that somebody has."
        )
    return found


def _amount(value: object, place: str) -> int:
    """Base units of whole tokens, or of a decimal number of them."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        lack = "has no amount" if value is None else f"has an amount {value!r}"
        raise _wrong(place, f"{lack}; it takes a number of tokens, such as 1000 or 2.5")
    if isinstance(value, int) and value < 0:
        raise _wrong(place, f"has a negative amount of {value:,} tokens")
    try:
        amount = money.parse(value if isinstance(value, str) else f"{value:d}")
    except (UsageError, ValueError) as error:  # a number of thousands of digits has no text
        raise _wrong(place, "has an amount that is no decimal number of tokens") from error
    if not amount:
        raise _wrong(place, "has an amount of 0 tokens")
    return amount


def _whole(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(name, f"is {value!r}, not a whole number of months")
    if not 0 <= value <= _MONTHS_MAX:
        raise _wrong(name, f"is not within 0 to {_MONTHS_MAX} months")
    return value


def _check_accounts(found: Sequence[Allocation]) -> None:
    seen: dict[Address, int] = {}
    for number, each in enumerate(found, 1):
        if each.account in seen:
            raise UsageError(
                f"--allocations: allocations {seen[each.account]} and {number} have the same "
                f"account {each.account}",
                remedy="Make one of them, or use an account of its own for each.",
            )
        seen[each.account] = number


def _check_tranches(found: Sequence[Allocation], tranches: Iterable[Tranche]) -> None:
    for tranche in tranches:
        handed = sum(each.amount for each in found if each.tranche == tranche.name)
        if handed > (whole := tranche.tokens * UNIT):
            raise UsageError(
                f"--allocations: the tranche {tranche.name} has {money.show(whole)} tokens, but "
                f"{money.show(handed)} of it are handed out",
                remedy="Give each of its accounts an amount, together at most the tranche's.",
            )


def _months(count: int) -> str:
    return "a month" if count == 1 else f"{count} months"


def _wrong(place: str, fault: str) -> UsageError:
    return UsageError(f"--allocations: {place} {fault}", remedy=_EXAMPLE)
