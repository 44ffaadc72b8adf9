"""The two forms that Prometheus reads: OpenMetrics 1.0 and its own text format 0.0.4.

They differ in a few lines, and which one is told goes by what the client accepts. Each name has one
family, whose lines stand together.
"""

import re
from collections.abc import Iterator
from typing import Final

from starling_py.stats import SUM, Histogram

OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPED: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
_QUALITY: Final = re.compile(r";\s*q=([0-9.]{1,5})")


def wanted(accept: str) -> str:
    """Return the form that an Accept header asks for."""
    qualities = {"application/openmetrics-text": 0.0, "text/plain": 0.0, "*/*": 0.0}
    for each in accept.lower().split(",")[:16]:
        name = each.partition(";")[0].strip()
        if name in qualities:
            found = _QUALITY.search(each)
            try:
                qualities[name] = max(qualities[name], float(found[1]) if found else 1.0)
            except ValueError:
                continue
    openmetrics, plain, _ = qualities.values()
    return OPENMETRICS if openmetrics > 0 and openmetrics >= plain else PLAIN


def labels(**values: str) -> str:
    """Return labels as they stand behind a name."""
    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in values.items()) + "}"


def escaped(text: str) -> str:
    """Return a text as it may stand between quotes."""
    return text.translate(_ESCAPED)


class Exposition:
    """Writes families in one of the forms."""

    def __init__(self, form: str) -> None:
        self._is_open = form == OPENMETRICS

    def head(self, name: str, kind: str, meaning: str) -> str:
        """Return the lines that a family begins with; ``name`` is without ``_total``."""
        suffix = "_total" if kind == "counter" and not self._is_open else ""
        if kind == "info":
            suffix, kind = ("", kind) if self._is_open else ("_info", "gauge")
        lines = [f"# HELP {name}{suffix} {meaning}", f"# TYPE {name}{suffix} {kind}"]
        unit = name.rpartition("_")[2]
        if self._is_open and unit in {"seconds", "bytes"}:
            lines.append(f"# UNIT {name} {unit}")
        return "\n".join(lines) + "\n"

    def lone(self, name: str, kind: str, meaning: str, value: float) -> str:
        """Return a family of one number."""
        suffix = "_total" if kind == "counter" else ""
        return f"{self.head(name, kind, meaning)}{name}{suffix} {number(value)}\n"

    def end(self) -> str:
        """Return what stands at the end of everything."""
        return "# EOF\n" if self._is_open else ""


def number(value: float) -> str:
    """Return a number as both forms write it."""
    return str(value) if isinstance(value, int) else repr(round(value, 9))


def buckets(
    name: str, histogram: Histogram, unit: float, powers: range, more: str = ""
) -> Iterator[str]:
    """Return the lines of a histogram; ``unit`` is in seconds.

    ``powers`` are the sizes of which a line is told, ``more`` is a label with a comma behind it.
    """
    below, counts = 0, histogram.counts
    told = 0
    for power in powers:
        below += sum(counts[told : power + 1])
        told = power + 1
        yield f'{name}_bucket{{{more}le="{number(2**power * unit)}"}} {below}\n'
    everything = below + sum(counts[told:SUM])
    behind = f"{{{more.rstrip(',')}}}" if more else ""
    yield f'{name}_bucket{{{more}le="+Inf"}} {everything}\n'
    yield f"{name}_sum{behind} {number(counts[SUM] * unit)}\n"
    yield f"{name}_count{behind} {everything}\n"
