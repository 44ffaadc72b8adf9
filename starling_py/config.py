"""The configuration file: YAML read into `Settings`, and what is wrong with it, all at once.

A file is judged by PyYAML's nodes rather than by the values it would make of them, because only a
node knows its line, a key that stands twice, and that `22:22` was not meant as 1342. All problems
are found in one pass and raised together. `load` reads one file and no more.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import attrs
import cattrs
import yaml
from cattrs.gen import make_dict_structure_fn, override

from starling_py.settings import TABLE, Settings

SECTION: Final = "starling"
"""The one top-level key of a configuration file."""

_MAX_FILE_BYTES: Final = 1 << 20  # a device or a log named by mistake is not read to its end
_SCALARS: Final = {"str", "int", "float", "bool", "null", "timestamp", "merge", "value"}

_BY_NAME: Final = {setting.name: setting for setting in TABLE}
_ALIASES: Final = {setting.alias: setting.name for setting in TABLE if setting.alias}


def _hook(field: "attrs.Attribute[Any]") -> Callable[[object, object], object]:
    convert: Any = field.converter
    return lambda value, _: convert(value)


# With the fields' own converters attrs would stop at the first bad value; cattrs collects them all.
_HOOKS: Final[Any] = {
    field.name: override(struct_hook=_hook(field)) for field in attrs.fields(Settings)
}
_CONVERTER: Final = cattrs.Converter()
_CONVERTER.register_structure_hook(
    Settings,
    make_dict_structure_fn(Settings, _CONVERTER, _cattrs_forbid_extra_keys=True, **_HOOKS),
)


class ConfigError(Exception):
    """The configuration cannot be used. `problems` has one line for each thing that is wrong."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems: list[str] = list(problems)
        super().__init__("\n".join(self.problems))


def load(
    path: Path | None = None, overrides: Mapping[str, object] = MappingProxyType({})
) -> Settings:
    """Make the settings from the file at `path`, if any, and `overrides`, which beat the file.

    `overrides` go by the names of the fields and have values as options or a file give them.
    Relative paths start at the working directory. Raises `ConfigError` with everything that is
    wrong with either, including values of the file that are overridden.
    """
    values, problems = _File(path).read() if path is not None else ({}, [])
    for name, message in _faults(overrides):
        flags = _BY_NAME[name].flags if name in _BY_NAME else ()
        place = flags[-1] if flags else _printable(name)
        problems.append(f"{place}: {_printable(str(overrides[name]))}: {message}")
    if problems:
        raise ConfigError(problems)
    return _CONVERTER.structure({**values, **overrides}, Settings)


