"""The list of devices run again: owners, generations, keys, consents, what enrolling burned.

What no contract checks is checked here: the binding, by which a device key says whose it is. A
wrong one breaks no rule of the chain and is no difference; a note counts them, and nobody who
checks them (as the telemetry service does) hears of such a device.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from freehold.audit import inputs
from freehold.audit.burns import Burns
from freehold.audit.events import Event
from freehold.audit.inputs import Fields
from freehold.audit.report import Spot
from freehold.domain import pairing
from freehold.domain.did import PREFIX, Curve, Did
from freehold.domain.errors import AccessError, FreeholdError
from freehold.domain.ids import ZERO_ADDRESS, Address, keccak
from freehold.domain.keys import recover
from freehold.domain.network import Network
from freehold.domain.typed import ENROLMENT

CHECK = "devices"
_TOLD = ("owner", "payout", "generation", "key", "binding", "place", "firmware")
_NOBODY: dict[str, object] = {
    "owner": ZERO_ADDRESS, "payout": ZERO_ADDRESS, "generation": 0, "enrolled_at": 0,
    "retired": False, "key": b"", "binding": b"", "place": bytes(32), "firmware": "",
}  # fmt: skip


class Devices:
    """The devices contract's state, recomputed; ``wrong`` are those whose binding is."""

    def __init__(
        self, network: Network, made: Fields, *, burns: Burns, counts: Counter[str]
    ) -> None:
        spot = Spot(CHECK)
        token, salt = inputs.account(made, "token_"), inputs.data(made, "network_id_")
        spot.same("the token of devices", expected=network.contracts["token"], found=token)
        spot.same("the network of devices", expected=network.network_id, found=salt)
        self._network, self._me = network, network.contracts[CHECK]
        self._burns, self._counts = burns, counts
        self.fee = inputs.number(made, "fee_")
        self.paused = False
        self.burned = 0
        self.hidden = 0
        self.wrong: set[str] = set()
        self.known: dict[str, dict[str, object]] = {}
        self._routes: dict[str, Callable[[Event], None]] = {
            "Enrolled": self._enrolled, "Updated": self._updated, "Reported": self._reported,
            "Retired": self._retired, "PausedSet": self._paused_set, "FeeSet": self._fee_set,
        }  # fmt: skip

    def apply(self, event: Event) -> None:
        """Re-run an event of the contract."""
        self._routes[event.name](event)
        self._counts[CHECK] += 1

    def owner(self, device: str) -> object:
        """Who owns a device, the zero address where it is unknown."""
        return self._of(device)["owner"]

    def generation(self, device: str) -> int:
        """The generation in service, 0 where the device is unknown or retired."""
        found = self._of(device)
        number = found["generation"]
        return number if isinstance(number, int) and not found["retired"] else 0

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        totals = {"count": len(self.known), "fee": self.fee, "paused": self.paused}
        if view in totals:
            return [totals[view]]
        if view == "at" and isinstance(arguments[0], int):
            return [list(self.known)[arguments[0]]]
        return self._answer_one(view, str(arguments[0])) if arguments else None

    def _answer_one(self, view: str, device: str) -> list[object] | None:
        known = self._of(device)
        views: dict[str, object] = {
            "device": dict(known), "active": self.generation(device) > 0,
            "generation_of": self.generation(device), "owner_of": known["owner"],
            "payout_of": known["payout"], "key_of": known["key"],
        }  # fmt: skip
        return [views[view]] if view in views else None

    def _of(self, device: str) -> dict[str, object]:
        return self.known.get(device, _NOBODY)

    def _enrolled(self, event: Event) -> None:
        device, owner = event.address("device"), event.address("owner")
        before, spot = self._of(device), event.spot(CHECK)
        new = device not in self.known
        spot.same("enrolments paused", expected=False, found=self.paused)
        spot.same("a device of its own", expected=True, found=device not in (ZERO_ADDRESS, owner))
        spot.same("a payout", expected=True, found=event.address("payout") != ZERO_ADDRESS)
        if not new:
            event.same(CHECK, "owner", before["owner"])
            spot.same("a device that retired", expected=True, found=before["retired"])
        event.same(CHECK, "generation", _generation(before) + 1)
        self._check_key(event)
        self._check_burn(event, due=self.fee if new else 0)
        self._check_consent(event)
        self._check_binding(event)
        told = {name: event.args[name] for name in _TOLD}
        self.known[device] = {**told, "enrolled_at": event.time, "retired": False}
        self._counts["enrolments"] += 1

    def _check_key(self, event: Event) -> None:
        key, binding = event.data("key"), event.data("binding")
        sizes = {curve.value: PREFIX + curve.size for curve in Curve}
        good = sizes.get(key[:PREFIX]) == len(key) and len(binding) == 64
        event.spot(CHECK).same("a key and binding of a known form", expected=True, found=good)

    def _check_burn(self, event: Event, *, due: int) -> None:
        event.same(CHECK, "burned", due)
        if due:
            words = "a burn by the owner of the fee for a device"
            self._burns.pay(event.text("owner"), due, what=words, spot=event.spot(CHECK))
            self.burned += due

    def _check_consent(self, event: Event) -> None:
        """Differs unless the agent key signed what stands in the input."""
        device = event.address("device")
        calls = [
            call for call in inputs.calls(event.transaction, CHECK, "enroll", 8)
            if inputs.account(call, "device") == device
        ]  # fmt: skip
        if not calls and event.transaction.to != self._me:
            self.hidden += 1
            return
        agreed = any(self._agreed(event, call) for call in calls)
        event.spot(CHECK).same("the consent of the agent key", expected=True, found=agreed)

    def _agreed(self, event: Event, call: Fields) -> bool:
        deadline = inputs.number(call, "deadline")
        names = (event.address("device"), event.address("owner"), keccak(event.data("key")))
        digest = ENROLMENT.digest(
            self._network.domain(CHECK), (*names, event.number("generation"), deadline)
        )
        told = ("key", "binding", "place", "firmware", "payout")
        same = all(call[name] == event.args[name] for name in told)
        signer = signed_by(digest, inputs.data(call, "consent"))
        return same and signer == names[0] and event.time <= deadline

    def _check_binding(self, event: Event) -> None:
        device, owner = event.address("device"), event.address("owner")
        try:
            pairing.check(
                Did.read(event.data("key")), event.data("binding"),
                network_id=self._network.network_id, device=device, owner=owner,
            )  # fmt: skip
        except FreeholdError:
            self.wrong.add(device)
        else:
            self.wrong.discard(device)

    def _updated(self, event: Event) -> None:
        known = self._live(event)
        event.same(CHECK, "owner", known["owner"])
        self._check_caller(event, "owner")
        payout = event.address("payout")
        event.spot(CHECK).same("a payout", expected=True, found=payout != ZERO_ADDRESS)
        self._check_input(event, "update", ("device", "place", "payout"))
        known.update(place=event.args["place"], payout=payout)

    def _reported(self, event: Event) -> None:
        known, sender = self._live(event), event.address("sender")
        allowed = sender in (event.address("device"), known["owner"])
        event.spot(CHECK).same("the device or its owner", expected=True, found=allowed)
        self._check_caller(event, "sender")
        self._check_input(event, "report", ("device", "firmware"))
        known["firmware"] = event.args["firmware"]

    def _retired(self, event: Event) -> None:
        known = self._live(event)
        for name in ("owner", "generation"):
            event.same(CHECK, name, known[name])
        self._check_caller(event, "owner")
        known["retired"] = True

    def _live(self, event: Event) -> dict[str, object]:
        found = self.known.get(event.address("device"))
        if found is None or found["retired"]:
            name = event.address("device")
            raise event.spot(CHECK).differs("the device", expected="one in service", found=name)
        return found

    def _check_caller(self, event: Event, name: str) -> None:
        """Differs where somebody else called the contract; known where nobody stood between."""
        caller = event.transaction.caller(self._me)
        if caller is not None:
            event.same(CHECK, name, caller)

    def _check_input(self, event: Event, function: str, names: tuple[str, ...]) -> None:
        """Differs where the input says something else; it does where nobody stood between."""
        if event.transaction.to == self._me:
            told = {name: event.args[name] for name in names}
            shown = inputs.shown(event.transaction, CHECK, function, told)
            event.spot(CHECK).same(f"the call of {function}", expected=True, found=shown)

    def _paused_set(self, event: Event) -> None:
        self.paused = event.number("paused") != 0

    def _fee_set(self, event: Event) -> None:
        self.fee = event.number("fee")


def signed_by(digest: bytes, signature: bytes) -> Address | None:
    """Who signed a digest; None where nobody can have made the signature."""
    try:
        return recover(digest, signature)
    except AccessError:
        return None


def _generation(known: dict[str, object]) -> int:
    value = known["generation"]
    return value if isinstance(value, int) else 0
