"""Read one YAML file into nodes with their lines, and collect what is wrong with it.

A file is judged by PyYAML's nodes rather than by the values it would make of them: only a node
knows its line, a key that stands twice, and that ``22:22`` was not meant as 1342. Problems are
collected, never raised, and told in the order of the file. Nothing here knows what a file must
contain.
"""

import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final

import attrs
import yaml

from starling_py.settings.problems import shown
from starling_py.settings.relatives import other_format

_MAX_FILE_BYTES: Final = 1 << 20  # a device or a log named by mistake is not read to its end
_SCALARS: Final = {"str", "int", "float", "bool", "null", "timestamp", "merge", "value"}
_ERB: Final = "ERB (<%) is not evaluated; write the value itself"
_SYMBOL: Final = re.compile(r":([A-Za-z]\w*)")


def text_of_node(node: yaml.Node) -> str:
    """Return what stands in the file, cut and escaped for a one-line message."""
    if isinstance(node, yaml.ScalarNode):
        tag = "" if _kind(node) in _SCALARS else f"{node.tag} "
        return shown(tag + node.value)
    return "(a mapping)" if isinstance(node, yaml.MappingNode) else "(a list)"


def _kind(node: yaml.Node) -> str:
    return node.tag.removeprefix("tag:yaml.org,2002:")


def plain(node: yaml.Node) -> object:
    """Turn a scalar into None, a bool, an int or text; return every other node as it is.

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


def symbol_of(node: yaml.Node) -> str | None:
    """Return the word that a symbol of Ruby stands for; ``None`` if the node is none."""
    if not isinstance(node, yaml.ScalarNode):
        return None
    text: str = node.value
    if node.tag.startswith("!ruby/sym"):
        return text
    match = _SYMBOL.fullmatch(text)
    return match[1] if match else None


def names_in(node: yaml.Node) -> dict[str, int]:
    """Return the keys of a mapping that are words, symbols included, with their lines."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return {
        symbol_of(key) or key.value: key.start_mark.line + 1
        for key, _ in pairs
        if isinstance(key, yaml.ScalarNode)
    }


def merge_in(node: yaml.Node) -> str | None:
    """Return the lines that a mapping merges into itself, as one; ``None`` if it merges nothing."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((_lines(value) for key, value in pairs if _kind(key) == "merge"), None)


def _lines(node: yaml.Node) -> str:
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    pairs = [pair for each in nodes if isinstance(each, yaml.MappingNode) for pair in each.value]
    lines = [
        f"{symbol_of(key) or text_of_node(key)}: {text_of_node(value)}" for key, value in pairs
    ]
    return shown(", ".join(lines), 200) if lines else "what it stands for"


@attrs.frozen
class Entry:
    """A key of a mapping as it stands in the file, its line from 1 on, and its value's node."""

    line: int
    name: str
    node: yaml.Node


