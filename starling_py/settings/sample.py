"""A configuration file with every setting, its meaning and its default, all commented out."""

from typing import Final

from starling_py.settings.http_settings import TABLE as HTTP_TABLE
from starling_py.settings.kinds import Setting
from starling_py.settings.server_settings import TABLE
from starling_py.settings.users import USER_TABLE

_HEAD: Final = """\
# starling-py: every setting with its default, commented out. Change what you need, keep it as
# /etc/starling/starling.yml or where you like, and check it: starling-py -f FILE --check-config

starling:
"""
_TAIL: Final = """\

# What single queues are told, by their names or by patterns of names; "*" is for all of them.
# queues:
#   "*":
#     max_bytes: 1g
#     max_deliveries: 5
#     dead_letter: failed

# Queues to which a put goes besides, by the name of its queue: * is one word, # any number of them.
# routes:
#   "orders.#": [audit]

# What each user of users_file may do.
# users:
#   worker:
"""
_HTTP: Final = """\

# What is told by HTTP: statistics for Prometheus, health, a page. Off without this section.
# http:
"""


def render() -> str:
    """Return the text of the file."""
    settings = "\n".join(_lines(each, "  ") for each in TABLE)
    users = "\n".join(f"#     {each.name}: {_default(each)}".rstrip() for each in USER_TABLE)
    http = "\n".join(f"#   {each.name}: {_default(each)}".rstrip() for each in HTTP_TABLE)
    return f"{_HEAD}{settings}{_TAIL}{users}\n{_HTTP}{http}\n"


def _lines(setting: Setting, indent: str) -> str:
    about = f"{indent}# {setting.meaning} ({setting.allowed})."
    return f"{about}\n{indent}# {setting.name}: {_default(setting)}".rstrip() + "\n"


def _default(setting: Setting) -> str:
    return "" if setting.default is None else setting.default_text
