"""The reference page of gas, rendered from docs/reference/gas.json."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, pairwise
from math import log10
from typing import TypeAlias

from freehold.control.running import SHARE_BPS, least_bytes
from freehold.domain.money import TIB, UNIT

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | None"

PERIODS = 30
SHARE = SHARE_BPS / 10_000
"""Of pay: what proving may cost."""
PRICE, FEE = 2.5, 0.005
"""USD a TiB-month, and the network's fee of it."""
COIN = 3_000
"""USD for the coin that pays for gas, in the table's example."""
GWEI = (0.001, 0.01, 0.1, 1.0, 10.0)
TIB_MIB = 2**20
CAP = 16_777_216

HEAD = """# What transactions cost

`uv run python bench/gas.py --write` writes this page and `gas.json` beside it; \
`tests/contracts/test_gas.py` fails when a figure changes without it. The networks below come \
alone from `uv run python bench/scale.py --nodes 10,100,1000 --objects 1000 --json`.

Gas is that of receipts: the base of a transaction, its calldata (at least the floor of EIP-7623), \
execution with everything cold, refunds taken off. Columns have {column} MiB (trees of height 22), \
prices, stakes and fees are those of a new network; every proof is checked by the contract. Five \
challenges are drawn a round."""

LEAST = """## The least set at which proving is worth its gas

A node proves once a period whatever its clients. Proving stays under {share:.0%} of pay from

    TiB = periods a month x gas of a proof x price of gas
          / ({share} x price of a TiB-month x (1 - fee))

so it grows with the price of gas, falls with the length of a period, and does not depend on how \
many clients the bytes belong to. Below for a proof a day of a set of 1,000 pieces \
({gas:,} gas), {price} USD a TiB-month, a fee of {fee:.1%}, and, where a price of gas is given in \
gwei, a coin of {coin:,} USD; another coin or price changes the result in proportion."""


def render(found: Json) -> str:
    """The page's text."""
    parts = [HEAD.format(column=_number(found, "column_mib")), _compared(found)]
    parts += ["\n".join(_transactions(found)), "\n".join(_sets(found))]
    parts += ["\n".join(_work(found)), "\n".join(_least(found))]
    if _at(found, "scale") is not None:
        parts.append("\n".join(_scale(_at(found, "scale"))))
        parts.append("\n".join(_nodes(found)))
    return "\n\n".join(parts) + "\n"


def least_tib(proof_gas: float, gas_usd: float) -> float:
    """The least set, TiB, at a price of gas in USD."""
    monthly = round(PERIODS * proof_gas * gas_usd * UNIT)
    price, fee = round(PRICE * UNIT), round(FEE * 10_000)
    return least_bytes(monthly, price=price, fee_bps=fee) / TIB


def _compared(found: Json) -> str:
    compared = _at(found, "compared")
    if compared is None:
        return "These figures were not compared with an engine's receipts."
    return (
        f"The {_number(compared, 'rows')} transactions of the first table were also sent to "
        f"{_text(compared, 'engine')}, with the same times and seeds: the largest "
        f"difference of a receipt is {_number(compared, 'difference')} gas."
    )


def _transactions(found: Json) -> Iterator[str]:
    yield "## Transactions\n\n| | bytes of calldata | gas |\n|---|---:|---:|"
    for chapter, rows in groupby(_list(found, "transactions"), lambda row: _text(row, "chapter")):
        yield f"| **{chapter}** | | |"
        for row in rows:
            yield f"| {_text(row, 'kind')} | {_number(row, 'calldata'):,} | {_gas(row, 'gas')} |"
    yield f"\nA transaction may use {CAP:,} gas (EIP-7825)."


