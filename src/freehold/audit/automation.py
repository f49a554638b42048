"""Rules and commands run again: who approved what, that each trigger fits the agreed status, that
each receipt is signed by its device's agent key, which commands wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass

from freehold.audit import inputs
from freehold.audit.devices import Devices, signed_by
from freehold.audit.events import Event
from freehold.audit.inputs import Fields
from freehold.audit.report import Spot
from freehold.domain.ids import ZERO_ADDRESS
from freehold.domain.network import Network
from freehold.domain.typed import RECEIPT

CHECK = "automation"
DAY = 86_400
RULES_MAX, OPEN_MAX, RULE_OPEN_MAX = 64, 16, 12
HOLD_MAX, AGE_MAX, COOLDOWN_MAX, TERM_MAX = 30 * DAY, 30 * DAY, 366 * DAY, 366 * DAY
ANSWER_TIME = 600
_TERMS = ("device", "subject", "aspect", "above", "threshold", "command", "hold", "cooldown",
          "max_age", "expiry")  # fmt: skip
FAILED, LAPSED = 3, 4


@dataclass(slots=True)
class Rule:
    """An approved rule, as the contract's view names its fields."""

    device: str = ZERO_ADDRESS
    generation: int = 0
    subject: str = ZERO_ADDRESS
    aspect: bytes = bytes(32)
    above: bool = False
    threshold: int = 0
    command: str = ""
    hold: int = 0
    cooldown: int = 0
    max_age: int = 0
    expiry: int = 0
    last: int = 0
    open: int = 0
    revoked: bool = False

    def met(self, seen: int) -> bool:
        """Whether a value lies on the rule's side of its threshold."""
        return seen > self.threshold if self.above else seen < self.threshold


@dataclass(slots=True)
class Command:
    """A command and what became of it, as the contract's view names its fields."""

    device: str = ZERO_ADDRESS
    generation: int = 0
    rule: int = 0
    command: str = ""
    issued_at: int = 0
    hold: int = 0
    answer_by: int = 0
    until: int = 0
    outcome: int = 0
    detail: bytes = bytes(32)
    at: int = 0
    answered_at: int = 0


