"""Which life of a simulation notices a planted defect: the one that did so last is tried first.

What a seed does changes with every change of the simulation, so a list grows old, and the search
goes on with the other seeds. ``python -m tests.planted`` writes all lists anew.
"""

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import pytest

Plant = Callable[[pytest.MonkeyPatch], None]


@attrs.frozen
class Search:
    """How defects are planted in one simulation, and noticed."""

    plants: Sequence[Plant]
    run: Callable[[int], object]
    """Runs one seed."""
    signs: tuple[type[Exception], ...]
    """What is raised where something is noticed."""
    enough: int
    """Seeds within which each must be noticed."""
    file: Path
    """The list: for each plant, the seed that noticed it."""

    def noticed_by(self, name: str) -> int | None:
        """Return a seed that notices the defect that is planted now, if one does."""
        last: int | None = json.loads(self.file.read_text()).get(name)
        for seed in itertools.chain(() if last is None else (last,), range(self.enough)):
            try:
                self.run(seed)
            except self.signs:
                return seed
        return None

    def write(self) -> None:
        """Write the list."""
        found = {}
        for plant in self.plants:
            with pytest.MonkeyPatch.context() as patch:
                plant(patch)
                found[plant.__name__] = self.noticed_by(plant.__name__)
        self.file.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


def main() -> None:
    """Write all lists."""
    from tests.replica.test_simulated_group import PLANTED as IN_GROUPS
    from tests.simulation.test_simulation import PLANTED

    for each in (PLANTED, IN_GROUPS):
        each.write()


if __name__ == "__main__":
    main()
