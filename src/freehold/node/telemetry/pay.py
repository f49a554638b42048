"""Pays for readings: settles each epoch, puts its root down, and has everybody paid.

Each step looks at the disk and the chain and does what is due next, so a crash at any point only
means that the step is done again. Order in an epoch: reckon what devices did; draw the emission,
whose amount the chain then says; write the statement, which is never changed; collect watchers'
signatures; propose; answer demands; finalize after the window; claim for each account.

An epoch is over when both the chain's blocks and the clock by which readings arrive are past its
cut, for evidence is cut by the one and what the chain says by the other.

Epochs for which nobody bought and in which nothing that waited found a device are passed over. A
root is proposed on top of a final one only, with the newest statement: earlier ones are in it.

Threats: a service that lies (watchers reckon again before they sign, see the watcher's cosigner);
a disk that is lost (the statements must be restored from a backup: watchers sign nothing that does
not follow from the last root); a statement that no watcher confirms, which would hold up all later
ones (said with a remedy: those after the last root can be moved away, and are reckoned anew, for
what was drawn for them stands on the chain); refusals by the chain (said once a step, and tried
again).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import TypeVar

from freehold.domain.errors import RefusedError
from freehold.domain.ids import Address
from freehold.economics.data_pay import Purchase, Terms, mintable
from freehold.economics.trees import GRAIN, Tree
from freehold.ledger.contracts.base import convert_list
from freehold.ledger.contracts.roots import Header, State, header_words
from freehold.ledger.ledger import Ledger
from freehold.ledger.paging import every
from freehold.ledger.values import Event, View
from freehold.node.logs import fields
from freehold.node.settling import settle
from freehold.node.telemetry.epochs import Epochs
from freehold.node.telemetry.facts import Enrolled, Facts
from freehold.node.telemetry.statement import Frame, Past, Statement, Work
from freehold.telemetry.worth import Case, Worth, worths

AT_ONCE = 32 * 2**20
"""Bytes of evidence that are reckoned together."""
DEVICES_AT_ONCE = 256
SLACK = 2
"""Seconds after a cut in which what arrived before it becomes durable."""
UNSIGNED = 1_800
"""Seconds a statement waits for signatures until it is said: watchers look each ten minutes."""
LATELY = 4
"""Epochs of which evidence is surely kept."""
CLAIMS, ANSWERS, ADVANCES = 32, 16, 16
"""Transactions of one step."""
PAGE = 128
_log = logging.getLogger(__name__)
T = TypeVar("T")


def nowhere(_: Address) -> tuple[str, str]:
    """Of no device it is public where it stands."""
    return "", ""


class Pay:
    """The chore. ``now`` is the clock by which batches arrive, milliseconds; ``shown`` gives the
    cell and salt (hex) of a device whose owner made them public, for they are in the statement;
    both empty otherwise."""

    def __init__(
        self, ledger: Ledger, epochs: Epochs, *, now: Callable[[], int],
        shown: Callable[[Address], tuple[str, str]] = nowhere,
    ) -> None:  # fmt: skip
        self._ledger, self._epochs, self._books = ledger, epochs, epochs.books
        self._facts, self._now, self._shown = Facts(ledger), now, shown
        self._waits: tuple[bytes, int] | None = None
        self._account = _account(ledger)
        self._next: int | None = None
        self._claimed = -1

    def step(self) -> None:
        """Do what is due."""
        self._facts.sync()
        settle(self._ledger, self._ledger.roots)
        self._settle()
        state = self._facts.state()
        if state.tip > state.final:
            self._defend(state)
            return
        self._claim()
        self._propose(state)

    # --- reckoning -------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Write the statement of the next epoch that has one, if it is over."""
        newest = self._books.newest()
        first = 0 if newest is None else newest.epoch + 1
        self._next = first if self._next is None else max(self._next, first)
        over = self._facts.calendar.settled(self._moment())
        epoch = self._due(newest, over)
        if epoch is None:
            self._next = max(self._next, over)
            return
        self._next = epoch
        bought = _carried(self._facts.bought(epoch), newest, self._facts)
        works = self._works(epoch)
        terms = self._terms(epoch, bought, works, newest)
        frame = Frame(
            self._ledger.network.network_id.hex(), epoch, self._account,
            newest.hash.hex() if newest else "", terms,
        )  # fmt: skip
        statement = Statement.of(frame, bought, works, newest.past if newest else Past())
        self._next = epoch + 1
        if not self._facts.bought(epoch) and not _pays(statement):
            return
        self._books.keep(statement)
        _log.info(
            "settled",
            extra=fields(epoch=epoch, devices=len(works), purchases=len(bought), drawn=terms.drawn),
        )

    def _moment(self) -> int:
        """The second until which both the chain and the evidence are known."""
        return min(self._ledger.head().time, self._now() // 1_000 - SLACK)

    def _due(self, newest: Statement | None, over: int) -> int | None:
        """The epoch to settle next; while something waits, each of late is looked at."""
        first = self._next or 0
        bought = self._facts.next_bought(first, over)
        lately = max(first, over - LATELY)
        if newest is None or not newest.past.waiting or lately >= over:
            return bought
        return lately if bought is None else min(bought, lately)

    def _works(self, epoch: int) -> list[Work]:
        """What every enrolled device did that did anything."""
        found: list[Work] = []
        for group in self._cases(epoch, self._facts.roster(epoch)):
            span, network_id = self._facts.calendar.span(epoch), self._ledger.network.network_id
            done = worths([case for _, case in group], span, network_id=network_id)
            found += [
                self._work(epoch, enrolled, each)
                for (enrolled, _), each in zip(group, done, strict=True)
                if each.readings
            ]
        return found

    def _cases(
        self, epoch: int, roster: Mapping[Address, Enrolled]
    ) -> Iterator[list[tuple[Enrolled, Case]]]:
        group: list[tuple[Enrolled, Case]] = []
        size = 0
        for enrolled in roster.values():
            before = self._epochs.evidence(epoch - 1, enrolled.device) if epoch else iter(())
            batches = list(chain(before, self._epochs.evidence(epoch, enrolled.device)))
            if batches:
                group.append((enrolled, Case(enrolled.did, batches)))
                size += sum(map(len, batches))
            if size > AT_ONCE or len(group) == DEVICES_AT_ONCE:
                yield group
                group, size = [], 0
        if group:
            yield group

    def _work(self, epoch: int, enrolled: Enrolled, done: Worth) -> Work:
        cell, salt = self._shown(enrolled.device)
        return Work(
            device=enrolled.device, owner=enrolled.owner, did=enrolled.did.text,
            readings=done.readings, counted=done.metrics, quality=done.quality,
            honesty=self._facts.honesty(enrolled.device, epoch),
            marked=self._epochs.marked(epoch, enrolled.device), cell=cell, salt=salt,
        )  # fmt: skip

    def _terms(
        self, epoch: int, bought: Sequence[Purchase], works: Sequence[Work],
        newest: Statement | None,
    ) -> Terms:  # fmt: skip
        """What may be paid, once the emission that may come was drawn."""
        before = sum(newest.past.accounts.values()) if newest else 0
        open_ = before - self._facts.state().final_total * GRAIN
        share, room = self._facts.share_bps, max(0, self._facts.most() - open_)
        wanted = mintable(bought, [work.row() for work in works], Terms(share, room))
        if wanted and not self._facts.drawn(epoch):
            self._draw(epoch, wanted)
            self._facts.sync()
        return Terms(share, room, self._facts.drawn(epoch))

    # --- emission --------------------------------------------------------------------------------

    def _draw(self, epoch: int, wanted: int) -> None:
        """Have the emission of an epoch minted, as far as it goes; an epoch goes on without."""
        if "issuance" not in self._ledger.network.contracts:
            return
        issuance, roots = self._ledger.issuance, self._ledger.roots
        for _ in range(ADVANCES):
            if issuance.closed() > epoch or not self._try("advance", lambda: issuance.advance(64)):
                break
        if issuance.closed() <= epoch:
            return
        bond = self._facts.state().final_total * GRAIN + roots.parameters().bond - roots.funded()
        market = issuance.market_of(roots.address)
        amount = min(wanted, issuance.market_drawable(market, epoch), bond)
        if amount > 0 and self._bond():
            self._try("draw", lambda: roots.draw(epoch, amount))

    def _bond(self) -> bool:
        """Post what is lacking of the bond; whether there is enough."""
        roots, token = self._ledger.roots, self._ledger.token
        lacking = roots.parameters().bond - roots.bond_of(self._account).amount
        if lacking <= 0:
            return True
        held = token.balance_of(self._account)
        if held < lacking:
            _log.error(
                "no bond",
                extra=fields(
                    lacking=lacking - held, account=self._account,
                    remedy="Send the account so many base units of the network's token.",
                ),
            )  # fmt: skip
            return False
        token.approve(roots.address, lacking)
        roots.post_bond(lacking)
        return True

    # --- roots -----------------------------------------------------------------------------------

    def _propose(self, state: State) -> None:
        """Put the newest statement's root down once enough watchers signed it."""
        newest = self._books.newest()
        if newest is None or newest.tree is None or newest.epoch < state.next_epoch:
            return
        needed, _ = self._ledger.roots.quorum()
        signed = self._epochs.signed(newest)
        if newest.tree.total <= state.tip_total:
            return
        if not 0 < needed <= len(signed):
            self._wait(newest, needed - len(signed), state)
        elif self._bond():
            told = (newest.epoch, newest.root, newest.count, newest.hash, signed[:needed])
            self._try("propose", lambda: self._ledger.roots.propose(*told))

    def _wait(self, newest: Statement, lacking: int, state: State) -> None:
        """Say once of a statement that watchers have long not signed it; ``_waits`` is which one,
        and when to say it, 0 once it was said."""
        now = self._ledger.head().time
        if self._waits is None or self._waits[0] != newest.hash:
            self._waits = newest.hash, now + UNSIGNED
        if not 0 < self._waits[1] <= now:
            return
        self._waits = newest.hash, 0
        _log.error(
            "not co-signed",
            extra=fields(
                epoch=newest.epoch, lacking=lacking,
                remedy="See that the roots' watchers run. Where their logs name a difference, stop"
                f" the service, move its epochs/N.* of epochs N from {state.next_epoch} on away,"
                " and start it: they are reckoned anew while their evidence is kept.",
            ),
        )  # fmt: skip

    def _defend(self, state: State) -> None:
        """Answer demands for leaves of the open root; make it final after its window."""
        header = self._facts.header(state.final + 1)
        if header is None:
            return
        if header.proposer == self._account:
            self._answer(header)
        if self._ledger.roots.is_over(header.position, header.until, now=self._ledger.now()):
            self._try("finalize", lambda: self._ledger.roots.finalize(header))

    def _answer(self, header: Header) -> None:
        open_ = [e for e in self._demands(header) if self._is_open(e.number("id"))][:ANSWERS]
        if not open_:
            return
        tree = self._books.tree(header.epoch)
        for event in open_:
            index = event.number("index")
            leaf = tree.leaf(index)
            proof = (leaf.account, leaf.grains, index, list(tree.path(index)))
            told = (event.number("id"), header_words(header), proof)
            self._try("answer", partial(self._ledger.send, "roots", "answer", told))

    def _demands(self, header: Header) -> Iterator[Event]:
        index = self._ledger.index
        return every(index, "roots", "Demanded", {"position": header.position})

    def _is_open(self, number: int) -> bool:
        where = {"id": number}
        index = self._ledger.index
        return not any(index.last("roots", name, where=where) for name in ("Answered", "Expired"))

    # --- claims ----------------------------------------------------------------------------------

    def _claim(self) -> None:
        """Claim of the last final root for accounts that have something due."""
        event = self._ledger.index.last("roots", "Finalized")
        if event is None or event.number("epoch") == self._claimed:
            return
        epoch = event.number("epoch")
        if epoch not in self._books.numbers():
            return
        tree = self._books.tree(epoch)
        if tree.root != event.number("root"):
            return
        due = self._owed(tree)
        for index in due[:CLAIMS]:
            leaf = tree.leaf(index)
            told = (epoch, leaf.account, leaf.grains, index, tree.path(index))
            self._try("claim", partial(self._ledger.roots.claim, *told))
        if not due:
            self._claimed = epoch

    def _owed(self, tree: Tree) -> list[int]:
        """Leaves whose account was not paid all of it, enough for a step."""
        found: list[int] = []
        for first in range(0, tree.count, PAGE):
            leaves = [tree.leaf(at) for at in range(first, min(first + PAGE, tree.count))]
            views = [View("roots", "claimed", (leaf.account,)) for leaf in leaves]
            paid = convert_list(int, self._ledger.call_many(views))
            found += [
                first + at
                for at, (leaf, had) in enumerate(zip(leaves, paid, strict=True))
                if had < leaf.grains
            ]
            if len(found) >= CLAIMS:
                break
        return found

    def _try(self, what: str, call: Callable[[], T]) -> T | None:
        """Send a transaction; what the chain refuses is said, and looked at anew in the next
        step."""
        try:
            done = call()
        except RefusedError as error:
            _log.warning("pay", extra=fields(what=what, refused=error.message))
            return None
        _log.info("pay", extra=fields(what=what))
        return done


def _carried(bought: Sequence[Purchase], newest: Statement | None, facts: Facts) -> list[Purchase]:
    """The purchases for an epoch with what waits of them, and those that only wait."""
    return carried(bought, newest.past.waiting if newest else {}, facts.query)


def carried(
    bought: Sequence[Purchase], waiting: Mapping[int, int], query: Callable[[int], str]
) -> list[Purchase]:
    """What there is to pay for an epoch for which ``bought`` was bought while ``waiting`` waits."""
    now = {each.id: each for each in bought}
    for number, amount in waiting.items():
        known = now.get(number)
        text = known.query if known else query(number)
        net, burned = (known.net, known.burned) if known else (0, 0)
        now[number] = Purchase(number, text, net, burned, amount)
    return [now[number] for number in sorted(now)]


def _pays(statement: Statement) -> bool:
    rows = statement.fields["rows"]
    return isinstance(rows, list) and any(row["paid"] or row["minted"] for row in rows)


def _account(ledger: Ledger) -> Address:
    if ledger.key is None:
        raise RefusedError("pay needs the service's key", remedy="Open the ledger with it.")
    return ledger.key.address
