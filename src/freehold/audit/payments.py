"""Rails, escrow, vouchers and fees run again in whole numbers, event by event.

Every settlement must equal the formula on the seconds that the arbiter's own recomputation
accepts; every fee its split; every opening the payer's consent (PROTOCOL.md, Money).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from freehold.audit import abi
from freehold.audit.accounts import Account, Accounts, check_solvent
from freehold.audit.events import Event
from freehold.audit.fees import Fees
from freehold.audit.rails import Arbiter, Rail, Settings
from freehold.audit.report import Spot
from freehold.domain.errors import AccessError
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.keys import recover
from freehold.domain.money import RATE_UNIT
from freehold.domain.network import Network
from freehold.domain.typed import VOUCHER

CHECK = "payments"
BPS = 10_000
FEE = 5
PAYMENT = 3


class Payments:
    """The payments contract's state, recomputed."""

    def __init__(
        self, network: Network, *, arbiters: Mapping[Address, Arbiter], counts: Counter[str]
    ) -> None:
        self._network = network
        self._token = network.contracts["token"]
        self._arbiters = arbiters
        self._counts = counts
        self.accounts = Accounts()
        self.rails: dict[int, Rail] = {}
        self.settings = Settings()
        self.fees = Fees(network.contracts.get("auction"))
        self.burned = 0
        self.burned_for: Counter[tuple[str, str]] = Counter()
        self.paid = 0
        self._kept = 0
        self._burning = 0
        self._markets: set[str] = set()
        self._named: set[str] = set()
        self._tokens: set[str] = set()
        self._handlers: dict[str, Callable[[Event], None]] = {
            "Deposited": self._deposited, "Withdrawn": self._withdrawn, "Sent": self._sent,
            "Collected": self._collected, "MarketApproved": self._approved,
            "RailOpened": self._opened, "RailModified": self._modified, "RailEnded": self._ended,
            "RailSettled": self._settled, "RailClosed": self._closed, "FixedPaid": self._fixed,
            "VoucherOpened": self._voucher_opened, "VoucherRedeemed": self._redeemed,
            "VoucherClosing": self._voucher_closing, "VoucherClosed": self._voucher_closed,
            "Movement": self._moved, "TokenSet": self._token_set, "MarketSet": self._market_set,
            "FeesSet": self._fees_set, "DelaysSet": self._delays_set,
            "TreasurySet": self._treasury_set, "AuctionSet": self.fees.name_auction,
        }  # fmt: skip

    def apply(self, event: Event) -> None:
        """Re-run an event of the contract, or a burn by it of the network's token."""
        if event.contract == "token":
            if event.name == "Transfer" and self._burns(event):
                self._burning += event.number("value")
            return
        handler = self._handlers.get(event.name)
        if handler is not None:
            handler(event)

    def finish(self, spot: Spot) -> None:
        """Differs where a transaction left a fee behind that no payment explains."""
        spot.same("fees without a payment", expected=(0, 0), found=(self._kept, self._burning))

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        if view == "rail" and isinstance(arguments[0], int):
            return [self.rails[arguments[0]].shown()]
        if view == "fees":
            return [self.fees.kept.get(str(arguments[0]), 0)]
        return [self.fees.auction] if view == "auction" else None

    # Accounts

    def _deposited(self, event: Event) -> None:
        token = event.address("token")
        event.spot(CHECK).same("an allowed token", expected=True, found=token in self._tokens)
        self.accounts.credit(token, event.address("owner"), event.number("amount"))
        self.accounts.add_total(token, event.number("amount"))

    def _withdrawn(self, event: Event) -> None:
        token, amount = event.address("token"), event.number("amount")
        spot = event.spot(CHECK)
        self.accounts.debit_free(token, event.address("owner"), amount, event.time, spot)
        self.accounts.add_total(token, -amount)

    def _sent(self, event: Event) -> None:
        market = event.number("purpose") == PAYMENT or event.text("sender") in self._named
        event.spot(CHECK).same("a purpose of the sender's", expected=True, found=market)
        self._transfer(event, event.address("sender"), event.address("recipient"))

    def _collected(self, event: Event) -> None:
        market, amount = event.address("market"), event.number("amount")
        self._use(event, event.address("payer"), market, rate=0, lockup=amount)
        self._transfer(event, event.address("payer"), market)

    def _transfer(self, event: Event, sender: Address, recipient: Address) -> None:
        token, amount = event.address("token"), event.number("amount")
        spot = event.spot(CHECK)
        self.accounts.debit_free(token, sender, amount, event.time, spot)
        self.accounts.credit(token, recipient, amount)

    def _approved(self, event: Event) -> None:
        consent = self.accounts.consent(
            event.address("token"), event.address("owner"), event.address("market")
        )
        consent.rate_cap = event.number("rate_cap")
        consent.lockup_cap = event.number("lockup_cap")

    def _use(
        self, event: Event, payer: Address, market: Address, *, rate: int, lockup: int
    ) -> None:
        """Count a market's use of a consent; Differs where the payer did not give so much."""
        spot = event.spot(CHECK)
        spot.same("a market of the network", expected=True, found=market in self._markets)
        consent = self.accounts.consent(event.address("token"), payer, market)
        consent.rate_used += rate
        consent.lockup_used += lockup
        if rate > 0:
            given = consent.rate_used <= consent.rate_cap
            spot.same("the payer's consent to the rate", expected=True, found=given)
        if lockup > 0:
            given = consent.lockup_used <= consent.lockup_cap
            spot.same("the payer's consent to the lockup", expected=True, found=given)

    # Rails

    def _opened(self, event: Event) -> None:
        rail = self._new(event, event.address("market"), event.number("lockup_period"))
        rail.rate, rail.fixed = event.number("rate"), event.number("fixed")
        self._use(event, rail.payer, rail.market, rate=rail.rate, lockup=rail.fixed)
        self._lock(event, rail)
        self._counts["rails"] += 1

    def _new(self, event: Event, market: Address, period: int) -> Rail:
        event.same(CHECK, "rail", len(self.rails) + 1)
        rail = Rail(
            token=event.address("token"), payer=event.address("payer"),
            payee=event.address("payee"), market=market, rate=0, lockup_period=period, fixed=0,
            opened_at=event.time, settled_at=event.time, fee_bps=self.settings.fee_bps,
        )  # fmt: skip
        event.spot(CHECK).same("an allowed token", expected=True, found=rail.token in self._tokens)
        self.rails[event.number("rail")] = rail
        return rail

    def _lock(self, event: Event, rail: Rail) -> None:
        account = self._payer(rail)
        account.run(event.time)
        account.lockup += rail.guarantee()
        account.rate += rail.rate
        check_solvent(account, event.time, event.spot(CHECK))

    def _modified(self, event: Event) -> None:
        rail = self._rail(event)
        spot = event.spot(CHECK)
        spot.same("the end of a rail that is changed", expected=0, found=rail.end_at)
        account = self._payer(rail)
        account.run(event.time)
        rate, fixed = event.number("rate"), event.number("fixed")
        if rate != rail.rate:
            spot.same("the rail settled up to", expected=event.time, found=rail.settled_at)
        consent = self.accounts.consent(rail.token, rail.payer, rail.market)
        consent.rate_used += rate - rail.rate
        consent.lockup_used += fixed - rail.fixed
        before = rail.guarantee()
        account.rate += rate - rail.rate
        rail.rate, rail.fixed = rate, fixed
        rail.lockup_period = event.number("lockup_period")
        account.lockup += rail.guarantee() - before
        if rail.guarantee() > before:
            check_solvent(account, event.time, spot)

    def _ended(self, event: Event) -> None:
        rail = self._rail(event)
        account = self._payer(rail)
        if rail.end_at == 0:
            account.run(event.time)
            account.rate -= rail.rate
            consent = self.accounts.consent(rail.token, rail.payer, rail.market)
            consent.rate_used -= rail.rate
            rail.end_at = rail.natural_end = account.settled_at + rail.lockup_period
        end = event.number("end_at")
        agreed = rail.settled_at <= end <= rail.end_at
        event.spot(CHECK).same(
            f"an end from {rail.settled_at} to {rail.end_at}", expected=True, found=agreed
        )
        account.lockup -= rail.rate * (rail.end_at - end)
        rail.end_at = end

    def _settled(self, event: Event) -> None:
        rail = self._rail(event)
        account = self._payer(rail)
        accepted, until = self._decided(event, rail, account)
        elapsed = until - rail.settled_at
        event.spot(CHECK).same("time that has passed", expected=True, found=elapsed > 0)
        seconds = max(0, min(accepted - rail.accepted, elapsed))
        amount, dust = divmod(rail.dust + rail.rate * seconds, RATE_UNIT)
        event.same(CHECK, "until", until)
        event.same(CHECK, "seconds", seconds)
        event.same(CHECK, "paid", amount)
        account.lockup -= rail.rate * (elapsed - seconds) + amount * RATE_UNIT
        rail.dust, rail.settled_at = dust, until
        rail.accepted += seconds
        event.same(CHECK, "fee", self._pay(event, rail, rail.payee, amount))
        self._counts["settlements"] += 1

    def _decided(self, event: Event, rail: Rail, account: Account) -> tuple[int, int]:
        """Seconds that the arbiter's recomputation accepts, and up to when a rail is settled."""
        limit = min(event.time, rail.end_at)
        if rail.end_at == 0:
            account.run(event.time)
            limit = account.settled_at
        arbiter = self._arbiters.get(rail.market)
        if arbiter is None:
            raise event.spot(CHECK).differs(
                "the market of a settled rail", expected="one that is known", found=rail.market
            )
        accepted, decided = arbiter.accepted(event.number("rail"), limit, event.time)
        return accepted, min(decided, limit)

    def _closed(self, event: Event) -> None:
        rail = self._rail(event)
        spot = event.spot(CHECK)
        spot.same("a rail closed twice", expected=False, found=rail.closed)
        if rail.market == ZERO_ADDRESS:
            spot.same("the delay over", expected=True, found=0 < rail.end_at <= event.time)
        elif rail.settled_at != rail.end_at:
            due = rail.end_at + self.settings.arbiter_timeout
            forced = rail.end_at > 0 and due <= event.time
            spot.same("the arbiter's time over", expected=True, found=forced)
            self._payer(rail).lockup -= rail.rate * (rail.end_at - rail.settled_at)
            rail.settled_at = rail.end_at
        self._payer(rail).lockup -= rail.fixed * RATE_UNIT + rail.dust
        self.accounts.consent(rail.token, rail.payer, rail.market).lockup_used -= rail.fixed
        rail.close()

    def _fixed(self, event: Event) -> None:
        rail = self._rail(event)
        amount, to = event.number("amount"), event.address("to")
        left = rail.fixed - amount
        event.spot(CHECK).same("enough fixed lockup", expected=True, found=left >= 0)
        rail.fixed = left
        self._payer(rail).lockup -= amount * RATE_UNIT
        if event.number("purpose") == PAYMENT:
            self._pay(event, rail, to, amount)
        else:
            self._payer(rail).funds -= amount
            self.accounts.credit(rail.token, to, amount)

    # Vouchers

    def _voucher_opened(self, event: Event) -> None:
        known = self.rails.get(event.number("rail"))
        rail = known or self._new(event, ZERO_ADDRESS, self.settings.voucher_delay)
        rail.payer_signs = event.transaction.sender() == rail.payer
        account = self._payer(rail)
        account.run(event.time)
        account.lockup += (event.number("collateral") - rail.fixed) * RATE_UNIT
        rail.fixed = event.number("collateral")
        check_solvent(account, event.time, event.spot(CHECK))

    def _redeemed(self, event: Event) -> None:
        rail = self._rail(event)
        amount = event.number("amount")
        self._check_voucher(event, rail, amount)
        due = min(amount - rail.paid, rail.fixed)
        event.same(CHECK, "paid", due)
        rail.fixed -= due
        self._payer(rail).lockup -= due * RATE_UNIT
        event.same(CHECK, "fee", self._pay(event, rail, rail.payee, due))
        self._counts["vouchers"] += 1

    def _check_voucher(self, event: Event, rail: Rail, amount: int) -> None:
        """Counts it where the payer's key signed what stands in the input. Nothing differs where it
        did not: a wallet's code may have agreed, which the contract asked."""
        call = abi.interface("payments").read_call(event.transaction.data)
        signature = None if call is None else call[1].get("signature")
        if not isinstance(signature, bytes) or len(signature) != 65:
            return
        digest = VOUCHER.digest(self._network.domain("payments"), [event.number("rail"), amount])
        try:
            signer = recover(digest, signature)
        except AccessError:
            signer = ZERO_ADDRESS
        if signer == rail.payer:
            self._counts["signatures"] += 1

    def _voucher_closing(self, event: Event) -> None:
        rail = self._rail(event)
        event.same(CHECK, "ready_at", event.time + rail.lockup_period)
        rail.end_at = event.number("ready_at")

    def _voucher_closed(self, event: Event) -> None:
        rail = self._rail(event)
        event.spot(CHECK).same("the voucher closed", expected=True, found=rail.closed)
        event.same(CHECK, "refund", rail.refund)

    # Fees

    def _pay(self, event: Event, rail: Rail, to: Address, amount: int) -> int:
        """Move a payment and its fee; the fee is what the rail's sum owes beyond what it bore."""
        rail.paid += amount
        fee = rail.paid * rail.fee_bps // BPS - rail.fee
        rail.fee += fee
        self.paid += amount
        self._payer(rail).funds -= amount
        self.accounts.credit(rail.token, to, amount - fee)
        kept, burning = self._split(rail.token, fee)
        if rail.market != ZERO_ADDRESS:
            self.burned_for[rail.market, to] += burning
        spot = event.spot(CHECK)
        spot.same("the fee kept and burned", expected=(kept, burning),
                  found=(self._kept, self._burning))  # fmt: skip
        self._kept = self._burning = 0
        return fee

    def _split(self, token: Address, fee: int) -> tuple[int, int]:
        if token != self._token:
            self.fees.keep(token, fee)
            self.accounts.add_total(token, -fee)
            return fee, 0
        burning = fee * self.settings.burn_bps // BPS
        self.accounts.credit(token, self.settings.treasury, fee - burning)
        self.accounts.add_total(token, -burning)
        self.burned += burning
        return fee - burning, burning

    def _moved(self, event: Event) -> None:
        ours = self._network.contracts["payments"]
        taken = event.address("sender") == ours
        if event.number("purpose") == FEE and not taken:
            self._kept += event.number("amount")
        elif event.number("purpose") == FEE:
            self.fees.push(event)

    def _burns(self, event: Event) -> bool:
        burned = event.address("receiver") == ZERO_ADDRESS
        return burned and event.address("sender") == self._network.contracts["payments"]

    # Settings

    def _token_set(self, event: Event) -> None:
        self._named.add(event.address("token"))
        _listed(self._tokens, event.address("token"), event)

    def _market_set(self, event: Event) -> None:
        self._named.add(event.address("market"))
        _listed(self._markets, event.address("market"), event)

    def _fees_set(self, event: Event) -> None:
        self.settings.fee_bps = event.number("fee_bps")
        self.settings.burn_bps = event.number("burn_bps")

    def _delays_set(self, event: Event) -> None:
        self.settings.arbiter_timeout = event.number("arbiter_timeout")
        self.settings.voucher_delay = event.number("voucher_delay")

    def _treasury_set(self, event: Event) -> None:
        self.settings.treasury = event.address("treasury")

    def _payer(self, rail: Rail) -> Account:
        return self.accounts.get(rail.token, rail.payer)

    def _rail(self, event: Event) -> Rail:
        found = self.rails.get(event.number("rail"))
        if found is None:
            raise event.spot(CHECK).differs(
                "the rail", expected="opened before", found=event.number("rail")
            )
        return found


def _listed(names: set[str], name: str, event: Event) -> None:
    if event.number("allowed"):
        names.add(name)
    else:
        names.discard(name)
