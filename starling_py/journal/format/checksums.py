"""The checksum of any stretch of some bytes, in a time that does not depend on how long it is.

A search for the next sound record asks for very many stretches that overlap, and whoever wrote the
bytes has chosen how long they are. Read one by one, they would cost the square of the bytes. But a
CRC is linear: what two stretches have in common can be taken out of the longer one. So the
checksums from byte 0 to every ``STEP``-th one are kept, and that of a stretch is made of the two at
its ends, the first of them moved over the bytes between. To move a checksum over zeros is to
multiply a polynomial by a power of x; a table does that for 8 bits of their number at a time.

Nothing here knows records. What it returns is what ``zlib.crc32`` returns.
"""

from array import array
from typing import Final, Protocol, TypeAlias

from starling_py.journal.format import quick_crc

STEP: Final = 256
"""Bytes between two checksums that are kept. A stretch of at most so many is read as it is."""
READ_SIZE: Final = 1 << 20
"""Bytes that are read at once while the checksums at the steps are made; a multiple of ``STEP``."""
_crc32: Final = quick_crc.crc32
_ZEROS: Final = [bytes(count) for count in range(STEP)]
_OF_ZEROS: Final = [_crc32(zeros, 0) for zeros in _ZEROS]
_POLYNOMIAL: Final = 0xEDB88320
_ONE: Final = 1 << 31
"""The polynomial 1, in the order of bits of zlib."""

Table: TypeAlias = "array[int]"
"""The products of one factor with each value of each of the four bytes of a checksum."""


class Sliceable(Protocol):
    """Bytes in memory or elsewhere."""

    def __getitem__(self, part: "slice[int, int, None]", /) -> bytes | memoryview:
        """Return the bytes from one offset to another."""


class Checksums:
    """The checksums of all stretches of some bytes; what it has worked out, it keeps."""

    def __init__(self, data: Sliceable, size: int, salt: int = 0) -> None:
        """Prepare for ``data`` of ``size`` bytes; checksums begin with ``salt``, 32 bits."""
        self._data = data
        self._size = size
        self._salt = salt
        self._at_steps = array("I", [0])
        """The checksum from byte 0, without salt, to each multiple of ``STEP``, as far as asked."""
        self._levels: list[_Moves] = []

    def of(self, start: int, end: int) -> int:
        """Return the checksum of the bytes from ``start`` to ``end``; raises what ``data`` does.

        ``start <= end``, and both are in the bytes.
        """
        data, at_steps = self._data, self._at_steps
        count = end - start
        if count <= STEP:
            return _crc32(data[start:end], self._salt)
        # All in one function: a client can make a start come here once for each ten of its bytes.
        step = end // STEP
        if step >= len(at_steps):
            self._extend(step)
        whole = _crc32(data[step * STEP : end], at_steps[step])
        step = start // STEP
        before = _crc32(data[step * STEP : start], at_steps[step]) ^ self._salt
        few = count % STEP
        before = _crc32(_ZEROS[few], before) ^ _OF_ZEROS[few]
        count //= STEP
        for moves in self._levels or self._make_levels():
            table = moves.tables[count & 255] or moves.make(count & 255)
            before = (
                table[before & 255]
                ^ table[256 | (before >> 8 & 255)]
                ^ table[512 | (before >> 16 & 255)]
                ^ table[768 | before >> 24]
            )
            count >>= 8
            if not count:
                break
        return whole ^ before

    def _extend(self, step: int) -> None:
        """Work out the checksums up to this step, and those that a whole read gives beside."""
        at_steps = self._at_steps
        while len(at_steps) <= step:
            start = (len(at_steps) - 1) * STEP
            data = memoryview(self._data[start : min(start + READ_SIZE, self._size)])
            checksum = at_steps[-1]
            for at in range(0, len(data) - STEP + 1, STEP):
                checksum = _crc32(data[at : at + STEP], checksum)
                at_steps.append(checksum)

    def _make_levels(self) -> "list[_Moves]":
        unit, units = _power_of_x(8 * STEP), self._size // STEP
        while units:
            self._levels.append(_Moves(unit))
            unit, units = self._levels[-1].factors[256], units >> 8
        return self._levels


class _Moves:
    """Moves over up to 255 units, each of ``STEP`` bytes times a power of 256."""

    def __init__(self, unit: int) -> None:
        """Prepare; ``unit`` is the factor that moves over one unit."""
        by_unit = _table_of(unit)
        self.factors = [_ONE, unit]
        """For each number of units up to 256, the factor that moves over so many."""
        while len(self.factors) <= 256:
            last = self.factors[-1]
            parts = (by_unit[256 * byte + (last >> 8 * byte & 255)] for byte in range(4))
            self.factors.append(next(parts) ^ next(parts) ^ next(parts) ^ next(parts))
        self.tables: list[Table | None] = [None] * 256
        """For each number of units, the table that moves over so many; ``None`` until ``make``."""

    def make(self, units: int) -> Table:
        """Make the table that moves over so many units, keep and return it."""
        table = self.tables[units] = _table_of(self.factors[units])
        return table


def _power_of_x(exponent: int) -> int:
    power = _ONE
    for _ in range(exponent):
        power = _times_x(power)
    return power


def _times_x(factor: int) -> int:
    return factor >> 1 ^ (_POLYNOMIAL if factor & 1 else 0)


def _table_of(factor: int) -> Table:
    of_bits = [factor]
    while len(of_bits) < 32:
        of_bits.append(_times_x(of_bits[-1]))
    of_bits.reverse()  # the highest bit stands for 1
    table = array("I")
    for byte in range(4):
        products = [0]
        for product in of_bits[8 * byte : 8 * byte + 8]:
            products += [each ^ product for each in products]
        table.extend(products)
    return table
