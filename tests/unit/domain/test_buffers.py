"""Memory that is kept from one use to the next."""

from __future__ import annotations

from freehold.domain.buffers import Buffers


def fresh(size: int) -> memoryview:
    return memoryview(bytearray(size))


def test_a_buffer_that_was_given_back_is_taken_again() -> None:
    buffers = Buffers(fresh, kept=1)
    first = buffers.take(10)
    buffers.give(first)
    assert buffers.take(8) is first


def test_nobody_gets_what_another_holds_or_what_is_too_small() -> None:
    buffers = Buffers(fresh, kept=2)
    one, two = buffers.take(4), buffers.take(4)
    assert one is not two
    buffers.give(one)
    assert buffers.take(5).nbytes == 5


def test_only_the_largest_are_kept_and_none_after_clearing() -> None:
    buffers = Buffers(fresh, kept=1)
    small, large = buffers.take(1), buffers.take(9)
    buffers.give(large)
    buffers.give(small)
    assert buffers.take(1) is large
    buffers.give(large)
    buffers.clear()
    assert buffers.take(1) is not large
