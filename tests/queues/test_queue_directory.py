"""The queues by name: how many there may be."""

from pathlib import Path

import pytest

from starling_py.queues.errors import NotNowRefused, TooLargeRefused
from tests.queues.parts import Queues


def test_there_are_no_more_queues_than_may_be_and_refused_puts_make_none(
    tmp_path: Path,
) -> None:
    queues = Queues(tmp_path / "spool", {"*": {"max_item_size": 5}}, max_queues=2)
    for number in range(10):
        with pytest.raises(TooLargeRefused):
            queues.put(b"refused%d" % number, bytes(6))
    queues.put(b"a", b"1")
    queues.put(b"b", b"1")
    with pytest.raises(NotNowRefused):
        queues.put(b"c", b"1")
    with pytest.raises(NotNowRefused):
        queues.queues.subscribe(b"a+c")
    queues.put(b"a", b"2")
    queues.queues.delete(b"b")
    queues.commit()
    queues.put(b"c", b"1")
    assert len(queues.queues._by_name) == 2
