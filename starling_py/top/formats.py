"""Numbers, names and data as text for a terminal: pure functions.

Invariants: whatever bytes come in, the text holds only printable characters; a number is written
in full or in a larger unit, and never cut. What is unknown is ``-``.
"""

import math
import re
from collections.abc import Sequence

# A number of more than 20 digits is no counter, and would overflow the arithmetic on floats.
_INTEGER = re.compile(rb"-?(0|[1-9]\d{0,19})")
_DECIMAL = re.compile(rb"-?\d{1,20}\.\d{1,20}")
_BARS = "▁▂▃▄▅▆▇█"
_BARS_ASCII = "_.-=+*%#"


def printable(value: bytes) -> str:
    r"""Decode UTF-8; bytes that are none, and characters unfit for a terminal, become ``\x1b``."""
    text = value.decode(errors="backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def json_value(key: bytes, value: bytes) -> int | float | str:
    """Return a number for what is written like one, otherwise the text; a version is text."""
    if key != b"version":
        if _INTEGER.fullmatch(value):
            return int(value)
        if _DECIMAL.fullmatch(value):
            return float(value)
    return value.decode(errors="backslashreplace")


def format_count(count: int | None, cells: int = 10) -> str:
    """Write a count with at most ``cells`` characters, in thousands or more if it is longer."""
    if count is None:
        return "-"
    text, units = str(count), iter("kMGTPEZ")
    while len(text) > cells:
        count //= 1000
        text = f"{count}{next(units)}"
    return text


def format_rate(per_second: float | None) -> str:
    """Write a rate with up to two decimals where it is small, in thousands from 100,000 on."""
    if per_second is None:
        return "-"
    if per_second >= 99_999.5:
        return f"{per_second / 1000:.0f}k"
    if per_second == 0 or per_second >= 9.95:
        return f"{per_second:.0f}"
    return f"{per_second:.1f}" if per_second >= 0.995 else f"{per_second:.2f}"


def format_age(milliseconds: int | None) -> str:
    """Write an age in its largest fitting unit: ``1.2s``, ``45s``, ``3m``, ``2h``, ``5d``."""
    if milliseconds is None:
        return "-"
    seconds = milliseconds / 1000
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "m"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds // 86_400)}d"


def format_bytes(size: int | None) -> str:
    """Write bytes with at most four digits and a binary unit: ``512B``, ``1.5K``, ``23M``."""
    if size is None:
        return "-"
    if size < 1024:
        return f"{size}B"
    scaled, units = size / 1024, iter("KMGTPEZ")
    unit = next(units)
    while scaled >= 1023.5:
        scaled, unit = scaled / 1024, next(units)
    return f"{scaled:.1f}{unit}" if scaled < 9.95 else f"{scaled:.0f}{unit}"


def format_uptime(seconds: int | None) -> str:
    """Write a time the server has been up in its two largest units: ``3h 4m``."""
    if seconds is None:
        return "-"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {seconds}s" if minutes else f"{seconds}s"


def sparkline(values: Sequence[float | None], *, unicode: bool = True) -> str:
    """Draw values as one bar each, the greatest in full height; a blank for what is unknown."""
    bars = _BARS if unicode else _BARS_ASCII
    greatest = max((value for value in values if value is not None), default=0.0)
    drawn = []
    for value in values:
        if value is None:
            drawn.append(" ")
        elif greatest <= 0 or value <= 0:
            drawn.append(bars[0])
        else:
            drawn.append(bars[max(1, math.ceil(value / greatest * (len(bars) - 1)))])
    return "".join(drawn)


def shown_data(data: bytes, most: int) -> str:
    """Show the beginning of an item's data on one line, as text if it is text, else in hex."""
    begin = data[: most * 4]
    try:
        text = begin.decode()
    except UnicodeDecodeError as error:
        # A character that was cut in half at the end does not make it binary.
        if error.start >= len(begin) - 3 and len(begin) < len(data):
            text = begin[: error.start].decode()
        else:
            return "0x " + begin[:most].hex(" ")
    return printable(text.encode())
