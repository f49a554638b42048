"""What the events of an economy come to, kept by an own hand, and what every transaction obeys."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from contracts.economy import EPOCH, PER_TOKEN, SHARE_BPS, Economy, Heard
from contracts.evm import ZERO, Event
from contracts.market import GENESIS, PERIOD
from contracts.world import TOKEN, treasury

PURPOSE_FEE = 5


@dataclass(slots=True)
class Terms:
    """A rail as it was opened: who, in what, at which scaled rate, after how many good rounds."""

    token: str
    payer: str
    payee: str
    market: str
    good: Counter[int]
    seconds: int = 0
    until: int = 0
    set_id: int = 0


@dataclass(slots=True)
class Lot:
    """Shares that somebody brought at one moment, and whether they do not earn yet."""

    came: int
    shares: int
    waits: bool


@dataclass(slots=True)
class Books:
    """Sums over all events so far; amounts in base units."""

    places: dict[str, str]  # name of a contract by its address
    wallets: Counter[str] = field(default_factory=Counter)
    funds: Counter[tuple[str, str]] = field(default_factory=Counter)
    foreign_fees: int = 0
    donated: Counter[str] = field(default_factory=Counter)
    rails: dict[int, Terms] = field(default_factory=dict)
    sets: dict[str, int] = field(default_factory=dict)
    good: Counter[int] = field(default_factory=Counter)
    work: Counter[tuple[int, int]] = field(default_factory=Counter)  # by set and epoch
    proven: set[tuple[int, int]] = field(default_factory=set)
    stakes: Counter[str] = field(default_factory=Counter)
    lots: dict[tuple[str, str], list[Lot]] = field(default_factory=lambda: defaultdict(list))
    generations: Counter[str] = field(default_factory=Counter)
    earned: dict[tuple[str, str], Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    taken: Counter[tuple[str, str]] = field(default_factory=Counter)
    rewards_held: int = 0
    bookings: int = 0
    budgets: list[int] = field(default_factory=list)
    drawn: Counter[tuple[int, str]] = field(default_factory=Counter)
    vested: Counter[int] = field(default_factory=Counter)
    granted: int = 0
    funded: int = 0
    epochs: dict[int, tuple[int, int]] = field(default_factory=dict)  # weight and emission
    rewarded: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    unclaimed: dict[int, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    handed: dict[int, list[int]] = field(default_factory=dict)  # epochs that a claim pays, by set
    waits: dict[int, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))  # by set
    claimed: Counter[str] = field(default_factory=Counter)
    now: int = 0

    @classmethod
    def of(cls, economy: Economy) -> Books:
        """The books of a network that nothing has happened in."""
        return cls({each.address: each.name for each in economy.contracts})

    def hear(self, heard: Heard, economy: Economy) -> None:
        """A transaction, with the contracts as they stand after it."""
        self.now = heard.at
        self._check_transfers(heard)
        self._check_staking(heard)
        self._check_owners(heard)
        for event in heard.outcome.events:
            handler = f"_{self.places.get(event.address)}_{event.name.lower()}"
            if handler == "_staking_rewarded":
                self._reward(event, economy)
            elif handler == "_staking_slashed":
                self._slash(event, economy)
            elif handler == "_staking_unbonded":
                self._unbond(event, economy)
            elif found := getattr(self, handler, None):
                found(event)
        if heard.to == economy.world.token.address:
            for event in self._of(heard, "token", "Transfer"):
                if event.receiver in self.places:
                    self.donated[event.receiver] += event.value

    # Laws of one transaction

    def _of(self, heard: Heard, contract: str, *names: str) -> list[Event]:
        return [
            event
            for event in heard.outcome.events
            if self.places.get(event.address, "") == contract and event.name in names
        ]

    def _check_transfers(self, heard: Heard) -> None:
        """Nobody's tokens leave but the sender's and those in the contracts, and what passes a
        contract is told as a movement."""
        transfers = self._of(heard, "token", "Transfer")
        for event in transfers:
            mine = event.sender in (ZERO, heard.sender) or event.sender in self.places
            assert mine or event.value == 0
        if self.places.get(heard.to, "") == "token":
            return
        moved = Counter((e.sender, e.receiver, e.value) for e in transfers)
        token = [each for each, name in self.places.items() if name == "token"]
        told = Counter(
            (e.sender, e.recipient, e.amount)
            for e in heard.outcome.events
            if e.name == "Movement" and e.args.token in token
        )
        assert moved <= told

    def _check_staking(self, heard: Heard) -> None:
        """What enters the stake is staked or given; what leaves it is slashed, withdrawn or
        claimed; a slash arrives whole."""
        place = next(each for each, name in self.places.items() if name == "staking")
        transfers = self._of(heard, "token", "Transfer")
        into = [e for e in transfers if e.receiver == place]
        outof = [e for e in transfers if e.sender == place]
        if heard.to in self.places and self.places[heard.to] != "token":
            assert total(into) == amounts(self._of(heard, "staking", "Staked", "Rewarded"))
        leaving = self._of(heard, "staking", "Slashed", "Withdrawn", "RewardsClaimed")
        assert total(outof) == amounts(leaving)
        slashes = self._of(heard, "staking", "Slashed")
        for slash in slashes:
            assert slash.amount == slash.victim_amount + slash.bounty + slash.burned
        burned = total([e for e in outof if e.receiver == ZERO])
        assert burned == sum(slash.burned for slash in slashes)
        for name, part in (("victim", "victim_amount"), ("reporter", "bounty")):
            for slash in slashes:
                arrived = total([e for e in outof if e.receiver == slash.args[name]])
                assert arrived >= slash.args[part]

    def _check_owners(self, heard: Heard) -> None:
        """Stake, rewards and funds leave by their owner alone; contracts may own funds."""
        mine = ("Staked", "Unbonded", "NoticeSet", "Withdrawn", "RewardsClaimed")
        for event in self._of(heard, "staking", *mine):
            assert event.staker == heard.sender
        for name, owner in (("Withdrawn", "owner"), ("Sent", "sender")):
            for event in self._of(heard, "payments", name):
                assert event.args[owner] == heard.sender or event.args[owner] in self.places

    # Sums

    def _token_transfer(self, event: Event) -> None:
        self.wallets[event.sender] -= event.value
        self.wallets[event.receiver] += event.value

    def _payments_deposited(self, event: Event) -> None:
        self.funds[event.args.token, event.owner] += event.amount

    def _payments_withdrawn(self, event: Event) -> None:
        self.funds[event.args.token, event.owner] -= event.amount

    def _payments_sent(self, event: Event) -> None:
        self.funds[event.args.token, event.sender] -= event.amount
        self.funds[event.args.token, event.recipient] += event.amount

    def _payments_collected(self, event: Event) -> None:
        self.funds[event.args.token, event.payer] -= event.amount
        self.funds[event.args.token, event.market] += event.amount

    def _payments_railopened(self, event: Event) -> None:
        terms = (event.args.token, event.payer, event.payee, event.market)
        self.rails[event.rail] = Terms(*terms, good=Counter(self.good))

    def _faults_nodejoined(self, event: Event) -> None:
        self.sets[event.node] = event.set_id

    def _storage_columnopened(self, event: Event) -> None:
        self.rails[event.rail].set_id = self.sets[event.node]

    def _payments_railsettled(self, event: Event) -> None:
        """A period is paid once: time only goes on, and no second is paid without a good round."""
        rail = self.rails[event.rail]
        assert event.until > rail.until
        rail.until = event.until
        rail.seconds += event.seconds
        answered = self.good[rail.set_id] - rail.good[rail.set_id]
        assert rail.seconds <= PERIOD * answered
        self.funds[rail.token, rail.payer] -= event.paid
        self.funds[rail.token, rail.payee] += event.paid - event.fee
        if self.places.get(rail.token) is None:
            self.foreign_fees += event.fee

    def _payments_movement(self, event: Event) -> None:
        if event.purpose == PURPOSE_FEE:
            if event.recipient == treasury.address:
                self.funds[event.args.token, treasury.address] += event.amount
            elif self.places.get(event.sender, "") == "payments":
                self.foreign_fees -= event.amount

    def _pdp_proven(self, event: Event) -> None:
        """A round is answered once."""
        assert (event.set_id, event.round) not in self.proven
        self.proven.add((event.set_id, event.round))
        self.good[event.set_id] += event.in_time
        epoch = (self.now - GENESIS) // EPOCH
        self.work[event.set_id, epoch] += event.span * PERIOD >> 15

    def _staking_staked(self, event: Event) -> None:
        self.stakes[event.node] += event.amount
        lot = Lot(self.now, event.shares, event.waits)
        self.lots[event.staker, event.node].append(lot)

    def _unbond(self, event: Event, economy: Economy) -> None:
        """The newest leaves first."""
        lots = self.lots[event.staker, event.node]
        left = economy.world.staking.call("shares_of", event.staker, event.node)
        while (leaving := sum(lot.shares for lot in lots) - left) > 0:
            lots[-1].shares -= min(leaving, lots[-1].shares)
            if lots[-1].shares == 0:
                lots.pop()

    def _staking_withdrawn(self, event: Event) -> None:
        self.stakes[event.node] -= event.amount

    def _slash(self, event: Event, economy: Economy) -> None:
        """A pool slashed to nothing takes its lots along; who joins in the same transaction does so
        after it."""
        self.stakes[event.node] -= event.amount
        pool = economy.world.staking.call("active_pool", event.node)
        if pool.generation != self.generations[event.node]:
            self.generations[event.node] = pool.generation
            for (_, node), lots in self.lots.items():
                if node == event.node:
                    lots.clear()

    def _staking_admitted(self, event: Event) -> None:
        waiting = [lot for _, lot in self.behind(event.node) if lot.waits]
        assert sum(lot.shares for lot in waiting) == event.shares > 0
        for lot in waiting:
            lot.waits = False

    def behind(self, node: str) -> list[tuple[str, Lot]]:
        """What is staked behind a node, with whose it is."""
        return [(who, lot) for (who, at), lots in self.lots.items() if at == node for lot in lots]

    def _reward(self, event: Event, economy: Economy) -> None:
        """A reward is split by the shares that earn, the owner's commission first; of a reward for
        work none has come after its first epoch began."""
        terms = economy.world.staking.call("commission", event.node).bps
        earning = [(who, lot) for who, lot in self.behind(event.node) if not lot.waits]
        whole = sum(lot.shares for _, lot in earning)
        assert event.commission in (0, event.amount * terms // 10_000) or not whole
        assert whole or event.commission == event.amount
        if self.places.get(event.payer, "") == "rewards":
            began = GENESIS + min(self.handed.pop(self.sets[event.node])) * EPOCH
            assert all(lot.came <= began for _, lot in earning)
        self.rewards_held += event.amount
        self.bookings += 1
        self.earned[event.owner, event.node] += event.commission
        for who, lot in earning:
            part = Fraction((event.amount - event.commission) * lot.shares, whole)
            self.earned[who, event.node] += part

    def _staking_rewardsclaimed(self, event: Event) -> None:
        self.rewards_held -= event.amount
        self.taken[event.staker, event.node] += event.amount

    def _issuance_epochclosed(self, event: Event) -> None:
        assert event.epoch == len(self.budgets)
        self.budgets.append(event.budget)

    def _issuance_drawn(self, event: Event) -> None:
        self.drawn[event.epoch, event.to] += event.amount

    def _issuance_vested(self, event: Event) -> None:
        self.vested[event.allocation] += event.amount

    def _issuance_granted(self, event: Event) -> None:
        self.granted += event.amount

    def _roots_funded(self, event: Event) -> None:
        self.funded += event.amount

    def _rewards_epochclosed(self, event: Event) -> None:
        assert event.epoch not in self.epochs
        ceiling = event.weight * SHARE_BPS * TOKEN
        assert event.emitted * 10_000 * PER_TOKEN <= ceiling
        self.epochs[event.epoch] = (event.weight, event.emitted)

    def _rewards_rewarded(self, event: Event) -> None:
        """A node's work of an epoch is paid once, no more than it proved in it, and all of an epoch
        within what it emitted."""
        account = event.args.account
        key = (account, event.epoch)
        assert key not in self.rewarded
        assert event.weight <= self.work[key]
        assert self.waits[account].pop(event.epoch, event.weight) == event.weight
        self.rewarded[key] = (event.weight, event.amount)
        if event.amount:
            self.unclaimed[account][event.epoch] = event.amount
        same = [found for (_, epoch), found in self.rewarded.items() if epoch == event.epoch]
        weight, emitted = self.epochs[event.epoch]
        assert sum(work for work, _ in same) <= weight
        assert sum(amount for _, amount in same) <= emitted

    def _rewards_workwaits(self, event: Event) -> None:
        self.waits[event.args.account][event.epoch] = event.weight

    def _rewards_claimed(self, event: Event) -> None:
        """A claim pays what was rewarded since the last, all of it; to which the next reward of the
        stake owes its age."""
        paid = self.unclaimed.pop(event.args.account)
        assert event.amount == sum(paid.values())
        self.handed[event.args.account] = [*paid]
        self.claimed[event.payee] += event.amount


def total(transfers: Iterable[Event]) -> int:
    """The sum of transfers."""
    return sum(int(event.value) for event in transfers)


def amounts(events: Iterable[Event]) -> int:
    """The sum of amounts."""
    return sum(int(event.amount) for event in events)
