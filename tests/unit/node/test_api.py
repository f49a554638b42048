from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx2
import pytest

from freehold.domain.ids import Address
from freehold.domain.keys import Key, recover
from freehold.domain.money import cost
from freehold.domain.typed import ACCEPTANCE, OFFER
from freehold.markets.storage.piece import Piece, commit
from unit.node.world import CLIENT, NODE, NOW, STRANGER, WATCHER, World, sign_voucher

DATA = hashlib.shake_128(b"column").digest(300_000)
PIECE = commit(DATA)


@dataclass
class Http:
    """Requests to the node's API without a socket, each with a token of its own."""

    world: World

    def __call__(
        self,
        key: Key | None,
        method: str,
        path: str,
        *,
        body: bytes | dict[str, object] = b"",
        **headers: str,
    ) -> httpx2.Response:
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        signed = content if isinstance(body, dict) else b""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent.setdefault("authorization", self.world.token(key, method, path, signed))
        return asyncio.run(self._send(method, path, content, sent))

    async def _send(
        self, method: str, path: str, content: bytes, headers: dict[str, str]
    ) -> httpx2.Response:
        transport = httpx2.ASGITransport(self.world.node.api().build())
        async with httpx2.AsyncClient(transport=transport, base_url="https://node") as client:
            return await client.request(method, path, content=content, headers=headers)

    def store(self, key: Key = CLIENT, data: bytes = DATA) -> Piece:
        piece = commit(data)
        assert self(key, "PUT", f"/piece/{piece.cid}", body=data).status_code == 201
        return piece


@pytest.fixture
def http(world: World) -> Http:
    return Http(world)


def test_a_piece_goes_in_and_comes_out(http: Http) -> None:
    piece = http.store()
    found = http(CLIENT, "GET", f"/piece/{piece.cid}")
    assert (found.status_code, found.content) == (200, DATA)
    assert found.headers["etag"] == f'"{piece.cid}"'
    head = http(CLIENT, "HEAD", f"/piece/{piece.cid}")
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(DATA)))


