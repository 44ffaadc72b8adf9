"""What is in a message: the format is told by bytes, and nothing else is taken for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.replica import operations
from starling_py.replica.operations import Operation, OperationsError, with_two_paths

GOLDEN = bytes.fromhex(
    "1a6087cbb54c4f474900000007000000000000001106000000000000000000000000006a6f62732f"
    "311206000500000000000000040000006a6f62732f31646174611406000000000000000000060000"
    "006a6f62732f316a6f62732f32"
)
"""The message below in format 1."""
MESSAGE = (
    Operation(operations.CREATED, "jobs/1"),
    Operation(operations.WROTE, "jobs/1", 5, b"data"),
    with_two_paths(operations.RENAMED, "jobs/1", "jobs/2"),
)

OPERATION = st.builds(
    Operation,
    st.sampled_from([operations.WROTE, operations.CREATED, operations.RESTATED]),
    st.from_regex(r"[a-z%]{1,8}/[0-9a-z]{1,8}", fullmatch=True),
    st.integers(0, 1 << 40),
    st.binary(max_size=50),
)


@given(st.integers(1, 1 << 60), st.lists(OPERATION, max_size=6))
def test_operations_come_out_of_a_message_as_they_went_in(
    number: int, changes: list[Operation]
) -> None:
    assert operations.decode(operations.encode(number, changes)) == (number, changes)


def test_the_format_of_messages_does_not_change_unnoticed() -> None:
    assert operations.FORMAT == 1
    assert operations.encode(7, MESSAGE) == GOLDEN
    assert operations.decode(GOLDEN) == (7, list(MESSAGE))


@given(st.binary(max_size=60))
def test_other_bytes_are_no_message(data: bytes) -> None:
    with pytest.raises(OperationsError):
        operations.decode(data)


@pytest.mark.parametrize("path", ["/etc/passwd", "../a", "a/../../b", "a/b/c", "", "a//b", "a\0"])
def test_no_path_leads_out_of_the_spool(path: str) -> None:
    for each in (Operation(operations.CREATED, path), with_two_paths(operations.LINKED, "a", path)):
        with pytest.raises(OperationsError, match="leads out"):
            operations.decode(operations.encode(1, [each]))
