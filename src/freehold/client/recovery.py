"""From the account's key alone back to everything it owns: chain, then one node an object."""

from __future__ import annotations

from collections.abc import Callable

from freehold.client.catalog import Page
from freehold.client.chain import Chain
from freehold.client.reading import Library
from freehold.client.wallet import Wallet
from freehold.domain.errors import AccessError, FreeholdError, NotEnoughShardsError
from freehold.domain.keys import Key
from freehold.markets.storage.header import Header, open_header
from freehold.markets.storage.kit import RecoveryKit


def check_kit(kit: RecoveryKit, chain: Chain) -> None:
    """AccessError when a kit is of another network than the chain's."""
    if kit.locator.network_id != chain.network.network_id:
        raise AccessError(
            f"the recovery kit is of network 0x{kit.locator.network_id.hex()[:16]}…, not of "
            f"{chain.network.name}",
            remedy="Fetch network.json of the kit's network.",
        )


def recover_wallet(
    chain: Chain, library: Library, key: Key, *, random: Callable[[int], bytes]
) -> Wallet:
    """The wallet of an account, from the slots that its objects carry.

    An account without deals has its first data seed; of one whose nodes are all silent nobody
    knows whether it was changed: NotEnoughShardsError.
    """
    network_id = chain.network.network_id
    reasons: list[str] = []
    deals = chain.deals(key.address)
    for deal in reversed(deals):
        opened: list[Wallet] = []

        def accept(page: Page, opened: list[Wallet] = opened) -> None:
            wallet = Wallet.unlock(key, Header.parse(page.header).slots, network_id=network_id)
            open_header(
                page.header, object_id=page.object_id, seed=wallet.seed, account=key.address
            )
            opened.append(wallet)

        try:
            library.page(deal, accept)
        except FreeholdError as error:
            reasons.append(error.message)
            continue
        return opened[-1]
    if not deals:
        return Wallet.create(key, network_id=network_id, random=random)
    raise NotEnoughShardsError(
        f"none of the account's {len(deals)} deals gives its manifest: {reasons[0]}",
        remedy="Try again when nodes of at least one object answer.",
    )
