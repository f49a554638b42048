"""Objects through the client over real HTTPS: whole, in part, damaged, moved, removed, shared."""

from __future__ import annotations

import io
import secrets
from dataclasses import replace
from pathlib import Path

import pytest

from freehold.client.client import Client
from freehold.client.quote import Policy
from freehold.domain.errors import (
    CapacityError,
    ConflictError,
    FreeholdError,
    InsufficientFundsError,
    IntegrityError,
    NotEnoughShardsError,
    NotFoundError,
    UsageError,
)
from freehold.domain.keys import Key
from unit.client.fakes import OPTIONS, FakeNode, World

SIZE = 700_000


def read(client: Client, name: str, **options: object) -> bytes:
    out = io.BytesIO()
    client.get(name, out, **options)  # type: ignore[arg-type]
    return out.getvalue()


def test_what_is_put_is_got_byte_for_byte(world: World, tmp_path: Path) -> None:
    client = world.client(world.wallet())
    source = tmp_path / "source"
    source.write_bytes(secrets.token_bytes(SIZE))
    seen: list[tuple[int, int]] = []
    result = client.put(source, "b/dir/x", progress=lambda done, total: seen.append((done, total)))
    assert (result.pending, result.deal, result.size) == (False, 1, SIZE)
    assert seen[-1][0] == seen[-1][1] == sum(len(p) for n in world.nodes for p in n.pieces.values())
    client.get("b/dir/x", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == source.read_bytes()
    assert set(result.timing.shares()) == {"seal", "erasure", "hash", "network", "disk"}


@pytest.mark.parametrize("preset", [(1, 2), (2, 3), (4, 6)])
@pytest.mark.parametrize("size", [0, 1, 4096, 262_144, 262_145])
def test_every_shape_and_size(world: World, preset: tuple[int, int], size: int) -> None:
    client = world.client(world.wallet())
    data = secrets.token_bytes(size)
    client.put(data, "b/x", preset=preset)
    assert read(client, "b/x") == data


def test_a_stream_that_cannot_seek_is_stored(world: World) -> None:
    client = world.client(world.wallet())
    data = secrets.token_bytes(SIZE)
    client.put(io.BufferedReader(io.BytesIO(data)), "b/x")
    assert read(client, "b/x") == data


@pytest.mark.parametrize(
    "span", [(0, 0), (0, 1), (262_143, 262_145), (SIZE - 1, SIZE), (SIZE, SIZE), (5, 600_000)]
)
def test_ranges(world: World, span: tuple[int, int]) -> None:
    client = world.client(world.wallet())
    data = secrets.token_bytes(SIZE)
    client.put(data, "b/x")
    assert read(client, "b/x", span=span) == data[span[0] : span[1]]


@pytest.mark.parametrize("span", [(-1, 2), (2, 1), (0, SIZE + 1)])
def test_ranges_outside_are_usage_errors(world: World, span: tuple[int, int]) -> None:
    client = world.client(world.wallet())
    client.put(bytes(SIZE), "b/x")
    with pytest.raises(UsageError):
        read(client, "b/x", span=span)


def test_a_healthy_read_takes_the_systematic_columns_only(world: World) -> None:
    client = world.client(world.wallet())
    client.put(secrets.token_bytes(SIZE), "b/x")
    column = world.ledger.columns
    read(client, "b/x")
    served = {slot: world.by_address(column[1, slot].node).served for slot in range(6)}
    assert served[4] == served[5] == 0
    assert all(served[slot] for slot in range(4))


def killed(world: World, slots: list[int], deal: int = 1) -> None:
    for slot in slots:
        world.by_address(world.ledger.columns[deal, slot].node).stop()


def test_any_two_nodes_may_die(world: World) -> None:
    client = world.client(world.wallet())
    data = secrets.token_bytes(SIZE)
    client.put(data, "b/x")
    killed(world, [0, 2])
    out = io.BytesIO()
    assert client.get("b/x", out).lost == (0, 2)
    assert out.getvalue() == data


def test_three_dead_nodes_are_too_many(world: World, tmp_path: Path) -> None:
    client = world.client(world.wallet())
    client.put(secrets.token_bytes(SIZE), "b/x")
    killed(world, [0, 2, 5])
    with pytest.raises(NotEnoughShardsError, match="3 of the 4 columns"):
        client.get("b/x", tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []


def flip(node: FakeNode, *, at: int) -> None:
    def tamper(cid: str, start: int, data: bytes) -> bytes:
        if not start <= at < start + len(data):
            return data
        changed = bytearray(data)
        changed[at - start] ^= 1
        return bytes(changed)

    node.tamper = tamper


@pytest.mark.parametrize("liars", [[1], [0, 3], [2, 4]])
def test_tampered_shards_are_found_and_their_columns_named(world: World, liars: list[int]) -> None:
    client = world.client(world.wallet())
    data = secrets.token_bytes(SIZE)
    client.put(data, "b/x")
    for slot in liars:
        flip(world.by_address(world.ledger.columns[1, slot].node), at=100_000)
    out = io.BytesIO()
    delivery = client.get("b/x", out)
    assert out.getvalue() == data
    assert set(delivery.liars) <= set(liars)
    assert delivery.liars or liars == [2, 4]


def test_more_liars_than_parity_give_nothing_at_all(world: World) -> None:
    client = world.client(world.wallet())
    client.put(secrets.token_bytes(SIZE), "b/x")
    for slot in (0, 1, 2):
        flip(world.by_address(world.ledger.columns[1, slot].node), at=3_000)
    out = io.BytesIO()
    with pytest.raises((IntegrityError, NotEnoughShardsError)):
        client.get("b/x", out)
    assert out.getvalue() == b""


def test_a_truncated_shard_is_read_elsewhere(world: World) -> None:
    client = world.client(world.wallet())
    data = secrets.token_bytes(SIZE)
    client.put(data, "b/x")
    node = world.by_address(world.ledger.columns[1, 0].node)
    node.pieces = {cid: piece[:1_000] for cid, piece in node.pieces.items()}
    out = io.BytesIO()
    assert client.get("b/x", out).lost == (0,)
    assert out.getvalue() == data


def test_a_wrong_content_key_is_told_from_lying_nodes(world: World) -> None:
    client = world.client(world.wallet())
    client.put(secrets.token_bytes(SIZE), "b/x")
    shared = client.open_share(client.share("b/x", client.recipient())).objects[0]
    wrong = replace(
        shared,
        put=replace(shared.put, location=replace(shared.put.location, content_key=bytes(32))),
    )
    with pytest.raises(IntegrityError, match="though 6 columns match their roots") as caught:
        client.get_shared(wrong, io.BytesIO())
    assert "content key" in caught.value.remedy


def test_a_session_key_asks_for_the_account(world: World) -> None:
    wallet, key = world.wallet(), Key.from_secret(b"\x5e" * 32)
    client = world.client(wallet, options=replace(OPTIONS, session_key=key))
    data = secrets.token_bytes(SIZE)
    with pytest.raises(FreeholdError):
        client.put(data, "b/x")
    for node in world.nodes:
        node.sessions[key.address] = wallet.account
    client.put(data, "b/x")
    out = io.BytesIO()
    client.get("b/x", out)
    assert out.getvalue() == data
    assert {a for node in world.nodes for c in node.clients.values() for a in c} == {wallet.account}


# --- what a put refuses --------------------------------------------------------------------------


def test_insufficient_funds_print_the_quote_before_anything_is_sent(world: World) -> None:
    wallet = world.wallet()
    chain = world.chain(wallet)
    chain.available = 10
    client = world.client(wallet, chain=chain)
    with pytest.raises(InsufficientFundsError, match=r"4 of 6 columns, .* must be deposited"):
        client.put(bytes(SIZE), "b/x")
    assert all(method == "GET" for node in world.nodes for method, _ in node.calls)
    client.deposit(10**18)
    assert client.put(bytes(SIZE), "b/x").deal == 1


def test_gas_and_approval_are_part_of_the_funds(world: World) -> None:
    wallet = world.wallet()
    chain = world.chain(wallet)
    client = world.client(wallet, chain=chain)
    chain.gas = 1
    with pytest.raises(InsufficientFundsError, match="coins for gas"):
        client.put(bytes(SIZE), "b/x")
    chain.gas, chain.approved = 10**20, 0
    with pytest.raises(InsufficientFundsError, match="has not approved the storage market"):
        client.put(bytes(SIZE), "b/x")


def test_the_quote_is_what_the_nodes_ask(world: World) -> None:
    client = world.client(world.wallet())
    quote = client.quote(10 * 2**20, term=86_400)
    column = quote.stored // 6
    assert quote.price == 6 * (10**18 * column * 86_400 // (2**40 * 2_592_000))
    assert quote.reserve == Policy().repairs * Policy().fee(6, quote.funds.gas_price)
    assert len(set(quote.nodes)) == 6


def test_too_few_owners_are_told_before_anything_is_sent(world: World) -> None:
    world.nodes[0].stop()
    client = world.client(world.wallet())
    with pytest.raises(CapacityError, match="only 5 owners offer space, 6 needed"):
        client.put(bytes(SIZE), "b/x")
    assert all(not node.uploads for node in world.nodes)


def test_an_offer_that_another_key_signed_is_no_offer(world: World) -> None:
    world.nodes[0].net = replace(world.ledger.net, network_id=b"\x09" * 32)
    client = world.client(world.wallet())
    with pytest.raises(CapacityError, match="not signed by it for this network"):
        client.put(bytes(SIZE), "b/x")


@pytest.mark.parametrize("name", ["x", "/x", "b/", "", "b/\0"])
def test_names_are_checked(world: World, name: str) -> None:
    with pytest.raises(UsageError):
        world.client(world.wallet()).put(b"", name)


# --- nodes that fail during a put ----------------------------------------------------------------


def spare(world: World) -> FakeNode:
    return world.add_node(6)


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_a_node_that_fails_in_the_middle_is_replaced_by_a_spare(world: World, method: str) -> None:
    spare(world)
    client = world.client(world.wallet())
    broken = world.nodes[0]
    broken.refuse = lambda m, path: (507, "full") if m == method else None
    data = secrets.token_bytes(SIZE)
    client.put(data, "b/x")
    holders = {column.node for column in world.ledger.columns.values()}
    assert broken.key.address not in holders or broken.calls == [("GET", "/offer")]
    assert read(client, "b/x") == data


def test_a_node_that_lies_about_its_piece_is_left_out(world: World) -> None:
    spare(world)
    liar = world.nodes[2]
    liar.lie_about_root = True
    client = world.client(world.wallet())
    client.put(secrets.token_bytes(SIZE), "b/x")
    assert liar.key.address not in {c.node for c in world.ledger.columns.values()}


def test_a_node_that_is_barred_while_we_send_is_replaced(world: World) -> None:
    late = spare(world)
    client = world.client(world.wallet())
    data = secrets.token_bytes(SIZE)
    unlucky = world.nodes[0].key.address

    def bar(method: str, path: str) -> None:
        if method == "PUT":
            world.ledger.barred[unlucky] = "owes proofs"

    for node in world.nodes:
        node.before = bar
    client.put(data, "b/x")
    holders = {c.node for c in world.ledger.columns.values()}
    assert unlucky not in holders
    assert late.key.address in holders
    assert read(client, "b/x") == data


def test_without_spares_the_refusal_of_the_node_is_told(world: World) -> None:
    world.nodes[0].refuse = lambda m, path: (507, "the disk is full") if m == "POST" else None
    client = world.client(world.wallet())
    with pytest.raises(CapacityError):
        client.put(secrets.token_bytes(SIZE), "b/x")
    assert not world.ledger.opened


def test_an_acceptance_for_another_piece_is_not_used(world: World) -> None:
    spare(world)
    client = world.client(world.wallet())
    cheat = world.nodes[0]
    cheat.acceptor = world.nodes[1].key
    client.put(secrets.token_bytes(SIZE), "b/x")
    assert cheat.key.address not in {c.node for c in world.ledger.columns.values()}


# --- names ---------------------------------------------------------------------------------------


def test_listing_renaming_and_removing(world: World) -> None:
    client = world.client(world.wallet())
    data = secrets.token_bytes(SIZE)
    client.put(data, "b/dir/x")
    client.put(b"small", "b/small")
    listed = [(n.name, n.size, n.pending) for n in client.ls()]
    assert listed == [("b/dir/x", SIZE, False), ("b/small", 5, True)]
    assert [n.name for n in client.ls("b/dir")] == ["b/dir/x"]
    client.mv("b/dir/x", "c/y")
    client.mv("b/small", "c/small")
    assert [(n.name, n.pending) for n in client.ls()] == [("c/small", True), ("c/y", True)]
    assert read(client, "c/y") == data
    assert read(client, "c/small") == b"small"
    client.flush()
    assert [(n.name, n.pending) for n in client.ls()] == [("c/small", False), ("c/y", False)]
    assert read(client, "c/y") == data
    assert client.rm("c/y") == []
    client.flush()
    assert [n.name for n in client.ls()] == ["c/small"]
    assert world.ledger.opened[1].closed_at
    with pytest.raises(NotFoundError):
        read(client, "c/y")


def test_removing_a_whole_object_closes_its_deal_at_once(world: World) -> None:
    client = world.client(world.wallet())
    client.put(secrets.token_bytes(SIZE), "b/x")
    assert client.rm("b/x") == [1]
    assert client.ls() == []
    with pytest.raises(NotFoundError):
        client.rm("b/x")


def test_a_new_version_closes_the_old_one_unless_versions_are_kept(world: World) -> None:
    wallet = world.wallet()
    client = world.client(wallet)
    first, second = secrets.token_bytes(SIZE), secrets.token_bytes(SIZE)
    client.put(first, "b/x")
    client.put(second, "b/x")
    assert read(client, "b/x") == second
    assert [bool(world.ledger.opened[deal].closed_at) for deal in (1, 2)] == [True, False]
    keeping = world.client(wallet, options=replace(OPTIONS, keep_versions=True), home="home2")
    keeping.refresh()
    keeping.put(first, "b/x")
    newest, oldest = keeping.versions("b/x")
    assert read(keeping, "b/x") == first
    assert read(keeping, "b/x", version=oldest.sequence) == second
    assert newest.sequence > oldest.sequence
    with pytest.raises(NotFoundError):
        read(keeping, "b/x", version=99)
    assert keeping.rm("b/x") == [2, 3]
    assert keeping.ls() == []


def test_a_whole_object_takes_a_name_from_a_pending_one(world: World) -> None:
    client = world.client(world.wallet())
    data = secrets.token_bytes(SIZE)
    client.put(b"small", "b/x")
    client.put(data, "b/x")
    client.flush()
    assert read(client, "b/x") == data


def test_info_shows_where_the_columns_are(world: World) -> None:
    client = world.client(world.wallet())
    client.put(secrets.token_bytes(SIZE), "b/x")
    client.put(b"small", "b/s")
    info = client.info("b/x")
    assert info.deal is not None
    assert [column.active for column in info.deal.columns] == [True] * 6
    assert client.info("b/s").deal is None
    assert [deal.id for deal in client.deals()] == [1]


def test_renewing_extends_the_term(world: World) -> None:
    client = world.client(world.wallet())
    client.put(secrets.token_bytes(SIZE), "b/x")
    client.renew(1, 90 * 86_400)
    assert world.ledger.opened[1].term_end == world.ledger.time + 90 * 86_400


def test_closing_a_deal_forgets_its_object(world: World) -> None:
    client = world.client(world.wallet())
    client.put(secrets.token_bytes(SIZE), "b/x")
    client.close_deal(1)
    assert client.ls() == []


def test_shares_are_refused_while_pending(world: World) -> None:
    client = world.client(world.wallet())
    client.put(b"small", "b/x")
    with pytest.raises(ConflictError, match="still pending"):
        client.share("b/x", client.recipient())
