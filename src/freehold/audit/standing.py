"""The arithmetic of a reward root: an account's leaf, the sums on its path, and the claim."""

from __future__ import annotations

from collections.abc import Iterator

from freehold.audit import frauds
from freehold.audit.events import Event
from freehold.audit.frauds import Header, Proof
from freehold.audit.leaves import STAKING
from freehold.audit.payout import Payout, Step, where
from freehold.audit.roots import PRIZES, REWARD, ROOTS, Roots
from freehold.audit.world import Models
from freehold.domain.ids import Address
from freehold.economics.trees import GRAIN, MAX_SUM


class Standing:
    """Hears of the root that covers an epoch, and of an account's claims once it is final."""

    def __init__(self, account: Address, epoch: int, *, place: str = ROOTS) -> None:
        self._account, self._epoch, self._place = account, epoch, place
        self._header: Header | None = None
        self._final = False
        self._steps: list[Step] = []
        self._paid = 0

    def see(self, event: Event, models: Models) -> None:
        """Take an event that the models have re-run."""
        roots = models.economy.paying.get(self._place)
        if roots is None or event.contract not in (self._place, STAKING):
            return
        if event.contract == STAKING:
            self._see_shared(event, roots)
        elif event.name == "Proposed":
            self._see_root(event, roots.headers[roots.tip])
        elif self._header is None:
            return
        elif event.name == "Voided" and event.number("position") <= self._header.position:
            self._header, self._steps = None, []
        elif event.name == "Finalized" and event.number("position") == self._header.position:
            self._final = True
            self._steps.append(Step("final", "", self._header.total, where(event)))
        elif event.name == "Movement" and event.number("purpose") == REWARD and self._final:
            self._see_claim(event, self._header, roots, event.text("recipient"))

    def payouts(self, models: Models, now: int) -> Iterator[Payout]:
        """What the account got under the root, or why nothing; at a moment."""
        roots, header = models.economy.paying.get(self._place), self._header
        if roots is None:
            return
        name, reason = str(self._account), self._reason(roots, now)
        if header is not None:
            name = f"{name} in the root of epochs {header.since} to {header.epoch}"
        if self._place == PRIZES:
            name = f"{name}, for models"
        yield Payout(name, self._epoch, self._paid, self._paid, reason, tuple(self._steps))

    def _see_root(self, event: Event, header: Header) -> None:
        if header.since <= self._epoch <= header.epoch:
            self._header = header
            name = f"grains of all {header.count} accounts"
            self._steps.append(Step(name, f"{header.root} % 2**64", header.total, where(event)))

    def _see_shared(self, event: Event, roots: Roots) -> None:
        """A claim that went to the stake behind the node."""
        ours = event.name == "Rewarded" and roots.pays(event)
        if self._header is not None and self._final and ours:
            self._see_claim(event, self._header, roots, "the stake behind it")

    def _see_claim(self, event: Event, header: Header, roots: Roots, to: str) -> None:
        account, grains = roots.leaves.latest
        if account != self._account:
            return
        found = frauds.claim_of(event.transaction, account, grains)
        under = "some root" if found is None else f"the root of epoch {found[0]}"
        if found is not None and found[0] == header.epoch and found[1] is not None:
            self._steps += _climb(found[1])
        else:
            self._steps.append(Step(f"leaf in {under}, grains", "", grains))
        amount = event.number("amount")
        before = grains - amount // GRAIN
        rule = f"({grains} - {before} paid before) * {GRAIN}"
        self._steps.append(Step(f"claim to {to}", rule, amount, where(event)))
        self._paid += amount

    def _reason(self, roots: Roots, now: int) -> str:
        header = self._header
        if header is None:
            over = now >= roots.genesis + (self._epoch + 1) * roots.epoch_length
            return "no root covers the epoch yet" if over else "the epoch runs"
        if not self._final:
            return "its root is not final yet"
        if self._paid:
            return ""
        return f"no claim; whether it has a leaf, the data 0x{header.data.hex()} tell"


def _climb(proof: Proof) -> Iterator[Step]:
    """A leaf, and the sums on the way from it to the root."""
    yield Step(f"leaf {proof.index}: all that it ever earned, grains", "", proof.leaf.grains)
    total = proof.leaf.grains
    for level, beside in enumerate(proof.path):
        side = "left" if proof.index >> level & 1 else "right"
        rule = f"{total} + {beside & MAX_SUM} on the {side}"
        total += beside & MAX_SUM
        yield Step(f"sum at level {level + 1}", rule, total)
