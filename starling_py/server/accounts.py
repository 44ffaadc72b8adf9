"""The users of a server: the hashes of their passwords, and what they may do.

Read when the server starts, and again when it is told to. Invariant: what is read holds as a whole,
or what was there before goes on to hold.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from starling_py.security.passwords import NOBODY, Hash
from starling_py.security.users_file import UsersFileError, read
from starling_py.session.guarded import Account
from starling_py.settings.errors import ConfigError
from starling_py.settings.server_settings import Settings
from starling_py.settings.users import Users

log = logging.getLogger(__name__)

CERTIFIED: Final = "certificate"
"""What a user was recognised by that has no password."""
_MOST_BYTES: Final = 1 << 22
_OTHERS: Final = 0o007


@attrs.frozen
class Accounts:
    """Who there is."""

    users: Users
    hashes: Mapping[str, Hash] = attrs.field(factory=dict, repr=False)

    @classmethod
    def of(cls, settings: Settings) -> "Accounts | None":
        """Read those of the settings; ``None`` if nobody has to say who it is.

        Raises ``ConfigError`` if the file of users cannot be read, or is wrong.
        """
        if not settings.has_users:
            return None
        hashes: dict[str, Hash] = {}
        if settings.users_file is not None:
            hashes = _read(settings.users_file)
        for name in settings.users.entries:
            if name not in hashes and settings.tls_client_ca is None:
                log.warning("user %s has no password, and cannot come in with one", name)
        return cls(settings.users, hashes)

    def find(self, name: str) -> Account | None:
        """Return the account of a user with a password, if there is one."""
        kept = self.hashes.get(name)
        return None if kept is None else Account(name, self.users.of(name), kept)

    def certified(self, name: str) -> Account | None:
        """Return the account of a user whose certificate says its name, if there is one."""
        known = self.users.entries or self.hashes
        return Account(name, self.users.of(name), CERTIFIED) if name in known else None

    def again(self, account: Account) -> Account | None:
        """Return what a user is by now; ``None`` if it has to be recognised anew."""
        is_certified = account.proof == CERTIFIED
        found = self.certified(account.name) if is_certified else self.find(account.name)
        return found if found is not None and found.proof == account.proof else None

    def hash_of(self, name: str) -> Hash:
        """Return what a user's password is checked against: for nobody, what no password fits."""
        return self.hashes.get(name, NOBODY)


def _read(path: Path) -> dict[str, Hash]:
    try:
        if not path.is_file():
            raise ConfigError([f"users_file: {path}: is no file"])
        about = path.stat()
        if about.st_size > _MOST_BYTES:
            raise ConfigError([f"users_file: {path}: has more than {_MOST_BYTES} bytes"])
        if about.st_mode & _OTHERS:
            log.warning("users_file: everybody on this machine may read or write %s", path)
        return read(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError([f"users_file: {path}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"users_file: {path}: is not UTF-8"]) from None
    except UsersFileError as problem:
        raise ConfigError([f"users_file: {path}: {problem}"]) from None
