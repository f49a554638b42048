"""All models of a network together: which event goes where, and what must hold between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from freehold.audit.accounts import Account
from freehold.audit.balances import Balances
from freehold.audit.beacon import Beacon
from freehold.audit.blocks import Block
from freehold.audit.burns import Burns
from freehold.audit.claims import Claim, Question, plain
from freehold.audit.deals import Deals
from freehold.audit.deployment import Deployment, integer
from freehold.audit.economy import Economy
from freehold.audit.events import Event, Reader
from freehold.audit.faults import Faults
from freehold.audit.headers import Header
from freehold.audit.modeling import Modeling
from freehold.audit.payments import Payments
from freehold.audit.proofs import Proofs
from freehold.audit.rails import Arbiter
from freehold.audit.registry import Registry
from freehold.audit.report import Place, Spot
from freehold.audit.sensing import Sensing
from freehold.audit.stakes import Stakes
from freehold.domain.ids import Address, raw_address
from freehold.domain.network import Network
from freehold.ledger.values import Value

MAX_EARLY = 10_000
ACCOUNT = ("funds", "lockup", "lockup_rate", "settled_at")


class World:
    """The network as its rules make it, block by block; Differs where the chain tells otherwise."""

    def __init__(
        self, network: Network, counts: Counter[str], observer: Observer | None = None
    ) -> None:
        self._observer = observer
        self._network = network
        self._counts = counts
        self._reader = Reader(network)
        self.contracts = frozenset(raw_address(at) for at in network.contracts.values())
        self._deployment = Deployment(network, counts)
        self._models: Models | None = None
        self._early: list[Event] = []
        self.head: Header | None = None

    @property
    def models(self) -> Models:
        """The models; Differs where a contract's creation is not in the export."""
        if self._models is None:
            self._deployment.check_all()
            self._deployment.check_parameters()
            self._models = Models(self._network, self._deployment.arguments, self._counts)
        return self._models

    def see(self, block: Block) -> None:
        """Re-run a block."""
        self.head = block.header
        self._deployment.see(block)
        if self._models is None and not self._deployment.complete:
            self._early.extend(self._reader.read(block))
            if len(self._early) > MAX_EARLY:
                self._deployment.check_all()
            return
        models = self.models
        early, self._early = self._early, []
        models.beacon.see(block.header)
        models.run([*early, *self._reader.read(block)], self._told(block, models))
        models.check(block)

    def _told(self, block: Block, models: Models) -> Callable[[Event], None]:
        observer = self._observer
        if observer is None:
            return lambda _: None
        return lambda event: observer(event, block, models)

    def check_claim(self, claim: Claim) -> None:
        """Differs unless the state that a contract claimed is the recomputed one."""
        head = self.head
        if head is None:
            raise claim.spot.differs("a block before the claim", expected="one", found="none")
        claim.spot.same("the block of the claim", expected=head.number, found=claim.block)
        expected = self.models.answer(claim.question, head.timestamp)
        found: object = claim.values
        if claim.question[:2] == ("payments", "account"):
            found = same_account(claim.values, head.timestamp)
        if expected is None and claim.question[:2] == ("storage", "deal"):
            return  # the client's request stands in no input that can be read: see the notes
        if expected is None:
            raise claim.spot.differs("the view", expected="one that is claimed", found=claim)
        claim.spot.same(str(claim), expected=plain(expected), found=found)
        self._counts["claims"] += 1

    def figures(self) -> dict[str, int]:
        """Sums that people ask for, base units and counts, as recomputed."""
        models = self._models
        if models is None:
            return {}
        failed = sum(node.failed for node in models.faults.nodes.values())
        return {
            "supply": models.balances.supply,
            "minted": models.balances.minted,
            "burned": models.balances.burned,
            "burned by registrations": models.registry.burned,
            "paid": models.payments.paid,
            "slashed": models.stakes.slashed,
            "staked": models.stakes.total,
            "nodes": len(models.faults.nodes),
            "nodes failed": failed,
            "bytes held": sum(node.size for node in models.faults.nodes.values()),
            "rounds": len(models.beacon.rounds),
            **models.economy.figures(),
            **models.sensing.figures(),
            **models.modeling.figures(),
        }

    def notes(self) -> list[str]:
        """What could not be checked, and why."""
        models = self._models
        if models is None:
            return []
        hidden = {
            "proofs": models.proofs.hidden, "requests or acceptances": models.deals.hidden,
            **models.economy.hidden(), **models.sensing.hidden(), **models.modeling.hidden(),
        }  # fmt: skip
        found = [
            f"{count} {what} were passed on by other contracts in a form that cannot be read"
            for what, count in hidden.items()
            if count
        ]
        return [*found, *models.economy.notes(), *models.sensing.notes()]


