"""Which schedule notices a planted defect: that which did so last is tried first.

A schedule changes with every change of the simulation, so the list grows old, and the search goes
on with the others. ``python -m tests.simulation.noticed`` writes it anew.
"""

import itertools
import json
from pathlib import Path

import pytest

from tests.simulation.model import Violation
from tests.simulation.plants import PLANTS
from tests.simulation.schedule import run

LIST = Path(__file__).with_suffix(".json")
ENOUGH = 400
"""Seeds within which a planted defect must be noticed, and everything be reached."""


def noticed_by(name: str) -> int | None:
    """Return a seed whose schedule notices the defect that is planted now, if one does."""
    last: int | None = json.loads(LIST.read_text()).get(name)
    for seed in itertools.chain(() if last is None else (last,), range(ENOUGH)):
        try:
            run(seed)
        except Violation:
            return seed
    return None


def main() -> None:
    """Write the list."""
    found = {}
    for plant in PLANTS:
        with pytest.MonkeyPatch.context() as patch:
            plant(patch)
            found[plant.__name__] = noticed_by(plant.__name__)
    LIST.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
