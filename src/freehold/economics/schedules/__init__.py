"""How much a network may mint by when, in the integers that the issuance contract computes."""

from freehold.economics.schedules import bittensor, filecoin, ionet
from freehold.economics.schedules.plan import PRESETS, Plan
from freehold.economics.schedules.progress import Progress
from freehold.economics.schedules.split import Share
from freehold.economics.schedules.vesting import Allocation, Part

__all__ = [
    "PRESETS",
    "Allocation",
    "Part",
    "Plan",
    "Progress",
    "Share",
    "bittensor",
    "filecoin",
    "ionet",
]
