"""What the events of an economy come to, kept by an own hand, and what every transaction obeys."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from contracts.economy import PER_TOKEN, SHARE_BPS, Economy, Heard
from contracts.evm import ZERO, Event
from contracts.market import PERIOD
from contracts.world import TOKEN, treasury

PURPOSE_FEE = 5
Shares = Mapping[tuple[str, str], int]


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
    work: Counter[int] = field(default_factory=Counter)  # told by proofs, by set
    proven: set[tuple[int, int]] = field(default_factory=set)
    stakes: Counter[str] = field(default_factory=Counter)
    shares: Counter[tuple[str, str]] = field(default_factory=Counter)
    left: set[tuple[str, str]] = field(default_factory=set)  # who has unbonded something
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
    claimed: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, economy: Economy) -> Books:
        """The books of a network that nothing has happened in."""
        return cls({each.address: each.name for each in economy.contracts})

    def hear(self, heard: Heard, economy: Economy, shares: Shares) -> None:
        """A transaction; `shares` are those of stakers as they stood before it."""
        self._check_transfers(heard)
        self._check_staking(heard)
        self._check_owners(heard)
        for event in heard.outcome.events:
            handler = f"_{self.places.get(event.address)}_{event.name.lower()}"
            if handler == "_staking_rewarded":
                self._reward(event, economy, shares)
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
            assert event.sender in (ZERO, heard.sender) or event.sender in self.places
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
        self.work[event.set_id] += event.span * PERIOD >> 15

    def _staking_staked(self, event: Event) -> None:
        self.stakes[event.node] += event.amount
        self.shares[event.staker, event.node] += event.shares

    def _staking_unbonded(self, event: Event) -> None:
        self.left.add((event.staker, event.node))

    def _staking_withdrawn(self, event: Event) -> None:
        self.stakes[event.node] -= event.amount

    def _staking_slashed(self, event: Event) -> None:
        self.stakes[event.node] -= event.amount

    def _reward(self, event: Event, economy: Economy, shares: Shares) -> None:
        """A reward is split by the shares of the moment, the owner's commission first."""
        terms = economy.world.staking.call("commission", event.node).bps
        assert event.commission in (0, event.amount, event.amount * terms // 10_000)
        self.rewards_held += event.amount
        self.bookings += 1
        self.earned[event.owner, event.node] += event.commission
        behind = {who: held for (who, node), held in shares.items() if node == event.node and held}
        for who, held in behind.items():
            part = Fraction((event.amount - event.commission) * held, sum(behind.values()))
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
        """A node's work of an epoch is paid once, and all of an epoch within what it emitted."""
        key = (event.args.account, event.epoch)
        assert key not in self.rewarded
        self.rewarded[key] = (event.weight, event.amount)
        paid = [work for (account, _), (work, _) in self.rewarded.items() if account == key[0]]
        assert sum(paid) <= self.work[key[0]]
        same = [found for (_, epoch), found in self.rewarded.items() if epoch == event.epoch]
        weight, emitted = self.epochs[event.epoch]
        assert sum(work for work, _ in same) <= weight
        assert sum(amount for _, amount in same) <= emitted

    def _rewards_claimed(self, event: Event) -> None:
        self.claimed[event.payee] += event.amount


def total(transfers: Iterable[Event]) -> int:
    """The sum of transfers."""
    return sum(int(event.value) for event in transfers)


def amounts(events: Iterable[Event]) -> int:
    """The sum of amounts."""
    return sum(int(event.amount) for event in events)
