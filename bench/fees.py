"""Fees that were paid in another token: pushed to the auction, taken in, bought and burned."""

from __future__ import annotations

from dataclasses import dataclass

from bench.chain import Contract, account
from bench.deployment import PLAN, deployer
from bench.network import TOKEN, Network, keeper
from bench.story import Row
from freehold.domain.ids import keccak
from freehold.domain.keys import Key
from freehold.ledger.abi import artifact
from freehold.ledger.contracts.token import VESTING

CHAPTER = "fees in another token"
PAID = 10**6 * TOKEN
"""What a client pays in it, at once; the fee is a two-hundredth of that."""
HALF_LIVES = 13


@dataclass(slots=True)
class Sales:
    """A token that is not the network's, and the rows of its fees."""

    network: Network
    foreign: Contract
    client: Key
    rows: list[Row]

    def fee(self, kind: str = "") -> int:
        """A payment by voucher whose fee goes to the auction; base units of the foreign token."""
        net, payments = self.network, self.network.on.payments
        payee = account("payee")
        names = (self.foreign.address, payee.address, PAID)
        receipt = payments.send("open_voucher", *names, by=self.client.address)
        rail = payments.event(receipt, "VoucherOpened").number("rail")
        net.voucher(self.client, rail, PAID, by=payee)
        fee = payments.number("fees", self.foreign.address)
        self._note(kind, payments, "push_fees", self.foreign.address)
        return fee

    def take_in(self, kind: str) -> None:
        """Put what arrived on offer."""
        self._note(kind, self.network.on.auction, "take_in", self.foreign.address)

    def buy(self, kind: str, amount: int) -> None:
        """The client buys for himself at the price of the moment."""
        auction, buyer = self.network.on.auction, self.client.address
        price = auction.number("price_of", self.foreign.address, amount)
        limits = (price, amount, 2**63)
        self._note(kind, auction, "buy", self.foreign.address, amount, buyer, *limits)

    def wait(self) -> None:
        """Until the ask is worth paying."""
        self.network.chain.warp(HALF_LIVES * PLAN.lots.half_life)

    def _note(self, kind: str, contract: Contract, function: str, *arguments: object) -> None:
        receipt = contract.send(function, *arguments, by=self.client.address)
        if kind:
            self.rows.append(Row(CHAPTER, kind, receipt.gas, receipt.calldata))


def tell(network: Network) -> list[Row]:
    """Every transaction of the auction, on a network whose story has been told."""
    sales = _begin(network)
    fee = sales.fee("push the fees")
    sales.take_in("take in, first of a token")
    sales.wait()
    sales.buy("buy a part, first of a token", fee // 4)
    sales.buy("buy a part, again", fee // 4)
    sales.buy("buy the whole lot", fee - 2 * (fee // 4))
    fee = sales.fee()
    sales.take_in("take in, again")
    fee += sales.fee()
    sales.buy("buy what has just arrived with the lot", fee)
    return sales.rows


def _begin(network: Network) -> Sales:
    """A second token of the same code, which the payments allow, in the hands of a client."""
    net, client, by = network, account("buyer"), deployer.address
    made = artifact("token")
    initial = made.initcode(("Another", "OTHER", 10 * PAID, keccak(b"another"), by))
    place, _ = net.chain.create(by, initial)
    foreign = Contract(net.chain, made, place)
    foreign.send("set_minter", by, True, by=by)
    foreign.send("mint", client.address, 10 * PAID, VESTING, by=by)
    data = net.on.payments.artifact.calldata("set_token", (place, True))
    receipt = net.on.governor.send("propose", net.on.payments.address, data, by=by)
    proposal = net.on.governor.event(receipt, "Proposed").number("id")
    net.chain.warp(PLAN.parameters.governor_delay)
    net.on.governor.send("execute", proposal, by=keeper.address)
    foreign.send("approve", net.on.payments.address, 10 * PAID, by=client.address)
    net.on.payments.send("deposit", place, client.address, 10 * PAID, by=client.address)
    net.give(client.address, 10**6 * TOKEN)
    net.allow(client, net.on.auction, 10**6 * TOKEN)
    return Sales(net, foreign, client, [])
