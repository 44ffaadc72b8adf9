"""Errors that stay inside the dialects: a client gets a reply in the dialect's own words."""


class MetaFlagError(Exception):
    """Something is wrong with the line of a meta command."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply
        """The reply to the line."""