class Answers(Protocol):
    """A model that can say what a contract's views must say."""

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None:
        """The values of a view now; None for views that are not modelled."""


class Models:
    """Every model, built from the numbers fixed in the contracts' creations."""

    def __init__(
        self, network: Network, made: Callable[[str], Mapping[str, Value]], counts: Counter[str]
    ) -> None:
        at = network.contracts
        self.network = network
        self.burns = Burns()
        self.registry = Registry(
            made("registry"), contract=at["registry"], token=at["token"], burns=self.burns,
            counts=counts,
        )  # fmt: skip
        self.beacon = Beacon(
            genesis=integer(made("beacon"), "genesis"), period=integer(made("beacon"), "period"),
            grace=integer(made("beacon"), "grace"), contract=at["beacon"], counts=counts,
        )  # fmt: skip
        self.proofs = Proofs(
            beacon=self.beacon, challenges=integer(made("pdp"), "challenges"),
            window=integer(made("pdp"), "window"), counts=counts,
        )  # fmt: skip
        self.faults = Faults(network, beacon=self.beacon, proofs=self.proofs, counts=counts)
        self.stakes = Stakes(
            contract=at["staking"], counts=counts,
            unbonding=integer(made("staking"), "unbonding_period"),
        )  # fmt: skip
        self.stakes.slashers[at["faults"]] = self.faults
        self.stakes.payers[at["faults"]] = lambda _, moment: moment
        self.stakes.owner_of = self.registry.owner
        arbiters: dict[Address, Arbiter] = {}
        self.payments = Payments(network, arbiters=arbiters, counts=counts)
        self.deals = Deals(
            network, beacon=self.beacon, proofs=self.proofs, faults=self.faults,
            payments=self.payments, registry=self.registry, counts=counts,
        )  # fmt: skip
        arbiters[at["storage"]] = self.deals
        self.faults.column_of = self.deals.column_of
        self.balances = Balances(
            token=at["token"], payments=at["payments"], contracts=at.values(),
            cap=integer(made("token"), "cap"), counts=counts,
        )  # fmt: skip
        self.economy = Economy(
            network, made, balances=self.balances, payments=self.payments, proofs=self.proofs,
            registry=self.registry, stakes=self.stakes, burns=self.burns, counts=counts,
            set_of=self._set_of,
        )  # fmt: skip
        self.sensing = Sensing(
            network, made, beacon=self.beacon, registry=self.registry, stakes=self.stakes,
            economy=self.economy, burns=self.burns, counts=counts,
        )  # fmt: skip
        self.modeling = Modeling(
            network, made, registry=self.registry, stakes=self.stakes, economy=self.economy,
            burns=self.burns, counts=counts,
        )  # fmt: skip
        self._routes: dict[str, Callable[[Event], None]] = {
            "token": self._token, "registry": self.registry.apply, "staking": self._staking,
            "payments": self._payments, "beacon": self.beacon.apply, "pdp": self._pdp,
            "faults": self.faults.apply, "storage": self.deals.apply,
        }  # fmt: skip

    def run(
        self, events: Sequence[Event], observer: Callable[[Event], None] = lambda _: None
    ) -> None:
        """Re-run events in order, and close each transaction; ``observer`` hears of each."""
        for event, following in zip(events, [*events, None][1:], strict=True):
            if event.name == "Movement":
                self.balances.see_movement(event)
            route = self._routes.get(event.contract)
            if route is not None:
                route(event)
            self.economy.apply(event)
            self.sensing.apply(event)
            self.modeling.apply(event)
            observer(event)
            if following is None or following.place.transaction != event.place.transaction:
                self._finish(event)

    def check(self, block: Block) -> None:
        """Differs unless the contracts hold what they owe, at the end of a block."""
        if not block.full:
            return
        at, spot = self.network.contracts, Spot("solvency", Place(block.line, block.header.number))
        token = at["token"]
        owed = self.payments.accounts.totals.get(token, 0)
        covered = self.balances.of(at["payments"]) >= owed
        spot.same("payments holding what its accounts have", expected=True, found=covered)
        covered = self.balances.of(at["staking"]) >= self.stakes.held
        spot.same("staking holding all stake and rewards", expected=True, found=covered)
        self.economy.check(spot)
        if "subnet" in at:
            self.modeling.check(spot, self.balances.of(at["subnet"]))

    def answer(self, question: Question, moment: int) -> list[object] | None:
        """What a view must say at a moment; None for views that are not modelled."""
        contract, view, arguments = question
        if contract == "pdp":
            return self.proofs.answer(view, arguments, moment)
        if (contract, view) == ("registry", "price"):
            return [self.registry.price_at(moment)]
        if (contract, view) == ("payments", "account"):
            account = self.payments.accounts.get(str(arguments[0]), str(arguments[1]))
            return _account(account, moment)
        models: dict[str, Answers] = {
            "token": self.balances, "registry": self.registry, "staking": self.stakes,
            "payments": self.payments, "beacon": self.beacon, "faults": self.faults,
            "storage": self.deals,
        }  # fmt: skip
        found = models.get(contract)
        if found is not None:
            return found.answer(view, arguments)
        rest = (self.economy, self.sensing, self.modeling)
        return next((told for model in rest if (told := model.answer(question))), None)

    def _set_of(self, node: Address) -> int:
        found = self.faults.nodes.get(node)
        return 0 if found is None else found.set_id

    def _finish(self, event: Event) -> None:
        self.balances.finish(event.spot("balances"))
        self.payments.finish(event.spot("payments"))
        self.faults.finish(event)
        self.deals.finish(event)
        self.economy.finish(event)
        self.sensing.finish(event)
        self.modeling.finish(event)
        self.burns.clear()

    def _token(self, event: Event) -> None:
        self.balances.apply(event)
        self.payments.apply(event)
        if event.name == "Movement":
            self.burns.see(event)

    def _staking(self, event: Event) -> None:
        self.stakes.apply(event)
        faults = self.network.contracts["faults"]
        if event.name in ("Locked", "Unlocked"):
            self.faults.see_lock(event)
        elif event.name == "Slashed" and event.address("slasher") == faults:
            self.faults.see_slashed(event)

    def _payments(self, event: Event) -> None:
        self.payments.apply(event)
        self.deals.see_payment(event)

    def _pdp(self, event: Event) -> None:
        if event.name == "SetClosed":
            self.faults.see_closed(event)
        self.proofs.apply(event)


def _account(account: Account, moment: int) -> list[object]:
    """An account as its view shows it, charged up to a moment."""
    now = Account(account.funds, account.lockup, account.rate, account.settled_at)
    now.run(moment)
    values = (now.funds, now.lockup, now.rate, now.settled_at)
    return [dict(zip(ACCOUNT, values, strict=True))]


def same_account(values: Sequence[object], moment: int) -> object:
    """A claimed account, charged up to a moment: its contract writes that only when touched."""
    fields = values[0] if len(values) == 1 else None
    if not isinstance(fields, dict) or set(fields) != set(ACCOUNT):
        return values
    numbers = [n for n in (fields[name] for name in ACCOUNT) if isinstance(n, int)]
    return _account(Account(*numbers), moment) if len(numbers) == 4 else values


Observer = Callable[[Event, Block, Models], None]
"""Hears of every event once the models have re-run it."""
