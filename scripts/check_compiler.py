"""Tells what is missing for compiling: a C compiler, or the headers it needs.

Needs nothing but Python, so that it can be asked before anything is downloaded: as a program it
prints one line and ends with 1, or prints nothing and ends with 0.
"""

import os
import shlex
import subprocess
import sys
import sysconfig

_INSTALL = (
    "install a C compiler and Python's headers (Debian: apt install gcc libc6-dev python3-dev)"
)


def problem() -> str | None:
    """Return what is missing and what to install, or ``None``."""
    # As setuptools chooses it.
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    folders = {sysconfig.get_path("include"), sysconfig.get_path("platinclude")}
    command = [*shlex.split(compiler), *(f"-I{each}" for each in folders), "-E", "-x", "c", "-"]
    try:
        done = subprocess.run(
            command, input="#include <Python.h>\n", capture_output=True, check=False, text=True
        )
    except OSError as error:
        return f"cannot run the C compiler: {error.strerror}: {command[0]}; {_INSTALL}"
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        reason = errors[0] if errors else f"{command[0]} failed"
        return f"cannot compile for Python: {reason}; {_INSTALL}"
    return None


if __name__ == "__main__":
    sys.exit(problem())