def _faults(values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Check values by their names: yield the name and the message of each that cannot be."""
    try:
        _CONVERTER.structure(values, Settings)
    except cattrs.ClassValidationError as error:
        noted, others = error.group_exceptions()
        yield from ((note.name, str(cause)) for cause, note in noted)
        for cause in others:
            if not isinstance(cause, cattrs.ForbiddenExtraKeysError):
                raise
            for name in cause.extra_fields:
                yield name, _unknown("setting", name, (*_BY_NAME, *_ALIASES))


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    plain = name.lower().replace("-", "_")
    near = difflib.get_close_matches(plain, known, n=1)
    return f"unknown {what}" + (f"; did you mean '{near[0]}'?" if near else "")


def _printable(text: str, most: int = 60) -> str:
    """Make any text fit for a place in a one-line message."""
    short = text if len(text) <= most else f"{text[:most]}..."
    return short if short and short.isprintable() else repr(short)


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        tag = "" if _kind(node) in _SCALARS else f"{node.tag} "
        return _printable(tag + node.value)
    return "(a mapping)" if isinstance(node, yaml.MappingNode) else "(a list)"


def _kind(node: yaml.Node) -> str:
    return node.tag.removeprefix("tag:yaml.org,2002:")


def _plain(node: yaml.Node) -> object:
    """Turn a scalar into None, a bool, an int or text; leave what no setting can be as its node.

    Only what people read as an int becomes one: 22:22 and 0777 stay text, and are refused as such.
    """
    kind = _kind(node)
    if not isinstance(node, yaml.ScalarNode) or kind not in _SCALARS:
        return node
    if kind == "null":
        return None
    if kind == "bool":
        return yaml.SafeLoader.bool_values.get(node.value.lower(), node)
    if kind == "int" and re.fullmatch("0|[1-9][0-9]{0,17}", node.value):
        return int(node.value)
    return node.value


@attrs.define
class _File:
    """One file that is being read, and what is wrong with it by line, 0 for the whole of it."""

    path: Path
    problems: list[tuple[int, str]] = attrs.field(factory=list)

    def report(self, line: int, *words: str) -> None:
        place = f"{self.path}:{line}" if line else f"{self.path}"
        self.problems.append((line, ": ".join((place, *words))))

    def read(self) -> tuple[dict[str, object], list[str]]:
        """Return the values that stand in the file by name, and the problems in their order."""
        text = self.text()
        # What else may be wrong with a line of ERB, or with YAML around it, says nothing new.
        erb = [n for n, line in enumerate(text.split("\n"), 1) if re.match("[^#]*<%", line)]
        root = self.compose(text)
        values = self.sections(root) if isinstance(root, yaml.MappingNode) else {}
        if erb:
            self.problems = [(n, words) for n, words in self.problems if n not in erb and root]
            for line in erb:
                self.report(line, "ERB (<%) is not evaluated; write the value itself")
        return values, [words for _, words in sorted(self.problems)]

    def text(self) -> str:
        """Return what the file contains; a `ConfigError` if it cannot be read as text."""
        try:
            with self.path.open("rb") as file:
                data = file.read(_MAX_FILE_BYTES + 1)
            if len(data) <= _MAX_FILE_BYTES:
                return data.decode("utf-8-sig")
            reason = "is larger than 1 MiB, so it is no configuration"
        except UnicodeDecodeError as error:
            reason = f"is not UTF-8 text: {error.reason} at byte {error.start}"
        except (OSError, ValueError) as error:
            reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise ConfigError([f"{self.path}: {reason}"])

    def compose(self, text: str) -> yaml.Node | None:
        """Return the top node if the text is a YAML mapping; report it and return None if not."""
        try:
            root: yaml.Node | None = yaml.compose(text, yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            said = ", ".join(filter(None, (error.context, error.problem)))
            self.report(mark.line + 1 if mark else 0, "not YAML", _printable(said, 200))
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            self.report(line, f"not YAML: the character {error.character:#x} is not allowed")
        except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
            deep = isinstance(error, RecursionError)
            self.report(0, "not YAML", "nested too deeply" if deep else _printable(str(error)))
        else:
            if isinstance(root, yaml.MappingNode):
                return root
            what = _shown(root) if root else "empty"
            self.report(0, f"{what}: a '{SECTION}:' section with the settings is missing")
        return None

    def sections(self, root: yaml.MappingNode) -> dict[str, object]:
        """Return the values of the one section, and report what else stands at the top."""
        section: yaml.Node | None = None
        for line, name, node in self.entries(root, ""):
            if name == SECTION:
                section = node
                if not isinstance(node, yaml.MappingNode) and _plain(node) is not None:
                    self.report(line, name, _shown(node), "must be a mapping of settings")
            elif name in _BY_NAME or name in _ALIASES:
                self.report(line, name, f"must stand below '{SECTION}:', indented")
            else:
                self.report(line, name, _unknown("section", name, (SECTION,)))
        if section is None:
            self.report(0, f"no '{SECTION}:' section")
        return self.settings(section) if isinstance(section, yaml.MappingNode) else {}

    def settings(self, section: yaml.MappingNode) -> dict[str, object]:
        """Return the values of a section by their present names, and report the wrong ones."""
        found = {
            _ALIASES.get(name, name): (line, name, node)
            for line, name, node in self.entries(section, f"{SECTION}.")
        }
        values = {name: _plain(node) for name, (_, _, node) in found.items()}
        for name, message in _faults(values):
            line, written, node = found[name]
            shown = [_shown(node)] if name in _BY_NAME else []
            self.report(line, f"{SECTION}.{written}", *shown, message)
        return values

    def entries(self, node: yaml.MappingNode, above: str) -> Iterator[tuple[int, str, yaml.Node]]:
        """Yield line, key and value of a mapping; report a key, or its alias, that stands twice."""
        seen: dict[str, tuple[int, str]] = {}
        for key, value in node.value:
            line, name = key.start_mark.line + 1, _shown(key)
            meant = _ALIASES.get(name, name)
            if meant in seen:
                first, earlier = seen[meant]
                same = "stands already" if name == earlier else f"is the same as '{earlier}'"
                self.report(line, f"{above}{name}", f"{same} on line {first}; keep one")
            else:
                seen[meant] = line, name
                yield line, name, value
