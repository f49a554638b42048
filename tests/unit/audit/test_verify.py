"""A chain that is whole in itself and yet breaks the rules: the first breach is named."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import pytest

from freehold.audit.claims import Keys, Question
from freehold.audit.events import Event
from freehold.audit.lines import FIRST_SEAL, render
from freehold.audit.report import Difference, Place, Report
from freehold.audit.transactions import Transaction
from freehold.audit.verify import Verification, verify_file
from freehold.domain.errors import UsageError
from freehold.domain.ids import ZERO_ADDRESS, keccak, raw_address
from freehold.domain.money import RATE_UNIT
from freehold.ledger.values import Value
from unit.audit.press import (
    GENESIS,
    GRACE,
    PERIOD,
    SENDER,
    UNBONDING,
    Log,
    Press,
    answers,
    small,
)

UNIT = 10**18


def verify(press: Press, **options: object) -> Report:
    claims = answers(press) if options.get("claims") else []
    return Verification().run(BytesIO(press.export(claims)))


def breach(press: Press) -> Difference:
    found = verify(press).difference
    assert found is not None
    return found


def pressed() -> Press:
    press = Press()
    press.deploy()
    return press


def staked(press: Press, amount: int) -> None:
    """A minted amount, staked behind the sender as its own node."""
    at = press.contracts
    press.call("governor", "setup_call", [at["token"], b"1234"],
               [Log("token", "MinterSet", [SENDER, True])])  # fmt: skip
    press.call("token", "mint", [SENDER, amount, 4], [
        Log("token", "Transfer", [ZERO_ADDRESS, SENDER, amount]),
        Log("token", "Movement", [at["token"], ZERO_ADDRESS, SENDER, amount, 4]),
    ])  # fmt: skip
    press.call("registry", "retire", [SENDER], [
        Log("registry", "NodeRegistered",
            [SENDER, SENDER, 1, 1, "https://n", bytes(32), bytes(32), SENDER, 0]),
    ])  # fmt: skip
    press.call("staking", "stake", [SENDER, amount], [
        Log("staking", "Staked", [SENDER, SENDER, amount, amount * 10**6, False]),
        Log("staking", "Movement", [at["token"], SENDER, at["staking"], amount, 11]),
        Log("token", "Transfer", [SENDER, at["staking"], amount]),
    ])  # fmt: skip


def test_more_sent_than_held() -> None:
    press = small()
    at = press.contracts
    block = press.call("token", "transfer", [at["storage"], 10**21],
                       [Log("token", "Transfer", [SENDER, at["storage"], 10**21])])  # fmt: skip
    found = breach(press)
    assert (found.check, found.place.block, found.place.log) == ("balances", block, 0)
    assert found.place.transaction is not None


def test_a_contract_that_moves_tokens_without_a_purpose() -> None:
    press = pressed()
    staked(press, UNIT)
    at = press.contracts
    press.call("staking", "withdraw", [SENDER, 0],
               [Log("token", "Transfer", [at["staking"], SENDER, 5])])  # fmt: skip
    found = breach(press)
    assert found.check == "balances"
    assert "without a purpose" in found.what


def test_a_purpose_without_a_movement() -> None:
    press = pressed()
    at = press.contracts
    moved = Log("staking", "Movement", [at["token"], at["staking"], SENDER, 5, 12])
    press.call("staking", "withdraw", [SENDER, 0], [moved])
    assert "without a transfer" in breach(press).what


def test_mint_beyond_the_cap() -> None:
    press = pressed()
    at = press.contracts
    press.call("governor", "setup_call", [at["token"], b"1234"],
               [Log("token", "MinterSet", [SENDER, True])])  # fmt: skip
    press.call("token", "mint", [SENDER, 10**27 + 1, 4],
               [Log("token", "Transfer", [ZERO_ADDRESS, SENDER, 10**27 + 1])])  # fmt: skip
    assert "cap" in breach(press).what


def test_shares_that_a_stake_does_not_buy() -> None:
    press = pressed()
    press.call("staking", "stake", [SENDER, UNIT],
               [Log("staking", "Staked", [SENDER, SENDER, UNIT, UNIT, False])])  # fmt: skip
    found = breach(press)
    assert (found.check, found.place.field) == ("stakes", "Staked.shares")
    assert found.expected == str(UNIT * 10**6)
    assert found.found == str(UNIT)


def test_stake_that_leaves_too_early() -> None:
    press = pressed()
    staked(press, UNIT)
    shares = UNIT * 10**6
    ready = press.time + 2 + UNBONDING
    press.call("staking", "unbond", [SENDER, UNIT],
               [Log("staking", "Unbonded", [SENDER, SENDER, 0, UNIT, shares, ready])])  # fmt: skip
    assert verify(press).passed, breach(press)
    press.call("staking", "withdraw", [SENDER, 0],
               [Log("staking", "Withdrawn", [SENDER, SENDER, 0, UNIT])])  # fmt: skip
    assert "ready" in breach(press).what


def test_a_slash_by_nobody() -> None:
    press = pressed()
    staked(press, UNIT)
    press.call("staking", "unbond", [SENDER, UNIT], [
        Log("staking", "Slashed", [SENDER, SENDER, 5, ZERO_ADDRESS, 0, ZERO_ADDRESS, 0, 5]),
    ])  # fmt: skip
    assert "slasher" in breach(press).what


def paying(press: Press, cap: int, rate: int) -> None:
    """A client with a deposit and a consent, and a rail that a market opens."""
    at = press.contracts
    staked(press, UNIT)
    press.call("governor", "setup_call", [at["payments"], b"1234"],
               [Log("payments", "MarketSet", [at["storage"], True])])  # fmt: skip
    press.call("token", "mint", [SENDER, UNIT, 4], [
        Log("token", "Transfer", [ZERO_ADDRESS, SENDER, UNIT]),
        Log("token", "Movement", [at["token"], ZERO_ADDRESS, SENDER, UNIT, 4]),
    ])  # fmt: skip
    press.call("payments", "deposit", [at["token"], SENDER, UNIT], [
        Log("payments", "Deposited", [at["token"], SENDER, UNIT]),
        Log("payments", "Movement", [at["token"], SENDER, at["payments"], UNIT, 1]),
        Log("token", "Transfer", [SENDER, at["payments"], UNIT]),
    ])  # fmt: skip
    press.call("payments", "approve_market", [at["token"], at["storage"], cap, 0], [
        Log("payments", "MarketApproved", [at["token"], SENDER, at["storage"], cap, 0]),
    ])  # fmt: skip
    press.call("payments", "settle", [1], [
        Log("payments", "RailOpened",
            [1, SENDER, SENDER, at["token"], at["storage"], rate, 100, 0]),
    ])  # fmt: skip


def test_a_rail_within_the_consent_and_one_beyond_it() -> None:
    press = pressed()
    paying(press, 10**30, 10**30)
    assert verify(press).passed, breach(press)
    press = pressed()
    paying(press, 10**30 - 1, 10**30)
    assert "consent to the rate" in breach(press).what


def test_a_rail_that_locks_more_than_there_is() -> None:
    press = pressed()
    rate = UNIT * RATE_UNIT // 100
    paying(press, 2 * rate, rate)
    assert verify(press).passed, breach(press)
    press = pressed()
    paying(press, 2 * rate, rate + 1)
    assert "covering what is locked" in breach(press).what


def test_a_settlement_of_a_rail_that_no_deal_has() -> None:
    press = pressed()
    paying(press, 10**30, 10**30)
    press.call("payments", "settle", [1],
               [Log("payments", "RailSettled", [1, 1, 1, 0, press.time + 2])])  # fmt: skip
    assert not verify(press).passed


def test_a_withdrawal_of_what_is_locked() -> None:
    press = pressed()
    at = press.contracts
    paying(press, 10**30, 10**30)
    press.call("payments", "withdraw", [at["token"], SENDER, UNIT], [
        Log("payments", "Withdrawn", [at["token"], SENDER, SENDER, UNIT]),
        Log("payments", "Movement", [at["token"], at["payments"], SENDER, UNIT, 2]),
        Log("token", "Transfer", [at["payments"], SENDER, UNIT]),
    ])  # fmt: skip
    found = breach(press)
    assert (found.check, found.place.log) == ("payments", 0)


def beacon_round(press: Press, *, seed: bytes | None = None, ahead: int = 2) -> None:
    period = (press.time + 2 - GENESIS) // PERIOD
    target = press.number + ahead
    press.call("beacon", "fix", [period], [Log("beacon", "Fixed", [period, target])])
    press.block([])
    press.block([])
    hashed = keccak(press.blocks[-1][0])
    drawn = seed or keccak(
        hashed + period.to_bytes(32, "big") + raw_address(press.contracts["beacon"])
    )
    stored = press.time + 2
    press.call("beacon", "store", [period], [Log("beacon", "Stored", [0, period, drawn, stored])])


def test_a_seed_comes_from_the_fixed_block() -> None:
    press = pressed()
    beacon_round(press)
    report = verify(press)
    assert report.passed, report.difference
    assert report.counts["rounds"] == 1


def test_a_chosen_seed_is_found() -> None:
    press = pressed()
    beacon_round(press, seed=b"\7" * 32)
    found = breach(press)
    assert (found.check, found.place.field) == ("beacon", "Stored.seed")


def test_a_block_fixed_too_near_is_found() -> None:
    press = pressed()
    beacon_round(press, ahead=1)
    assert breach(press).place.field == "Fixed.block_number"


def test_a_round_after_the_grace_is_found() -> None:
    press = pressed()
    press.block([], later=GRACE + 10)
    beacon_round(press)
    assert "grace" in breach(press).what


def test_an_event_that_the_contract_does_not_declare() -> None:
    press = pressed()
    press.call("token", "transfer", [SENDER, 1],
               [Log("staking", "Staked", [SENDER, SENDER, 1, 1, False])])  # fmt: skip
    block = press.blocks.pop()
    assert block[2] is not None
    strange = Press(**{name: getattr(press, name) for name in Press.__slots__})
    strange.contracts = {**press.contracts, "staking": press.contracts["token"]}
    strange.parent, strange.number = keccak(press.blocks[-1][0]), press.number - 1
    strange.call("token", "transfer", [SENDER, 1],
                 [Log("staking", "Staked", [SENDER, SENDER, 1, 1, False])])  # fmt: skip
    strange.contracts = press.contracts
    assert breach(strange).check == "events"


def test_a_contract_with_other_code_is_found() -> None:
    press = Press()
    press.deploy()
    press.contracts["registry"] = press.contracts["token"]
    press.contracts["token"] = SENDER
    assert breach(press).check == "contracts"


def test_a_descriptor_that_tells_another_period() -> None:
    press = small()
    text = press.export().replace(b'"period":1000', b'"period":1001')
    lines = text.splitlines(keepends=True)
    fields = json.loads(lines[0])["export"]
    first, seal = render("export", fields, FIRST_SEAL)
    resealed = [first]
    for line in lines[1:]:
        kind, content = next((k, v) for k, v in json.loads(line).items() if k != "seal")
        again, seal = render(kind, content, seal)
        resealed.append(again)
    found = Verification().run(BytesIO(b"".join(resealed))).difference
    assert found is not None
    assert (found.check, found.expected, found.found) == ("contracts", "1000", "1001")


def test_a_network_whose_contracts_were_never_created() -> None:
    press = Press()
    press.deploy()
    press.blocks.pop()
    press.parent, press.number = bytes(32), press.number - 1
    press.block([])
    assert "creation" in breach(press).what


def test_a_wrong_claim_in_a_resealed_export_is_found() -> None:
    press = small()
    wrong: list[tuple[Question, list[Value]]] = [(q, [7]) for q, _ in answers(press)]
    found = Verification().run(BytesIO(press.export(wrong))).difference
    assert found is not None
    assert (found.check, found.what) == ("claims", "token.totalSupply()")
    assert (found.expected, found.found) == (f"[{10**20}]", "[7]")


def test_a_claim_that_nobody_can_recompute_is_refused() -> None:
    press = small()
    text = press.export([(("token", "nonces", (SENDER,)), [0])])
    found = Verification().run(BytesIO(text)).difference
    assert found is not None
    assert found.check == "claims"


def test_another_network_or_head_than_expected(tmp_path: Path) -> None:
    press = small()
    path = tmp_path / "chain.jsonl"
    path.write_bytes(press.export(answers(press)))
    other = small()
    other.contracts["token"] = SENDER
    assert verify_file(path, network=press.network(), head=press.parent).passed
    wrong = verify_file(path, network=other.network())
    assert wrong.difference is not None
    assert wrong.difference.place.field == "network"
    wrong = verify_file(path, head=b"\1" * 32)
    assert wrong.difference is not None
    assert wrong.difference.what == "the head"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        verify_file(tmp_path / "none")


@pytest.mark.parametrize("text", [b"", b"\n", b"{}\n", b"[]\n", b'{"a":1,"seal":2}\n', b"\xff\n"])
def test_files_that_are_no_export(text: bytes) -> None:
    assert not Verification().run(BytesIO(text)).passed


def test_the_report_as_json_names_everything() -> None:
    told = verify(small(), claims=True).to_json()
    assert told["passed"] is True
    assert told["freehold_verification"] == 1
    assert isinstance(told["counts"], dict)


def test_of_what_grows_only_the_newest_is_asked() -> None:
    keys = Keys(newest=3)
    for rail in range(1, 9):
        args: dict[str, Value] = {"rail": rail, "token": "t", "payer": f"p{rail}", "payee": "q"}
        place = Place(block=1)
        transaction = Transaction(b"", b"", 0, None, b"")
        keys.see(Event("payments", "RailOpened", args, 1, 1, place, transaction))
    asked = list(keys.questions())
    assert [q[2] for q in asked if q[:2] == ("payments", "rail")] == [(6,), (7,), (8,)]
    assert sum(q[:2] == ("payments", "account") for q in asked) == 9
