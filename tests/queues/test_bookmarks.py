"""Where lists have read, as far as that still holds."""

from starling_py.queues.bookmarks import Bookmarks


def test_the_last_place_before_an_item_is_where_to_begin() -> None:
    bookmarks = Bookmarks()
    assert bookmarks.before(5, 0) is None
    bookmarks.add(10, (1, 100), 0)
    bookmarks.add(20, (1, 200), 0)
    assert [bookmarks.before(each, 0) for each in (9, 10, 19, 20, 99)] == [
        None,
        (1, 100),
        (1, 100),
        (1, 200),
        (1, 200),
    ]


def test_only_the_latest_places_are_kept_and_none_over_a_compaction() -> None:
    bookmarks = Bookmarks()
    for number in range(100):
        bookmarks.add(number, (1, number), 3)
    assert (bookmarks.before(91, 3), bookmarks.before(92, 3)) == (None, (1, 92))
    assert bookmarks.before(99, 4) is None
    assert bookmarks.before(99, 3) is None
