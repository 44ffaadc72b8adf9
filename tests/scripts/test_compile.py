"""Compiling: which modules, with which compiler, and what it makes of warnings."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import check_compiler
from scripts.compile import COMPILED, PACKAGE, PURE, modules
from tests.process.server_process import ROOT

needs_compiler = pytest.mark.usefixtures("_compiler")


@pytest.fixture(scope="module")
def _compiler() -> None:
    """Skip a test where nothing can be compiled; nobody is asked before that."""
    if check_compiler.problem() is not None:
        pytest.skip("needs a C compiler and Python's headers")


def compiled_names(root: Path) -> set[str]:
    return {path.relative_to(root).with_suffix("").as_posix() for path in modules(root)}


def without_modules(names: tuple[str, ...], present: set[str]) -> list[str]:
    return [
        name for name in names if not any(f"{each}/".startswith(f"{name}/") for each in present)
    ]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a copy of the sources."""
    return shutil.copytree(ROOT / PACKAGE, tmp_path / PACKAGE)


def test_every_name_in_the_lists_is_a_module_or_a_package() -> None:
    sources = (ROOT / PACKAGE).rglob("*.py")
    present = {path.relative_to(ROOT / PACKAGE).with_suffix("").as_posix() for path in sources}
    assert without_modules((*COMPILED, *PURE), present) == []


def test_every_exception_is_in_a_package_that_is_compiled() -> None:
    assert [name for name in PURE if name.partition("/")[0] not in COMPILED] == []


def test_what_every_put_goes_through_is_compiled() -> None:
    hot = {"clock", "journal/format/record", "protocol/text", "server/tick", "session/session"}
    assert hot <= compiled_names(ROOT / PACKAGE)


def test_exceptions_and_init_modules_are_not_compiled() -> None:
    names = compiled_names(ROOT / PACKAGE)
    assert not [name for name in names if name.endswith("__init__")]
    assert without_modules(PURE, names) == list(PURE)


def test_a_new_module_of_a_compiled_package_is_compiled(package: Path) -> None:
    before = compiled_names(package)
    (package / "journal/disk/brand_new.py").touch()
    assert compiled_names(package) == before | {"journal/disk/brand_new"}


def test_a_name_of_which_nothing_is_left_stops_the_build(package: Path) -> None:
    (package / "queues/housekeeping.py").unlink()
    with pytest.raises(FileNotFoundError, match="queues/housekeeping"):
        modules(package)


@needs_compiler
def test_a_warning_of_the_c_compiler_does_not_stop_the_build(tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text("def one(x: int) -> int:\n    return 1\n")
    (tmp_path / "second.py").write_text("import first\n\nTWO = first.one(0) + 1\n")
    program = (
        "from pathlib import Path; from scripts.compile import compile_modules;"
        "compile_modules([Path('first.py'), Path('second.py')], Path('build'))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CFLAGS": "-Wunused-parameter"}
    built = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env=environment,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    assert "warning: unused parameter" in built.stderr
    check = "import second; assert second.__file__.endswith('.so'); assert second.TWO == 2"
    subprocess.run([sys.executable, "-c", check], check=True, cwd=tmp_path / "build/lib")


def checked(compiler: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "scripts/check_compiler.py"],
        capture_output=True,
        check=False,
        env={**os.environ, "CC": compiler},
        text=True,
    )


def test_a_missing_compiler_is_told_in_one_line() -> None:
    done = checked("/nowhere/cc -pthread")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "cannot run the C compiler: No such file or directory: /nowhere/cc; install a C compiler "
        "and Python's headers (Debian: apt install gcc libc6-dev python3-dev)"
    ]


@needs_compiler
def test_missing_headers_are_told_in_one_line() -> None:
    done = checked("cc -nostdinc")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "fatal error" in done.stderr
    assert "apt install gcc libc6-dev python3-dev" in done.stderr


@needs_compiler
def test_nothing_is_told_where_nothing_is_missing() -> None:
    done = checked("cc")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
