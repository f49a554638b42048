"""A chain in process whose gas is a receipt's, to the unit.

pyrevm keeps one journal for ever: slots stay warm from call to call and their first value is that
of the start, so its gas says little. Here every transaction runs in a snapshot. What it wrote is
read from the journal, the snapshot is undone (which makes everything cold again) and the writes
are put into the database below: the next transaction starts as the first one of a block does.
The rest of a receipt is the floor of EIP-7623, which this EVM does not know.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyrevm

from bench.chain import CHAIN_ID, GENESIS, TRANSACTION_GAS, Receipt, Refused, floor_gas, log_of
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.ledger.abi import reason
from freehold.ledger.values import Log

_ADDRESS = "0x[0-9a-f]{40}"
_WRITE = re.compile(rf"StorageChange {{ address: ({_ADDRESS}), key: (\d+), had_value: Some")
_ACCOUNT = re.compile(rf"(?:AccountCreated|NonceChange) {{ address: ({_ADDRESS})")
_TRANSFER = re.compile(rf"BalanceTransfer {{ from: ({_ADDRESS}), to: ({_ADDRESS}), balance: [1-9]")
_JOURNAL = "journal: ["
_BLOCK_GAS = 60_000_000
_BLOCK_SECONDS = 2


@dataclass(frozen=True, slots=True)
class _Changes:
    words: dict[tuple[str, int], int]
    accounts: dict[str, pyrevm.AccountInfo]


@dataclass(slots=True)
class Revm:
    """The chain in process; ``unmetered`` is several times as fast and tells no gas."""

    now: int = GENESIS
    _number: int = 1_000
    _evm: pyrevm.EVM = field(init=False)
    _metered: bool = True

    def __post_init__(self) -> None:
        env = pyrevm.Env(cfg=pyrevm.CfgEnv(chain_id=CHAIN_ID))
        self._evm = pyrevm.EVM(env=env, gas_limit=TRANSACTION_GAS)
        self._set_block()

    def create(self, sender: Address, code: bytes) -> tuple[Address, Receipt]:
        """Deploy init code."""
        made: list[str] = []
        receipt = self._run(code, lambda: made.append(self._evm.deploy(sender, code)))
        return Address(made[0]), receipt

    def transact(self, sender: Address, to: Address, data: bytes, *, value: int = 0) -> Receipt:
        """One transaction; Refused when it reverts."""
        return self._run(
            data,
            lambda: self._evm.message_call(
                caller=sender, to=to, calldata=data, value=value, gas=TRANSACTION_GAS
            ),
        )

    def view(self, to: Address, data: bytes) -> bytes:
        """Evaluate a call and forget it."""
        mark = self._evm.snapshot()
        try:
            return bytes(
                self._evm.message_call(
                    caller=ZERO_ADDRESS, to=to, calldata=data, gas=TRANSACTION_GAS, is_static=True
                )
            )
        except RuntimeError as error:
            raise _refusal(error) from None
        finally:
            self._evm.revert(mark)

    def warp(self, seconds: int, *, blocks: int = 1) -> None:
        """Move the clock on, with at least ``blocks`` blocks on the way."""
        self.now += seconds
        self._number += max(blocks, seconds // _BLOCK_SECONDS)
        self._set_block()

    def slot(self, address: Address, key: int) -> int:
        """A word of storage."""
        mark = self._evm.snapshot()
        value = int(self._evm.storage(address, key))
        self._evm.revert(mark)
        return value

    def put_slot(self, address: Address, key: int, value: int) -> None:
        """Set a word of storage."""
        # Alone in a snapshot, or the word goes into the journal instead of the database.
        mark = self._evm.snapshot()
        self._evm.insert_account_storage(address, key, value)
        self._evm.revert(mark)

    def give(self, account: Address, wei: int) -> None:
        """Set an account's native balance."""
        mark = self._evm.snapshot()
        self._evm.set_balance(account, wei)
        info = self._evm.basic(account)
        self._evm.revert(mark)
        self._evm.insert_account_info(account, info)

    @contextmanager
    def unmetered(self) -> Iterator[None]:
        """Run the transactions inside as one: their receipts have no gas."""
        mark = self._evm.snapshot()
        self._metered = False
        try:
            yield
        finally:
            self._metered = True
            self._keep(mark)

    def _run(self, data: bytes, call: Callable[[], object]) -> Receipt:
        self._evm.reset_transient_storage()
        if not self._metered:
            _attempt(call)
            return Receipt(0, len(data), self._logs())
        mark = self._evm.snapshot()
        try:
            _attempt(call)
        except Refused:
            self._evm.revert(mark)
            raise
        gas = max(int(self._result().gas_used), floor_gas(data))
        receipt = Receipt(gas, len(data), self._logs())
        self._keep(mark)
        return receipt

    def _result(self) -> pyrevm.ExecutionResult:
        result = self._evm.result
        if result is None:
            raise RuntimeError("pyrevm kept no result")
        return result

    def _logs(self) -> tuple[Log, ...]:
        return tuple(
            log_of(Address(log.address), [bytes.fromhex(t[2:]) for t in log.topics], log.data[1])
            for log in self._result().logs
        )

    def _keep(self, mark: pyrevm.JournalCheckpoint) -> None:
        """Undo the journal since ``mark`` and put what it changed into the database."""
        changes = self._changes()
        self._evm.revert(mark)
        for name, info in changes.accounts.items():
            self._evm.insert_account_info(name, info)
        for (name, key), value in changes.words.items():
            self.put_slot(Address(name), key, value)

    def _changes(self) -> _Changes:
        text = self._evm.journal_str
        journal = text[text.rindex(_JOURNAL) :]
        words = {(found[1], int(found[2])) for found in _WRITE.finditer(journal)}
        names = {found[1] for found in _ACCOUNT.finditer(journal)}
        for found in _TRANSFER.finditer(journal):
            names |= {found[1], found[2]}
        return _Changes(
            {(name, key): int(self._evm.storage(name, key)) for name, key in words},
            {name: self._evm.basic(name) for name in names},
        )

    def _set_block(self) -> None:
        block = pyrevm.BlockEnv(number=self._number, timestamp=self.now, gas_limit=_BLOCK_GAS)
        self._evm.set_block_env(block)


def _attempt(call: Callable[[], object]) -> None:
    try:
        call()
    except RuntimeError as error:
        raise _refusal(error) from None


def _refusal(error: RuntimeError) -> Refused:
    text = str(error)
    found = re.search("output: 0x([0-9a-f]+)", text)
    return Refused(reason(bytes.fromhex(found[1])) if found else text)
