"""Read a configuration file into ``Settings``, or tell everything that is wrong with it.

A file has up to four sections: the settings of the server, entries for queues and for users, and
routes. This module knows the sections and the line of each fault. What a value may be, the classes
that hold it know.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import attrs
import yaml

from starling_py.settings import http_settings, move_circles, queue_table, rails, routes, users
from starling_py.settings.errors import ConfigError
from starling_py.settings.http_settings import HttpSettings
from starling_py.settings.kinds import aliases, from_converted, table
from starling_py.settings.problems import Fault, converted, shown, unknown
from starling_py.settings.queue_layers import Layers
from starling_py.settings.queue_settings import QUEUE_TABLE, QueueSettings
from starling_py.settings.queue_table import QueueTable
from starling_py.settings.routes import Routes
from starling_py.settings.server_settings import TABLE, Settings
from starling_py.settings.users import User, Users
from starling_py.settings.yaml_file import YamlFile, plain, symbol_of, text_of_node

SECTION: Final = "starling"
"""The top-level key of the server's settings."""

QUEUES: Final = "queues"
"""The top-level key of the settings of single queues."""

USERS: Final = "users"
"""The top-level key of what users may do."""

ROUTES: Final = "routes"
"""The top-level key of the routes."""

HTTP: Final = "http"
"""The top-level key of what is told by HTTP."""

_SECTIONS: Final = {
    SECTION: "a mapping of settings",
    QUEUES: "a mapping of queue names and patterns",
    USERS: "a mapping of names of users",
    ROUTES: "a mapping of patterns",
    HTTP: "a mapping of settings",
}
_BY_NAME: Final = {setting.name: setting for setting in TABLE}
_ALIASES: Final = aliases(Settings)
_SETTINGS: Final = {*_BY_NAME, *_ALIASES}
_OF_QUEUES: Final = {setting.name for setting in QUEUE_TABLE}
_BELOW_QUEUES: Final = f"is of a queue; it must stand below the queue's name, below '{QUEUES}:'"
_BELOW_SECTION: Final = f"is of the server; it must stand below '{SECTION}:'"


def load(
    path: Path | None = None,
    overrides: Mapping[str, object] = MappingProxyType({}),
    *,
    serving: bool = False,
) -> Settings:
    """Return the settings of the file at ``path``, if any, and ``overrides``, which beat the file.

    ``overrides`` go by the names of the fields and have values as options or a file give them. What
    neither gives has its default. Relative paths start at the working directory. While a server is
    ``serving``, only a regular file is read, as nothing may be waited for then. Raises
    ``ConfigError`` with everything that is wrong with either, including values of the file that are
    overridden.
    """
    given, faults = converted(Settings, overrides)
    content = _Content(YamlFile(path, is_waited_for=not serving)) if path is not None else None
    problems = content.read(given) if content is not None else []
    problems += [_told(fault, overrides) for fault in faults]
    if problems:
        raise ConfigError(problems)
    good = content.good if content is not None else {}
    settings = from_converted(Settings, **{**good, **given})
    for fault in settings.wrong_together():
        if content is None or fault.place[0] in given or not content.report_later(fault):
            problems.append(_told(fault, overrides))
    if content is not None:
        problems = content.file.problems() + problems
    if problems:
        raise ConfigError(problems)
    return settings


def _told(fault: Fault, overrides: Mapping[str, object]) -> str:
    """Return what is wrong with an option, or with a setting that no file gives."""
    name = str(fault.place[0])
    flags = _BY_NAME[name].flags if name in _BY_NAME else ()
    place = flags[-1] if flags else shown(name)
    value = f"{shown(str(overrides[name]))}: " if name in overrides else ""
    return f"{place}: {value}{fault.message}"


@attrs.frozen
class _Place:
    """The place of something in the file.

    ``line`` counts from 1, ``path`` has the keys as written, and ``node`` is the value to be shown
    in messages; None shows none.
    """

    line: int
    path: str
    node: yaml.Node | None = None


