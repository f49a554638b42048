"""One account on several machines: what each stores, the others can read."""

from __future__ import annotations

import secrets

from freehold.client.recovery import recover_wallet
from unit.client.fakes import World


def test_machines_that_never_met_have_the_same_seed_and_share_card(world: World) -> None:
    one, two = world.wallet(0xA0), world.wallet(0xA0)
    assert one.seed == two.seed
    assert one.seed.sharing_key() == two.seed.sharing_key()
    assert one.seed != world.wallet(0xA1).seed


def test_what_two_machines_of_one_account_store_comes_back_on_a_third(world: World) -> None:
    first = world.client(world.wallet(), home="first")
    second = world.client(world.wallet(), home="second")
    data = {f"files/{n}": secrets.token_bytes(20_000) for n in range(4)}
    for number, (name, part) in enumerate(data.items()):
        (first if number % 2 else second).put(part, name)
    wallet = world.wallet()
    chain = world.chain(wallet)
    found = recover_wallet(chain, first.library, wallet.key, random=secrets.token_bytes)
    third = world.client(found, home="third")
    assert third.refresh() == []
    assert {named.name for named in third.ls()} == set(data)
    for name, part in data.items():
        path = world.folder / "copy"
        third.get(name, path)
        assert path.read_bytes() == part
