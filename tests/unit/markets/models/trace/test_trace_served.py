"""What is served is read back exactly, or refused."""

from __future__ import annotations

from random import Random

import pytest

from freehold.domain.errors import IntegrityError, UsageError
from freehold.markets.models.trace.batch import Bundle, bundle
from freehold.markets.models.trace.build import build
from freehold.markets.models.trace.claims import first_difference, growth
from freehold.markets.models.trace.merkle import Merkle
from freehold.markets.models.trace.served import MAGIC, read, serve
from freehold.markets.models.trace.values import pack, unpack
from unit.markets.models.trace.chance import Competition

GENESIS = 1_800_000_000


@pytest.fixture(scope="module")
def batch() -> Bundle:
    """Two subnets in their third epoch."""
    made = []
    for place in range(2):
        competition, past = Competition(Random(7 + place), place + 1, GENESIS), None
        competition.begin()
        for epoch in range(3):
            past = build(competition.facts(epoch, epoch), past)
        assert past is not None
        made.append(past)
    return bundle(made)


def test_what_is_served_is_what_was_built(batch: Bundle) -> None:
    served = read(serve(batch), batch.batch.hash())
    assert served.batch == batch.batch
    assert served.pays == batch.pays
    assert [each.trace for each in served.traces] == [built.trace for built in batch.traces]
    assert [each.leaves for each in served.traces] == [built.leaves for built in batch.traces]
    assert first_difference(batch, served) is None


def test_every_byte_counts(batch: Bundle) -> None:
    data, name, pick = serve(batch), batch.batch.hash(), Random(3)
    for at in [*range(len(MAGIC) + 160), *(pick.randrange(len(data)) for _ in range(300))]:
        changed = bytearray(data)
        changed[at] ^= 1 << pick.randrange(8)
        with pytest.raises(IntegrityError):
            read(bytes(changed), name)


def test_nothing_missing_and_nothing_left_over(batch: Bundle) -> None:
    data, name, pick = serve(batch), batch.batch.hash(), Random(4)
    for end in [0, 1, len(MAGIC), len(data) - 1, *(pick.randrange(len(data)) for _ in range(60))]:
        with pytest.raises(IntegrityError):
            read(data[:end], name)
    with pytest.raises(IntegrityError, match="follows its end"):
        read(data + b"\0", name)
    with pytest.raises(IntegrityError, match="not what the root names"):
        read(data, bytes(32))


def test_an_endless_list_is_not_read() -> None:
    with pytest.raises(IntegrityError):
        read(MAGIC + b"\xff" * 32 * 5, bytes(32))


def test_what_a_root_pays_besides_its_batch(batch: Bundle) -> None:
    due = {pay.account: pay.before + pay.grains for pay in batch.pays}
    assert growth({}, batch, due) is None
    first = min(due)
    for wrong in (due | {first: due[first] + 1}, {k: v for k, v in due.items() if k != first}):
        claim = growth({}, batch, wrong)
        assert claim is not None
        assert (claim.kind, claim.account) == ("growth", first)


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_vectors_are_packed_from_the_lowest_bits(bits: int) -> None:
    values = [Random(bits).getrandbits(bits) for _ in range(37)]
    words = pack(values, bits)
    assert unpack(words, bits)[:37] == values
    assert not any(unpack(words, bits)[37:])
    assert words[0] & (1 << bits) - 1 == values[0]
    assert pack([], bits) == ()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13])
def test_paths_lead_to_the_root(count: int) -> None:
    from freehold.domain.ids import keccak

    leaves = [bytes([k]) * 32 for k in range(count)]
    tree = Merkle.of(leaves)
    for index, leaf in enumerate(leaves):
        node = leaf
        for level, beside in enumerate(tree.path(index)):
            node = keccak(beside + node if index >> level & 1 else node + beside)
        assert node == tree.root
        assert len(tree.path(index)) == (count - 1).bit_length()


def test_a_claim_of_nothing_is_refused(batch: Bundle) -> None:
    from freehold.economics.trees import GRAIN, Tree
    from freehold.markets.models.trace.claims import Claim
    from freehold.markets.models.trace.proofs import Case
    from freehold.markets.models.trace.values import NOBODY, Header

    header = Header(2, 0, 0, 0, 0, 0, batch.batch.hash(), NOBODY, 0, 0)
    tree = Tree.of({pay.account: GRAIN for pay in batch.pays})
    case = Case(header, read(serve(batch), header.data), batch, tree)
    with pytest.raises(UsageError, match="nothing is called"):
        case.proof(Claim("weather"))
