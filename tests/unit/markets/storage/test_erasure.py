from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import IntegrityError, NotEnoughShardsError, UsageError
from freehold.markets.storage import galois
from freehold.markets.storage.erasure import PRESETS, Code

codes = st.sampled_from([*PRESETS, (1, 1), (1, 3), (3, 3), (2, 5)]).map(lambda kn: Code(*kn))


@settings(deadline=None)
@given(st.data(), codes, st.binary(max_size=700))
def test_any_k_shards_give_the_data_back(data: st.DataObject, code: Code, text: bytes) -> None:
    shards = code.encode(text)
    assert len(shards) == code.n
    assert all(len(shard) == code.shard_length(len(text)) for shard in shards)
    kept = data.draw(st.permutations(range(code.n)))[: code.k]
    assert code.decode({i: shards[i] for i in kept}, len(text)) == text


@settings(deadline=None)
@given(st.data(), codes, st.binary(min_size=1, max_size=700))
def test_a_lost_shard_comes_back_bit_for_bit(data: st.DataObject, code: Code, text: bytes) -> None:
    shards = code.encode(text)
    lost = data.draw(st.integers(0, code.n - 1))
    others = [i for i in range(code.n) if i != lost]
    kept = data.draw(st.permutations(others))[: code.k]
    if len(kept) == code.k:
        assert code.rebuild({i: shards[i] for i in kept}, lost) == shards[lost]


@pytest.mark.parametrize(("k", "n"), PRESETS)
def test_shards_are_the_same_on_every_kernel(k: int, n: int) -> None:
    data = bytes(range(256)) * 11
    plain = Code(k, n, galois.NumpyKernel()).encode(data)
    assert [bytes(s) for s in plain] == [bytes(s) for s in Code(k, n).encode(data)]


@pytest.mark.parametrize(
    ("k", "n", "digest"),
    [
        (4, 6, "05b7eac036bdac11adbaacd8595e228b"),
        (10, 14, "0134782352e65fe916b73206bb2e5e89"),
        (20, 30, "280d2a3d2155a60c7a1e399928118189"),
    ],
)
def test_shards_never_change_between_releases(k: int, n: int, digest: str) -> None:
    """A column written years ago is regenerated bit for bit: its PieceCID is on the chain."""
    shards = Code(k, n).encode(bytes(range(251)) * 41)
    assert sha256(b"".join(shards)).hexdigest()[:32] == digest


@pytest.mark.parametrize(("k", "n"), PRESETS)
def test_parity_is_that_of_another_implementation(k: int, n: int) -> None:
    iface = pytest.importorskip("pyeclib.ec_iface", reason="pyeclib has no wheel here")
    driver = iface.ECDriver(k=k, m=n - k, ec_type="isa_l_rs_cauchy")
    data = bytes(range(256)) * 2 * k
    fragments = driver.encode(data)
    assert [bytes(s) for s in Code(k, n).encode(data)] == [f[-512:] for f in fragments]


def test_data_shards_are_views_of_the_data() -> None:
    data = bytes(64)
    assert [shard.obj is data for shard in Code(4, 6).encode(data)] == [True] * 4 + [False] * 2


def test_a_healthy_read_computes_nothing() -> None:
    class Refusing(galois.NumpyKernel):
        def combine(self, rows: object, sources: object, outputs: object) -> None:
            raise AssertionError("a kernel was called")

    shards = dict(enumerate(Code(4, 6).encode(b"healthy data")))
    assert Code(4, 6, Refusing()).decode(shards, 12).tobytes() == b"healthy data"


@pytest.mark.parametrize(("k", "n"), [(0, 1), (3, 2), (1, 33), (-1, 5), (20, 2**31)])
def test_impossible_codes_are_refused(k: int, n: int) -> None:
    with pytest.raises(UsageError):
        Code(k, n)


def test_too_few_shards_are_refused() -> None:
    code = Code(4, 6)
    shards = code.encode(b"some data here")
    with pytest.raises(NotEnoughShardsError):
        code.decode({i: shards[i] for i in (0, 2, 5)}, 14)
    with pytest.raises(NotEnoughShardsError, match="only 3"):
        code.rebuild({i: shards[i] for i in (0, 1, 2, 3)}, 3)
    with pytest.raises(NotEnoughShardsError):
        code.rebuild({}, 3)


def test_a_shard_of_the_wrong_length_is_refused() -> None:
    code = Code(2, 3)
    shards = dict(enumerate(code.encode(b"abcd")))
    with pytest.raises(IntegrityError, match="shard 1 has 1 bytes"):
        code.decode({**shards, 1: b"x"}, 4)
    with pytest.raises(IntegrityError, match="not 2"):
        code.rebuild({**shards, 1: b"xyz"}, 2)


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_outside_the_code_is_refused(index: int) -> None:
    code = Code(2, 3)
    with pytest.raises(UsageError):
        code.decode({0: b"ab", index: b"cd"}, 4)
    with pytest.raises(UsageError):
        code.rebuild({0: b"ab", 1: b"cd"}, index)


@pytest.mark.parametrize(("k", "n"), [(1, 1), (4, 6), (10, 14)])
def test_parts_of_shards_are_the_same_shards(k: int, n: int) -> None:
    code, data = Code(k, n), bytes(range(250)) * 2 * k
    spare = memoryview(bytearray(70))
    for index, shard in enumerate(code.encode(data)):
        parts = [
            bytes(code.part(memoryview(data), index, slice(at, min(at + 70, 500)), spare))
            for at in range(0, 500, 70)
        ]
        assert b"".join(parts) == bytes(shard)
