"""The table of what passed, and the page that shows it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

Line = tuple[str, ...]
"""A line of the table, cell by cell."""

_BEGIN, _END = "<!-- the table: scripts/clients --write -->", "<!-- end of the table -->"
_HEAD = ("client", "version", "language", "dialect", "passed", "has no means for", "note")


@attrs.frozen
class Result:
    """What came of a row."""

    client: str
    version: str
    language: str
    dialect: str
    passed: int
    tried: int
    cannot: tuple[str, ...]
    note: str

    def cells(self) -> Line:
        """Return its line of the table."""
        without = ", ".join(check.replace("_", " ") for check in self.cannot)
        passed = f"{self.passed}/{self.tried}"
        return self.client, self.version, self.language, self.dialect, passed, without, self.note


def markdown(results: Iterable[Result]) -> str:
    """Return the table."""
    return _table(_HEAD, [result.cells() for result in results])


def write_into(page: Path, results: Sequence[Result], order: Sequence[str]) -> None:
    """Put what passed into the table of a page.

    The rows stand in the order of their names; one that was not tried this time stays as it is.
    """
    lines = {line[0]: line for line in lines_in(page)}
    lines |= {result.client: result.cells() for result in results}
    known = [lines[name] for name in order if name in lines]
    _replace(page, _table(_HEAD, known))


def lines_in(page: Path) -> list[Line]:
    """Return the lines of a page's table."""
    table = _shown(page).strip().splitlines()[2:]
    return [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in table]


def _shown(page: Path) -> str:
    _, _, rest = page.read_text().partition(_BEGIN)
    return rest.partition(_END)[0]


def _table(head: Line, lines: Iterable[Line]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [head, ("---",) * len(head), *lines])


def _replace(page: Path, table: str) -> None:
    before, _, rest = page.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text(f"{before}{_BEGIN}\n\n{table}\n{_END}{after}")