def _sets(found: Json) -> Iterator[str]:
    yield "## Proving, by the size of the set"
    for column, name in ((f"{_number(found, 'column_mib')} MiB", "sets"), ("1 GiB", "large_sets")):
        yield f"\nPieces of {column}:\n"
        yield "| pieces in the set | least | mean | most | rounds |\n|---:|---:|---:|---:|---:|"
        for each in _list(found, name):
            figures = " | ".join(_gas(each, part) for part in ("least", "mean", "most"))
            yield f"| {_number(each, 'pieces'):,} | {figures} | {_number(each, 'rounds')} |"
    yield (
        "\nA set of one piece pays for little but its calldata, about 6,000 for a level of the"
        " tree; the rest grows with the logarithm of the number of pieces, in whose sum tree the"
        " challenged ones are found."
    )


def _work(found: Json) -> Iterator[str]:
    yield "## What counting rewards adds to a proof\n"
    yield (
        "The same proofs of a node with 30 pieces whose work fees back, told to the contract"
        " `rewards` and told to nobody. In an epoch of seven periods six proofs are not its first."
    )
    yield "\n| proof | gas | with nobody to count | more |\n|---|---:|---:|---:|"
    for each in _list(found, "work"):
        more = _number(each, "gas") - _number(each, "without")
        yield (
            f"| {_text(each, 'kind')} | {_gas(each, 'gas')} | {_gas(each, 'without')} | {more:,} |"
        )
    yield (
        "\nA proof must bring the gas that the count may take at most (160,000), or is refused, so"
        " that nobody can hand in a node's proof and keep its work from being counted; what is not"
        " used comes back."
    )


def _least(found: Json) -> Iterator[str]:
    gas = next(
        _number(each, "mean") for each in _list(found, "sets") if _number(each, "pieces") == 1_000
    )
    yield LEAST.format(share=SHARE, gas=gas, price=PRICE, fee=FEE, coin=COIN)
    yield "\n| price of gas | USD a million gas | least set |\n|---|---:|---:|"
    for gwei in GWEI:
        usd = gwei * 1e-9 * COIN
        yield f"| {gwei:g} gwei | {usd * 1e6:g} | {_size(least_tib(gas, usd))} |"
    yield (
        "\nA chain of one operator that charges nothing for gas has no least set. Opening,"
        " settlement and repair come on top; the next section has their shares."
    )


def _scale(scale: Json) -> Iterator[str]:
    yield "## Networks, small and large\n"
    yield (
        "Whole networks run on the contracts: a proof a day, a settlement of every rail and a"
        " deposit a month, objects 4 of 6 kept for a year, one node in ten failing in a year and"
        " repaired. Millions of gas a month; *shared* are beacon and repairs, for each node.\n"
    )
    yield from _networks(_list(scale, "by_nodes"))
    yield (
        f"\nAgainst the first network a node's gas is {_number(scale, 'growth_with_nodes')} at the"
        f" most, a proof's {_number(scale, 'proof_growth_with_nodes')}.\n"
    )
    yield "The same nodes and objects, of few and of many clients:\n"
    yield from _networks(_list(scale, "by_clients"))
    yield (
        f"\nAgainst one client a proof costs {_number(scale, 'proof_growth_with_clients')} at the"
        f" most, a node's month {_number(scale, 'growth_with_clients')}: settling several rails in"
        " one transaction is a little cheaper where one client pays for all of them. It is dearest"
        " where every rail has another payer, and more clients than that change nothing.\n"
    )
    yield from _split(_list(scale, "by_nodes"))


