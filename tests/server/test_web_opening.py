"""What keeps a server from starting where HTTP is to be served, each in one line."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from starling_py.http import assets
from starling_py.server.errors import StartError
from starling_py.server.web_opening import open_web
from starling_py.settings.http_settings import HttpSettings

TOKEN = "0123456789abcdef"


def refusal(settings: HttpSettings) -> str:
    with pytest.raises(StartError) as caught:
        open_web(settings)
    return str(caught.value)


def on_any_port(**more: object) -> HttpSettings:
    return HttpSettings(listen="127.0.0.1:0", **more)  # type: ignore[arg-type]


def test_without_the_section_nothing_is_open() -> None:
    assert open_web(None) is None


def test_the_tokens_of_the_file_are_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"ops:{TOKEN}\n")
    opened = open_web(on_any_port(token_file=file, hosts="Queues.Example,other"))
    assert opened is not None
    for each in opened.listeners:
        each.close()
    assert opened.gate.tokens == {TOKEN.encode(): "ops"}
    names = {"queues.example", "other", socket.gethostname().lower(), "127.0.0.1"}
    assert opened.gate.hosts == names


def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = refusal(HttpSettings(listen=f"127.0.0.1:{port}"))  # type: ignore[arg-type]
    assert told.startswith(f"http: cannot listen on 127.0.0.1:{port}: Address already in use")


def test_a_file_of_tokens_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "none"
    told = refusal(on_any_port(token_file=path))
    assert told == f"http.token_file: {path}: No such file or directory"


def test_a_token_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("ops:secret\n")
    assert refusal(on_any_port(token_file=path)).startswith(f"http.token_file: {path}: line 1: a")


def test_a_file_of_tokens_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(b"\xff\xfe")
    assert refusal(on_any_port(token_file=path)).startswith(f"http.token_file: {path}: 'utf-8'")


def test_without_its_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("starling_py.server.web", "starling_py.http.exchange"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delattr("starling_py.server.web", raising=False)
    monkeypatch.setitem(sys.modules, "h11", None)
    told = refusal(on_any_port())
    assert told == "http: needs the package h11, as in pip install 'starling-py[http]'"


def test_without_the_section_its_library_is_not_loaded() -> None:
    program = "import sys, starling_py.cli; sys.exit('h11' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_socket_on_a_path_is_opened_and_its_name_removed(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    opened = open_web(HttpSettings(listen=f"unix:{path}?mode=0600"))  # type: ignore[arg-type]
    assert opened is not None
    assert opened.listeners == []
    opened.open_path()
    assert path.stat().st_mode & 0o777 == 0o600
    (listener,) = opened.listeners
    assert listener.getsockname() == str(path)
    opened.close()
    assert not path.exists()


@pytest.mark.patches
def test_the_files_of_the_page_are_read_when_it_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assets.load.cache_clear()
    opened = open_web(on_any_port(dashboard=True))
    assert opened is not None
    opened.close()
    monkeypatch.setattr(assets, "resources", None)
    assert "/page.js" in assets.load()
