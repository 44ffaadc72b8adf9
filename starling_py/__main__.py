"""Lets ``python -m starling_py`` do what the command ``starling-py`` does."""

import sys

from starling_py.cli import main

if __name__ == "__main__":
    sys.exit(main())