def _nodes(found: Json) -> Iterator[str]:
    """What a TiB-month costs on a node of some size, from proofs and from columns."""
    row = _list(_at(found, "scale"), "by_nodes")[-1]
    gas = _dict(row, "gas_per_tib_month")
    shared = ("all", "prove", "deposit", "fix the beacon", "store the beacon")
    columns = [_number(gas, kind) for kind in gas if kind not in shared]
    each = sum(columns) * _number(found, "column_mib") / TIB_MIB
    yield "## A TiB-month, by the size of a node\n"
    yield (
        f"Millions of gas: proofs of {PERIODS} periods, and {each:,.0f} gas a month for each"
        " column (its share of opening, settling, ending and repair in the last of the networks"
        " above).\n\n| a node of | columns of | pieces | proofs | columns | all |"
        "\n|---|---|---:|---:|---:|---:|"
    )
    for tib in (0.1, 1, 10):
        for mib, name in ((_number(found, "column_mib"), "sets"), (1_024, "large_sets")):
            pieces = max(1, round(tib * TIB_MIB / mib))
            proofs = PERIODS * _proof(_list(found, name), pieces) / tib / 1e6
            held = each * TIB_MIB / mib / 1e6
            yield (
                f"| {tib:g} TiB | {mib:,} MiB | {pieces:,} | {proofs:,.1f} | {held:,.1f} |"
                f" {proofs + held:,.1f} |"
            )


def _proof(sets: list[Json], pieces: int) -> float:
    """Gas of a proof between the sizes that were measured, by the logarithm; beyond the largest
    by the last step."""
    known = [(log10(_number(each, "pieces")), _number(each, "mean")) for each in sets]
    steps = list(pairwise(known))
    here = log10(pieces)
    (x, low), (y, high) = next((step for step in steps if here <= step[1][0]), steps[-1])
    return low + (high - low) * (here - x) / (y - x)


def _networks(rows: list[Json]) -> Iterator[str]:
    yield (
        "| nodes | clients | objects | node | shared | client | network | transactions a day: node"
        " | shared | client | network |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    for row in rows:
        sizes = " | ".join(f"{_number(row, name):,}" for name in ("nodes", "clients", "objects"))
        gas = " | ".join(f"{_number(row, name) / 1e6:,.3f}" for name in _GAS)
        daily = " | ".join(f"{_number(row, name):,.3f}" for name in _DAILY)
        yield f"| {sizes} | {gas} | {daily} |"


_GAS = (
    "node_gas_per_month",
    "shared_gas_per_node_month",
    "client_gas_per_month",
    "network_gas_per_month",
)
_DAILY = (
    "node_transactions_per_day",
    "shared_transactions_per_node_day",
    "client_transactions_per_day",
    "network_transactions_per_day",
)


def _split(rows: list[Json]) -> Iterator[str]:
    held = _number(rows[0], "columns_per_node")
    yield (
        f"Millions of gas for a TiB-month, by kind, where a node holds {held:g} columns; what a"
        " node pays for proving is shared by all that it holds, the rest by the column.\n"
    )
    kinds = list(_dict(rows[0], "gas_per_tib_month"))
    names = [f"{_number(row, 'nodes'):,} nodes" for row in rows]
    yield f"| | {' | '.join(names)} |\n|---|{'---:|' * len(names)}"
    for kind in kinds:
        gas = [_number(_at(row, "gas_per_tib_month"), kind) / 1e6 for row in rows]
        yield f"| {kind} | {' | '.join(f'{each:,.1f}' for each in gas)} |"


def _size(tib: float) -> str:
    return f"{tib:,.1f} TiB" if tib >= 1 else f"{tib * 1_024:,.1f} GiB"


def _gas(row: Json, name: str) -> str:
    return f"{_number(row, name):,}"


def _at(found: Json, name: str) -> Json:
    return _dict(found)[name]


def _dict(found: Json, name: str | None = None) -> dict[str, Json]:
    value = found if name is None else _at(found, name)
    if not isinstance(value, dict):
        raise TypeError(f"{name or 'this'} is no object")
    return value


def _list(found: Json, name: str) -> list[Json]:
    value = _at(found, name)
    if not isinstance(value, list):
        raise TypeError(f"{name} is no list")
    return value


def _number(found: Json, name: str) -> int | float:
    value = _at(found, name)
    if not isinstance(value, (int, float)):
        raise TypeError(f"{name} is no number")
    return value


def _text(found: Json, name: str) -> str:
    return str(_at(found, name))
