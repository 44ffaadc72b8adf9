"""Run ``starling-top`` as ``python -m starling_py.top``."""

import sys

from starling_py.top.cli import main

if __name__ == "__main__":
    sys.exit(main())