@attrs.define
class YamlFile:
    """A file that is being read, and its problems by line; line 0 is the whole file."""

    path: Path
    is_waited_for: bool = True
    """Whether to wait for who writes it, if it is a pipe; else only a regular file is read."""
    _problems: list[tuple[int, str]] = attrs.field(init=False, factory=list)
    _erb: list[int] = attrs.field(init=False, factory=list)
    is_yaml: bool = attrs.field(init=False, default=False)
    """Whether ``root`` has found YAML, even an empty document, rather than something else."""

    def report(self, line: int, *words: str) -> None:
        """Note a problem on ``line``, 0 for the whole file.

        ``words`` say what it is about, from the outside to the inside, and last what is wrong.
        """
        place = f"{self.path}:{line}" if line else f"{self.path}"
        self._problems.append((line, ": ".join((place, *words))))

    def problems(self) -> list[str]:
        """Return what has been reported, one line each, in the order of the file."""
        # What else may be wrong with a line of ERB, or with YAML around it, says nothing new.
        told = [
            (line, words)
            for line, words in self._problems
            if not self._erb or (self.is_yaml and line not in self._erb)
        ]
        told += [(line, f"{self.path}:{line}: {_ERB}") for line in self._erb]
        return [words for _, words in sorted(told)]

    def root(self) -> yaml.Node | None:
        """Return the top node; None if the file is empty, or if it is no YAML and was reported."""
        text = self._text()
        if text is None:
            return None
        self._erb = [n for n, line in enumerate(text.split("\n"), 1) if re.match("[^#]*<%", line)]
        other = other_format(text)
        if other is not None:
            line, what = other
            self.report(line, shown(what, 200))
            return None
        try:
            root: yaml.Node | None = yaml.compose(text, yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            self._report_marked(text, error)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            self.report(line, f"not YAML: the character {error.character:#x} is not allowed")
        except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
            deep = isinstance(error, RecursionError)
            self.report(0, "not YAML", "nested too deeply" if deep else shown(str(error)))
        else:
            self.is_yaml = True
            return root
        return None

    def entries(
        self,
        node: yaml.MappingNode,
        above: str,
        aliases: Mapping[str, str] = MappingProxyType({}),
        words: Collection[str] = (),
    ) -> Iterator[Entry]:
        """Yield the entries of a mapping; report a key that stands twice, also by its old name.

        ``above`` is the path to the mapping with its last dot, for messages; ``aliases`` has the
        present names by the old ones. ``words`` are what keys may be here, none where they are
        names that anybody chooses. Symbols of Ruby that stand for one of these are reported, and
        taken for it; so is a merge, which brings nothing.
        """
        seen: dict[str, Entry] = {}
        symbols: list[Entry] = []
        for key, value in node.value:
            usual = isinstance(key, yaml.ScalarNode) and _kind(key) in _SCALARS
            entry = Entry(key.start_mark.line + 1, key.value if usual else text_of_node(key), value)
            symbol = symbol_of(key) if words else None
            if words and _kind(key) == "merge":
                what = f"merging is not done here; write in its place: {_lines(value)}"
                self.report(entry.line, f"{above}<<", what)
                continue
            if symbol is not None:
                entry = attrs.evolve(entry, name=symbol)
                symbols += [entry] if symbol in words else []
            earlier = seen.setdefault(aliases.get(entry.name, entry.name), entry)
            if earlier is entry:
                yield entry
            else:
                same = "stands already"
                if earlier.name != entry.name:
                    same = f"is the same as '{earlier.name}'"
                place = f"{above}{shown(entry.name)}"
                self.report(entry.line, place, f"{same} on line {earlier.line}; keep one")
        if symbols:
            first, *others = symbols
            what = f"is a symbol of Ruby; write '{first.name}:'"
            what += ", and so for the others here" if others else ""
            self.report(first.line, f"{above}:{first.name}", what)

    def _text(self) -> str | None:
        """Return the text of the file; report why not and return None if there is none."""
        try:
            with self._open() as file:
                data = file.read(_MAX_FILE_BYTES + 1)
            if len(data) <= _MAX_FILE_BYTES:
                return data.decode("utf-8-sig")
            reason = "is larger than 1 MiB, so it is no configuration"
        except UnicodeDecodeError as error:
            reason = f"is not UTF-8 text: {error.reason} at byte {error.start}"
        except (OSError, ValueError) as error:
            reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        self.report(0, reason)
        return None

    def _open(self) -> BinaryIO:
        """Open the file. Raises ``OSError`` and ``ValueError``."""
        if self.is_waited_for:
            return self.path.open("rb")
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return os.fdopen(descriptor, "rb")
        os.close(descriptor)
        raise ValueError("it is no file, and is not waited for while the server serves")

    def _report_marked(self, text: str, error: yaml.MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        said = shown(", ".join(filter(None, (error.context, error.problem))), 200)
        line = text.split("\n")[mark.line] if mark and mark.line < text.count("\n") else ""
        if re.match(r"\s*(- +)?\*", line):
            said += " (a pattern that begins with * needs quotes)"
        self.report(mark.line + 1 if mark else 0, "not YAML", said)
