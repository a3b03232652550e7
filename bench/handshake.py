"""`python -m bench.handshake` measures how much CPU time a TLS handshake takes on the client's side.

The server is a process of its own, on loopback, so that only the client's part is counted. Its certificate has the
kind of key that AWS's and most vendors' have (RSA, 2,048 bits), and is signed by an authority, as theirs are.
"""

from __future__ import annotations

import socket
import ssl
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

HOST = "localhost"
HANDSHAKES = 200
PATIENCE_SECONDS = 60


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_certificates(folder)
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        server = context.Process(target=serve, args=(folder, theirs), daemon=True)
        server.start()
        seconds = measure(folder, int(ours.recv()))
        server.terminate()
        server.join(PATIENCE_SECONDS)
    print(f"A TLS handshake takes {1_000 * seconds:.1f} ms of CPU on the client's side ({ssl.OPENSSL_VERSION}).")


def measure(folder: Path, port: int) -> float:
    """Return the median of the client's CPU seconds. The trusted certificates are read before, once."""
    context = ssl.create_default_context(cafile=str(folder / "authority.pem"))
    seconds = []
    for _ in range(HANDSHAKES):
        with socket.create_connection((HOST, port), timeout=PATIENCE_SECONDS) as plain:
            began_at = time.process_time()
            with context.wrap_socket(plain, server_hostname=HOST):
                seconds.append(time.process_time() - began_at)
    return statistics.median(seconds)


def serve(folder: Path, parent: Connection) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    with socket.create_server((HOST, 0)) as listener:
        parent.send(listener.getsockname()[1])
        while True:
            plain, _ = listener.accept()
            with context.wrap_socket(plain, server_side=True) as encrypted:
                encrypted.recv(1)  # ends when the client closes


def make_certificates(folder: Path) -> None:
    """Write an authority's certificate, and the server's with its key."""
    authority_key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    authority = certificate(subject="authority", issuer="authority", key=authority_key, signer=authority_key)
    server_key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    server = certificate(subject=HOST, issuer="authority", key=server_key, signer=authority_key)
    pem = serialization.Encoding.PEM
    (folder / "authority.pem").write_bytes(authority.public_bytes(pem))
    (folder / "server.pem").write_bytes(server.public_bytes(pem))
    no_password = serialization.NoEncryption()
    private = server_key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, no_password)
    (folder / "server.key").write_bytes(private)


def certificate(
    *,
    subject: str,
    issuer: str,
    key: rsa.RSAPrivateKey,
    signer: rsa.RSAPrivateKey,
) -> x509.Certificate:
    now = datetime.now(UTC)
    is_authority = subject == issuer
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
    )
    return builder.sign(signer, hashes.SHA256())


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


if __name__ == "__main__":
    main()