def test_ranges_are_cut_from_the_piece(http: Http) -> None:
    path = f"/piece/{http.store().cid}"
    part = http(CLIENT, "GET", path, range="bytes=100-199")
    assert (part.status_code, part.content) == (206, DATA[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(DATA)}"
    tail = http(CLIENT, "GET", path, range="bytes=-7")
    assert (tail.status_code, tail.content) == (206, DATA[-7:])
    beyond = http(CLIENT, "GET", path, range=f"bytes={len(DATA)}-")
    assert (beyond.status_code, beyond.json()["kind"]) == (416, "RangeError")
    stale = http(CLIENT, "GET", path, range="bytes=0-9", if_range='"other"')
    assert (stale.status_code, stale.content) == (200, DATA)


def test_an_upload_goes_on_where_it_stopped(http: Http) -> None:
    made = http(CLIENT, "POST", "/upload", body={"size": len(DATA)})
    assert made.status_code == 201
    path = f"/upload/{made.json()['id']}"
    first = http(CLIENT, "PATCH", path, body=DATA[:100_001], upload_offset="0")
    assert (first.status_code, first.headers["upload-offset"]) == (202, "100001")
    wrong = http(CLIENT, "PATCH", path, body=DATA, upload_offset="5")
    assert (wrong.status_code, wrong.headers["upload-offset"]) == (409, "100001")
    http.world.node.uploads.close()  # as a restart does: sessions are gone, records stay
    assert http(CLIENT, "HEAD", path).headers["upload-offset"] == "100001"
    http(CLIENT, "PATCH", path, body=DATA[100_001:], upload_offset="100001")
    done = http(CLIENT, "PUT", f"/piece/{PIECE.cid}", upload_id=made.json()["id"])
    assert done.status_code == 201
    assert http(CLIENT, "GET", f"/piece/{PIECE.cid}").content == DATA


def test_bytes_under_a_wrong_name_are_not_kept(http: Http) -> None:
    refused = http(CLIENT, "PUT", f"/piece/{PIECE.cid}", body=DATA[:-1] + b"x")
    assert (refused.status_code, refused.json()["kind"]) == (422, "IntegrityError")
    assert http(CLIENT, "GET", f"/piece/{PIECE.cid}").status_code == 404
    usage = http.world.node.store.usage()
    assert (usage.used, usage.reserved) == (0, 0)


def test_a_short_or_long_body_is_refused(http: Http) -> None:
    short = http(CLIENT, "PUT", f"/piece/{PIECE.cid}", body=DATA[:-1])
    assert (short.status_code, short.json()["kind"]) == (400, "UsageError")
    long = http(CLIENT, "PUT", f"/piece/{PIECE.cid}", body=DATA + b"x")
    assert (long.status_code, long.json()["kind"]) == (413, "TooLargeError")
    assert http.world.node.store.usage().reserved == 0


@pytest.mark.parametrize("name", ["..%2f..%2fkey.json", "key.json", "%00", PIECE.cid.upper()])
def test_only_canonical_cids_name_files(http: Http, name: str) -> None:
    assert http(CLIENT, "GET", f"/piece/{name}").status_code in (400, 404, 401, 403)


def test_strangers_uploads_stay_private(http: Http) -> None:
    made = http(CLIENT, "POST", "/upload", body={"size": 1000}).json()["id"]
    http.world.chain.payments.available[STRANGER.address] = 10**30
    assert http(STRANGER, "HEAD", f"/upload/{made}").status_code == 404
    assert http(STRANGER, "DELETE", f"/upload/{made}").status_code == 404
    assert http(CLIENT, "DELETE", f"/upload/{made}").status_code == 204


def test_who_cannot_pay_cannot_fill_the_disk(http: Http) -> None:
    refused = http(STRANGER, "POST", "/upload", body={"size": 10**7})
    assert (refused.status_code, refused.json()["kind"]) == (409, "InsufficientFundsError")
    assert http(WATCHER, "POST", "/upload", body={"size": 10**7}).status_code == 201


def test_the_same_money_stands_for_one_upload(http: Http) -> None:
    price, lockup = http.world.node.settings.price, http.world.chain.storage.lockup_period
    first_lockup = cost(price=price, size=10**7, seconds=lockup)
    http.world.chain.payments.available[STRANGER.address] = first_lockup * 3 // 2
    made = http(STRANGER, "POST", "/upload", body={"size": 10**7})
    assert made.status_code == 201
    again = http(STRANGER, "POST", "/upload", body={"size": 10**7})
    assert (again.status_code, again.json()["kind"]) == (409, "InsufficientFundsError")
    http(STRANGER, "DELETE", f"/upload/{made.json()['id']}")
    assert http(STRANGER, "POST", "/upload", body={"size": 10**7}).status_code == 201


def test_a_size_beyond_the_offer_is_refused(http: Http) -> None:
    full = http(CLIENT, "POST", "/upload", body={"size": 10**9})
    assert (full.status_code, full.json()["kind"]) == (507, "DiskFullError")
    huge = http(CLIENT, "POST", "/upload", body={"size": 2**40})
    assert (huge.status_code, huge.json()["kind"]) == (413, "TooLargeError")


@pytest.mark.parametrize("body", [{"size": 0}, {"size": "1"}, {"size": 1, "more": 2}, {}])
def test_bodies_are_checked(http: Http, body: dict[str, object]) -> None:
    refused = http(CLIENT, "POST", "/upload", body=body)
    assert (refused.status_code, refused.json()["kind"]) == (400, "UsageError")
    assert refused.json()["remedy"]


def test_a_json_body_is_bounded(http: Http) -> None:
    refused = http(CLIENT, "POST", "/upload", body={"size": 1, "x": "y" * 20_000})
    assert refused.status_code == 413


def accept(
    http: Http, cid: str, *, term: int = 3600, client: Address = CLIENT.address
) -> httpx2.Response:
    wish = {"client": client, "cid": cid, "term_end": NOW + term}
    return http(CLIENT, "POST", "/deals/accept", body=wish)


def test_an_acceptance_is_signed_for_what_is_held(http: Http) -> None:
    piece = http.store()
    found = accept(http, piece.cid).json()
    digest = ACCEPTANCE.digest(
        http.world.network.domain("storage"),
        [
            NODE.address, CLIENT.address, CLIENT.address,
            http.world.network.contracts["token"], piece.root, piece.raw_size, piece.height,
            int(found["price"]), found["term_end"], found["deadline"], int(found["nonce"]),
        ],
    )  # fmt: skip
    assert recover(digest, bytes.fromhex(found["signature"][2:])) == NODE.address
    assert accept(http, piece.cid).json() == found  # asked again, not signed again
    assert accept(http, piece.cid, term=3601).json()["nonce"] != found["nonce"]


def test_a_deal_in_another_token_is_refused(http: Http) -> None:
    piece = http.store()
    own = http.world.network.contracts["token"]
    wish = {"client": CLIENT.address, "cid": piece.cid, "term_end": NOW + 3600}
    found = http(CLIENT, "POST", "/deals/accept", body={**wish, "token": own})
    assert (found.status_code, found.json()["token"]) == (200, own)
    refused = http(CLIENT, "POST", "/deals/accept", body={**wish, "token": STRANGER.address})
    assert (refused.status_code, refused.json()["kind"]) == (400, "UsageError")
    assert own in refused.json()["remedy"]


def test_nothing_is_accepted_that_is_not_held(http: Http) -> None:
    assert accept(http, PIECE.cid).status_code == 404


def test_terms_outside_the_offer_are_refused(http: Http) -> None:
    cid = http.store().cid
    refused = accept(http, cid, term=1)
    assert refused.status_code == 400
    assert "would end in 1 s; this node takes 1 min to 540 d" in refused.json()["error"]
    assert accept(http, cid, term=10**9).status_code == 400


def test_a_node_that_gave_notice_accepts_nothing(http: Http) -> None:
    cid = http.store().cid
    http.world.chain.faults.notice_at = NOW
    http.world.clock.time += 10
    refused = accept(http, cid)
    assert (refused.status_code, refused.json()["kind"]) == (409, "ConflictError")


def test_an_accepted_piece_is_not_deleted(http: Http) -> None:
    cid = http.store().cid
    accept(http, cid)
    assert http(CLIENT, "DELETE", f"/piece/{cid}").status_code == 409


def test_only_who_stored_a_piece_deletes_it(http: Http) -> None:
    cid = http.store().cid
    assert http(STRANGER, "DELETE", f"/piece/{cid}").status_code == 404
    assert http(CLIENT, "DELETE", f"/piece/{cid}").status_code == 204
    assert http(CLIENT, "GET", f"/piece/{cid}").status_code == 404
    assert http.world.node.store.usage().used == 0


def test_the_offer_is_signed(http: Http) -> None:
    found = http(None, "GET", "/offer").json()
    digest = OFFER.digest(
        http.world.network.domain("registry"),
        [
            NODE.address, int(found["price"]), int(found["retrieval_price"]), found["min_term"],
            found["max_term"], found["capacity_free"], found["expiry"],
        ],
    )  # fmt: skip
    assert recover(digest, bytes.fromhex(found["signature"][2:])) == NODE.address


def test_strangers_pay_by_voucher(http: Http) -> None:
    path = f"/piece/{http.store().cid}"
    due = http(STRANGER, "GET", path)
    assert due.status_code == 402
    cost = int(due.json()["due"])
    assert cost == len(DATA) * int(due.json()["price_per_byte"])
    http.world.chain.payments.open_voucher(7, STRANGER.address, collateral=2 * cost)
    cheque = sign_voucher(http.world.network, STRANGER, 7, cost)
    paid = http(STRANGER, "GET", path, freehold_voucher=cheque)
    assert (paid.status_code, paid.content) == (200, DATA)
    again = http(STRANGER, "GET", path, freehold_voucher=cheque)
    assert (again.status_code, again.json()["due"]) == (402, str(2 * cost))


def test_a_watcher_reads_within_its_allowance(http: Http) -> None:
    path = f"/piece/{http.store().cid}"
    assert http(WATCHER, "GET", path).content == DATA


def test_the_client_reads_twice_a_day_for_nothing(http: Http) -> None:
    path = f"/piece/{http.store().cid}"
    assert [http(CLIENT, "GET", path).status_code for _ in range(3)] == [200, 200, 402]
    http.world.clock.time += 86_400
    assert http(CLIENT, "GET", path).status_code == 200


def test_a_quarantined_piece_is_gone(http: Http) -> None:
    cid = http.store().cid
    http.world.node.store.quarantine(cid, "rot")
    gone = http(CLIENT, "GET", f"/piece/{cid}")
    assert (gone.status_code, gone.json()["kind"]) == (410, "QuarantinedError")
    health = http(None, "GET", "/health")
    assert (health.status_code, health.json()["quarantined"]) == (503, 1)
    http.store()  # sent again, it is sound again
    assert http(CLIENT, "GET", f"/piece/{cid}").content == DATA


def test_health_and_metrics_need_no_token(http: Http) -> None:
    http.store()
    assert http(None, "GET", "/health").json()["status"] == "ok"
    text = http(None, "GET", "/metrics").text
    assert f"freehold_node_received_bytes_total {float(len(DATA))}" in text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/upload"), ("HEAD", "/upload/x"), ("PATCH", "/upload/x"),
        ("DELETE", "/upload/x"), ("PUT", f"/piece/{PIECE.cid}"), ("GET", f"/piece/{PIECE.cid}"),
        ("HEAD", f"/piece/{PIECE.cid}"), ("DELETE", f"/piece/{PIECE.cid}"),
        ("POST", "/deals/accept"),
    ],
)  # fmt: skip
def test_everything_else_needs_a_token(http: Http, method: str, path: str) -> None:
    assert http(None, method, path).status_code == 401