def _value(node: yaml.Node) -> object:
    """Return the value of a setting: a scalar, or a list of such; anything else stays a node."""
    if isinstance(node, yaml.SequenceNode):
        return [plain(each) for each in node.value]
    return plain(node)


@attrs.define
class _Content:
    """The good values of a file, and the place of everything that can be wrong.

    ``good`` goes by the fields of ``Settings``; ``_places`` go by the section and the keys below
    it, old names replaced by present ones.
    """

    file: YamlFile
    good: dict[str, Any] = attrs.field(init=False, factory=dict)
    _queues: dict[str, dict[str, object]] = attrs.field(init=False, factory=dict)
    _judged_wrong: bool = attrs.field(init=False, default=False)
    _places: dict[tuple[str | int, ...], _Place] = attrs.field(init=False, factory=dict)

    def read(self, overrides: Mapping[str, object]) -> list[str]:
        """Read the file and return its problems; ``overrides`` are good and beat its settings."""
        root = self.file.root()
        if isinstance(root, yaml.MappingNode):
            self._read_sections(root)
            self._compare_sizes(overrides)
            self._follow_routes()
        elif self.file.is_yaml:
            what = text_of_node(root) if root else "empty"
            self.file.report(0, f"{what}: a '{SECTION}:' section with the settings is missing")
        return self.file.problems()

    def report_later(self, fault: Fault) -> bool:
        """Report what is wrong with a setting beside others, if the file gives it; tell whether."""
        is_here = (SECTION, *fault.place) in self._places
        if is_here:
            self._report(SECTION, fault)
        return is_here

    def _read_sections(self, root: yaml.MappingNode) -> None:
        readers = {
            SECTION: self._read_server,
            QUEUES: self._read_queues,
            USERS: self._read_users,
            ROUTES: self._read_routes,
            HTTP: self._read_http,
        }
        entries = list(self.file.entries(root, "", words=readers))
        others = [each for each in entries if each.name == SECTION or each.name not in readers]
        explained = rails.report_environments(self.file, others, SECTION, _SETTINGS)
        for entry in (each for each in entries if each.name not in explained):
            line, name, node = entry.line, entry.name, entry.node
            if name in readers:
                if isinstance(node, yaml.MappingNode):
                    readers[name](node)
                elif plain(node) is not None:
                    self.file.report(line, name, text_of_node(node), f"must be {_SECTIONS[name]}")
            elif name in _SETTINGS:
                self.file.report(line, name, f"must stand below '{SECTION}:', indented")
                explained.add(name)
            elif name in _OF_QUEUES:
                self.file.report(line, name, _BELOW_QUEUES)
            else:
                self.file.report(line, shown(name), unknown("section", name, readers))
        if not explained and not any(entry.name in readers for entry in entries):
            self.file.report(0, f"no '{SECTION}:' section")

    def _read_server(self, section: yaml.MappingNode) -> None:
        values = self._settings(section, (SECTION,), Settings)
        good, faults = converted(Settings, values)
        self.good.update(good)
        for fault in faults:
            if fault.place[0] in (QUEUES, USERS, ROUTES, HTTP):
                message = f"must stand at the top, beside '{SECTION}:'"
                fault = attrs.evolve(fault, message=message)
            elif fault.place[0] in _OF_QUEUES - _SETTINGS:
                fault = attrs.evolve(fault, message=_BELOW_QUEUES)
            self._report(SECTION, fault)

    def _read_queues(self, section: yaml.MappingNode) -> None:
        written = self._entries(section, QUEUES, QueueSettings)
        self._queues, faults = queue_table.judge(written)
        self.good[QUEUES] = from_converted(QueueTable, entries=self._queues)
        self._judged_wrong |= bool(faults)
        for fault in faults:
            if fault.place[-1] in _SETTINGS - _OF_QUEUES:
                fault = attrs.evolve(fault, message=_BELOW_SECTION)
            self._report(QUEUES, fault)

    def _read_users(self, section: yaml.MappingNode) -> None:
        good, faults = users.judge(self._entries(section, USERS, User))
        entries = {name: from_converted(User, **values) for name, values in good.items()}
        self.good[USERS] = from_converted(Users, entries=entries)
        for fault in faults:
            self._report(USERS, fault)

    def _entries(
        self, section: yaml.MappingNode, name: str, settings: type
    ) -> dict[str, dict[str, object]]:
        """Return the values of all entries of a section, each a mapping of settings."""
        written: dict[str, dict[str, object]] = {}
        for entry in self.file.entries(section, f"{name}."):
            place = _Place(entry.line, f"{name}.{shown(entry.name)}")
            self._places[name, entry.name] = place
            written[entry.name] = {}
            if isinstance(entry.node, yaml.MappingNode):
                written[entry.name] = self._settings(entry.node, (name, entry.name), settings)
            elif plain(entry.node) is not None:
                text = text_of_node(entry.node)
                self.file.report(entry.line, place.path, text, "must be a mapping of settings")
        return written

    def _settings(
        self, mapping: yaml.MappingNode, above: tuple[str, ...], settings: type
    ) -> dict[str, object]:
        """Return the values of a mapping by present names, and keep their places.

        ``above`` has the keys that lead to the mapping. Unknown names are returned too, for
        ``converted`` to report.
        """
        old = aliases(settings)
        known = {each.name for each in table(settings)}
        path = ".".join(map(shown, above))
        values: dict[str, object] = {}
        for entry in self.file.entries(mapping, f"{path}.", old, {*known, *old}):
            name = old.get(entry.name, entry.name)
            values[name] = _value(entry.node)
            self._places[*above, name] = _Place(
                entry.line, f"{path}.{shown(entry.name)}", entry.node if name in known else None
            )
        return values

    def _read_routes(self, section: yaml.MappingNode) -> None:
        written: dict[str, object] = {}
        for entry in self.file.entries(section, f"{ROUTES}."):
            path = f"{ROUTES}.{shown(entry.name)}"
            self._places[ROUTES, entry.name] = _Place(entry.line, path)
            written[entry.name] = plain(entry.node)
            if isinstance(entry.node, yaml.SequenceNode):
                nodes = entry.node.value
                written[entry.name] = [plain(node) for node in nodes]
                for position, node in enumerate(nodes):
                    place = _Place(node.start_mark.line + 1, path, node)
                    self._places[ROUTES, entry.name, position] = place
        good, faults = routes.judge(written)
        self.good[ROUTES] = from_converted(Routes, entries=good)
        self._judged_wrong |= bool(faults)
        for fault in faults:
            self._report(ROUTES, fault)

    def _read_http(self, section: yaml.MappingNode) -> None:
        values = self._settings(section, (HTTP,), HttpSettings)
        good, faults = converted(HttpSettings, values)
        faults = faults or http_settings.contradictions(good)
        self.good[HTTP] = from_converted(HttpSettings, **good)
        for fault in faults:
            place = _Place(section.start_mark.line + 1, f"{HTTP}.{fault.place[0]}")
            self._places.setdefault((HTTP, *fault.place), place)
            self._report(HTTP, fault)

    def _follow_routes(self) -> None:
        """Report circles of moves that only routes close; ``queue_table`` found the others."""
        routed: Routes | None = self.good.get(ROUTES)
        if routed and not self._judged_wrong:
            for fault in move_circles.circles(Layers(self._queues), routed.targets):
                self._report(QUEUES, fault)

    def _compare_sizes(self, overrides: Mapping[str, object]) -> None:
        default = attrs.fields(Settings).item_size_max.default
        most: Any = {**self.good, **overrides}.get("item_size_max", default)
        for key, values in self._queues.items():
            size: Any = values.get("max_item_size")
            if size is not None and size > most:
                message = f"must be at most the item_size_max of the server, {most} bytes"
                self._report(QUEUES, Fault((key, "max_item_size"), message))

    def _report(self, section: str, fault: Fault) -> None:
        place = self._places[section, *fault.place]
        value = [text_of_node(place.node)] if place.node else []
        symbol = symbol_of(place.node) if place.node else None
        hint = f" (a symbol of Ruby; write '{symbol}')" if symbol else ""
        self.file.report(place.line, place.path, *value, fault.message + hint)
