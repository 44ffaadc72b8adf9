"""What a server of a group tells by HTTP while another one serves: health and a few numbers.

It is well, and not ready; a load balancer that asks ``/readyz`` finds the owner by that.
``/metrics`` has what there is to tell, behind the same gate as that of a server which serves. There
is no page.
"""

from collections.abc import Callable
from typing import Final

from starling_py.http import exposition, metrics
from starling_py.http.gate import Gate
from starling_py.http.messages import Answer, Parts, Request, told
from starling_py.http.site import Told

_AGAIN: Final = (("retry-after", "1"),)


class StandbySite:
    """Answers requests."""

    page: Final = None
    """There is none."""

    def __init__(
        self,
        gate: Gate,
        why: Callable[[], str],
        numbers: Callable[[], list[tuple[str, object]]],
        *,
        metered: bool,
    ) -> None:
        """``why`` returns why it is not ready, ``numbers`` what ``stats`` tells of the group.

        ``metered``: whether there are metrics.
        """
        self._gate = gate
        self._why = why
        self._numbers = numbers
        self._metered = metered

    def answer(self, request: Request) -> Told:
        """Return the answer to a request."""
        path, reads = request.path, request.method in {"GET", "HEAD"}
        if reads and path == "/healthz":
            return told(200, "ok")
        if path != "/readyz" and (refusal := self._gate.refusal(request)) is not None:
            return refusal
        if reads and path == "/metrics" and self._metered:
            return self._metrics(request)
        return self._unready()

    def _unready(self) -> Answer:
        return told(503, self._why(), _AGAIN)

    def _metrics(self, request: Request) -> Parts:
        form = exposition.wanted(request.headers.get("accept", ""))
        return Parts(metrics.of_standby(self._numbers(), form), form)
