"""Makes the manual pages in ``man/man1`` from what each command says with ``--help``.

``scripts/man.py --check`` ends with 1 if a page is not what it would make.
"""

import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from starling_py import __version__
from starling_py import cli as server
from starling_py.ctl import cli as ctl
from starling_py.offline import cli as journal
from starling_py.top import cli as top

FOLDER: Final = Path(__file__).parent.parent / "man/man1"
COMMANDS: Final[dict[str, tuple[Callable[[Sequence[str]], int], str, str]]] = {
    "starling-py": (
        server.main,
        "persistent queue server with memcached's protocol",
        "configuration",
    ),
    "starling-ctl": (ctl.main, "look at queues and act on them", "starling-ctl"),
    "starling-journal": (journal.main, "verify, dump and import journals", "starling-journal"),
    "starling-top": (top.main, "show queues as they change", "starling-top"),
}
"""What runs each command, what it is, and the page in docs that has more."""


def help_of(main: Callable[[Sequence[str]], int]) -> str:
    """Return what a command says with ``--help``."""
    os.environ["COLUMNS"] = "80"
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.suppress(SystemExit):
        main(["--help"])
    return told.getvalue()


def page(name: str) -> str:
    """Return the manual page of a command."""
    main, about, more = COMMANDS[name]
    usage, _, rest = help_of(main).partition("\n\n")
    parts = [
        f'.TH {name.upper()} 1 "" "starling-py {__version__}" "starling-py"',
        ".SH NAME",
        f"{name} \\- {escaped(about)}",
        ".SH SYNOPSIS",
        ".nf",
        escaped(usage.removeprefix("usage: ")),
        ".fi",
        ".SH DESCRIPTION",
        ".nf",
        escaped(rest.strip()),
        ".fi",
        ".SH SEE ALSO",
        ", ".join(f"\\fB{each}\\fR(1)" for each in COMMANDS if each != name)
        + f"; docs/{more}.md of the source has more.",
    ]
    return "\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Return text that means the same to troff."""
    lines = [line.replace("\\", "\\e").replace("-", "\\-") for line in text.splitlines()]
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in lines)


def main() -> int:
    """Write the pages, or tell which are not up to date."""
    wrong = 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in COMMANDS:
        path, text = FOLDER / f"{name}.1", page(name)
        if "--check" not in sys.argv:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            print(f"{path}: is not up to date; run scripts/man.py", file=sys.stderr)
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
