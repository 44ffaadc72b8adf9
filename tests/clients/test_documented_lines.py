"""The lines that docs/clients.md shows for each client put an item and take it out again."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from tests.clients.rows import DRIVERS, GO, JARS, PAGE, ROOT, SOURCES
from tests.process.server_process import ServerProcess, connect

PATIENCE = 120.0
"""Seconds for the lines to do what they are to do: Go and Java compile first."""
CLIENTS, MEMCACHE = ".venv-clients", ".venv-clients-memcache"
INDENTED = "    "
STARLING = "Ruby's Starling class, memcache-client"


@attrs.frozen
class Lines:
    """What a section of the page shows."""

    section: str
    language: str
    code: str


OF_NO_CLIENT = ("Behind a proxy", "Monitors", "What is tested")
"""Sections of the page whose lines are no client's."""


def sections() -> Iterator[Lines]:
    """Return the first lines of each section; more in the same language belong to them."""
    for part in re.split(r"^##+ ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        if title in OF_NO_CLIENT:
            continue
        blocks = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        if blocks:
            language = blocks[0][0]
            yield Lines(
                title, language, "\n".join(code for kind, code in blocks if kind == language)
            )
        elif found := re.search(rf"(^{INDENTED}.*\n)+", text, re.MULTILINE):
            yield Lines(title, "shell", textwrap.dedent(found[0]))


SECTIONS = list(sections())


def _python(lines: Lines, folder: Path) -> list[str]:
    environment = {"starling_py.client": "", "memcache": MEMCACHE}.get(lines.section, CLIENTS)
    interpreter = ROOT / environment / "bin" / "python"
    code = lines.code
    if "CACHES" in code:
        configured = "import django.conf\ndjango.conf.settings.configure(CACHES=CACHES)\nfrom "
        code = code.replace("from ", configured, 1)
    if "await" in code:
        inner = textwrap.indent(code, INDENTED)
        code = f"import asyncio\nasync def main():\n{inner}\nasyncio.run(main())\n"
    here = not environment or not interpreter.exists()
    return [sys.executable if here else str(interpreter), _file(folder, "lines.py", code)]


def _node(lines: Lines, folder: Path) -> list[str]:
    code = f"(async () => {{\n{lines.code}\n}})();\n"
    return [
        "env",
        f"NODE_PATH={DRIVERS / 'node' / 'node_modules'}",
        "node",
        _file(folder, "lines.js", code),
    ]


def _go(lines: Lines, folder: Path) -> list[str]:
    imports = 'import ("time"; "github.com/bradfitz/gomemcache/memcache")'
    code = f"package main\n{imports}\nfunc main() {{\n{lines.code}\n_, _ = item, err\n}}\n"
    return ["env", *GO, "go", "run", _file(folder, "lines.go", code)]


def _java(lines: Lines, folder: Path) -> list[str]:
    imports = "import java.net.InetSocketAddress; import net.spy.memcached.MemcachedClient;"
    main = "public static void main(String[] arguments) throws Exception"
    code = f"{imports}\nclass Lines {{ {main} {{\n{lines.code}\n}} }}\n"
    return ["java", "-cp", ":".join(JARS), _file(folder, "Lines.java", code)]


def _ruby(lines: Lines, folder: Path) -> list[str]:
    paths = ":".join(str(SOURCES / name / "lib") for name in ("starling", "memcache-client"))
    library = ["env", f"RUBYLIB={paths}"] if lines.section == STARLING else []
    return [*library, "ruby", _file(folder, "lines.rb", lines.code)]


RUN: dict[str, Callable[[Lines, Path], list[str]]] = {
    "python": _python,
    "ruby": _ruby,
    "perl": lambda lines, folder: ["perl", _file(folder, "lines.pl", lines.code)],
    "php": lambda lines, folder: ["php", _file(folder, "lines.php", f"<?php\n{lines.code}")],
    "js": _node,
    "go": _go,
    "java": _java,
    "shell": lambda lines, folder: ["bash", "-e", _file(folder, "lines.sh", lines.code)],
}
TIERS = {"python": "always", "shell": "always", "go": "all", "java": "all"}


def _file(folder: Path, name: str, code: str) -> str:
    path = folder / name
    path.write_text(code)
    return str(path)


def _parameter(lines: Lines) -> object:
    of_checkout = lines.section in ("starling_py.client", "pymemcache")
    tier = "checkout" if of_checkout else TIERS.get(lines.language, "full")
    tier = "sources" if lines.section == STARLING else tier
    return pytest.param(lines, marks=pytest.mark.tier(tier), id=f"{lines.language}-{lines.section}")


def test_every_client_has_its_lines() -> None:
    assert len(SECTIONS) == 28, [each.section for each in SECTIONS]


@pytest.mark.parametrize("lines", [_parameter(each) for each in SECTIONS])
def test_the_lines_of_the_page_put_an_item_and_take_it_out(
    lines: Lines, server: ServerProcess, tmp_path: Path
) -> None:
    here = attrs.evolve(lines, code=lines.code.replace("22122", str(server.port)))
    said = tmp_path / "said"
    with said.open("wb") as output:
        process = subprocess.Popen(
            RUN[lines.language](here, tmp_path),
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
            stderr=output,
            stdout=output,
        )
    with contextlib.closing(connect(server.port)) as client:
        try:
            deadline = time.monotonic() + PATIENCE
            has_ended = is_done = False
            while not is_done and not has_ended and time.monotonic() < deadline:
                time.sleep(0.02)
                has_ended = process.poll() is not None
                stats = client.stats()
                put_and_taken = stats[b"total_items"] and stats[b"get_hits"]
                is_done = bool(put_and_taken and not stats[b"curr_items"])
            assert is_done, said.read_text(errors="replace")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
