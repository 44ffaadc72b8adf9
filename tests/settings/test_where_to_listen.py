"""Where a server listens, by the settings, and who must be kept out there."""

from pathlib import Path

import pytest

from starling_py.connecting.address import TCP, UNIX, Address, Addresses
from starling_py.settings.config_file import load
from starling_py.settings.errors import ConfigError
from starling_py.settings.server_settings import Settings

SECTION = "starling:\n"


def read(folder: Path, *lines: str) -> Settings:
    path = folder / "conf.yml"
    path.write_text(SECTION + "".join(f"  {each}\n" for each in lines))
    return load(path)


def expect_problem(folder: Path, *lines: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, *lines)
    (problem,) = caught.value.problems
    return problem.removeprefix(f"{folder}/")


def test_a_list_of_addresses_takes_the_place_of_host_and_port(tmp_path: Path) -> None:
    assert Settings(port=5).addresses == (Address(TCP, "127.0.0.1", 5),)
    listed = read(tmp_path, "listen: ['127.0.0.1:5', 'unix:/a/b']").addresses
    assert listed == (Address(TCP, "127.0.0.1", 5), Address(UNIX, "", 0, "/a/b"))
    assert load(None, {"listen": "127.0.0.1:5, unix:/a/b"}).addresses == listed
    assert str(Addresses(listed)) == "127.0.0.1:5,unix:/a/b"
    problem = expect_problem(tmp_path, "listen: ['127.0.0.1:5']", "port: 6")
    assert problem == (
        "conf.yml:2: starling.listen: (a list): host and port say the same in short; leave them out"
    )


BEYOND = (
    " is beyond this machine, and whoever reaches it could use the server; write users_file: or"
    " allow_from: to keep others out, or insecure: true if that is meant"
)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["host: 0.0.0.0"], "conf.yml:2: starling.host: 0.0.0.0: 0.0.0.0" + BEYOND),
        (["listen: '[::]:5'"], "conf.yml:2: starling.listen: [::]:5: ::" + BEYOND),
        (["port: 1", "host: '*'"], "conf.yml:3: starling.host: *: *" + BEYOND),
        (
            ["host: 10.0.0.1", "allow_from: [deny, 10.0.0.2]"],
            "conf.yml:2: starling.host: 10.0.0.1: 10.0.0.1" + BEYOND,
        ),
    ],
)
def test_to_listen_beyond_this_machine_somebody_must_be_kept_out(
    tmp_path: Path, lines: list[str], problem: str
) -> None:
    assert expect_problem(tmp_path, *lines) == problem
    assert read(tmp_path, *lines, "insecure: true").insecure
    if len(lines) == 1:
        assert read(tmp_path, *lines, "allow_from: 10.0.0.0/8").allow_from is not None


def test_an_option_that_listens_beyond_this_machine_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {"host": "0.0.0.0"})
    assert caught.value.problems == ["--host: 0.0.0.0: 0.0.0.0" + BEYOND]
    assert load(None, {"host": "0.0.0.0", "insecure": True}).insecure


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["listen: 'tls:127.0.0.1:5'"], "listen: tls:127.0.0.1:5: tls:127.0.0.1:5: tls_cert is"),
        (
            ["listen: 'tls:127.0.0.1:5'", "tls_cert: a", "proxy_protocol: true"],
            "proxy_protocol: true: a PROXY header in front of TLS is not understood",
        ),
        (["listen: 'tls:0.0.0.0:5'", "tls_cert: a"], "listen: tls:0.0.0.0:5: 0.0.0.0 is beyond"),
    ],
)
def test_what_tls_needs_is_asked_for(tmp_path: Path, lines: list[str], problem: str) -> None:
    assert f"starling.{problem}" in expect_problem(tmp_path, *lines)


def test_clients_certificates_keep_others_out(tmp_path: Path) -> None:
    lines = ("listen: 'tls:0.0.0.0:5'", "tls_cert: a", "tls_client_ca: b")
    assert read(tmp_path, *lines).tls_client_ca is not None


def test_the_words_of_the_book_are_understood(tmp_path: Path) -> None:
    written = read(tmp_path, "allow_from: deny all allow 192.168.1.*").allow_from
    assert written == read(tmp_path, "allow_from: [deny, all, allow, 192.168.1.*]").allow_from
    assert written is not None
    assert (written.allow("192.168.1.5"), written.allow("127.0.0.1")) == (True, False)
