"""The files of the page, read once: nothing is read while the server serves."""

import functools
from importlib import resources
from typing import Final

from starling_py.http.messages import Answer

_HTML: Final = "text/html; charset=utf-8"
_FILES: Final = {
    "/": ("page.html", _HTML),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/charts.js": ("charts.js", "text/javascript; charset=utf-8"),
    "/uplot.css": ("uplot.css", "text/css; charset=utf-8"),
    "/uplot.js": ("uplot.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""What the page may load: its own files, and nothing from elsewhere or written into it."""


@functools.cache
def load() -> dict[str, Answer]:
    """Return the answers for the files of the page, by their paths; read only once."""
    folder = resources.files(__package__) / "assets"
    headers = (("content-security-policy", _POLICY), ("x-frame-options", "DENY"))
    return {
        path: Answer(200, (folder / name).read_bytes(), kind, headers if kind == _HTML else ())
        for path, (name, kind) in _FILES.items()
    }
