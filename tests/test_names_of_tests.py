"""The names of tests: short sentences, each once, in files that are named as the modules are."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent
LONGEST = 70
"""Characters of a name, ``test_`` included."""
FILES = sorted(path for path in TESTS.rglob("test_*.py") if "node_modules" not in path.parts)
"""Without those of the clients that `scripts/clients` installs, which need not even be Python 3."""
PLANTS = TESTS / "simulation/plants.py"


def functions(path: Path) -> list[str]:
    """Return the names of all functions of a file, also of those in classes."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def named_in(path: Path) -> list[str]:
    """Return the names of a file's tests."""
    return [name for name in functions(path) if name.startswith("test_")]


@pytest.fixture(scope="module")
def names() -> Counter[str]:
    """Return how often each name of a test stands; not found out until that is asked for."""
    return Counter(name for path in FILES for name in named_in(path))


def test_no_name_of_a_test_is_too_long(names: Counter[str]) -> None:
    assert [name for name in names if len(name) > LONGEST] == []


def test_no_name_of_a_test_stands_twice(names: Counter[str]) -> None:
    assert [name for name, count in names.items() if count > 1] == []


def test_a_file_of_tests_has_a_modules_name_only_in_the_modules_folder() -> None:
    modules = {path.relative_to(ROOT / "starling_py") for path in ROOT.glob("starling_py/**/*.py")}
    names = {path.name for path in modules}
    wrong = []
    for path in FILES:
        mirrored = path.relative_to(TESTS).with_name(path.name.removeprefix("test_"))
        if mirrored.name in names and mirrored not in modules:
            wrong.append(path)
    assert wrong == []


def test_no_property_fails_as_the_machine_is_slow() -> None:
    """What a test sets itself takes the place of what all tests have from ``conftest.py``."""
    right = {"deadline": "None", "suppress_health_check": "HealthCheck.too_slow"}
    wrong = [
        (path.name, told.arg, told.value.lineno)
        for path in FILES
        for call in ast.walk(ast.parse(path.read_text()))
        if is_of_hypothesis(call)
        for told in call.keywords
        if right.get(str(told.arg), "") not in ast.unparse(told.value)
    ]
    assert wrong == []


def is_of_hypothesis(node: ast.AST) -> TypeGuard[ast.Call]:
    """Tell whether a part of a test sets something for the examples of Hypothesis."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "settings"


def table_of_defects() -> list[tuple[str, str]]:
    """Return the rows of the page of past defects: what was wrong, and what shows it."""
    lines = (ROOT / "docs/past-defects.md").read_text().splitlines()
    rows = [tuple(line.strip("| ").split(" | ")) for line in lines if line.startswith("| ")]
    assert rows[0] == ("defect", "shown by")
    return [(defect, shown_by) for defect, shown_by in rows[1:]]


def missing(shown_by: str) -> Iterator[str]:
    """Yield what a cell of the table names and the tests do not have."""
    known: list[str] = []
    named = re.findall(r"(planted )?`([^`]+)`", shown_by)
    if not named:
        yield f"no test: {shown_by}"
    for planted, what in named:
        if planted:
            found = what in functions(PLANTS)
        elif what.startswith("test_") and not what.endswith(".py"):
            beginning, more, _ = what.partition("…")
            name = beginning.partition("[")[0]
            found = any(each.startswith(name) if more else each == name for each in known)
        else:
            path = TESTS / what
            found = path.exists()
            known = named_in(path) if path.is_file() else []
        if not found:
            yield what


def test_what_shows_each_past_defect_is_there() -> None:
    gone = {defect: list(missing(shown_by)) for defect, shown_by in table_of_defects()}
    assert {defect: names for defect, names in gone.items() if names} == {}


@pytest.mark.parametrize(
    ("shown_by", "told"),
    [
        ("`journal/test_spool.py`, `test_no_such…`", ["test_no_such…"]),
        ("`test_memo.py`, `test_it_answers`", ["test_it_answers"]),
        ("`journal/test_nothing.py`", ["journal/test_nothing.py"]),
        ("`simulation/`, planted `nothing`", ["nothing"]),
        ("by nothing", ["no test: by nothing"]),
        ("`simulation/`, seed 1; `test_memo.py`, `test_it_answers…`", []),
    ],
)
def test_a_row_that_names_what_is_not_there_is_noticed(shown_by: str, told: list[str]) -> None:
    assert list(missing(shown_by)) == told
