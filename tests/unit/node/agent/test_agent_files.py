"""Settings, keys and the number of a boot."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest

from freehold.domain.errors import (
    AccessError,
    ConflictError,
    FreeholdError,
    IntegrityError,
    NotFoundError,
    UsageError,
    VersionError,
)
from freehold.node.agent import keys
from freehold.node.agent.settings import FILE, load, parse
from unit.node.agent.homes import make_home


def test_settings_come_back_as_they_were_written(tmp_path: Path) -> None:
    settings, _ = make_home(
        tmp_path, services=("mqtt://hub", "https://hub:8443"), fingerprint="ab" * 32
    )
    assert load(tmp_path) == settings
    assert settings.api == "https://hub:8443"
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_no_device(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no device"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "../x"), ("network_id", "0x12"), ("device", "0x12"), ("owner", 5),
        ("services", ["ftp://x"]), ("services", ["http://"]), ("services", ["http://h:99999"]),
        ("services", ["https://me:secret@h"]),
        ("fingerprint", "ab"), ("interval", 0), ("interval", True), ("batch", 5_000),
        ("threshold", 2), ("buffer", 1), ("rpc_urls", "http://x"), ("sensors", None),
    ],
)  # fmt: skip
def test_wrong_settings_are_usage_errors(tmp_path: Path, field: str, value: object) -> None:
    make_home(tmp_path)
    fields = json.loads((tmp_path / FILE).read_text()) | {field: value}
    with pytest.raises(UsageError):
        parse(json.dumps(fields))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"freehold_device": 2}', "[" * 5_000])
def test_foreign_settings_are_typed_errors(text: str) -> None:
    with pytest.raises((UsageError, VersionError)):
        parse(text)


def test_keys_come_back_and_are_never_overwritten(tmp_path: Path) -> None:
    made = keys.create(tmp_path, random=secrets.token_bytes)
    found = keys.load(tmp_path)
    assert (found.did, found.agent) == (made.did, made.agent)
    found.did.verify(found.sign(b"x"), b"x")
    with pytest.raises(ConflictError):
        keys.create(tmp_path, random=secrets.token_bytes)
    secret = found.agent.secret.hex()
    assert secret not in repr(found)


@pytest.mark.parametrize("name", [keys.DEVICE_KEY, keys.AGENT_KEY])
def test_keys_that_others_can_read_are_refused(tmp_path: Path, name: str) -> None:
    keys.create(tmp_path, random=secrets.token_bytes)
    (tmp_path / name).chmod(0o640)
    with pytest.raises(AccessError, match="open to other users"):
        keys.load(tmp_path)


@pytest.mark.parametrize("name", [keys.DEVICE_KEY, keys.AGENT_KEY])
@pytest.mark.parametrize("content", [b"", b"zz", b"-----BEGIN PRIVATE KEY-----\nAA==\n"])
def test_damaged_keys_are_typed_errors(tmp_path: Path, name: str, content: bytes) -> None:
    keys.create(tmp_path, random=secrets.token_bytes)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FreeholdError):
        keys.load(tmp_path)


def test_boots_only_grow_and_a_damaged_number_is_refused(tmp_path: Path) -> None:
    assert [keys.next_boot(tmp_path) for _ in range(3)] == [1, 2, 3]
    (tmp_path / keys.BOOT).write_bytes(b"\0\0")
    with pytest.raises(IntegrityError, match="damaged"):
        keys.next_boot(tmp_path)
