"""What is compiled keeps to what mypyc knows; that the rest holds, the tests show in both forms."""

import ast
import importlib.util
from pathlib import Path

import pytest

import starling_py
from scripts.compile import PACKAGE, modules
from starling_py.server import tick
from tests.process.server_process import ROOT


@pytest.fixture(params=modules(ROOT / PACKAGE), ids=lambda path: path.relative_to(ROOT).as_posix())
def module(request: pytest.FixtureRequest) -> ast.Module:
    """Return a module that is compiled."""
    path: Path = request.param
    return ast.parse(path.read_text())


def test_the_version_tells_which_form_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = tick.__file__.endswith(".so")
    assert starling_py.described() == starling_py.__version__ + (" (compiled)" if compiled else "")
    other = importlib.util.spec_from_loader(
        "tick", None, origin=f"tick.{'py' if compiled else 'so'}"
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: other)
    assert starling_py.described().endswith(" (compiled)") is not compiled


def test_no_name_stands_for_errors_of_two_kinds_in_one_function(module: ast.Module) -> None:
    # mypyc takes the name for one of the first kind, and raises TypeError at the second.
    functions = [each for each in ast.walk(module) if isinstance(each, ast.FunctionDef)]
    for function in functions:
        kinds: dict[str, set[str]] = {}
        for each in ast.walk(function):
            if isinstance(each, ast.ExceptHandler) and each.name and each.type:
                kinds.setdefault(each.name, set()).add(ast.unparse(each.type))
        twice = {name for name, of in kinds.items() if len(of) > 1}
        assert not twice, f"{function.name}: {twice}"


def test_no_data_class_of_attrs_has_a_field_that_must_be_made(module: ast.Module) -> None:
    # mypyc knows nothing of attrs.field, and takes what it returns for the value.
    text = ast.unparse(module)
    assert "attrs.field(" not in text
    assert "attrs.Factory(" not in text
