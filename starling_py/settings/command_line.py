"""Read the server's command line: Starling's options over the table of settings.

Every option is made from ``server_settings.TABLE``, so a new setting is declared there and nowhere
else. An option gives text, which ``config_file.load`` judges as it judges the file. This module
prints only what argparse prints: help, version and usage errors.
"""

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import attrs

from starling_py import described
from starling_py.settings import old_options
from starling_py.settings.config_file import load
from starling_py.settings.kinds import Setting
from starling_py.settings.server_settings import TABLE, Settings

_EPILOG = """\
examples:
  starling-py -q spool -p 0 -v
        try it out: journals in ./spool, any free port, a detailed log
  starling-py -f conf/production.yml --check-config
        check a configuration file, and whether a server could start with it here

An option beats the file, and the file beats the default. All settings and exit codes are described
in docs/configuration.md; conf/production.yml has every setting with its default.
"""


@attrs.frozen
class CommandLine:
    """What the command line asks for.

    ``settings`` are complete. ``check_config`` asks to stop once they have been judged good,
    ``print_config`` to print a file with all settings and nothing more.
    ``config`` is the path of the file they came from, as given; None if there is no file.
    ``read_again`` reads the file again under the same options, from any working directory, and
    raises ``ConfigError``; anything but a regular file is refused then.
    """

    settings: Settings
    check_config: bool
    config: Path | None
    print_config: bool = False
    read_again: Callable[[], Settings] = attrs.field(default=Settings, eq=False, repr=False)


def parse(argv: Sequence[str] | None = None) -> CommandLine:
    """Read the options in ``argv``, without the program's name; None reads those of the process.

    Raises ``ConfigError`` with all bad values of the options and of the file they name, and
    ``SystemExit`` as argparse does: with 0 after printing help or version, with 2 after printing a
    usage error.
    """
    given = _given(sys.argv[1:] if argv is None else argv)
    check_config: bool = given.pop("check_config")
    print_config: bool = given.pop("print_config")
    config: Path | None = given.pop("config")
    path = None if config is None else config.absolute()
    return CommandLine(
        load(config, given),
        check_config,
        config,
        print_config,
        partial(load, path, given, serving=True),
    )


def _given(argv: Sequence[str]) -> dict[str, Any]:
    """Return what the options give, as text; ends as ``parse`` does."""
    reader = parser()
    if list(argv) == ["-h"]:  # the first reflex; with a value, it is the host
        reader.print_help()
        reader.exit()
    reason = old_options.refused(argv)
    if reason is None:
        found, left = reader.parse_known_args(argv)
        given = vars(found)
        config = given["config"]
        if left:
            flags = [flag for action in reader._actions for flag in action.option_strings]
            reason = old_options.unrecognized(left, argv, given.get("pid_file"), flags)
        else:
            reason = old_options.confused(given, None if config is None else str(config))
    if reason is not None:
        reader.error(reason)
    for name, value in given.pop("set"):
        given.setdefault(name, value)
    return given


class _Parser(argparse.ArgumentParser):
    """Says what to write where an option lacks its value."""

    def error(self, message: str) -> NoReturn:
        super().error(old_options.without_value(message))


def parser() -> argparse.ArgumentParser:
    """Make the parser; a setting whose option is not given is missing from its result."""
    made = _Parser(
        prog="starling-py",
        usage="%(prog)s [options]",
        description="A persistent FIFO queue server that speaks the memcached protocol.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,  # -h is the host, as it always was
        allow_abbrev=False,
    )
    general = made.add_argument_group("General")
    general.add_argument(
        "-f", "--config", metavar="FILE", type=Path, help="Read settings from this YAML file"
    )
    general.add_argument(
        "--check-config",
        action="store_true",
        help="Check all settings, and whether a server could start with them here; exit",
    )
    general.add_argument(
        "--set",
        action="append",
        default=[],
        type=_assignment,
        metavar="NAME=VALUE",
        help="Give any setting of the server its value; repeatable",
    )
    general.add_argument(
        "--print-config", action="store_true", help="Print a file with all settings, and exit"
    )
    general.add_argument(
        "-V", "--version", action="version", version=f"%(prog)s {described()}", help="Print version"
    )
    general.add_argument("-?", "--help", action="help", help="Print this help")
    for section in dict.fromkeys(setting.section for setting in TABLE if setting.flags):
        group = made.add_argument_group(section)
        for setting in TABLE:
            if setting.section == section and setting.flags:
                _add(group, setting)
    return made


def _assignment(text: str) -> tuple[str, str | bool]:
    """Read ``NAME=VALUE``; whether the value is right is judged with all others."""
    name, equals, value = text.partition("=")
    known = [setting.name for setting in TABLE]
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=VALUE")
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise argparse.ArgumentTypeError(f"there is no setting {name!r}{hint}")
    return name, {"true": True, "false": False}.get(value, value)


def _add(group: "argparse._ArgumentGroup", setting: Setting) -> None:
    default = f"default: {setting.default_text}"
    if setting.metavar is not None:
        group.add_argument(
            *setting.flags,
            dest=setting.name,
            default=argparse.SUPPRESS,
            metavar=setting.metavar,
            help=f"{setting.meaning} ({default})",
        )
    else:
        effect = f"sets {setting.name} to {'true' if setting.const is True else setting.const}"
        group.add_argument(
            *setting.flags,
            dest=setting.name,
            default=argparse.SUPPRESS,
            action="store_const",
            const=setting.const,
            help=f"{setting.meaning} ({effect}; {default})",
        )
