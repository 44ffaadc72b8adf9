"""Why a server does not start; each text is one line that says what and where."""


class StartError(Exception):
    """The server cannot start; the text is one line that says what and where."""


class ProcessError(Exception):
    """The process cannot be set up; the text is one line that says what and where."""


class StartStoppedError(Exception):
    """SIGTERM came while the queues were read back, before there was a server to stop."""
