"""A schedule with its parameters, as the issuance contract is deployed with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from freehold.domain.errors import UsageError
from freehold.economics.schedules import bittensor, filecoin, geometric, halving, ionet

EXPONENTIAL, GEOMETRIC, HALVING = 1, 2, 3
KINDS = {"exponential": EXPONENTIAL, "geometric": GEOMETRIC, "halving": HALVING}
AMOUNT_MAX = 2**96
STEPS_MAX = 2**20
STEP_MAX = 100 * 366 * 86_400
WINDOW_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Plan:
    """When how much may be minted; amounts in base units, times in seconds.

    ``limit`` bounds the whole schedule. Exponential (Filecoin): ``amount`` is the part by time,
    ``storage`` the part by storage and ``initial`` its first baseline in bytes. Geometric (io.net):
    ``amount`` is the first of ``steps`` steps of ``step`` seconds, ``factor`` in 10^-18, ``grain``
    what sums are rounded to. Halving (Bittensor): ``amount`` a block of ``step`` seconds out of
    ``limit``, both whole multiples of ``grain``.
    """

    kind: int
    limit: int
    amount: int
    storage: int = 0
    initial: int = 0
    step: int = filecoin.EPOCH_SECONDS
    factor: int = 0
    steps: int = 0
    grain: int = 1

    def __post_init__(self) -> None:
        fault = self._fault()
        if fault:
            raise UsageError(
                f"the schedule is not possible: {fault}",
                remedy="Start from a preset and change one figure at a time.",
            )

    def scheduled(self, seconds: int) -> int:
        """Base units that time alone allows ``seconds`` after genesis."""
        return min(self._scheduled(seconds), self.limit)

    def terms(self, *, budget: int, window: int) -> dict[str, int]:
        """The contract's ``Plan``, in its order.

        ``budget`` base units are reserved for allocators; a closed epoch can be drawn from for
        ``window`` epochs. UsageError where the contract would refuse them.
        """
        if not 0 <= budget < AMOUNT_MAX or not 0 < window <= WINDOW_MAX:
            raise UsageError(
                f"a budget of {budget} base units with a window of {window} epochs is not possible",
                remedy=f"Choose a budget below 2^96 and a window of 1 to {WINDOW_MAX} epochs.",
            )
        return {**asdict(self), "budget": budget, "window": window}

    def _scheduled(self, seconds: int) -> int:
        if self.kind == EXPONENTIAL:
            return filecoin.supply(filecoin.elapsed_theta(seconds), self.amount)
        whole, rest = divmod(seconds, self.step)
        done = self._sum(whole)
        return done + max(self._sum(whole + 1) - done, 0) * rest // self.step

    def _sum(self, steps: int) -> int:
        if self.kind == HALVING:
            amount, cap = self.amount // self.grain, self.limit // self.grain
            return halving.issued(amount=amount, cap=cap, blocks=steps) * self.grain
        steps = min(steps, self.steps)
        return geometric.issued(
            first=self.amount, factor=self.factor, steps=steps, grain=self.grain
        )

    def _fault(self) -> str:
        if self.kind not in KINDS.values():
            return f"no kind {self.kind}"
        amounts = (self.amount, self.storage, self.initial)
        if not 0 < self.limit < AMOUNT_MAX or not all(0 <= n < AMOUNT_MAX for n in amounts):
            return "an amount is not between 0 and 2^96"
        if not 0 < self.step <= STEP_MAX or not 0 < self.grain <= self.limit:
            return "a step or a grain is out of bounds"
        if self.storage and self.kind != EXPONENTIAL:
            return "only an exponential schedule has a storage part"
        return {
            EXPONENTIAL: self._exponential_fault,
            GEOMETRIC: self._geometric_fault,
            HALVING: self._halving_fault,
        }[self.kind]()

    def _exponential_fault(self) -> str:
        if self.limit < self.amount + self.storage:
            return "the limit is below its two parts"
        return "a storage part needs a first baseline" if self.storage and not self.initial else ""

    def _geometric_fault(self) -> str:
        if not 0 < self.factor <= geometric.SCALE:
            return "a factor is above 0 and at most 10^18"
        return "" if 0 < self.steps < STEPS_MAX else "a schedule has 1 to 2^20 - 1 steps"

    def _halving_fault(self) -> str:
        uneven = self.limit % self.grain or self.amount % self.grain
        return "the limit and a block are whole grains" if uneven else ""


FILECOIN = Plan(
    kind=EXPONENTIAL,
    limit=filecoin.SIMPLE_TOTAL + filecoin.BASELINE_TOTAL,
    amount=filecoin.SIMPLE_TOTAL,
    storage=filecoin.BASELINE_TOTAL,
    initial=filecoin.BASELINE_INITIAL,
)
IONET = Plan(
    kind=GEOMETRIC,
    limit=ionet.EMISSION_IO * ionet.NATIVE,
    amount=ionet.FIRST,
    step=ionet.STEP_SECONDS,
    factor=ionet.FACTOR,
    steps=ionet.MONTHS,
    grain=ionet.NATIVE,
)
BITTENSOR = Plan(
    kind=HALVING,
    limit=bittensor.CAP_RAO * bittensor.NATIVE,
    amount=bittensor.BLOCK_RAO * bittensor.NATIVE,
    step=bittensor.BLOCK_SECONDS,
    grain=bittensor.NATIVE,
)
PRESETS = {"filecoin": FILECOIN, "ionet": IONET, "bittensor": BITTENSOR}
