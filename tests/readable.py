"""Whether something can be read from a descriptor, whatever its number is."""

import select


def is_readable(descriptor: int, seconds: float) -> bool:
    """Tell whether there is something to be read within some seconds."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
