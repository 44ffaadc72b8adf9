"""What is refused before a snapshot is taken; backups themselves are in `tests/process`."""

import dataclasses
from pathlib import Path

import pytest

from starling_py.session.permission import Permission
from tests.core import CoreHarness
from tests.ctl.conftest import Ctl


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["{tmp}/b"], "is relative: say --spool PATH"),
        (
            ["{tmp}/b", "--spool", "/nowhere"],
            "/nowhere, the server's spool, is not on this machine",
        ),
        (["{tmp}/spool/b", "--spool", "{tmp}/spool"], "/b is in the spool"),
        (["{tmp}/spool", "--spool", "{tmp}/spool"], "/spool is in the spool"),
        (["{tmp}/full", "--spool", "{tmp}/spool"], "/full: is there already"),
        (["{tmp}/a/b", "--spool", "{tmp}/spool"], "/a: no such directory"),
    ],
)
def test_a_backup_to_a_wrong_place_is_refused_at_once(
    ctl: Ctl, tmp_path: Path, words: list[str], text: str
) -> None:
    (tmp_path / "full/of").mkdir(parents=True)
    done = ctl("backup", *[word.replace("{tmp}", str(tmp_path)) for word in words])
    assert done.status == 2
    assert text in done.err


def test_a_snapshot_needs_its_setting(core: CoreHarness, ctl: Ctl, tmp_path: Path) -> None:
    permission = Permission(verbs={"snapshot": False})
    core.policy = dataclasses.replace(core.policy, permission=permission)
    for words in (["snapshot"], ["backup", tmp_path / "b", "--spool", tmp_path / "spool"]):
        done = ctl(*words)
        assert done.status == 1
        assert "snapshot not enabled; set allow_snapshot: true" in done.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["restore", "{tmp}", "{tmp}/new"], "this is no backup of a spool"),
        (["restore", "{tmp}/nosuch", "{tmp}/new"], "nosuch: No such file or directory"),
        (["restore", "{tmp}/spool", "{tmp}/a/new"], "a server is using this"),
    ],
)
def test_a_restore_that_makes_no_sense_is_refused(
    ctl: Ctl, tmp_path: Path, words: list[str], text: str
) -> None:
    done = ctl(*[word.replace("{tmp}", str(tmp_path)) for word in words])
    assert done.status == 2
    assert text in done.err
    assert not (tmp_path / "new").exists()
