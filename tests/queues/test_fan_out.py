"""Which queues get copies: the children that exist, in the order of their coming, and routes."""

from hypothesis import given
from hypothesis import strategies as st

from starling_py.keys import child_of
from starling_py.queues.fan_out import FanOut
from starling_py.settings.routes import Routes

NAMES = st.sampled_from([b"a", b"a+b", b"a+c", b"a+b+c", b"b", b"b+a", b"+a", b"a+"])


def test_a_child_is_known_from_its_coming_to_its_going() -> None:
    fan_out = FanOut(Routes())
    assert not fan_out
    fan_out.came(b"news+b")
    fan_out.came(b"news+a")
    fan_out.came(b"news+b")
    fan_out.came(b"news")
    assert fan_out.children(b"news") == [b"news+b", b"news+a"]
    fan_out.went(b"news+b")
    fan_out.went(b"news")
    assert fan_out.children(b"news") == [b"news+a"]
    fan_out.went(b"news+a")
    fan_out.went(b"news+a")
    assert not fan_out


def test_with_a_route_something_goes_elsewhere_though_there_is_no_child() -> None:
    assert FanOut(Routes({"a": ["b"]}))


@given(st.lists(st.tuples(st.booleans(), NAMES)))
def test_the_children_are_those_that_exist_by_their_names(steps: list[tuple[bool, bytes]]) -> None:
    fan_out = FanOut(Routes())
    existing: set[bytes] = set()
    for comes, name in steps:
        if comes:
            fan_out.came(name)
            existing.add(name)
        else:
            fan_out.went(name)
            existing.discard(name)
        for parent in (b"a", b"b", b"a+b"):
            expected = {each for each in existing if child_of(each) == parent}
            assert set(fan_out.children(parent)) == expected
        assert bool(fan_out) == any(child_of(each) for each in existing)
