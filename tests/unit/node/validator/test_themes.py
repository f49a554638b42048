"""Themes as a validator reads them: shared by all, refused where they cannot be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest

from freehold.domain.errors import UnavailableError
from freehold.domain.ids import Address, checksum, keccak
from freehold.ledger.values import Header
from freehold.node.validator.epochs import Epochs
from freehold.node.validator.ports import Chain
from freehold.node.validator.themes import Themes

EPOCHS = Epochs(1_000, 600)
NODE = checksum(bytes(20))


@dataclass
class Fake:
    """A chain with blocks at these times; ``down``: nobody answers."""

    times: list[int]
    down: bool = False
    sent: list[tuple[Address, int]] = field(default_factory=list)
    network: object = field(default_factory=lambda: SimpleNamespace(network_id=bytes(32)))

    def first_block(self, since: int) -> Header | None:
        if self.down:
            raise UnavailableError("no RPC answered", remedy="-")
        found = next((time for time in self.times if time >= since), None)
        if found is None:
            return None
        return Header(found, "0x" + keccak(found.to_bytes(8, "big")).hex(), "0x", found)

    def transfer(self, to: Address, wei: int, *, tag: str | None = None) -> None:
        self.sent.append((to, wei))


def themes(chain: Fake, *, subnet: int = 1, epochs: Epochs = EPOCHS) -> Themes:
    return Themes(cast("Chain", chain), subnet, NODE, epochs=epochs)


def drawn(found: Themes, epoch: int) -> int:
    made = found.of(epoch)
    assert made is not None
    return int(made.integers(2**63))


def test_all_validators_have_one_theme_whenever_they_ask() -> None:
    """Also after a restart, and where later blocks have come."""
    early, late = Fake([2_190, 2_205]), Fake([2_190, 2_205, 2_217, 2_400])
    kept = themes(early)
    assert drawn(kept, 2) == drawn(kept, 2) == drawn(themes(late), 2)
    assert drawn(themes(late, subnet=2), 2) != drawn(kept, 2)


def test_no_block_from_before_the_epoch_is_passed_off() -> None:
    resting = Fake([2_190, 2_199])
    assert themes(resting).of(2) is None


def test_a_chain_that_rests_is_woken_once_an_epoch() -> None:
    resting = Fake([2_199])
    found = themes(resting)
    assert found.of(2) is found.of(2) is None
    assert resting.sent == [(NODE, 0)]
    assert found.of(3) is None
    assert len(resting.sent) == 2
    resting.times.append(2_900)
    assert found.of(3) is not None
    assert len(resting.sent) == 2


def test_what_cannot_be_read_is_no_theme() -> None:
    with pytest.raises(UnavailableError):
        themes(Fake([2_205], down=True)).of(2)


def test_a_theme_settles_within_an_epoch_of_any_length() -> None:
    assert themes(Fake([])).settled == 36
    assert themes(Fake([]), epochs=Epochs(0, 86_400)).settled == 36
    assert themes(Fake([]), epochs=Epochs(0, 60)).settled == 3.75
