"""How a client behaves."""

from __future__ import annotations

from dataclasses import dataclass, field

from freehold.client.connection import Timeouts
from freehold.client.packer import Limits
from freehold.client.quote import Policy
from freehold.client.retrieval import Budget
from freehold.client.session import Retry
from freehold.domain.keys import Key
from freehold.markets.storage.erasure import PRESETS
from freehold.markets.storage.seal import SEGMENT_LENGTH

Preset = tuple[int, int]
"""(k, n): any k of n columns give the object back."""
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes in bytes, ``term`` in seconds.

    Objects up to ``pack_below`` bytes wait for a pack. Older versions of a name are closed when
    a newer one is stored, unless ``keep_versions``. Requests to nodes are signed by
    ``session_key`` where there is one; the account must have listed it in the registry.
    """

    preset: Preset = PRESETS[0]
    term: int = 30 * DAY
    pack_below: int = 256 * 2**10
    segment_length: int = SEGMENT_LENGTH
    keep_versions: bool = False
    policy: Policy = field(default_factory=Policy)
    budget: Budget = field(default_factory=Budget)
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry: Retry = field(default_factory=Retry)
    session_key: Key | None = None
