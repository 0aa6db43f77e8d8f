"""Starts and stops MiniStack, the emulator of AWS that the stacks are deployed to."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import ipaddress
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from servers import Server, free_port
from tools import ROOT, tool

REGION = "us-east-1"


@dataclasses.dataclass(frozen=True)
class Emulator:
    url: str
    # The certificate of the authority that signed the emulator's certificate, if the emulator speaks TLS.
    authority: pathlib.Path | None = None


@contextlib.contextmanager
def ministack(extra: dict[str, str], authority: pathlib.Path | None = None) -> Iterator[Emulator]:
    port = free_port()
    url = f"{'https' if authority else 'http'}://127.0.0.1:{port}"
    env = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        # Otherwise MiniStack also listens on port 8883.
        "IOT_MTLS_ENABLED": "0",
        # The functions that MiniStack runs inherit this variable.
        "AWS_ENDPOINT_URL": url,
    }
    server = Server("ministack", port, "/_ministack/health", [tool("ministack")], env | extra, ROOT)
    server.url = url
    try:
        server.wait_until_it_answers()
        yield Emulator(url, authority)
    except BaseException:
        log = pathlib.Path(server.log.name).read_text(errors="replace").splitlines()
        print("\nThe last lines of MiniStack's log:", *log[-40:], sep="\n", file=sys.stderr)
        raise
    finally:
        server.stop()


@contextlib.contextmanager
def given_or_own_ministack() -> Iterator[Emulator]:
    """The MiniStack that DEPLOY_MINISTACK_URL names, or one that is started here."""
    given = os.environ.get("DEPLOY_MINISTACK_URL")
    if given:
        yield Emulator(given.rstrip("/"))
    else:
        with ministack({}) as emulator:
            yield emulator


@contextlib.contextmanager
def enforcing_ministack(work: pathlib.Path) -> Iterator[Emulator]:
    """A MiniStack that enforces IAM. It must speak TLS, because the policies of the queues and of the CDK's bucket
    refuse plain HTTP."""
    authority, certificate, key = certificates(work)
    # Read by Python's HTTP clients, and by the functions, which inherit it.
    os.environ["SSL_CERT_FILE"] = str(authority)
    try:
        extra = {"AUTH": "true", "USE_SSL": "1", "MINISTACK_SSL_CERT": str(certificate), "MINISTACK_SSL_KEY": str(key)}
        with ministack(extra, authority) as emulator:
            yield emulator
    finally:
        del os.environ["SSL_CERT_FILE"]


def certificates(work: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path, pathlib.Path]:
    """Creates a certificate authority and a certificate for 127.0.0.1, both valid for an hour. Returns the paths of the
    authority's certificate, of the certificate and of its key."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def certificate(subject: str, key: Any, issuer: str, issuer_key: Any, extension: Any) -> Any:
        name = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])  # noqa: E731
        return (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
                .public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(minutes=5))
                .not_valid_after(now + datetime.timedelta(hours=1))
                .add_extension(extension, critical=False)
                .add_extension(x509.BasicConstraints(ca=key is issuer_key, path_length=None), critical=True)
                .sign(issuer_key, hashes.SHA256()))

    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")])
    files = {
        "authority.pem": certificate("authority", authority_key, "authority", authority_key, usage)
        .public_bytes(serialization.Encoding.PEM),
        "certificate.pem": certificate("emulator", key, "authority", authority_key, names)
        .public_bytes(serialization.Encoding.PEM),
        "key.pem": key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                     serialization.NoEncryption()),
    }
    for name, content in files.items():
        (work / name).write_bytes(content)
    return work / "authority.pem", work / "certificate.pem", work / "key.pem"
