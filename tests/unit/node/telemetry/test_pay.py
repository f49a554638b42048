"""Pay on the real contracts: from purchases and signed readings to tokens, over any crash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.evm import NETWORK_ID, signer
from contracts.roots import BOND, RULES
from contracts.world import alice, bob, mallory
from freehold.domain.errors import AccessError, ConflictError, IntegrityError, NotFoundError
from freehold.domain.ids import address
from freehold.domain.keys import Key
from freehold.economics.data_pay import Purchase, Terms
from freehold.economics.trees import GRAIN
from freehold.node.telemetry.epochs import digest
from freehold.node.telemetry.pay import SLACK, UNSIGNED
from freehold.node.telemetry.statement import Frame, Past, Statement, canonical, parse
from freehold.telemetry.reading import open_batch
from unit.node.telemetry.payhouse import LENGTH, PRICE, SERVICE, WATCHERS, House, Sensor

QUERY = "metric=roof.*"
NET = PRICE * 9 // 10
MINTED = PRICE // 10 * 9 // 10


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def two(house: House) -> tuple[Sensor, Sensor]:
    """Devices of two owners."""
    return house.enroll(Sensor(1, alice)), house.enroll(Sensor(2, bob))


def test_owners_are_paid_for_what_their_devices_measured(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = two(house)
    house.buy(QUERY, epoch=1)
    house.report(first, 1, count=60)
    house.report(second, 1, count=20)
    house.enter(2, after=200)
    house.run()
    got = house.balance(alice), house.balance(bob)
    statement = house.epochs.books.newest()
    assert statement is not None
    assert statement.epoch == 1
    assert got == tuple(
        statement.past.accounts[address(each.address)] // GRAIN * GRAIN for each in (alice, bob)
    )
    assert NET + MINTED - 2 * GRAIN - 4 <= sum(got) <= NET + MINTED
    assert got[0] > 2.5 * got[1] > 0
    assert house.count("draw") == house.count("propose") == house.count("finalize") == 1
    house.pay().step()
    assert house.count("claim") == 2
    assert caplog.records == []


def test_each_step_can_be_cut_off_and_gives_the_same(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = two(house)
    house.buy(QUERY, epoch=1)
    house.report(first, 1)
    house.enter(2, after=200)
    books = type(house.epochs.books)
    whole = books.keep
    monkeypatch.setattr(books, "keep", lambda *_: (_ for _ in ()).throw(OSError("power")))
    with pytest.raises(OSError, match="power"):
        house.pay().step()
    assert house.count("draw") == 1
    monkeypatch.setattr(books, "keep", whole)
    house.run()
    assert house.count("draw") == 1
    assert NET + MINTED - 2 * GRAIN <= house.balance(alice) <= NET + MINTED


def test_nothing_is_proposed_without_enough_signatures(house: House) -> None:
    first, _ = two(house)
    house.buy(QUERY, epoch=1)
    house.report(first, 1)
    house.enter(2, after=200)
    house.pay().step()
    house.cosigners[0].step()
    house.pay().step()
    assert house.count("propose") == 0
    house.cosigners[2].step()
    house.pay().step()
    assert house.count("propose") == 1


def test_before_the_cut_nothing_is_settled(house: House) -> None:
    first, _ = two(house)
    house.buy(QUERY, epoch=1)
    house.report(first, 1)
    house.enter(2, after=124)
    house.pay().step()
    assert house.epochs.epochs() == []
    house.enter(2, after=125)
    house.pay().step()
    assert house.epochs.epochs() == [1]


def test_a_clock_that_is_behind_the_chain_is_waited_for(house: House) -> None:
    first, _ = two(house)
    house.buy(QUERY, epoch=1)
    house.report(first, 1, count=30)
    house.enter(2, after=125)
    house.pay(behind=90).step()
    assert house.epochs.epochs() == []
    late = 1_000 * (house.genesis + 2 * LENGTH + 40)
    house.log.batches[first.id].append((late, first.batch([late - 500_000])))
    house.pay(behind=1 - SLACK).step()
    assert house.epochs.epochs() == []
    house.run()
    assert house.epochs.epochs() == [1]
    assert house.balance(alice) > 0


def test_a_statement_that_nobody_signs_is_said_once_and_can_be_reckoned_anew(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = two(house)
    house.buy(QUERY, epoch=1)
    house.report(first, 1, count=30)
    house.enter(2, after=125)
    pay = house.pay()
    pay.step()
    house.report(first, 1, count=50)  # evidence that comes after its time: nobody agrees
    house.cosign()
    pay.step()
    assert unsigned(caplog) == []
    house.town.chain.warp(UNSIGNED)
    for _ in range(3):
        pay.step()
    (said,) = unsigned(caplog)
    assert (said["epoch"], said["lacking"]) == (1, 2)
    assert "from 0 on" in str(said["remedy"])
    for file in (house.folder / "epochs").glob("1.*"):
        file.unlink()
    house.run()
    assert house.count("draw") == 1
    assert NET + MINTED - 2 * GRAIN <= house.balance(alice) <= NET + MINTED


def unsigned(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    """What was said of statements that nobody signs."""
    return [
        vars(each)["fields"]
        for each in caplog.records
        if (each.message, each.name) == ("not co-signed", "freehold.node.telemetry.pay")
    ]


def test_what_matches_nobody_waits_and_epochs_without_purchases_are_passed_over(
    house: House,
) -> None:
    first, _ = two(house)
    house.buy(f"device={first.id}", epoch=1)
    house.enter(2, after=200)
    house.pay().step()
    house.enter(4)
    house.report(first, 4)
    house.enter(6, after=200)
    pay = house.pay()
    for _ in range(6):
        pay.step()
    assert house.epochs.epochs() == [1, 4]
    statement = house.epochs.books.newest()
    assert statement is not None
    assert statement.past.accounts[address(alice.address)] == NET
    house.run()
    assert house.balance(alice) == NET // GRAIN * GRAIN


def test_a_marked_device_gets_nothing(house: House) -> None:
    first, second = two(house)
    house.buy(QUERY, epoch=1)
    house.report(first, 1)
    house.report(second, 1)
    house.log.lies[first.id] = "copied: it moves as another"
    house.enter(2, after=200)
    house.run()
    assert house.balance(alice) == 0
    assert house.balance(bob) > NET - GRAIN


def test_a_third_epoch_adds_to_what_was_earned(house: House) -> None:
    first, _ = two(house)
    house.buy(QUERY, epoch=1, count=3)
    for epoch in (1, 2, 3):
        house.report(first, epoch)
    house.enter(2, after=200)
    house.run()
    once = house.balance(alice)
    house.enter(5, after=200)
    house.pay().step()
    house.pay().step()
    house.run()
    assert house.epochs.epochs() == [1, 2, 3]
    assert house.count("propose") == 2
    assert house.balance(alice) == pytest.approx(3 * once, abs=3 * GRAIN)


def test_a_demand_for_a_leaf_is_answered(house: House) -> None:
    first, _ = two(house)
    house.buy(QUERY, epoch=1)
    house.report(first, 1)
    house.enter(2, after=200)
    house.pay().step()
    house.cosign()
    house.pay().step()
    ledger = house.ledger(mallory)
    header = house.pay()._facts.header(2)
    assert header is not None
    house.town.chain.give_ether(mallory.address, 10**18)
    raw = house.roots.send(
        "demand", (*_words(header),), 0, sender=mallory.address, value=15 * 10**13, gas_price=0
    )
    house.town.index.log += ledger._logs()  # type: ignore[attr-defined]
    house.pay().step()
    assert house.roots.call("demanded", raw.value).deadline == 0
    house.town.chain.warp(RULES[0] + 1)
    house.pay().step()
    assert house.count("finalize") == 1


def test_a_verdict_that_nobody_settled_holds_nothing_up(house: House) -> None:
    """A service that was away loses the bond for its silence: it settles, and proposes again."""
    first, _ = two(house)
    house.buy(QUERY, epoch=1)
    house.report(first, 1)
    house.enter(2, after=200)
    house.pay().step()
    house.cosign()
    house.pay().step()
    header = house.pay()._facts.header(2)
    assert header is not None
    ledger, chain = house.ledger(mallory), house.town.chain
    chain.give_ether(mallory.address, 10**18)
    asked = ((*_words(header),), 0)
    raw = house.roots.send("demand", *asked, sender=mallory.address, value=15 * 10**13, gas_price=0)
    house.town.index.log += ledger._logs()  # type: ignore[attr-defined]
    chain.warp(RULES[1] + 1)
    house.roots.send("expire", raw.value, asked[0], sender=mallory.address)
    house.town.index.log += ledger._logs()  # type: ignore[attr-defined]
    assert house.roots.call("state").unsettled == 1
    house.world.fund(SERVICE.address, BOND)
    house.pay().step()
    assert house.count("settle") == 1
    assert house.balance(mallory) == BOND * RULES[4] // 10_000
    house.cosign()
    house.pay().step()
    assert house.roots.call("state").tip == 2
    assert house.roots.call("bond_of", SERVICE.address).amount == BOND


def test_signatures_of_strangers_and_for_other_epochs_are_refused(house: House) -> None:
    first, _ = two(house)
    house.buy(QUERY, epoch=1)
    house.report(first, 1)
    house.enter(2, after=200)
    house.pay().step()
    epochs, statement = house.epochs, house.epochs.books.read(1)
    wanted = digest(house.ledger(SERVICE), statement)

    def letter(by: bytes) -> bytes:
        return b'{"signature": "%s"}' % Key.from_secret(by).sign(wanted).hex().encode()

    with pytest.raises(AccessError):
        epochs.sign(1, letter(signer("stranger").key))
    with pytest.raises(ConflictError):
        epochs.sign(0, letter(WATCHERS[0].key))
    with pytest.raises(IntegrityError):
        epochs.sign(1, b'{"signature": 7}')
    assert epochs.sign(1, letter(WATCHERS[0].key)) == {"epoch": 1, "signatures": 1}
    assert epochs.sign(1, letter(WATCHERS[0].key))["signatures"] == 1


def test_evidence_leaves_and_statements_are_for_everybody(house: House) -> None:
    first, _ = two(house)
    house.buy(QUERY, epoch=1)
    house.report(first, 1)
    house.enter(2, after=200)
    house.pay().step()
    epochs = house.epochs
    told = epochs.epoch(1)
    assert epochs.books.text(1) == canonical(told)
    assert b"".join(epochs.leaves(1)).count(b"0x") == told["count"] == 1
    sizes = [int.from_bytes(each[:4], "little") for each in epochs.batches(1, first.id)]
    assert sizes == [len(each) - 4 for each in epochs.batches(1, first.id)]
    every = list(epochs.batches(1, first.id))
    times = [open_batch(each[4:], network_id=NETWORK_ID).time for each in every]
    part = epochs.batches(1, first.id, since=times[1], until=times[-1])
    assert list(part) == every[1:-1] != []
    with pytest.raises(NotFoundError):
        epochs.epoch(7)


def test_evidence_of_a_span_has_all_its_room_and_asks_the_log_for_no_more(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = two(house)
    house.report(first, 1)
    every = list(house.epochs.evidence(1, first.id))
    times = [open_batch(each, network_id=NETWORK_ID).time for each in every]
    monkeypatch.setattr("freehold.node.telemetry.epochs.EVIDENCE_MAX", len(every[0]) + 4)
    assert list(house.epochs.evidence(1, first.id)) == every[:1]
    asked, log = list[int](), house.log.evidence

    def noted(since: int, until: int, member: str) -> Iterator[bytes]:
        asked.append(since)
        return log(since, until, member)

    monkeypatch.setattr(house.log, "evidence", noted)
    late = house.epochs.evidence(1, first.id, since=times[-1], until=times[-1] + 1)
    assert list(late) == every[-1:]
    monkeypatch.setattr("freehold.node.telemetry.epochs._AHEAD", 1_000)
    list(house.epochs.evidence(1, first.id, since=times[-1]))
    assert asked[1] == times[-1] - 1_000


def test_of_what_waits_only_the_largest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freehold.node.telemetry.statement.WAITING_MAX", 2)
    bought = [
        Purchase(number, "metric=a", amount, 0) for number, amount in ((1, 5), (2, 9), (3, 7))
    ]
    frame = Frame("00" * 32, 1, address(alice.address), "", Terms(0, 10**9))
    made = Statement.of(frame, bought, (), Past(rest=1))
    assert (made.past.waiting, made.past.rest) == ({2: 9, 3: 7}, 6)
    assert Statement.read(made.text()).past == made.past


@pytest.mark.parametrize(
    "text",
    [b"[" * 10**6, b'{"a":' * 10**6, b"[]", b"{", b"x", b'{"version":2}', b'{"version":1}',
     b'{"version":1,"rows":[[[[[[[]]]]]]]}'],
)  # fmt: skip
def test_a_text_that_is_no_statement_is_refused(text: bytes) -> None:
    with pytest.raises(IntegrityError):
        Statement.read(text)


def test_brackets_in_a_query_are_text() -> None:
    told = {"version": 1, "query": '[[[[[[[["{{{\\"]'}
    assert parse(canonical(told)) == told


def _words(header: object) -> tuple[object, ...]:
    from freehold.ledger.contracts.roots import Header, header_words

    assert isinstance(header, Header)
    return header_words(header)
