"""The stream that holds what devices publish until a worker has it on its own disk."""

from __future__ import annotations

import asyncio

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError
from nats.js.errors import NotFoundError as NoStreamError

from freehold.domain.errors import CapacityError
from freehold.telemetry.reading import BATCH_MAX

STREAM, SUBJECTS = "FREEHOLD", "fh.dev.>"
BYTES_MAX, AGE = 2**32, 3 * 86_400.0
"""What the stream holds at most: bytes, and seconds."""
_NO_ROOM = 10_047
_CONNECT_SECONDS = 5


async def ensure(jetstream: JetStreamContext, *, bytes_max: int = BYTES_MAX) -> None:
    """Make the stream where it is missing. A full one refuses what is new: what it said that it
    has, it keeps. CapacityError where the server may not store so much."""
    try:
        await jetstream.stream_info(STREAM)
    except NoStreamError:
        await _make(jetstream, bytes_max)


async def connect(url: str, *, name: str) -> Client:
    """A connection that ends when the server goes, for whoever asked to connect again; raises
    the errors of nats-py, OSError and TimeoutError."""
    return await asyncio.wait_for(
        nats.connect(
            url, name=name, allow_reconnect=False, connect_timeout=_CONNECT_SECONDS,
            max_reconnect_attempts=1, reconnect_time_wait=0.1, error_cb=_ignored,
            max_outstanding_pings=2, ping_interval=10,
        ),
        2 * _CONNECT_SECONDS,
    )  # fmt: skip


async def prepare(url: str, *, bytes_max: int = BYTES_MAX) -> None:
    """Connect once to make the stream, so that devices may publish before a worker comes."""
    client = await connect(url, name="freehold")
    try:
        await ensure(client.jetstream(timeout=5), bytes_max=bytes_max)
    finally:
        await client.close()


async def _make(jetstream: JetStreamContext, bytes_max: int) -> None:
    try:
        await jetstream.add_stream(
            StreamConfig(
                name=STREAM,
                subjects=[SUBJECTS],
                retention=RetentionPolicy.WORK_QUEUE,
                discard=DiscardPolicy.NEW,
                storage=StorageType.FILE,
                max_bytes=bytes_max,
                max_age=AGE,
                max_msg_size=BATCH_MAX,
            )
        )
    except APIError as error:
        if error.err_code != _NO_ROOM:
            raise
        raise CapacityError(
            f"the NATS server may not store {bytes_max:,} bytes",
            remedy="Raise max_file_store of its JetStream, or give the stream less.",
        ) from error


async def _ignored(_: Exception) -> None:
    """What goes wrong is raised where it matters; the client need not say it as well."""
