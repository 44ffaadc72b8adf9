"""Every way to say who one is to NATS: each lets a server in, and without it nothing is begun."""

import base64
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nkeys
import pytest

from tests.process.server_process import COMMAND, PATIENCE, environment, expect_refusal, free_port
from tests.replica.nats_cluster import command, until_connected
from tests.server.certificates import write, write_authority


@contextmanager
def nats_server(folder: Path, more: str, sync: str = "2m") -> Iterator[int]:
    """Run a server with some lines in its configuration; give its port."""
    with free_port() as port:
        file = folder / "nats.conf"
        file.write_text(
            f'listen: "127.0.0.1:{port}"\n'
            f'jetstream {{store_dir: "{folder}/js", sync_interval: {sync}}}\n{more}'
        )
        with (folder / "nats.log").open("wb") as log:
            process = subprocess.Popen([command(), "-c", str(file)], stdout=log, stderr=log)
        try:
            until_connected(port)
            yield port
        finally:
            process.kill()
            process.wait()


def check(folder: Path, **settings: object) -> "subprocess.CompletedProcess[str]":
    """Have the cluster tried with some settings."""
    lines = "".join(f"  {name}: {json.dumps(str(value))}\n" for name, value in settings.items())
    file = folder / "starling.yml"
    file.write_text(f"starling:\n  engine: jetstream\n  replicas: 1\n{lines}")
    return subprocess.run(
        [*COMMAND, "-f", str(file), "--check-config"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def expect_in(folder: Path, **settings: object) -> None:
    done = check(folder, **settings)
    assert done.returncode == 0, done.stderr
    assert "1 of 1 NATS servers answer; stream starling is not there yet" in done.stdout


def expect_out(folder: Path, **settings: object) -> None:
    done = check(folder, **settings)
    assert done.returncode == 1
    assert "the cluster does not answer" in done.stderr
    assert done.stdout == ""


def test_a_user_and_a_password(tmp_path: Path) -> None:
    with nats_server(tmp_path, "authorization { user: me, password: secret }\n") as port:
        expect_in(tmp_path, servers=f"nats://me:secret@127.0.0.1:{port}")
        expect_out(tmp_path, servers=f"nats://me:wrong@127.0.0.1:{port}")
        expect_out(tmp_path, servers=f"nats://127.0.0.1:{port}")


def pair(kind: int) -> Any:  # noqa: ANN401 - nkeys has no types
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), kind))


def test_an_nkey(tmp_path: Path) -> None:
    me, other = pair(nkeys.PREFIX_BYTE_USER), pair(nkeys.PREFIX_BYTE_USER)
    for name, each in (("me", me), ("other", other)):
        (tmp_path / name).write_bytes(bytes(each.seed) + b"\n")
    users = f"authorization {{ users: [ {{ nkey: {me.public_key.decode()} }} ] }}\n"
    with nats_server(tmp_path, users) as port:
        url = f"nats://127.0.0.1:{port}"
        expect_in(tmp_path, servers=url, servers_credentials=tmp_path / "me")
        expect_out(tmp_path, servers=url, servers_credentials=tmp_path / "other")
        expect_out(tmp_path, servers=url)


def jwt(issuer: Any, subject: str, name: str, told: dict[str, Any]) -> str:  # noqa: ANN401
    """Return claims as NATS wants them, signed."""

    def encoded(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    claims = {
        "iat": int(time.time()),
        "iss": issuer.public_key.decode(),
        "name": name,
        "sub": subject,
        "nats": {**told, "version": 2},
    }
    digest = hashlib.new("sha512_256", json.dumps(claims).encode()).digest()
    claims["jti"] = base64.b32encode(digest).rstrip(b"=").decode()
    head = encoded(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
    body = f"{head}.{encoded(json.dumps(claims).encode())}"
    return f"{body}.{encoded(issuer.sign(body.encode()))}"


def test_credentials_of_an_account(tmp_path: Path) -> None:
    kinds = [nkeys.PREFIX_BYTE_OPERATOR, nkeys.PREFIX_BYTE_ACCOUNT, nkeys.PREFIX_BYTE_USER]
    operator, account, user, system = map(pair, [*kinds, nkeys.PREFIX_BYTE_ACCOUNT])
    names = [each.public_key.decode() for each in (operator, account, user, system)]
    every = dict.fromkeys(["subs", "data", "payload", "imports", "exports", "conn", "leaf"], -1)
    stored = dict.fromkeys(["mem_storage", "disk_storage", "streams", "consumer"], -1)
    limits = {**every, **stored, "wildcards": True}
    of_system = jwt(operator, names[3], "SYS", {"type": "account", "limits": every})
    of_operator = jwt(operator, names[0], "O", {"type": "operator"})
    of_account = jwt(operator, names[1], "A", {"type": "account", "limits": limits})
    of_user = jwt(account, names[2], "U", {"type": "user", "subs": -1, "data": -1, "payload": -1})
    line = "------"
    file = tmp_path / "me.creds"
    file.write_text(
        f"-----BEGIN NATS USER JWT-----\n{of_user}\n{line}END NATS USER JWT{line}\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n{line}END USER NKEY SEED{line}\n"
    )
    more = (
        f"operator: {of_operator}\nresolver: MEMORY\n"
        f"system_account: {names[3]}\n"
        f"resolver_preload: {{ {names[1]}: {of_account}, {names[3]}: {of_system} }}\n"
    )
    with nats_server(tmp_path, more) as port:
        url = f"nats://127.0.0.1:{port}"
        expect_in(tmp_path, servers=url, servers_credentials=file)
        expect_out(tmp_path, servers=url)


def test_tls_with_an_authority_and_a_certificate_of_ones_own(tmp_path: Path) -> None:
    files, trusted = write(tmp_path), write_authority(tmp_path)["tls_client_ca"]
    own = f'cert_file: "{files["tls_cert"]}", key_file: "{files["tls_key"]}"'
    with nats_server(tmp_path, f'tls {{ {own}, ca_file: "{trusted}", verify: true }}\n') as port:
        url = f"tls://127.0.0.1:{port}"
        certificate = {"servers_cert": files["tls_cert"], "servers_key": files["tls_key"]}
        expect_in(tmp_path, servers=url, servers_ca=trusted, **certificate)
        expect_out(tmp_path, servers=url, servers_ca=trusted)
        expect_out(tmp_path, servers=url)


@pytest.mark.parametrize("name", ["servers_credentials", "servers_ca", "servers_cert"])
def test_a_file_that_is_missing_or_wrong_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    for what in ("No such file", ""):
        options = ("-q", tmp_path / "spool", "-p", "0", "--engine", "jetstream")
        told = expect_refusal(
            1, *options, "--servers", "nats://127.0.0.1:1", "--set", f"{name}={path}"
        )
        assert str(path) in told
        assert what in told
        path.write_text("nothing")
