"""Disks of one's own for a server: an image that is mounted and loses its power, or a small tmpfs.

All of it needs root, and some commands; ``why_no_disk`` says what is missing, and ``needs`` skips
a test for that reason. Whatever a test does, its disk is unmounted at the end.
"""

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.server_process import PATIENCE, ServerProcess, wait_until

_SHUT_DOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN, and XFS_IOC_GOINGDOWN as well."""
_WITHOUT_FLUSHING_THE_LOG = struct.pack("I", 2)
_MEBIBYTES = 512
"""How large an image is: several times what clients can put to it in a test, as a full disk is a
test of its own. The file is sparse: it takes what is written to it."""


def why_no_disk(system: str) -> str:
    """Return what keeps this machine from mounting such a disk, or nothing."""
    if os.geteuid() != 0:
        return "needs root: mounts a disk"
    if system == "tmpfs":
        return ""
    if shutil.which(f"mkfs.{system}") is None:
        return f"needs mkfs.{system}"
    if not Path("/dev/loop-control").exists():
        return "needs loop devices"
    return ""


def needs(system: str) -> pytest.MarkDecorator:
    """Return the mark that skips a test where such a disk cannot be mounted."""
    return pytest.mark.skipif(bool(why_no_disk(system)), reason=why_no_disk(system) or "it is here")


class MountedDisk:
    """A disk that is mounted at ``path`` and can be taken away again."""

    def __init__(self, source: Path | str, path: Path, *options: str) -> None:
        self.path = path
        self._source = source
        self._options = options
        self.mount()

    def mount(self) -> None:
        """Mount it; skip the test where even root is not allowed to."""
        done = _run("mount", *self._options, self._source, self.path)
        if "permission denied" in done.stderr or "failed to setup loop" in done.stderr:
            pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr

    def unmount(self) -> None:
        """Unmount it, as is possible once nobody has a file of it open."""
        wait_until(lambda: _run("umount", self.path).returncode == 0)

    def cut_the_power(self) -> None:
        """Let the disk lose all that was not synced; from now on it fails every call."""
        directory = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, _SHUT_DOWN, _WITHOUT_FLUSHING_THE_LOG)
        finally:
            os.close(directory)

    def come_back(self) -> None:
        """Unmount and mount it: what the page cache knew is gone, and its log replayed."""
        self.unmount()
        self.mount()

    def turn_read_only(self) -> None:
        """Let ext4 find an error in itself; mounted so, it is read-only until it is mounted anew.

        (``mount -o remount,ro`` is refused as long as a file is open for writing.)
        """
        device = _run("findmnt", "-no", "SOURCE", self.path).stdout.strip()
        Path("/sys/fs/ext4", Path(device).name, "trigger_fs_error").write_text("1")

    def fill(self, leave: int = 0) -> Path:
        """Fill it with a file of somebody else's, but for some bytes; return the file."""
        ballast = self.path / f"ballast-{leave}"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while (chunk := min(self._free - leave, 1 << 16)) > 0 or not leave:
                file.write(bytes(max(chunk, 512)))
        return ballast

    @property
    def _free(self) -> int:
        return shutil.disk_usage(self.path).free


class ServerOnDisk(ServerProcess):
    """A server whose spool is on a disk of its own."""

    def __init__(self, disk: MountedDisk, *options: object) -> None:
        super().__init__(disk.path / "spool", *options)
        self.disk = disk

    def lose_power(self) -> None:
        """Let its disk forget what was not synced, and kill it."""
        self.disk.cut_the_power()
        self.kill()

    def come_back(self) -> None:
        """Mount its disk anew, and start it on what is left."""
        self.disk.come_back()
        self.start()


@contextlib.contextmanager
def mounted_image(
    folder: Path, system: str, mebibytes: int = 0, image_folder: Path | None = None
) -> Iterator[MountedDisk]:
    """Make a disk with a file system of its own, from a file in a folder, or in another one."""
    path = folder / system
    path.mkdir()
    with tempfile.NamedTemporaryFile(dir=image_folder or folder, suffix=f".{system}") as image:
        image.truncate((mebibytes or _MEBIBYTES) << 20)
        made = _run(f"mkfs.{system}", "-q", image.name)
        assert made.returncode == 0, made.stderr
        options = "loop,errors=remount-ro" if system == "ext4" else "loop"
        with _unmounted_at_the_end(path):
            yield MountedDisk(image.name, path, "-o", options)


@contextlib.contextmanager
def mounted_tmpfs(folder: Path, kibibytes: int) -> Iterator[MountedDisk]:
    """Make a small disk in memory."""
    path = folder / "tmpfs"
    path.mkdir()
    with _unmounted_at_the_end(path):
        yield MountedDisk("tmpfs", path, "-t", "tmpfs", "-o", f"size={kibibytes}k")


@contextlib.contextmanager
def server_on_image(folder: Path, system: str, *options: object) -> Iterator[ServerOnDisk]:
    """Start a server on a disk with a file system of its own."""
    with mounted_image(folder, system) as disk, ServerOnDisk(disk, *options) as server:
        yield server


@contextlib.contextmanager
def _unmounted_at_the_end(path: Path) -> Iterator[None]:
    try:
        yield
    finally:
        if path.is_mount():
            # Lazily, so that not even a file left open keeps it.
            _run("umount", "--lazy", path)


def _run(*command: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        list(map(str, command)), capture_output=True, check=False, text=True, timeout=PATIENCE
    )
