"""Say what to write in place of the options of other servers, and of old habits.

Starling's own options mean the same here. What its wrappers added (``starling start``), what it
took without a value, and what its relatives call by the same letters is told in one line, with the
command that is right here. Nothing of it is ever accepted.
"""

import difflib
import ipaddress
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from starling_py.settings.server_settings import TABLE

_MORE: Final = "docs/coming-from.md has more"

_COMMANDS: Final = {
    "start": "write {again}",
    "run": "write {again}",
    "stop": "write kill $(cat {pid_file})",
    "restart": "write kill $(cat {pid_file}), then {again}",
    "reload": "write kill -HUP $(cat {pid_file})",
    "status": "write starling-top --once",
    "top": "write starling-top",
}
"""Words that wrappers and init scripts put in front of the options."""

_WITHOUT_VALUE: Final = {
    "host": "-h is the host, and --help prints help",
    "logger": "write -L FILE; without it, the log goes to standard error",
    "timeout": "write -t SECONDS; without it, or with 0, nobody is disconnected",
}

_ELSEWHERE: Final = {
    "-listen": "Siberite's; write -h HOST -p PORT",
    "-data": "Siberite's; write -q DIR",
    "-pid": "Siberite's; write -P FILE",
    "-version": "write --version",
    "--listen": "write -h HOST -p PORT",
    "--data": "Darner's; write -q DIR",
    "--debug": "Darner's; write -v",
    "--workers": "Darner's; leave it out, one process serves all",
    "-j": "Darner's; leave it out, one process serves all",
    "-D": "Kestrel's; settings stand in a file, see -f",
    "-b": "beanstalkd's; write -q DIR",
    "-F": "beanstalkd's; write --sync never",
    "-z": "beanstalkd's; write item_size_max in a file, see -f",
    "-s": "beanstalkd's; write segment_size in a file, see -f",
    "-m": "memcached's; write memory_max in a file, see -f",
    "-I": "memcached's; write item_size_max in a file, see -f",
    "-c": "memcached's; write max_connections in a file, see -f",
    "-U": "memcached's; leave it out, there is no UDP here",
}
"""What relatives call options that are none here."""
_GO_STYLE: Final = frozenset(each for each in _ELSEWHERE if re.match("-[a-z]{2}", each))
"""Words behind one dash, of which an option of one letter would take the rest for its value."""


def refused(argv: Sequence[str]) -> str | None:
    """Return why arguments must not be read as they stand; ``None`` if they may be."""
    for each in argv:
        word = each.partition("=")[0]
        if word in _GO_STYLE:
            return f"{word}: {_ELSEWHERE[word]} ({_MORE})"
    return None


def unrecognized(
    left: Sequence[str], argv: Sequence[str], pid_file: str | None, known: Sequence[str] = ()
) -> str:
    """Say what to write in place of arguments that are none here.

    ``left`` are these, of all in ``argv``. ``pid_file`` is the one that was asked for, if any.
    ``known`` are the options that there are.
    """
    for each in left:
        if each in _COMMANDS:
            rest = list(argv)
            rest.remove(each)
            again = shlex.join(["starling-py", *rest])
            write = _COMMANDS[each].format(
                again=again, pid_file=shlex.quote(pid_file) if pid_file else "PIDFILE"
            )
            return f"{each}: there are no commands here; {write}"
    what = f"unrecognized arguments: {' '.join(left)}"
    for each in left:
        long = each.partition("=")[0]
        hint = _ELSEWHERE.get(long if each.startswith("--") else each[:2])
        if hint is not None:
            return f"{what} ({long if each.startswith('--') else each[:2]} is {hint}; {_MORE})"
    if "-d" in argv and argv[argv.index("-d") + 1 : argv.index("-d") + 2] == left[:1]:
        return f"{what} (-d takes no value; a folder of queues is -q DIR; {_MORE})"
    for each in left:
        name = each.partition("=")[0].removeprefix("--").replace("-", "_")
        if each.startswith("--") and any(name == setting.name for setting in TABLE):
            return f"{what}; a setting without an option of its own is --set {name}=VALUE"
    for each in left:
        near = difflib.get_close_matches(each.partition("=")[0], known, 1)
        if each.startswith("--") and near:
            return f"{what}; did you mean {near[0]}?"
    return f"{what}; try --help"


def without_value(message: str) -> str:
    """Add what to write to a message that an option has no value."""
    match = re.fullmatch(r"argument (\S+): expected one argument", message)
    if match is None:
        return message
    flags = match[1].split("/")
    setting = next((each for each in TABLE if each.flags and each.flags[0] == flags[0]), None)
    if setting is None:
        return f"{message}; write {flags[0]} FILE"
    return f"{message}; {_WITHOUT_VALUE.get(setting.name, f'write {flags[0]} {setting.metavar}')}"


def confused(given: Mapping[str, object], config: str | None) -> str | None:
    """Return what is wrong with values that an option has in a relative only; ``None`` if nothing.

    ``given`` are the values of options by settings, ``config`` is the file that was named.
    """
    channel = given.get("syslog_channel")
    if isinstance(channel, str) and _is_address(channel):
        return f"-l {channel}: -l is a name for syslog here; an address is -h ADDRESS"
    if config is not None and re.fullmatch("[0-9]+", config):
        sync = "always" if not int(config) else f"{config}ms"
        return f"-f {config}: -f is a configuration file here; beanstalkd's is --sync {sync}"
    return None


def _is_address(text: str) -> bool:
    host = re.sub(r"^\[(.*)\](:[0-9]+)?$", r"\1", text)
    host = re.sub(r"^([^:]*):[0-9]+$", r"\1", host)
    if host.lower() in ("localhost", "*"):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
