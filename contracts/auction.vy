# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Auction
@license Apache-2.0
@notice Sells the fees that were taken in foreign tokens for the network's token, which burns in the
        same transaction. Anyone buys all or a part, at a price that falls until somebody does.
@dev For each token there is one lot: what is `held`, and what is asked for all of it (`ask`, base
     units of the network's token, so that the decimals of a token do not matter). The ask halves
     every half-life. A lot asks between `least` and `opening`. A part of a lot costs its share.
     What newly arrives joins the lot at `factor` times the unit price of the last sale, and at most
     (before any sale, always) at its share of `opening`. Hence the price falls only for goods that
     were on offer. A sale of a share s of the lot raises the unit price of the rest by
     (factor - 1) * s.
     Threats and what meets them.
     - Draining a lot at one price: each part makes the rest dearer; two parts never cost less
       than both at once.
     - Buying back one's own fee, by settling, pushing and buying at once, for what a small rest had
       fallen to: what arrives has not fallen.
     - Holding a price up, by buying crumbs or sending some: a sale costs at least `least`, which
       burns, and raises no more than its share; what arrives adds at most its share of `opening`,
       whatever was paid before. So a lot that does not grow is sold log2(opening / worth)
       half-lives after such a sale at the latest.
     - Moving the next price by a trifle: a sale tells what was paid, `least` or more; where `least`
       alone made the price, no more than what the goods would enter at.
     - Being overtaken: a buyer states the most he pays, the least he receives and a deadline.
     - Bad tokens: each lot stands for itself. What arrived and what is missing is found in the
       balance, so fees on transfer and rebasing change a lot and nothing else. A transfer need not
       answer; one that reverts or answers false stops its own sale alone. Functions that change
       state hold one lock, and a lot is written before its token is called; a view that is asked
       in the middle of a sale may count what is leaving as arriving.
     - Dust: what is worth less than `least` waits until more arrives.
     - Rounding: asks and prices round up, never to the buyer.
     Trust: nobody. There is no governor, no oracle, no way out but a sale, and all terms are fixed
     at deployment. A lot worth more than `opening` is sold too cheaply, so it must be far above
     any; with no second buyer about, the one who is there waits for `least`. Network tokens sent
     here by mistake stay.
"""

from interfaces import IToken
from modules import pricing

interface IBurnable:
    def burn_from(owner: address, amount: uint256): nonpayable


event Arrived:
    token: indexed(address)
    amount: uint256
    held: uint256
    ask: uint256


event Missing:
    token: indexed(address)
    amount: uint256
    held: uint256
    ask: uint256


event Sold:
    token: indexed(address)
    buyer: indexed(address)
    to: indexed(address)
    amount: uint256
    paid: uint256
    received: uint256
    held: uint256
    ask: uint256


event Movement:
    token: indexed(address)
    sender: indexed(address)
    recipient: indexed(address)
    amount: uint256
    purpose: uint8


# One word: amount in 120 bits, ask in 96, moment in 40.
struct Lot:
    held: uint256
    ask: uint256
    since: uint256


# One word: amount in 120 bits, price in 96.
struct Sale:
    amount: uint256
    price: uint256


BPS: constant(uint256) = 10**4
MAX_HELD: constant(uint256) = 2**120 - 1
MAX_PRICE: constant(uint256) = 2**96 - 1
PURPOSE_FEE: constant(uint8) = 5

network_token: public(immutable(address))
least: public(immutable(uint256))
opening: public(immutable(uint256))
half_life: public(immutable(uint256))
factor_bps: public(immutable(uint256))

_lots: HashMap[address, uint256]
_sales: HashMap[address, uint256]


@deploy
def __init__(
    network_token_: address,
    least_: uint256,
    opening_: uint256,
    half_life_: uint256,
    factor_bps_: uint256,
):
    assert network_token_.is_contract, "auction: token has no code"
    pricing.check(least_, opening_, half_life_, factor_bps_)
    network_token = network_token_
    least = least_
    opening = opening_
    half_life = half_life_
    factor_bps = factor_bps_


@external
@nonreentrant
def take_in(token: address) -> uint256:
    """
    @notice Put on offer what has arrived of a token; by anyone. Returns what is held then.
    """
    lot: Lot = self._taken_in(token)
    if lot.held != self._stored(token).held:
        self._put(token, lot)
    return lot.held


@external
@nonreentrant
def buy(
    token: address,
    amount: uint256,
    to: address,
    max_price: uint256,
    min_received: uint256,
    deadline: uint256,
) -> uint256:
    """
    @notice Buy `amount` base units of a token, paid by burning the caller's network tokens, for
            which the caller approved this contract. Refused where that costs more than `max_price`
            or less than `least`, or where less than `min_received` reaches `to`.
    @return What was burned, base units.
    """
    assert block.timestamp <= deadline, "auction: too late"
    assert to not in [empty(address), self], "auction: wrong recipient"
    lot: Lot = self._taken_in(token)
    price: uint256 = self._price(lot, amount)
    assert price <= max_price, "auction: the price is higher"
    self._note(token, lot, amount, price)
    lot = self._rest(lot, amount)
    self._put(token, lot)
    extcall IBurnable(network_token).burn_from(msg.sender, price)
    log Movement(token=token, sender=self, recipient=to, amount=amount, purpose=PURPOSE_FEE)
    received: uint256 = self._hand_over(token, to, amount)
    assert received >= min_received, "auction: too little received"
    log Sold(
        token=token,
        buyer=msg.sender,
        to=to,
        amount=amount,
        paid=price,
        received=received,
        held=lot.held,
        ask=lot.ask,
    )
    return price


@external
@view
def lot(token: address) -> Lot:
    """
    @notice What is on offer at this moment, with what has arrived, and what is asked for all of it.
    """
    lot: Lot = self._present(token)
    lot.ask = self._asked(lot)
    return lot


@external
@view
def price_of(token: address, amount: uint256) -> uint256:
    """
    @notice What `amount` base units cost at this moment; refused as `buy` would refuse it.
    """
    return self._price(self._present(token), amount)


@external
@view
def last_sale(token: address) -> Sale:
    """
    @notice The amount and price that what arrives next is priced by; zeros before the first sale.
    """
    return self._sale(token)


@internal
def _taken_in(token: address) -> Lot:
    before: uint256 = self._stored(token).held
    lot: Lot = self._present(token)
    if lot.held > before:
        log Arrived(token=token, amount=lot.held - before, held=lot.held, ask=lot.ask)
    elif lot.held < before:
        log Missing(token=token, amount=before - lot.held, held=lot.held, ask=lot.ask)
    return lot


@internal
@view
def _present(token: address) -> Lot:
    # The lot as it stands now; its ask is not lifted to `least`, which rests are too small for.
    assert token != network_token, "auction: the network's own token"
    lot: Lot = self._stored(token)
    balance: uint256 = min(staticcall IToken(token).balanceOf(self), MAX_HELD)
    lot.ask = pricing.decayed(lot.ask, block.timestamp - lot.since, half_life, 0)
    lot.since = block.timestamp
    if balance > lot.held:
        lot.ask = min(lot.ask + self._entry(token, balance - lot.held, balance), opening)
    elif balance < lot.held:
        lot.ask = self._share(lot.ask, balance, lot.held)
    lot.held = balance
    return lot


@internal
@view
def _entry(token: address, amount: uint256, held: uint256) -> uint256:
    # What is asked for goods that arrive, which are then part of `held`.
    entry: uint256 = self._share(opening, amount, held)
    sale: Sale = self._sale(token)
    if sale.amount > 0:
        dearer: uint256 = pricing.raised(sale.price, factor_bps, MAX_PRICE)
        entry = min(entry, self._share(dearer, amount, sale.amount))
    return entry


@internal
@view
def _price(lot: Lot, amount: uint256) -> uint256:
    assert amount > 0, "auction: nothing to buy"
    assert amount <= lot.held, "auction: more than is held"
    price: uint256 = self._share(self._asked(lot), amount, lot.held)
    assert price >= least, "auction: less than the least sale"
    return price


@internal
@view
def _asked(lot: Lot) -> uint256:
    return max(lot.ask, least) if lot.held > 0 else 0


@internal
@view
def _rest(lot: Lot, amount: uint256) -> Lot:
    left: uint256 = lot.held - amount
    ask: uint256 = self._share(self._asked(lot), left, lot.held)
    ask += self._share(ask * (factor_bps - BPS), amount, lot.held * BPS)
    return Lot(held=left, ask=min(ask, opening), since=lot.since)


@internal
def _note(token: address, lot: Lot, amount: uint256, price: uint256):
    # A price that `least` lifted tells no more than what the goods would enter at.
    fallen: uint256 = self._share(lot.ask, amount, lot.held)
    told: uint256 = min(price, max(fallen, self._entry(token, amount, lot.held)))
    self._sales[token] = amount << 96 | told


@internal
def _hand_over(token: address, to: address, amount: uint256) -> uint256:
    before: uint256 = staticcall IToken(token).balanceOf(to)
    assert extcall IToken(token).transfer(
        to, amount, default_return_value=True
    ), "auction: transfer failed"
    return staticcall IToken(token).balanceOf(to) - before


@internal
@pure
def _share(whole: uint256, part: uint256, total: uint256) -> uint256:
    return (whole * part + total - 1) // total


@internal
@view
def _stored(token: address) -> Lot:
    word: uint256 = self._lots[token]
    return Lot(held=word & MAX_HELD, ask=word >> 120 & MAX_PRICE, since=word >> 216)


@internal
def _put(token: address, lot: Lot):
    self._lots[token] = lot.since << 216 | lot.ask << 120 | lot.held


@internal
@view
def _sale(token: address) -> Sale:
    word: uint256 = self._sales[token]
    return Sale(amount=word >> 96, price=word & MAX_PRICE)
