"""Golden files: journals of every version of the format stay readable, and are still written so."""

import json
import shutil
from pathlib import Path

import pytest

from starling_py.journal import record, segment
from starling_py.journal.files import Files
from tests.journal.make_golden import EXPECTED, GOLDEN, JOURNALS, describe, write_journals
from tests.journal.spool_harness import Harness

VERSIONS = sorted(folder.name for folder in GOLDEN.iterdir() if folder.is_dir())


def files_under(path: Path) -> dict[str, bytes]:
    """Return the bytes of all segments under a directory."""
    return {
        str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*.segment"))
    }


def test_there_is_a_folder_for_every_version_of_the_format() -> None:
    assert [f"v{number}" for number in range(1, segment.VERSION + 1)] == VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_a_journal_of_an_older_version_is_read_and_goes_on(version: str, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    shutil.copytree(GOLDEN / version / JOURNALS, spool)
    expected = json.loads((GOLDEN / version / EXPECTED).read_text())
    harness = Harness(Files(), path=str(spool))
    assert describe(harness) == expected
    assert files_under(spool) == files_under(GOLDEN / version / JOURNALS)
    for name in expected:
        harness.put_all([b"one more"], bytes.fromhex(name))
    for path, before in files_under(GOLDEN / version / JOURNALS).items():
        present = files_under(spool)
        # A segment of an older version is never written to: the next one is of the present one.
        if path in present and version != f"v{segment.VERSION}":
            assert present[path] == before or present[path][11] == 1, path
    after = describe(harness)
    harness.close()
    again = Harness(Files(), path=str(spool))
    assert describe(again) == after
    assert [each["put so far"] for each in after.values()] == [
        each["put so far"] + 1 for each in expected.values()
    ]
    again.close()


def test_the_present_version_is_written_as_it_was_when_its_golden_files_were_made(
    tmp_path: Path,
) -> None:
    harness = write_journals(tmp_path / "spool")
    golden = GOLDEN / f"v{segment.VERSION}"
    assert describe(harness) == json.loads((golden / EXPECTED).read_text())
    assert files_under(tmp_path / "spool") == files_under(golden / JOURNALS)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_journal_of_any_version_is_drained_in_order(version: str, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    shutil.copytree(GOLDEN / version / JOURNALS, spool)
    expected = json.loads((GOLDEN / version / EXPECTED).read_text())
    harness = Harness(Files(), path=str(spool), window_size=1024, segment_size=2000)
    for name, queue in expected.items():
        name = bytes.fromhex(name)
        # Whatever has died is passed over.
        datas = [
            bytes.fromhex(data)
            for _, _, dies, _, data in queue["items"]
            if not 0 < dies <= harness.clock.wall_ms
        ]
        assert harness.pop_all(len(datas) + 1, name) == [*datas, None]
        harness.put_all([b"a", b"b"], name)
    harness.close()
    again = Harness(Files(), path=str(spool))
    for name in expected:
        assert again.datas(bytes.fromhex(name)) == [b"a", b"b"]
    again.close()


def test_the_golden_files_hold_what_matters() -> None:
    segments = files_under(GOLDEN / "v1" / JOURNALS)
    assert len({name.rpartition("/")[0] for name in segments}) == 5
    assert len(segments) > 6
    first = [name for name in segments if name.startswith("%52otated/")]
    assert not first[0].endswith("0000000000000001.segment")


def test_the_golden_files_of_version_2_hold_what_is_new_in_it() -> None:
    segments = files_under(GOLDEN / "v2" / JOURNALS)
    assert len({name.rpartition("/")[0] for name in segments}) == 6
    headers = [segment.decode(memoryview(data))[0] for data in segments.values()]
    assert any(header.compacted for header in headers)
    found = set()
    for data, header in zip(segments.values(), headers, strict=True):
        _, start = segment.decode(memoryview(data))
        assert header.version == 2
        found |= {each[0] for each in record.walk(memoryview(data), start, header.salt)}
    assert found >= {record.PUSH, record.REMOVE, record.FLUSH, record.DELETE, record.CHECKPOINT}
