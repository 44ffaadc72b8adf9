"""Who may use a server, and how it shows who it is: read as a whole when it starts."""

import socket
from collections.abc import Sequence

import attrs

from starling_py.server.accounts import Accounts
from starling_py.server.tls import Certificates
from starling_py.settings.server_settings import Settings
from starling_py.settings.users import Users


@attrs.frozen
class Access:
    """By default, everybody may, and nobody speaks TLS."""

    accounts: Accounts | None = None
    """Who there is; ``None`` if nobody has to say who it is."""
    secured: Sequence[socket.socket] = ()
    """Listening sockets at which clients speak TLS."""
    certificates: Certificates | None = None
    """What they are shown; never ``None`` if there is such a socket."""

    @classmethod
    def read(cls, settings: Settings, secured: Sequence[socket.socket] = ()) -> "Access":
        """Read the files that the settings name; raise ``ConfigError``."""
        certificates = None if settings.tls_cert is None else Certificates(settings)
        return cls(Accounts.of(settings), secured, certificates)

    def read_again(self, settings: Settings, web: Certificates | None) -> "Access":
        """Read the files again, for clients that come from now on; raise ``ConfigError``.

        ``web`` is what HTTP shows. Whether there are users, and where TLS is spoken, stays as it
        is.
        """
        accounts = None if self.accounts is None else Accounts.of(settings) or Accounts(Users())
        if self.certificates is not None:
            self.certificates.refresh(settings)
        if web is not None and settings.http is not None:
            web.refresh(settings.http)
        return attrs.evolve(self, accounts=accounts)
