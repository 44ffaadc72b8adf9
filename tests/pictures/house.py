"""Draws docs/pictures/house.svg from the imports of the package: scripts/pictures.

Each room is a box, on the floor of its longest chain of imports. An arrow leads to each room that
is imported and not reached by way of another one, so that the picture can be read.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tests import house
from tests.process.server_process import ROOT

PATH: Final = ROOT / "docs/pictures/house.svg"
BOX: Final = (96, 34)
GAP: Final = (16, 46)
WIDTH: Final = 900
APART: Final = frozenset({"cli", "offline", "ctl", "top", "client"})
"""What people start or import; drawn in another colour."""

Rooms = Mapping[str, set[str]]


def floors(rooms: Rooms) -> list[list[str]]:
    """Return the rooms by how long a chain of imports leads down from them, the longest first."""
    known: dict[str, int] = {}

    def height(room: str) -> int:
        if room not in known:
            known[room] = max((height(each) + 1 for each in rooms[room]), default=0)
        return known[room]

    top = max(map(height, rooms))
    return [sorted(room for room in rooms if height(room) == floor) for floor in range(top, -1, -1)]


def reached(rooms: Rooms, room: str) -> set[str]:
    """Return all rooms below one."""
    return rooms[room].union(*(reached(rooms, each) for each in rooms[room]))


def arrows(rooms: Rooms) -> Iterator[tuple[str, str]]:
    """Yield the imports that lead nowhere else than they say."""
    for room in sorted(rooms):
        others = {each: rooms[room] - {each} for each in rooms[room]}
        for each in sorted(rooms[room]):
            if not any(each in reached(rooms, other) for other in others[each]):
                yield room, each


def drawn() -> str:
    """Return the picture."""
    rooms = house.arrows_between_rooms(house.arrows_between_modules())
    (wide, high), (across, down) = BOX, GAP
    places: dict[str, tuple[float, float]] = {}
    storeys = floors(rooms)
    for floor, names in enumerate(storeys):
        begin = (WIDTH - len(names) * (wide + across) + across) / 2
        for place, name in enumerate(names):
            places[name] = begin + place * (wide + across), 16 + floor * (high + down)
    height = 16 + len(storeys) * (high + down)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="system-ui, sans-serif" font-size="14">',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0,0L8,4L0,8z" fill="#7d868f"/></marker></defs>',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for room, below in arrows(rooms):
        (x, y), (to_x, to_y) = places[room], places[below]
        lines.append(
            f'<path d="M{x + wide / 2:.0f},{y + high:.0f}C{x + wide / 2:.0f},{y + high + 30:.0f} '
            f'{to_x + wide / 2:.0f},{to_y - 30:.0f} {to_x + wide / 2:.0f},{to_y:.0f}" '
            'fill="none" stroke="#9aa3ac" marker-end="url(#head)"/>'
        )
    for name, (x, y) in places.items():
        fill = "#fbe9dd" if name in APART else "#e2f1f2"
        lines.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{wide}" height="{high}" rx="6" fill="{fill}" '
            'stroke="#7d868f"/>'
        )
        middle = f'x="{x + wide / 2:.0f}" y="{y + high / 2 + 5:.0f}"'
        lines.append(f'<text {middle} text-anchor="middle" fill="#1d2328">{name}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def main(path: Path = PATH) -> None:
    """Draw it."""
    path.write_text(drawn())


if __name__ == "__main__":
    main()