def test_unknown_paths_are_json_too(http: Http) -> None:
    assert set(http(None, "GET", "/nothing").json()) == {"error", "remedy", "kind"}
    assert http(None, "TRACE", "/offer").status_code == 405


def test_a_broken_connection_keeps_what_arrived(http: Http) -> None:
    made = http(CLIENT, "POST", "/upload", body={"size": 3 * 2**20}).json()["id"]
    path = f"/upload/{made}"

    async def body() -> AsyncIterator[bytes]:
        yield bytes(2**20)
        raise ConnectionError("cable pulled")

    async def broken() -> None:
        app = http.world.node.api().build()
        parts: Iterator[dict[str, object]] = iter(
            [
                {"type": "http.request", "body": bytes(2**20), "more_body": True},
                {"type": "http.disconnect"},
            ]
        )

        async def receive() -> dict[str, object]:
            return next(parts)

        async def send(_: object) -> None:
            return None

        headers = [
            (b"authorization", http.world.token(CLIENT, "PATCH", path).encode()),
            (b"upload-offset", b"0"),
        ]
        scope = {
            "type": "http", "method": "PATCH", "path": path, "raw_path": path.encode(),
            "query_string": b"", "headers": headers, "root_path": "", "scheme": "https",
            "server": ("node", 1), "http_version": "1.1",
        }  # fmt: skip
        await app(scope, receive, send)

    asyncio.run(broken())
    assert http(CLIENT, "HEAD", path).headers["upload-offset"] == str(2**20)
