"""What the dialects raise among themselves; a client is told of it in their own words."""


class MetaFlagError(Exception):
    """Something is wrong with a line."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply
