"""A small certificate authority for tests: it signs for servers and clients, also what has expired."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PEM = serialization.Encoding.PEM


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path, name: str = "server") -> tuple[str, str]:
        """Puts both in files, each replaced whole, as a renewal should; answers their paths."""
        paths = (folder / f"{name}.crt", folder / f"{name}.key")
        for path, content in zip(paths, (self.certificate, self.key), strict=True):
            beside = path.with_suffix(".new")
            beside.write_bytes(content)
            os.replace(beside, path)
        return str(paths[0]), str(paths[1])


class Authority:
    """Signs certificates."""

    def __init__(self, name: str = "test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        signed = _builder(self._name, self._name, self._key, 2).add_extension(constraints, critical=True)
        self.root = signed.sign(self._key, hashes.SHA256()).public_bytes(PEM)

    def sign(self, name: str = "localhost", *, days: int = 2) -> Pair:
        """A certificate for a server or a client of that name; ``days`` below 0 has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(name)])
        builder = _builder(_name(name), self._name, key, days).add_extension(names, critical=False)
        private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return Pair(builder.sign(self._key, hashes.SHA256()).public_bytes(PEM), private)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
    )
