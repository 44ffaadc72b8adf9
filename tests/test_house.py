"""The code is laid out as docs/architecture.md says.

The counts are held against their bounds, and whatever that page and CONTRIBUTING.md name is there.
"""

import ast
import importlib
import inspect
import itertools
import re
import types
from pathlib import Path

import pytest

from tests import house

ROOT = Path(__file__).parent.parent
ARCHITECTURE = ROOT / "docs/architecture.md"
PAGES = (ARCHITECTURE, ROOT / "CONTRIBUTING.md")
WATCHES = ("watched", "watched_queues", "watched_session")
MOST = {"rooms": 20, "floors": 8, "circles": 0}
MOST_WORDS = 25


def section(heading: str) -> str:
    """Return the text below a heading of docs/architecture.md."""
    _, _, rest = ARCHITECTURE.read_text().partition(f"\n## {heading}\n")
    assert rest, heading
    return rest.partition("\n## ")[0]


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its head."""
    lines = [line for line in section(heading).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines][1:]


def spans(page: Path) -> set[str]:
    """Return what a page has between backticks, its blocks of code left out."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"`([^`\n]+)`", text))


def source(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def test_the_house_keeps_within_its_bounds() -> None:
    counts = house.counts()
    assert all(counts[name] <= most for name, most in MOST.items()), counts
    assert house.circles(house.arrows_between_rooms(house.arrows_between_modules())) == []


def test_the_page_shows_what_the_script_counts() -> None:
    told = {row[0].partition(":")[0].split()[0]: row[1:] for row in rows("The counts")}
    expected = {name: [str(count), str(MOST[name])] for name, count in house.counts().items()}
    assert expected.items() <= told.items()


def test_the_page_has_every_room_and_what_it_imports_below_it() -> None:
    table = {row[0].strip("`"): set(re.findall(r"\w+", row[2])) for row in rows("The house")}
    assert table == house.arrows_between_rooms(house.arrows_between_modules())
    order = list(table)
    assert all(order.index(each) > order.index(room) for room in order for each in table[room])


def test_the_longest_chain_is_one_of_imports() -> None:
    arrows = {"a": {"b", "d"}, "b": {"c"}, "c": set[str](), "d": {"c"}, "e": set[str]()}
    assert house.longest_chain(arrows) in (["a", "b", "c"], ["a", "d", "c"])
    rooms = house.arrows_between_rooms(house.arrows_between_modules())
    chain = house.longest_chain(rooms)
    assert all(below in rooms[above] for above, below in itertools.pairwise(chain))


def test_a_circle_is_found_however_long() -> None:
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a"}}
    assert house.circles(arrows) == [["a", "b", "c"], ["d", "e"]]
    assert house.circles({"a": {"b"}, "b": set[str]()}) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    links = set(re.findall(r"\]\(([^)#:]+)\)", page.read_text()))
    assert all((page.parent / each).exists() for each in links), links
    paths = {each.partition("::")[0] for each in spans(page)}
    paths = {each for each in paths if re.fullmatch(r"[\w.-]*(/[\w.-]*)+|[\w-]+\.(py|md)", each)}
    assert paths
    roots = (ROOT, ROOT / "starling_py")
    missing = {each for each in paths if not any((root / each).exists() for root in roots)}
    assert not {each for each in missing if not each.startswith(("/", ".venv/"))}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    named = {each for each in spans(page) if "::" in each}
    assert named
    for each in named:
        path, *names = each.split("::")
        assert _has(source(ROOT / path), names), each


def _has(node: ast.AST, names: list[str]) -> bool:
    """Tell whether there is a test, by its name and those of the classes around it."""
    for each in ast.iter_child_nodes(node) if names else ():
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found = each.name == names[0] and _has(each, names[1:])
        else:
            targets = each.targets if isinstance(each, ast.Assign) else []
            found = names == [ast.unparse(target) for target in targets]
        if found:
            return True
    return not names


def test_a_test_that_is_not_there_is_noticed() -> None:
    here = source(Path(__file__))
    assert _has(here, ["test_the_glossary_is_short"])
    assert not _has(here, ["test_the_glossary"])
    assert not _has(source(ROOT / "tests/session/test_session.py"), ["test_an_empty_item"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_attribute_that_a_page_names_is_there(page: Path) -> None:
    known: dict[str, set[str]] = {}
    for path in sorted((ROOT / "starling_py").rglob("*.py")):
        for each in ast.walk(source(path)):
            if isinstance(each, ast.ClassDef):
                known.setdefault(each.name, set()).update(_attributes(each))
    named = {each for each in spans(page) if re.fullmatch(r"[A-Z]\w+\.\w+", each)}
    assert named
    for attribute in named:
        owner, name = attribute.split(".")
        assert name in known.get(owner, set()), attribute


def _attributes(owner: ast.ClassDef) -> set[str]:
    """Return the names of the methods and the annotated attributes of a class."""
    names = {each.name for each in owner.body if isinstance(each, ast.FunctionDef)}
    names |= {each.name for each in owner.body if isinstance(each, ast.AsyncFunctionDef)}
    annotated = [each.target for each in owner.body if isinstance(each, ast.AnnAssign)]
    return names | {each.id for each in annotated if isinstance(each, ast.Name)}


def seams() -> dict[str, set[str]]:
    """Return which methods of the server the simulation overrides, by class."""
    found: dict[str, set[str]] = {}
    for name in WATCHES:
        module = importlib.import_module(f"tests.simulation.{name}")
        for watched in vars(module).values():
            if inspect.isclass(watched) and watched.__module__ == module.__name__:
                for base in watched.__bases__:
                    if base.__module__.startswith("starling_py."):
                        found.setdefault(base.__name__, set()).update(_overridden(watched, base))
    return found


def _overridden(watched: type, base: type) -> set[str]:
    methods = {name for name, each in vars(watched).items() if isinstance(each, types.FunctionType)}
    return {name for name in methods if not name.startswith("__") and hasattr(base, name)}


def test_the_page_lists_the_seams_of_the_simulation_and_they_are_methods() -> None:
    listed = {
        row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1]))
        for row in rows("Seams of the simulation")
    }
    assert listed == seams()


def test_the_page_has_the_steps_of_a_turn_in_their_order() -> None:
    tree = source(ROOT / "starling_py/server/tick.py")
    turn = next(
        each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) and each.name == "turn"
    )
    calls = sorted(
        (each.lineno, each.col_offset, each.func.attr)
        for each in ast.walk(turn)
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute)
    )
    named = [row[1].strip("`").rpartition(".")[2] for row in rows("The order of a turn")]
    made = dict.fromkeys(name for _, _, name in calls if name in named)
    assert list(made) == named


def test_the_glossary_is_short() -> None:
    assert 15 <= len(rows("Words")) <= MOST_WORDS


def test_each_invariant_has_its_test() -> None:
    table = rows("What must always hold")
    assert [row[0] for row in table] == [f"I{number}" for number in range(1, 13)]
    assert all("::" in row[2] for row in table)
