"""What founding a network costs: all of it done once on a chain of this machine that is thrown
away, told in the gas and at the prices of the chain that is meant."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from freehold.cli.founding import Wanted
from freehold.domain.clock import SystemClock
from freehold.domain.errors import InsufficientFundsError
from freehold.domain.ids import Address, address
from freehold.domain.money import show
from freehold.domain.network import Network
from freehold.ledger import abi
from freehold.ledger.deploy import deploy
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.probe import Probe, probe
from freehold.ledger.rpc import Rpc, find_chain_id
from freehold.ledger.sender import DEFAULT_TIP
from freehold.ledger.wire import Json, RpcRefusal

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """A transaction of a deployment, and the gas that it takes."""

    name: str
    gas: int


@dataclass(frozen=True, slots=True)
class Quote:
    """What a deployment costs now: ``price`` is wei for a unit of gas, ``ceiling`` the most that a
    transaction offers for one, which its sender must hold."""

    chain_id: int
    chain: Probe
    steps: tuple[Step, ...]
    price: int
    ceiling: int

    @property
    def gas(self) -> int:
        """Of all transactions."""
        return sum(step.gas for step in self.steps)

    @property
    def cost(self) -> int:
        """Wei for all of it at the present price."""
        return self.gas * self.price

    @property
    def needed(self) -> int:
        """Wei to begin with, so that every transaction is afforded in its turn."""
        spent, most = 0, 0
        for step in self.steps:
            most = max(most, spent + _limit(step.gas) * self.ceiling)
            spent += step.gas * self.price
        return most

    def check(self, account: Address, held: int) -> None:
        """InsufficientFundsError where ``held`` wei of an account are too few to begin with."""
        if held >= self.needed:
            return
        raise InsufficientFundsError(
            f"account {account} has {show(held, places=9)} coins on chain {self.chain_id}; "
            f"{show(self.needed, up=True)} are needed to found a network",
            remedy=f"Send it {show(self.needed - held, up=True)} coins from any wallet of that "
            "chain, then run the command again. Nothing was sent yet.",
        )


@dataclass(frozen=True, slots=True)
class _Sent:
    """A transaction of the rehearsal; ``to`` is None where it made a contract."""

    name: str
    gas: int
    to: Address | None
    data: str
    sender: Address


def quote(wanted: Wanted, urls: Sequence[str], *, say: Say) -> Quote:
    """Nothing is sent to the chain at ``urls``, and no key is needed.

    Contracts whose making the chain itself can estimate are told as it estimates them; the other
    transactions as they came out here, or more where the chain counts more than this machine.
    UsageError for a plan or a chain that cannot be, UnavailableError.
    """
    with Rpc(tuple(urls), chain_id=find_chain_id(urls)) as rpc:
        rpc.check_chain()
        kind = probe(rpc)
        say("rehearsing the deployment on this machine")
        sent = _rehearse(wanted, say)
        say("asking the chain")
        head = rpc.header("latest")
        tip = _tip(rpc)
        steps = tuple(_weighed(rpc, sent))
        return Quote(rpc.chain_id, kind, steps, head.base_fee + tip, 2 * head.base_fee + tip)


def _rehearse(wanted: Wanted, say: Say) -> list[_Sent]:
    with tempfile.TemporaryDirectory(prefix="freehold-") as folder:
        home = Path(folder)
        with Devnet.start(home, progress=say) as chain:
            network = deploy(
                wanted.plan(chain.funder.address),
                rpc_urls=(chain.url,),
                chain_id=chain.chain_id,
                key=chain.funder,
                state=home / "founding",
                random=secrets.token_bytes,
                clock=SystemClock(),
            )
            with Rpc((chain.url,), chain_id=chain.chain_id) as rpc:
                return list(_sent(rpc, network, chain.funder.address))


def _sent(rpc: Rpc, network: Network, founder: Address) -> Iterator[_Sent]:
    """Every transaction of the founder, in order."""
    names = {place: name for name, place in network.contracts.items()}
    for number in range(network.deployed_block, rpc.block_number() + 1):
        block = rpc.request("eth_getBlockByNumber", hex(number), True)
        listed = block.get("transactions") if isinstance(block, dict) else None
        for each in listed if isinstance(listed, list) else ():
            if not isinstance(each, dict) or address(str(each["from"])) != founder:
                continue
            receipt = rpc.receipt(str(each["hash"]))
            if receipt is None:
                continue
            to = None if each["to"] is None else address(str(each["to"]))
            data = str(each["input"])
            made = None if receipt.contract is None else names.get(receipt.contract)
            name = _called(names, data) if made is None else f"create {made}"
            yield _Sent(name, receipt.gas_used, to, data, founder)


def _called(names: dict[Address, str], data: str) -> str:
    """What a call of the governor does, in words."""
    raw = bytes.fromhex(data[2:])
    inner = abi.artifact("governor").arguments("setup_call", raw)
    if inner is None:
        return f"governor {_function('governor', raw)}"
    target, call = names.get(address(str(inner[0])), "?"), inner[1]
    return f"{target} {_function(target, call if isinstance(call, bytes) else b'')}"


def _function(contract: str, data: bytes) -> str:
    found = abi.artifact(contract).functions.values()
    return next((each.name for each in found if each.selector == data[:4]), "?")


def _weighed(rpc: Rpc, sent: Sequence[_Sent]) -> Iterator[Step]:
    """Each with its gas on the chain that is meant."""
    told = [_estimate(rpc, each) for each in sent]
    both = [(here, there) for here, there in zip(sent, told, strict=True) if there]
    here, there = sum(each.gas for each, _ in both), sum(gas for _, gas in both)
    for each, gas in zip(sent, told, strict=True):
        dearer = each.gas * there // here if here else each.gas
        yield Step(each.name, gas or max(each.gas, dearer))


def _estimate(rpc: Rpc, sent: _Sent) -> int:
    """What the chain says that making a contract takes, 0 where it cannot say: others must be
    there before."""
    if sent.to is not None:
        return 0
    request: dict[str, Json] = {"from": sent.sender, "data": sent.data}
    try:
        return rpc.estimate(request)
    except RpcRefusal:
        return 0


def _tip(rpc: Rpc) -> int:
    try:
        return rpc.tip()
    except RpcRefusal:
        return DEFAULT_TIP  # as the sender: not every chain suggests one


def _limit(gas: int) -> int:
    """The gas that the sender offers for a transaction which takes ``gas``."""
    return gas * 5 // 4 + 5_000
