"""Proposes the roots that pay model nodes, and sees them through.

Each step looks at the disk and the chain and does what is due next, so a crash at any point only
means that the step is done again. For each ended epoch that has something to pay: fix the budgets
up to it; reckon what the root must say; write its files, which are served from then on; collect
watchers' signatures; propose; answer demands; finalize after the window; tell the judge whom
newcomers replace; claim for this account. An epoch with nothing to pay gets no root: the next one
covers it; unless a full subnet's list of whom newcomers replace is used up.

Threats: a flood of demands (each pays its answer; many are answered at once); a last root that is
false (nothing is put on top of it: `FalseRootError`, until somebody disproves it); a verdict that
nobody settled, so that no root can come (it is settled here first, whoever won it); a bond that
grows without its owner (never above what they allowed); a false root by a bug of this program
(watchers reckon by themselves before they sign); refusals by the chain (said, and looked at anew in
the next step). Not met: watchers who do not sign hold up all roots.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice

from freehold.audit.competing import Court, Draft, header_hash, told
from freehold.audit.competing_openings import opening
from freehold.domain.errors import AccessError, FreeholdError, RefusedError
from freehold.domain.ids import Address, raw_address
from freehold.economics.trees import Tree
from freehold.ledger.contracts.base import convert
from freehold.ledger.contracts.roots import State, header_words
from freehold.ledger.ledger import Ledger
from freehold.ledger.paging import every
from freehold.ledger.values import Event
from freehold.markets.models.trace.proofs import Root
from freehold.markets.models.trace.served import Served, read
from freehold.markets.models.trace.values import Header
from freehold.node.judging.closing import close
from freehold.node.judging.desk import Desk, digest
from freehold.node.judging.renewing import renews
from freehold.node.judging.shelf import Offer
from freehold.node.logs import fields
from freehold.node.settling import settle

AT_ONCE = 32
"""Answers that are on their way at once: whoever demands much must not outrun them."""
LOOKS = 16
"""Ended epochs that are looked through in a step for one that has something to pay."""
ANSWERS, SETTLEMENTS = 512, 32
"""Transactions of one step; answers for each root and contract."""
UNSIGNED = 1_800
"""Seconds for which a root waits for signatures until it is said."""
_log = logging.getLogger(__name__)


class Proposer:
    """The chore. ``most_bond``: base units that may be posted as the bond in all, what was
    lost of it included; ``at_once``: answers that are sent together."""

    def __init__(
        self, ledger: Ledger, desk: Desk, court: Court, *, most_bond: int, at_once: int = AT_ONCE,
    ) -> None:  # fmt: skip
        if ledger.key is None:
            raise AccessError("a proposer needs its key", remedy="Open the ledger with it.")
        self._ledger, self._desk, self._court = ledger, desk, court
        self._account: Address = ledger.key.address
        self._most_bond, self._at_once = most_bond, at_once
        self._waits: tuple[bytes, int] = (b"", 0)
        self._barren: tuple[bytes, int] = (b"", 0)
        self._claimed = self._settled = 1
        self._unbonded = -1

    def step(self) -> None:
        """Do what is due."""
        self._court.sync()
        settle(self._ledger, self._ledger.prizes)
        self._defend(self._court.state())
        state = self._court.state()
        self._conclude(state)
        self._propose(state)

    # --- proposing -------------------------------------------------------------------------------

    def _propose(self, state: State) -> None:
        """Put down the root of the first epoch that has something to pay."""
        parent = self._court.parent(state.tip)
        first = self._barren[1] if self._barren[0] == parent else state.next_epoch
        for epoch in range(first, min(self._court.ended(), first + LOOKS)):
            if not close(self._ledger, self._court, first, epoch):
                return
            draft = self._court.draft(epoch)
            if draft.total > state.tip_total or self._renews(state, draft):
                self._put_down(draft, parent)
                return
            self._barren = parent, epoch + 1

    def _renews(self, state: State, draft: Draft) -> bool:
        """Whether a root without new earnings is due; one that is open may renew the lists."""
        end = self._court.calendar.begin(draft.epoch + 1)
        return state.tip == state.final and renews(self._ledger, draft, end=end)

    def _put_down(self, draft: Draft, parent: bytes) -> None:
        offer = Offer(
            draft.since, draft.epoch, parent, digest(self._ledger, draft, parent)
        )  # fmt: skip
        if self._desk.shelf.offer(draft.epoch) != offer:
            self._desk.shelf.keep(offer, draft)
            _log.info("offered", extra=fields(epoch=draft.epoch, grains=draft.total))
        needed, _ = self._ledger.prizes.quorum()
        signed = self._desk.signed(offer)
        if not 0 < needed <= len(signed):
            self._wait(offer, needed - len(signed))
        elif self._bond():
            told = (draft.epoch, draft.root, draft.count, draft.data, signed[:needed])
            self._try("propose", partial(self._ledger.prizes.propose, *told))

    def _wait(self, offer: Offer, lacking: int) -> None:
        """Say once of a root that watchers have long not signed it."""
        now = self._ledger.head().time
        if self._waits[0] != offer.digest:
            self._waits = offer.digest, now + UNSIGNED
        if not 0 < self._waits[1] <= now:
            return
        self._waits = offer.digest, 0
        _log.error(
            "not co-signed",
            extra=fields(
                epoch=offer.epoch, lacking=lacking,
                remedy="See that the roots' watchers run; their logs name what differs.",
            ),
        )  # fmt: skip

    def _bond(self) -> bool:
        """Post what is lacking of the bond, as far as its owner allowed; whether all is there."""
        prizes, token = self._ledger.prizes, self._ledger.token
        posted, lost = prizes.bond_of(self._account).amount, self._lost()
        lacking = prizes.parameters().bond - posted
        if lacking <= 0:
            return True
        held = token.balance_of(self._account)
        if posted + lost + lacking > self._most_bond or held < lacking:
            self._say_unbonded(posted=posted, lost=lost, lacking=lacking, held=held)
            return False
        token.approve(prizes.address, lacking)
        prizes.post_bond(lacking)
        return True

    def _say_unbonded(self, **figures: int) -> None:
        """Say once an epoch that the bond is lacking, and by how much."""
        epoch = self._court.ended()
        if epoch == self._unbonded:
            return
        self._unbonded = epoch
        _log.error(
            "no bond",
            extra=fields(
                **figures, allowed=self._most_bond, account=self._account,
                remedy="Allow the bond, with what was lost of it, and send the account the"
                " tokens. Where some was lost, find out first what was false.",
            ),
        )  # fmt: skip

    def _lost(self) -> int:
        """Base units of bonds that this account ever lost."""
        where = {"proposer": self._account}
        events = every(self._ledger.index, "prizes", "BondLost", where)
        return sum(event.number("reward") + event.number("burned") for event in events)

    # --- open roots ------------------------------------------------------------------------------

    def _defend(self, state: State) -> None:
        """Answer what is demanded of this account's open roots; make the oldest one final."""
        for position in range(state.final + 1, state.tip + 1):
            header = self._court.header(position)
            if header is not None and header.proposer == self._account:
                self._answer(header)
        oldest = self._court.header(state.final + 1) if state.tip > state.final else None
        if oldest is not None and self._is_over(oldest) and not self._held(oldest):
            self._try("finalize", partial(self._ledger.prizes.finalize, told(oldest)))

    def _is_over(self, header: Header) -> bool:
        now, prizes = self._ledger.now(), self._ledger.prizes
        return prizes.is_over(header.position, header.until, now=now)

    def _held(self, header: Header) -> bool:
        hashed = header_hash(header)
        return convert(int, self._ledger.call("prizes", "open_demands", [hashed])) > 0

    def _answer(self, header: Header) -> None:
        """Answer demands, the oldest first, many at once: each has its own deadline."""
        if self._held(header):
            calls = [partial(self._try, "answer", call) for call in self._answers(header)]
            if self._at_once == 1:
                deque((call() for call in calls), maxlen=0)
                return
            with ThreadPoolExecutor(self._at_once, "answer") as pool:
                deque(pool.map(lambda call: call(), calls), maxlen=0)

    def _answers(self, header: Header) -> Iterator[Callable[[], object]]:
        if events := list(islice(self._open_demands("disputes", header), ANSWERS)):
            served = self._served(header)
            for event in events:
                numbers = (event.number(name) for name in ("kind", "trace", "index"))
                piece, number = opening(served, *numbers), event.number("id")
                yield partial(self._ledger.disputes.answer, number, told(header), piece)
        if events := list(islice(self._open_demands("prizes", header), ANSWERS)):
            tree = self._tree(header)
            for event in events:
                index = event.number("index")
                leaf = tree.leaf(index)
                proof = (leaf.account, leaf.grains, index, list(tree.path(index)))
                given = (event.number("id"), header_words(told(header)), proof)
                yield partial(self._ledger.send, "prizes", "answer", given)

    def _open_demands(self, contract: str, header: Header) -> Iterator[Event]:
        """Demands for a root that are neither answered nor expired."""
        where: dict[str, object] = {"header": header_hash(header)}
        if contract == "prizes":
            where = {"position": header.position}
        index = self._ledger.index
        for event in every(index, contract, "Demanded", where):
            number = event.number("id")
            if index.last(contract, "Answered", where={"id": number}):
                continue
            asked = self._ledger.call(contract, "demanded", [number])
            same = isinstance(asked, dict) and asked["header"] == header_hash(header)
            if same and isinstance(asked, dict) and asked["deadline"]:
                yield event

    def _served(self, header: Header) -> Served:
        """The batch behind a root of this account: from the disk, else reckoned again."""
        try:
            return read(self._desk.shelf.trace(header.epoch), header.data)
        except FreeholdError:
            return self._court.standing(header.position).served(None)

    def _tree(self, header: Header) -> Tree:
        try:
            tree = Tree.read(self._desk.shelf.leaves(header.epoch))
            if tree.root == header.root:
                return tree
        except FreeholdError:
            _log.debug("leaves are reckoned again", extra=fields(epoch=header.epoch))
        return self._court.standing(header.position).tree(None)

    # --- final roots -----------------------------------------------------------------------------

    def _conclude(self, state: State) -> None:
        """Of the last final root, tell the judge who has to go, and claim."""
        due = state.final > min(self._claimed, self._settled)
        root = self._court.root(state.final) if due else None
        if root is None:
            return
        if self._settled < state.final and self._settle(root[0]):
            self._settled = state.final
        if self._claimed < state.final:
            self._claim(root[0])
            self._claimed = state.final

    def _settle(self, root: Root) -> bool:
        """Settle for subnets that are full: only there a newcomer replaces anybody. Whether all
        is done."""
        end = self._court.calendar.begin(root.header.epoch + 1)
        due = [at for at in range(len(root.bundle.traces)) if self._wants(at + 1, end)]
        for at in due[:SETTLEMENTS]:
            trace = root.bundle.traces[at].trace.words()
            place = (root.bundle.batch.words(), trace, at, root.bundle.trace_tree.path(at))
            call = partial(self._ledger.disputes.settle, told(root.header), place)
            self._try("settle", call)
        return not due

    def _wants(self, subnet: int, end: int) -> bool:
        known = self._ledger.subnet.subnet_of(subnet)
        full = known.nodes >= known.max_nodes and not known.closing
        return full and self._ledger.disputes.prune_list(subnet)[1] < end

    def _claim(self, root: Root) -> None:
        tree, index = root.tree, root.tree.place(self._account)
        if index == tree.count or raw_address(tree.leaf(index).account) != raw_address(
            self._account
        ):
            return
        leaf = tree.leaf(index)
        if self._ledger.prizes.claimed(self._account) < leaf.grains:
            given = (root.header.epoch, leaf.account, leaf.grains, index, tree.path(index))
            self._try("claim", partial(self._ledger.prizes.claim, *given))

    def _try(self, what: str, call: Callable[[], object]) -> bool:
        """Send a transaction; whether it was taken. What the chain refuses is said."""
        try:
            call()
        except RefusedError as error:
            _log.warning("proposer", extra=fields(what=what, refused=error.message))
            return False
        _log.info("proposer", extra=fields(what=what))
        return True
