"""The devnet's JSON-RPC over HTTP, on the loopback interface only."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from freehold.domain.errors import FreeholdError
from freehold.ledger.devnet.anvil import EngineError, EngineRefusal
from freehold.ledger.devnet.chain import BusyError, Chain
from freehold.ledger.wire import Json, WireError, quantity

_log = logging.getLogger("freehold.devnet")

Message: TypeAlias = MutableMapping[str, Any]  # as ASGI defines its messages
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

BODY_LIMIT = 4 * 2**20
BATCH_LIMIT = 100
BUSY = -32005
RESTARTING = -32097
_REFUSED = -32601
_INVALID = -32600
_PARAMS = -32602
_FAILED = -32000
MINE_LIMIT = 10_000

READS = frozenset(
    {
        "eth_blockNumber", "eth_call", "eth_chainId", "eth_estimateGas", "eth_feeHistory",
        "eth_gasPrice", "eth_getBalance", "eth_getBlockByHash", "eth_getBlockByNumber",
        "eth_getBlockReceipts", "eth_getBlockTransactionCountByHash",
        "eth_getBlockTransactionCountByNumber", "eth_getCode", "eth_getLogs", "eth_getProof",
        "eth_getStorageAt", "eth_getTransactionByHash", "eth_getTransactionCount",
        "eth_getTransactionReceipt", "eth_maxPriorityFeePerGas", "eth_syncing", "net_version",
        "web3_clientVersion",
    }
)  # fmt: skip
"""What anyone may ask. Everything else of the engine (its unlocked accounts, balances out of thin
air, impersonation, moved clocks) stays behind the server."""
ADMIN = frozenset({"evm_increaseTime", "evm_mine", "anvil_reorg", "freehold_dump"})
"""What tests may do besides, with ``--admin``."""
_AT_LATEST = frozenset({"eth_call", "eth_estimateGas"})
_OF_STATE = _AT_LATEST | {
    "eth_getBalance", "eth_getCode", "eth_getProof", "eth_getStorageAt", "eth_getTransactionCount"
}  # fmt: skip
_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Server:
    """An ASGI application over a chain."""

    def __init__(self, chain: Chain, *, admin: bool) -> None:
        self._chain = chain
        self._admin = admin

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One HTTP request."""
        if scope["type"] != "http":
            return
        if not _local(scope):
            await _reply(send, 403, _error(None, _INVALID, "this server answers localhost only"))
        elif scope["method"] == "GET" and scope["path"] == "/health":
            await self._health(send)
        elif scope["method"] != "POST":
            await _reply(send, 405, _error(None, _INVALID, "POST a JSON-RPC request"))
        else:
            await self._post(receive, send)

    async def _health(self, send: Send) -> None:
        alive = not self._chain.failed.is_set()
        await _reply(send, 200 if alive else 503, json.dumps(self._chain.status()).encode())

    async def _post(self, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        if body is None:
            text = f"a request may have {BODY_LIMIT} bytes"
            await _reply(send, 413, _error(None, _INVALID, text))
            return
        try:
            request = json.loads(body)
        except (ValueError, RecursionError):
            await _reply(send, 400, _error(None, -32700, "the request is not JSON"))
            return
        if not isinstance(request, list):
            await _reply(send, 200, await self._one(request, body))
        elif not 1 <= len(request) <= BATCH_LIMIT:
            text = f"a batch has 1 to {BATCH_LIMIT} calls"
            await _reply(send, 400, _error(None, _INVALID, text))
        else:
            answers = await asyncio.gather(*(self._one(each, None) for each in request))
            await _reply(send, 200, b"[" + b",".join(answers) + b"]")

    async def _one(self, request: Json, body: bytes | None) -> bytes:
        """The answer to one call; ``body`` is the request as it came, where it came alone."""
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return _error(None, _INVALID, "a call is an object with a method")
        name, number, params = str(request["method"]), request.get("id"), request.get("params", [])
        try:
            if not isinstance(params, list):
                raise EngineRefusal(_fault(_PARAMS, "params is a list"))
            if name in READS:
                return await self._read(name, request, params, body)
            return _result(number, await self._act(name, params))
        except EngineRefusal as error:
            return _answer(number, "error", error.error)
        except (EngineError, BusyError, FreeholdError, WireError) as error:
            return _answer(number, "error", _told(error))

    async def _read(
        self, name: str, request: dict[str, Json], params: list[Json], body: bytes | None
    ) -> bytes:
        if name in _AT_LATEST and (len(params) == 1 or params[1] in ("latest", None)):
            # An idle devnet mines nothing, so its latest block grows old. What a call at "latest"
            # means to ask is the next block: on a chain that never rests they hardly differ.
            request = {**request, "params": [params[0], "pending", *params[2:]]}
            body = None
        asked = body or json.dumps(request).encode()
        if name in _OF_STATE:
            return await self._chain.read_state(asked)
        return await self._chain.engine.forward(asked)

    async def _act(self, name: str, params: list[Json]) -> Json:
        if name == "eth_sendRawTransaction":
            return await self._chain.submit(_raw(params))
        if name == "freehold_status":
            return self._chain.status()
        if name not in ADMIN:
            raise EngineRefusal(_fault(_REFUSED, f"the devnet does not offer {name[:64]}"))
        if not self._admin:
            raise EngineRefusal(_fault(_REFUSED, f"{name} needs a devnet started with --admin"))
        return await self._administer(name, params)

    async def _administer(self, name: str, params: list[Json]) -> Json:
        if name == "evm_increaseTime":
            return hex(await self._chain.move_time(_number(params, most=10**9)))
        if name == "evm_mine":
            await self._chain.mine(_number(params, most=MINE_LIMIT) if params else 1)
        elif name == "anvil_reorg":
            await self._chain.reorganise(_number(params, most=10**6))
        else:
            await self._chain.dump()
        return None


def _raw(params: list[Json]) -> str:
    raw = params[0] if params else None
    if not isinstance(raw, str) or not raw.startswith("0x") or len(raw) % 2 or len(raw) < 4:
        raise EngineRefusal(_fault(_PARAMS, "the parameter is a raw transaction in hexadecimal"))
    try:
        bytes.fromhex(raw[2:])
    except ValueError as error:
        raise EngineRefusal(_fault(_PARAMS, "the transaction is not hexadecimal")) from error
    return raw


def _number(params: list[Json], *, most: int) -> int:
    value = params[0] if params else None
    number = value if isinstance(value, int) else quantity(value)
    if not 0 <= number <= most:
        raise EngineRefusal(_fault(_PARAMS, f"the number must be 0 to {most}"))
    return number


def _local(scope: Message) -> bool:
    """A page of another site may reach this port through a name it resolves to 127.0.0.1; its
    Host header gives it away, and its Origin."""
    headers = dict(scope["headers"])
    host = headers.get(b"host", b"").decode("latin-1")
    name = host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
    return name in _HOSTS and b"origin" not in headers


async def _body(receive: Receive) -> bytes | None:
    parts = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(parts)
        parts += message.get("body", b"")
        if len(parts) > BODY_LIMIT:
            return None
        if not message.get("more_body", False):
            return bytes(parts)


async def _reply(send: Send, status: int, body: bytes) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _told(error: Exception) -> dict[str, Json]:
    if isinstance(error, EngineError):
        return _fault(RESTARTING, "the devnet's engine is restarting; try again")
    if isinstance(error, BusyError):
        return _fault(BUSY, "too many transactions wait; try again")
    return _fault(_FAILED, str(error))


def _fault(code: int, message: str) -> dict[str, Json]:
    return {"code": code, "message": message}


def _error(number: Json, code: int, message: str) -> bytes:
    return _answer(number, "error", _fault(code, message))


def _result(number: Json, value: Json) -> bytes:
    return _answer(number, "result", value)


def _answer(number: Json, kind: str, value: Json) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, kind: value}).encode()
