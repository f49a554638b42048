"""Until when objects are kept, from the ledger's events and from its deals."""

from __future__ import annotations

from pathlib import Path

from freehold.cli.amounts import moment
from freehold.cli.terms import ends_of_deals, hint, kept, told
from freehold.ledger.values import Event, Value
from unit.client.fakes import NOW, OPTIONS, World

FIRST, SECOND = b"\1" * 32, b"\2" * 32


def event(name: str, deal: int, end: int, **more: Value) -> Event:
    return Event("storage", name, {"deal": deal, "term_end": end, **more}, 1, 0, "0x", "0x")


def test_a_renewal_moves_the_end_of_its_own_deal_only() -> None:
    opened = [
        event("DealOpened", 3, 100, object_id=FIRST),
        event("DealOpened", 5, 200, object_id=SECOND),
    ]
    renewed = [event("DealRenewed", deal, end) for deal, end in ((4, 900), (3, 300), (3, 400))]
    assert told(opened, []) == {FIRST: 100, SECOND: 200}
    assert told(opened, renewed) == {FIRST: 400, SECOND: 200}


def test_deals_are_asked_once_and_what_is_pending_not_at_all(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        client = world.client(world.wallet())
        client.put(b"a", "b/a")
        client.flush()
        assert ends_of_deals(client, [1, 0, 1]) == {1: client.chain.deal(1).term_end}
        assert client.chain.deal(1).term_end >= NOW + OPTIONS.term


def test_people_read_the_end_to_the_minute_and_what_renews_it() -> None:
    assert kept(None) == ""
    assert moment(NOW).startswith(kept(NOW))
    assert hint({7: NOW}) == f"kept until {kept(NOW)}; renew with `freehold deal renew 7`"
    several = hint({7: NOW + 60, 8: NOW})
    assert kept(NOW) in several
    assert "deal renew DEAL" in several
