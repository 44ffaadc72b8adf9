"""Tell what to write in place of a section for each environment, as files of Rails have them.

A server is one process with one file, so nothing is chosen here: a file with ``development:`` and
``production:`` at the top is refused with one line that says which line to change, and how.
"""

from collections.abc import Container, Sequence
from typing import Final

import yaml

from starling_py.settings.problems import shown
from starling_py.settings.yaml_file import Entry, YamlFile, merge_in, names_in

_ENVIRONMENTS: Final = frozenset({
    "development", "test", "production", "staging", "cucumber", "integration", "demo", "qa",
    "default", "defaults", "common", "shared", "base",
})  # fmt: skip
_MOST_NAMES: Final = 5


def report_environments(
    file: YamlFile, entries: Sequence[Entry], section: str, known: Container[str]
) -> set[str]:
    """Report the sections of a file that are environments, in one line; return their names.

    ``entries`` are all at the top; ``section`` is the one that settings belong to, and ``known``
    has the names of these.
    """
    own = next((each for each in entries if each.name == section), None)
    found = [
        each
        for each in entries
        if each.name in _ENVIRONMENTS or _holds(each.node, section, known, own is None)
    ]
    found = [each for each in found if each is not own]
    if not found:
        return set()
    names = ", ".join(shown(each.name) for each in found[:_MOST_NAMES])
    names += ", ..." if len(found) > _MOST_NAMES else ""
    told = "environments, as Rails has them, are not chosen here"
    file.report(found[0].line, names, f"{told}; {_what_to_write(found, own, section)}")
    return {each.name for each in found}


def _what_to_write(found: Sequence[Entry], own: Entry | None, section: str) -> str:
    if own is not None:
        return f"take them out, what counts is below '{section}:' on line {own.line}"
    best = next((each for each in found if each.name == "production"), found[-1])
    inner = names_in(best.node).get(section)
    if inner is not None:
        return f"move '{section}:' from line {inner} to the top, and take them out"
    what = f"keep one, and write '{section}:' in place of '{shown(best.name)}:' on line {best.line}"
    merge = merge_in(best.node)
    return what if merge is None else f"{what}, and in place of its '<<': {merge}"


def _holds(node: yaml.Node, section: str, known: Container[str], settings_too: bool) -> bool:
    """Tell whether a section holds what belongs into ``section``, or that section itself."""
    names = names_in(node)
    return section in names or (settings_too and any(name in known for name in names))