class Automation:
    """The automation contract's state, recomputed; ``agreed`` is asked for the status."""

    def __init__(
        self,
        network: Network,
        made: Fields,
        *,
        devices: Devices,
        agreed: Callable[[str, bytes], tuple[int, int]],
        counts: Counter[str],
    ) -> None:
        spot = Spot(CHECK)
        for name in ("devices", "status"):
            expected, found = network.contracts[name], inputs.account(made, f"{name}_")
            spot.same(f"the {name} of automation", expected=expected, found=found)
        salt = inputs.data(made, "network_id_")
        spot.same("the network of automation", expected=network.network_id, found=salt)
        self._network, self._me = network, network.contracts[CHECK]
        self._devices, self._agreed, self._counts = devices, agreed, counts
        self.paused = False
        self.hidden = 0
        self.rules: dict[int, Rule] = {}
        self.commands: dict[int, Command] = {}
        self._live: dict[tuple[str, int], list[int]] = {}
        self._open: dict[tuple[str, int], list[int]] = {}
        self._triggered: tuple[int, int] | None = None
        self._routes: dict[str, Callable[[Event], None]] = {
            "Approved": self._approved, "Revoked": self._revoked, "Commanded": self._commanded,
            "Triggered": self._trigger, "Acknowledged": self._acknowledged,
            "Lapsed": self._lapsed, "PausedSet": self._paused_set,
        }  # fmt: skip

    def apply(self, event: Event) -> None:
        """Re-run an event of the contract."""
        self._routes[event.name](event)
        self._counts[CHECK] += 1

    def finish(self, spot: Spot) -> None:
        """Differs where a rule's command came without a trigger."""
        spot.same("a command without a trigger", expected=None, found=self._triggered)

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        totals = {
            "rules": len(self.rules), "commands": len(self.commands), "paused": self.paused,
        }  # fmt: skip
        if view in totals:
            return [totals[view]]
        key = arguments[0] if arguments else None
        if isinstance(key, int):
            if view == "rule":
                return [asdict(self.rules.get(key, Rule()))]
            return [asdict(self.commands.get(key, Command()))] if view == "command" else None
        lists = {"rules_of": self._live, "open_of": self._open}
        if view not in lists:
            return None
        return [list(lists[view].get((str(key), self._devices.generation(str(key))), []))]

    # Rules

    def _approved(self, event: Event) -> None:
        device, spot = event.text("device"), event.spot(CHECK)
        spot.same("rules paused", expected=False, found=self.paused)
        event.same(CHECK, "rule", len(self.rules) + 1)
        event.same(CHECK, "owner", self._devices.owner(device))
        self._check_caller(event, "owner")
        event.same(CHECK, "generation", self._in_service(event))
        self._check_bounds(event)
        self._check_input(event, "approve", {name: event.args[name] for name in _TERMS})
        live = self._live.setdefault((device, event.number("generation")), [])
        spot.same("room for a rule", expected=True, found=len(live) < RULES_MAX)
        live.append(event.number("rule"))
        self.rules[event.number("rule")] = _rule(event)

    def _check_bounds(self, event: Event) -> None:
        names = ("hold", "cooldown", "max_age", "expiry")
        hold, cooldown, age, expiry = (event.number(name) for name in names)
        for what, holds in (
            ("a subject", event.text("subject") != ZERO_ADDRESS),
            ("an aspect", event.data("aspect") != bytes(32)),
            ("a command", event.text("command") != ""),
            ("a hold within bounds", 0 < hold <= HOLD_MAX),
            ("a cooldown within bounds", 0 < cooldown <= COOLDOWN_MAX),
            ("an age within bounds", 0 < age <= AGE_MAX),
            ("an expiry within bounds", event.time < expiry <= event.time + TERM_MAX),
        ):
            event.spot(CHECK).same(what, expected=True, found=holds)

    def _revoked(self, event: Event) -> None:
        rule = self._known_rule(event)
        event.same(CHECK, "device", rule.device)
        event.same(CHECK, "owner", self._devices.owner(rule.device))
        self._check_caller(event, "owner")
        event.spot(CHECK).same("a rule revoked before", expected=False, found=rule.revoked)
        rule.revoked = True
        _remove(self._live[rule.device, rule.generation], event.number("rule"))

    # Commands

    def _commanded(self, event: Event) -> None:
        device, number, rule = event.text("device"), event.number("id"), event.number("rule")
        spot, generation = event.spot(CHECK), self._in_service(event)
        event.same(CHECK, "id", len(self.commands) + 1)
        event.same(CHECK, "answer_by", event.time + ANSWER_TIME)
        hold = event.number("until") - event.number("answer_by")
        waiting = self._open.setdefault((device, generation), [])
        if rule:
            self._check_due(event, hold)
        else:
            self._check_order(event, hold)
        room = len(waiting) < (RULE_OPEN_MAX if rule else OPEN_MAX)
        spot.same("room for a command", expected=True, found=room)
        waiting.append(number)
        self.commands[number] = Command(
            device, generation, rule, event.text("command"), event.time, hold,
            event.number("answer_by"), event.number("until"),
        )  # fmt: skip

    def _check_order(self, event: Event, hold: int) -> None:
        device, command = event.text("device"), event.text("command")
        caller, spot = event.transaction.caller(self._me), event.spot(CHECK)
        by_owner = caller in (None, self._devices.owner(device))
        spot.same("an order by the owner", expected=True, found=by_owner)
        fit = command != "" and 0 < hold <= HOLD_MAX
        spot.same("a command and hold within bounds", expected=True, found=fit)
        self._check_input(event, "order", {"device": device, "command": command, "hold": hold})

    def _check_due(self, event: Event, hold: int) -> None:
        """Differs unless the rule could fire; what it saw is told by the trigger that follows."""
        rule = self._known_rule(event)
        event.same(CHECK, "device", rule.device)
        event.same(CHECK, "command", rule.command)
        cool = rule.last == 0 or event.time >= rule.last + rule.cooldown
        for what, expected, found in (
            ("the hold of the rule", rule.hold, hold),
            ("the generation of the rule", rule.generation, self._devices.generation(rule.device)),
            ("a rule revoked before", False, rule.revoked),
            ("a rule that has not expired", True, event.time < rule.expiry),
            ("a command still open", 0, rule.open),
            ("a rule that cooled down", True, cool),
            ("a trigger before", None, self._triggered),
        ):
            event.spot(CHECK).same(what, expected=expected, found=found)
        self._triggered = (event.number("rule"), event.number("id"))

    def _trigger(self, event: Event) -> None:
        told = event.number("rule"), event.number("id")
        spot = event.spot(CHECK)
        spot.same("the command of a trigger", expected=self._triggered, found=told)
        self._triggered = None
        self._check_caller(event, "sender")
        rule = self.rules[told[0]]
        seen, at = self._agreed(rule.subject, rule.aspect)
        event.same(CHECK, "seen", seen)
        event.same(CHECK, "settled_at", at)
        fresh = at > 0 and 0 <= event.time - at <= rule.max_age
        spot.same("a status settled lately", expected=True, found=fresh)
        spot.same("a status beyond the threshold", expected=True, found=rule.met(seen))
        rule.last, rule.open = event.time, told[1]

    def _acknowledged(self, event: Event) -> None:
        outcome, number = event.number("outcome"), event.number("id")
        known = 0 < outcome <= FAILED
        event.spot(CHECK).same("an outcome of a receipt", expected=True, found=known)
        command = self._close(event, outcome)
        self._check_receipt(event, number)
        command.detail, command.at = event.data("detail"), event.number("at")
        command.answered_at = event.time

    def _check_receipt(self, event: Event, number: int) -> None:
        """Differs unless the agent key signed what stands in the input."""
        calls = [
            call for call in inputs.calls(event.transaction, CHECK, "acknowledge", 5)
            if inputs.number(call, "id") == number
        ]  # fmt: skip
        if not calls and event.transaction.to != self._me:
            self.hidden += 1
            return
        device = event.address("device")
        told = (number, device, event.number("outcome"), event.data("detail"), event.number("at"))
        digest = RECEIPT.digest(self._network.domain(CHECK), told)
        signers = [signed_by(digest, inputs.data(call, "signature")) for call in calls]
        spot = event.spot(CHECK)
        spot.same("the signature of the agent key", expected=True, found=device in signers)
        self._counts["receipts of devices"] += 1

    def _lapsed(self, event: Event) -> None:
        command, sender = self._close(event, LAPSED), event.address("sender")
        over = event.time > command.answer_by or sender == self._devices.owner(command.device)
        event.spot(CHECK).same("a command that is over", expected=True, found=over)
        self._check_caller(event, "sender")

    def _close(self, event: Event, outcome: int) -> Command:
        number = event.number("id")
        command = self.commands.get(number)
        if command is None or command.outcome:
            raise event.spot(CHECK).differs("the command", expected="an open one", found=number)
        event.same(CHECK, "device", command.device)
        event.same(CHECK, "rule", command.rule)
        command.outcome = outcome
        _remove(self._open[command.device, command.generation], number)
        if command.rule:
            self.rules[command.rule].open = 0
        return command

    # Who

    def _known_rule(self, event: Event) -> Rule:
        found = self.rules.get(event.number("rule"))
        if found is None:
            number = event.number("rule")
            raise event.spot(CHECK).differs("the rule", expected="an approved one", found=number)
        return found

    def _in_service(self, event: Event) -> int:
        generation = self._devices.generation(event.text("device"))
        event.spot(CHECK).same("a device in service", expected=True, found=generation > 0)
        return generation

    def _check_caller(self, event: Event, name: str) -> None:
        caller = event.transaction.caller(self._me)
        if caller is not None:
            event.same(CHECK, name, caller)

    def _check_input(self, event: Event, function: str, told: Fields) -> None:
        """Differs where the input says something else; it does where nobody stood between."""
        if event.transaction.to == self._me:
            shown = inputs.shown(event.transaction, CHECK, function, told)
            event.spot(CHECK).same(f"the call of {function}", expected=True, found=shown)

    def _paused_set(self, event: Event) -> None:
        self.paused = event.number("paused") != 0


def _rule(event: Event) -> Rule:
    number, text = event.number, event.text
    return Rule(
        text("device"), number("generation"), text("subject"), event.data("aspect"),
        number("above") != 0, number("threshold"), text("command"), number("hold"),
        number("cooldown"), number("max_age"), number("expiry"),
    )  # fmt: skip


def _remove(numbers: list[int], number: int) -> None:
    """Take one out as the contract does: the last one takes its place."""
    last = numbers.pop()
    if last != number:
        numbers[numbers.index(number)] = last
