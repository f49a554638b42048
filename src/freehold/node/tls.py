"""The node's self-signed certificate; the registry vouches for it by its SHA-256."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from freehold.domain.errors import IntegrityError
from freehold.node.files import disk, replace_file

CERTIFICATE = "tls.pem"
YEARS = 20
_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key in one PEM file; ``fingerprint`` is the SHA-256 of its DER."""

    file: Path
    fingerprint: bytes


def ensure_certificate(home: Path, *, host: str, now: int) -> Certificate:
    """The certificate of this home, made once (P-256, valid for 20 years).

    Its lifetime is long because trust comes from the fingerprint in the registry, not from a
    date; a node that wants a new one removes the file and starts again.
    """
    file = home / CERTIFICATE
    if not file.exists():
        replace_file(file, _make(host, datetime.datetime.fromtimestamp(now, datetime.UTC)))
    return Certificate(file, _fingerprint(file))


def _make(host: str, now: datetime.datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "freehold node")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + YEARS * 365 * _DAY)
        .add_extension(x509.SubjectAlternativeName([_alternative(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return secret + certificate.public_bytes(serialization.Encoding.PEM)


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _fingerprint(file: Path) -> bytes:
    with disk(file):
        content = file.read_bytes()
    try:
        certificate = x509.load_pem_x509_certificate(content)
    except ValueError as error:
        raise IntegrityError(
            f"{file} is not a certificate",
            remedy="Remove the file: the node makes another and announces it.",
        ) from error
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """TLS 1.3 with this certificate; nodes ask no certificate of their clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate.file)
    return context
