"""The exception of the settings."""

from collections.abc import Iterable


class ConfigError(Exception):
    """The configuration cannot be used. ``problems`` has one line for each thing that is wrong."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems: list[str] = list(problems)
        super().__init__("\n".join(self.problems))
