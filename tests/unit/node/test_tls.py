from __future__ import annotations

import hashlib
import ssl
import stat
from pathlib import Path

import pytest

from freehold.domain.errors import IntegrityError
from freehold.node.tls import ensure_certificate, server_context
from unit.node.world import NOW


def test_a_certificate_is_made_once(tmp_path: Path) -> None:
    first = ensure_certificate(tmp_path, host="127.0.0.1", now=NOW)
    assert ensure_certificate(tmp_path, host="elsewhere", now=NOW + 1) == first
    der = ssl.PEM_cert_to_DER_cert(
        first.file.read_text()[first.file.read_text().index("-----BEGIN CERT") :]
    )
    assert hashlib.sha256(der).digest() == first.fingerprint
    assert stat.S_IMODE(first.file.stat().st_mode) == 0o600
    assert server_context(first).minimum_version is ssl.TLSVersion.TLSv1_3


def test_a_damaged_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "tls.pem").write_text("nothing")
    with pytest.raises(IntegrityError, match=r"tls\.pem"):
        ensure_certificate(tmp_path, host="node.example", now=NOW)
