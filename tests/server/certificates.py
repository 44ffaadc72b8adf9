"""Certificates for tests, made once."""

import ssl
from functools import cache
from pathlib import Path
from typing import Any

import trustme


@cache
def authority() -> trustme.CA:
    """Return the authority of all certificates but those of ``stranger``."""
    return trustme.CA()


@cache
def stranger() -> trustme.CA:
    """Return an authority that nobody knows."""
    return trustme.CA()


def write(folder: Path, name: str = "server", *, with_key: bool = True) -> dict[str, Any]:
    """Write a new certificate, and return the settings that name it."""
    made = authority().issue_cert("localhost", "127.0.0.1", common_name=name)
    cert, key = folder / "cert.pem", folder / "key.pem"
    chain = b"".join(each.bytes() for each in made.cert_chain_pems)
    cert.write_bytes(chain if with_key else made.private_key_and_cert_chain_pem.bytes())
    key.write_bytes(made.private_key_pem.bytes())
    return {"tls_cert": cert, "tls_key": key} if with_key else {"tls_cert": cert}


def write_authority(folder: Path) -> dict[str, Any]:
    """Write the authority that clients' certificates must be from."""
    path = folder / "ca.pem"
    authority().cert_pem.write_to_path(str(path))
    return {"tls_client_ca": path}


def client_context(name: str | None = None, of: trustme.CA | None = None) -> ssl.SSLContext:
    """Return what a client knows; with a name, it has a certificate with that."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    if name is not None:
        made = (of or authority()).issue_cert(f"{name}.example", common_name=name)
        made.configure_cert(context)
    return context
