"""Runs the command as ``python -m starling_py.ctl``."""

import sys

from starling_py.ctl.cli import main

if __name__ == "__main__":
    sys.exit(main())
