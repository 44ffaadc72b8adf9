"""Why a server does not start; each text is one line that says what and where."""


class StartError(Exception):
    """The server cannot start; the text is one line that says what and where."""


class ProcessError(Exception):
    """The process cannot be set up; the text is one line that says what and where."""


class StartStoppedError(BaseException):
    """SIGTERM came while the queues were read back, before there was a server to stop.

    It may be raised between any two steps, as a ``KeyboardInterrupt`` may. So it is no
    ``Exception``: what guards itself against those must not take it for one of its own.
    """
