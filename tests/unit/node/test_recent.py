"""Answers of the chain that may be a few seconds old, also by a clock that jumps."""

from __future__ import annotations

from freehold.node.standing import Recent


class Hand:
    at = 1_000

    def now(self) -> int:
        return self.at


def test_an_answer_counts_for_so_long_and_not_after_the_clock_was_set_back() -> None:
    clock, asked = Hand(), list[int]()

    def ask(key: int) -> int:
        asked.append(key)
        return len(asked)

    recent = Recent(ask, seconds=10, clock=clock)
    for at, found in ((1_000, 1), (1_009, 1), (1_010, 2), (20, 3), (29, 3), (30, 4)):
        clock.at = at
        assert recent.get(7) == found
