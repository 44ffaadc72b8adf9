"""A process that tells what of an installation it loads, from a moment that a test chooses.

It notes each import, and each file below Python's folders, the libraries' and the server's that it
opens, but for lines of the source that a traceback shows if they are there.
"""

import sys
import sysconfig
from pathlib import Path

import attrs

from tests.process.server_process import ROOT

HOOK = """
import os
import sys

BEGUN, TOLD, FOLDERS = {begun!r}, {told!r}, {folders!r}


def note(event, args):
    if event == "import":
        what = args[0]
    elif event == "open" and isinstance(args[0], str) and args[0].startswith(FOLDERS):
        what = args[0]
    else:
        return
    if not os.path.exists(BEGUN):
        return
    frame, by = sys._getframe(1), []
    while frame is not None:
        by.append(os.path.basename(frame.f_code.co_filename) + ":" + frame.f_code.co_name)
        frame = frame.f_back
    if event == "open" and any(each.startswith("linecache.py:") for each in by):
        return
    with open(TOLD, "a") as file:
        file.write(event + " " + what + " by " + " ".join(by) + "\\n")


sys.addaudithook(note)
"""


@attrs.frozen
class Loading:
    """What processes load that are started with an environment."""

    folder: Path
    """Of its own, for what it needs."""

    def __attrs_post_init__(self) -> None:
        """Write the module that Python loads when it begins."""
        folders = {str(ROOT / "starling_py"), sysconfig.get_path("stdlib")}
        folders |= {sysconfig.get_path("purelib"), sys.prefix}
        self.folder.mkdir()
        (self.folder / "sitecustomize.py").write_text(
            HOOK.format(begun=str(self._begun), told=str(self._told), folders=tuple(folders))
        )

    def begin(self) -> None:
        """Note from now on what is loaded."""
        self._begun.touch()

    @property
    def told(self) -> list[str]:
        """Return what was loaded since, each with who did it."""
        return self._told.read_text().splitlines() if self._told.exists() else []

    @property
    def _begun(self) -> Path:
        return self.folder / "begun"

    @property
    def _told(self) -> Path:
        return self.folder / "told"
