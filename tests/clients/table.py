"""The table of what passed."""

from collections.abc import Iterable
from pathlib import Path

import attrs

_BEGIN, _END = "<!-- the table: scripts/clients all --write -->", "<!-- end of the table -->"
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

    def cells(self) -> tuple[str, ...]:
        """Return its line of the table."""
        without = ", ".join(check.replace("_", " ") for check in self.cannot)
        passed = f"{self.passed}/{self.tried}"
        return self.client, self.version, self.language, self.dialect, passed, without, self.note


def markdown(results: Iterable[Result]) -> str:
    """Return the table."""
    lines = [_HEAD, ("---",) * len(_HEAD), *(result.cells() for result in results)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def write_into(page: Path, table: str) -> None:
    """Put the table in the place of the one that is between the marks of a page."""
    before, _, rest = page.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text(f"{before}{_BEGIN}\n\n{table}\n{_END}{after}")


def clients_in(page: Path) -> list[str]:
    """Return the clients that are in a page's table."""
    _, _, rest = page.read_text().partition(_BEGIN)
    lines = rest.partition(_END)[0].strip().splitlines()[2:]
    return [line.split("|")[1].strip() for line in lines]
