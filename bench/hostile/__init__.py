"""What clients can do to each other: attacks on this server, and what an innocent client feels.

Each row is one attack on a fresh server. An innocent client, a process of its own, puts and takes
100 bytes throughout. It judges by the server's own CPU time between its request and the reply, so
other work on the machine does not count; memory is looked at before, at its peak and afterwards.

From the inside out: `wire` is an attacker's connection and what replies it accepts, `watch` reads
the CPU time and memory of a process, `innocent` is the innocent client, `row` is what makes an
attack a row, and the modules `on_…` have the rows. `trial` runs one row on one server, `judge`
says what it may do, and `show` runs them all and prints the table (`scripts/bench --hostile`).

An attack that was refused or broke off is no quick attack: its replies are checked, and its row
fails.
"""

from bench import LoadError


class RefusedError(LoadError):
    """The server answered an attack with something else than what it asked for."""


class BrokenError(LoadError):
    """A connection of an attack ended, or nothing more came on it, before all had come."""
