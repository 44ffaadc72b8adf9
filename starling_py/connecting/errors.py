"""What keeps a command from saying who it is."""


class LoginError(Exception):
    """A password or a certificate cannot be had; the message says which, and shows neither."""
