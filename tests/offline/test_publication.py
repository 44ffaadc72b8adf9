"""An import that is killed: the next one gives each item once, whenever it was."""

import os
from contextlib import closing
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starling_py.journal.disk.files import Files
from starling_py.offline import ruby_starling
from starling_py.offline.errors import ImportFailedError, ImportRefused
from starling_py.offline.importing import Import, Outcome
from starling_py.offline.publication import LIST, STAGING, Arrival, Arrivals
from starling_py.offline.selection import Choice, select
from tests.offline.journals import Command, contents, drain, make_spool, open_core, take
from tests.offline.old_files import NOW_MS, write
from tests.offline.ruby_writer import push

QUEUES = {
    "a": [b"a%d" % n for n in range(5)],
    "b": [b"b1"],
    "c": [b"c%d" % n for n in range(3)],
}
NEW_NAMES = {"a": b"a", "b": b"bee", "c": b"c"}


class Died(BaseException):
    """The process is no more."""


class DyingFiles(Files):
    """Does so many calls that change something, and nothing after them, as a killed process."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def _call(self) -> None:
        if not self.calls:
            raise Died
        self.calls -= 1

    def make_directory(self, path: str) -> None:
        self._call()
        super().make_directory(path)

    def create(self, path: str) -> int:
        self._call()
        return super().create(path)

    def write(self, descriptor: int, data: bytes) -> int:
        self._call()
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._call()

    def sync_directory(self, path: str) -> None:
        self._call()

    def rename(self, old: str, new: str) -> None:
        self._call()
        super().rename(old, new)

    def unlink(self, path: str) -> None:
        self._call()
        super().unlink(path)

    def remove_directory(self, path: str) -> None:
        self._call()
        super().remove_directory(path)

    def truncate(self, descriptor: int, size: int) -> None:
        self._call()
        super().truncate(descriptor, size)

    def allocate(self, descriptor: int, size: int) -> None:
        self._call()
        super().allocate(descriptor, size)


@attrs.frozen
class Spools:
    """An old spool, and the one that it is taken over into."""

    old: Path
    new: Path

    @classmethod
    def under(cls, path: Path) -> "Spools":
        """Make an old spool."""
        files = {name: b"".join(map(push, items)) for name, items in QUEUES.items()}
        return cls(write(path / "old", files), path / "new")

    def take_over(self, files: Files, queues: tuple[bytes, ...] = ()) -> list[Outcome]:
        """Import, with ``b`` under another name."""
        renames = () if queues else (b"b=bee",)
        chosen = select(ruby_starling.read(self.old, NOW_MS), Choice(queues, renames))
        work = Import(
            files, str(self.new), 4096, now_ms=NOW_MS, keep_expired=False, source=str(self.old)
        )
        return work.run(chosen.queues)

    def dies(self, calls: int) -> bool:
        """Import, and die after so many calls; tell whether it was not done by then."""
        try:
            self.take_over(DyingFiles(calls))
        except Died:
            return True
        return False

    def go_on(self, files: Files | None = None) -> None:
        """Import again. Where all is there already, that is refused."""
        try:
            self.take_over(files or Files())
        except ImportRefused as refused:
            assert str(refused).endswith("already; nothing was changed")  # noqa: PT017

    def check_queues(self, taken: dict[str, list[bytes]] | None = None) -> None:
        """Check that each item is there once, but for those that were taken before."""
        for name, items in QUEUES.items():
            found = drain(self.new, NEW_NAMES[name])
            assert (taken or {}).get(name, []) + found == items, name
        directories = {each.name for each in self.new.glob("**") if each != self.new}
        # A second import that is refused does not even tidy up.
        assert directories - {STAGING} == {"a", "bee", "c"}


def calls_of_an_import(path: Path) -> int:
    """Return how many calls that change something an import makes."""
    files = DyingFiles(10_000)
    Spools.under(path).take_over(files)
    return 10_000 - files.calls


def test_killed_anywhere_the_next_import_gives_each_item_once(tmp_path: Path) -> None:
    calls = calls_of_an_import(tmp_path)
    assert calls > 30
    for count in range(calls + 1):
        (tmp_path / str(count)).mkdir()
        spools = Spools.under(tmp_path / str(count))
        assert spools.dies(count) == (count < calls)
        spools.go_on()
        spools.check_queues()


@given(first=st.integers(0, 120), second=st.integers(0, 120))
@settings(max_examples=25, deadline=None)
def test_killed_twice_the_third_import_gives_each_item_once(
    first: int, second: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    spools = Spools.under(tmp_path_factory.mktemp("spools"))
    spools.dies(first)
    try:
        spools.go_on(DyingFiles(second))
    except Died:
        spools.go_on()
    spools.check_queues()


def test_a_server_between_a_kill_and_the_next_import_costs_nothing(tmp_path: Path) -> None:
    seen = set()
    for count in range(calls_of_an_import(tmp_path) + 1):
        (tmp_path / str(count)).mkdir()
        spools = Spools.under(tmp_path / str(count))
        spools.dies(count)
        taken = {}
        if spools.new.exists():
            with closing(open_core(spools.new)) as core:
                for name, new_name in NEW_NAMES.items():
                    if core.queues.directory.find(new_name) is not None:
                        taken[name] = take(core, 1, new_name)
        spools.go_on()
        spools.check_queues(taken)
        seen.add(len(taken))
    assert seen == {0, 1, 2, 3}


def killed_between_two_queues(path: Path) -> Spools:
    """Return spools whose import was killed when ``a`` was in its place, and nothing else."""
    path.mkdir(exist_ok=True)
    for count in range(1000):
        (path / str(count)).mkdir()
        spools = Spools.under(path / str(count))
        spools.dies(count)
        if (spools.new / "a").exists():
            return spools
    raise AssertionError


def test_the_next_import_tells_what_it_has_finished(tmp_path: Path) -> None:
    spools = killed_between_two_queues(tmp_path / "x")
    outcomes = spools.take_over(Files())
    assert [(each.queue, each.imported, each.by_earlier) for each in outcomes] == [
        (b"a", 5, True), (b"bee", 1, True), (b"c", 3, True),
    ]  # fmt: skip


def test_the_command_finishes_a_killed_import(tmp_path: Path, run: Command) -> None:
    spools = killed_between_two_queues(tmp_path / "x")
    arguments = ("import", "--from", "starling", "--rename", "b=bee", spools.old, spools.new)
    told = run(*arguments)
    assert (told.status, told.err) == (0, [])
    assert told.out == [
        "a: 5 items, 10 bytes; by an import that was killed, and is finished now",
        "b as bee: 1 item, 2 bytes; by an import that was killed, and is finished now",
        "c: 3 items, 6 bytes; by an import that was killed, and is finished now",
        f"3 queues, 9 items imported into {spools.new}",
    ]
    spools.check_queues()
    assert run(*arguments).status == 2


def test_another_old_spool_is_imported_beside_what_was_killed(tmp_path: Path) -> None:
    spools = killed_between_two_queues(tmp_path / "x")
    other = Spools(write(tmp_path / "other", {"d": push(b"d1")}), spools.new)
    (outcome,) = other.take_over(Files(), (b"d",))
    assert (outcome.imported, outcome.by_earlier) == (1, False)
    assert drain(spools.new, b"d") == [b"d1"]
    assert drain(spools.new, b"bee") == [b"b1"]


def test_another_queue_of_the_same_spool_is_imported_beside_it(tmp_path: Path) -> None:
    spools = killed_between_two_queues(tmp_path / "x")
    write(spools.old, {"later": push(b"x")})
    outcomes = spools.take_over(Files(), (b"later", b"a"))
    assert [(each.queue, each.by_earlier) for each in outcomes] == [(b"a", True), (b"later", False)]
    assert drain(spools.new, b"later") == [b"x"]
    spools_names = {each.name for each in spools.new.iterdir() if each.is_dir()}
    assert spools_names == {"a", "bee", "c", "later"}


def test_what_was_brought_is_not_brought_again_under_another_name(tmp_path: Path) -> None:
    spools = killed_between_two_queues(tmp_path / "x")
    before = contents(spools.new)
    with pytest.raises(ImportRefused, match=r"has brought b as bee already; ask for that name"):
        spools.take_over(Files(), (b"b",))
    assert contents(spools.new) == before


def test_a_queue_that_was_made_meanwhile_keeps_its_place(tmp_path: Path) -> None:
    spools = killed_between_two_queues(tmp_path / "x")
    make_spool(spools.new, 2, queue=b"bee")
    before = contents(spools.new)
    with pytest.raises(ImportRefused, match=r"has a queue bee, and so has an import that was"):
        spools.take_over(Files())
    assert contents(spools.new) == before
    (spools.new / "bee").rename(tmp_path / "aside")
    spools.take_over(Files())
    spools.check_queues()


class FailingThenDying(DyingFiles):
    """Fails to move the last queue into its place; and the process dies while that is undone."""

    def __init__(self, calls_of_undoing: int) -> None:
        super().__init__(10_000)
        self.calls_of_undoing = calls_of_undoing

    def rename(self, old: str, new: str) -> None:
        if new.endswith("/new/c"):
            self.calls = self.calls_of_undoing
            raise OSError(5, "Input/output error")
        super().rename(old, new)


def test_killed_while_it_is_undone_the_next_import_gives_each_item_once(tmp_path: Path) -> None:
    for count in range(1000):
        (tmp_path / str(count)).mkdir()
        spools = Spools.under(tmp_path / str(count))
        try:
            spools.take_over(FailingThenDying(count))
        except Died:
            spools.go_on()
            spools.check_queues()
        except ImportFailedError:
            break
    assert count > 10
    assert not spools.new.exists()


class NoRenames(Files):
    """A disk on which nothing can be renamed."""

    def rename(self, old: str, new: str) -> None:
        raise OSError(5, "Input/output error")


def test_an_import_that_cannot_be_finished_is_kept(tmp_path: Path) -> None:
    spools = killed_between_two_queues(tmp_path / "x")
    before = contents(spools.new)
    with pytest.raises(ImportFailedError, match=r"an import that was killed could not be finished"):
        spools.take_over(NoRenames())
    assert contents(spools.new) == before
    spools.take_over(Files())
    spools.check_queues()


@pytest.mark.parametrize("content", [b"", b"junk", b"{}", b'{"from": 1, "queues": [[1]]}', b"\xff"])
def test_a_list_that_no_import_has_written_is_refused(tmp_path: Path, content: bytes) -> None:
    spools = Spools.under(tmp_path)
    (spools.new / STAGING).mkdir(parents=True)
    (spools.new / STAGING / LIST).write_bytes(content)
    before = contents(spools.new)
    with pytest.raises(ImportRefused, match=r"whole: no import has written this; move .*importing"):
        spools.take_over(Files())
    assert contents(spools.new) == before


def linked(spools: Spools, elsewhere: Path, where: str) -> Path:
    """Put a link to a directory elsewhere somewhere into the new spool."""
    write(elsewhere, {"precious": b"data"})
    link = spools.new / where
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(elsewhere)
    return link


def test_what_a_link_in_the_way_leads_to_is_left_alone(tmp_path: Path) -> None:
    spools = Spools.under(tmp_path)
    linked(spools, tmp_path / "elsewhere", f"{STAGING}/a")
    spools.take_over(Files())
    assert contents(tmp_path / "elsewhere") == {"precious": b"data"}
    spools.check_queues()


def test_a_staging_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    spools = Spools.under(tmp_path)
    linked(spools, tmp_path / "elsewhere", STAGING)
    with pytest.raises(ImportRefused, match=r"\.importing: this is a link; remove it$"):
        spools.take_over(Files())
    assert contents(tmp_path / "elsewhere") == {"precious": b"data"}


ARRIVAL = st.builds(
    Arrival, st.binary(), st.binary(min_size=1), st.integers(0), st.integers(0), st.integers(0)
)


@given(source=st.text() | st.binary().map(os.fsdecode), queues=st.lists(ARRIVAL))
def test_a_list_is_read_as_it_was_written(source: str, queues: list[Arrival]) -> None:
    arrivals = Arrivals(source, queues)
    assert Arrivals.decode(arrivals.encode()) == arrivals


class NoRemovals(Files):
    """A disk on which no directory can be removed."""

    def remove_directory(self, path: str) -> None:
        raise OSError(5, "Input/output error")


def test_after_a_whole_import_nothing_is_taken_back(tmp_path: Path) -> None:
    spools = Spools.under(tmp_path)
    spools.take_over(NoRemovals())
    spools.check_queues()
