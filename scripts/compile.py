"""Compiles the modules that every put and get goes through, with mypyc, from the same source.

A build hook of hatch, asleep unless ``HATCH_BUILD_HOOK_ENABLE_CUSTOM=true`` is set when the wheel
is built. The server is whole without it: where a compiled module is missing, its source runs. What
is compiled has its data classes from ``dataclasses``, as mypyc knows nothing of ``attrs``, and must
not be patched or subclassed by what is not.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from mypyc.build import mypycify
from setuptools import Distribution

MODULES = (
    "session/client",
    "clock",
    "server/connection",
    "journal/blocks",
    "journal/commit",
    "journal/compaction",
    "journal/directory_names",
    "journal/disk/files",
    "journal/id_ranges",
    "journal/disk/no_files",
    "journal/journal",
    "journal/ledger",
    "journal/disk/open_files",
    "journal/reader",
    "journal/reclaiming",
    "journal/format/record",
    "journal/recorder",
    "journal/disk/reserve",
    "journal/format/segment",
    "journal/segment_writer",
    "journal/pending",
    "memo",
    "keys",
    "protocol/binary",
    "protocol/binary_replies",
    "protocol/binary_requests",
    "protocol/commands",
    "protocol/lines",
    "protocol/meta_flags",
    "protocol/meta_lines",
    "protocol/meta_replies",
    "protocol/text",
    "protocol/text_lines",
    "protocol/text_replies",
    "server/idle_wait",
    "queues/limits",
    "queues/deadlines",
    "queues/expiry",
    "queues/fan_out",
    "queues/waiting_items",
    "queues/moves",
    "queues/open_reads",
    "queues/persistent_queue",
    "queues/delivery",
    "queues/queue_collection",
    "queues/errors",
    "queues/sync_waits",
    "queues/set_aside",
    "queues/waiters",
    "queues/window",
    "server/readiness",
    "session/replies",
    "session/get",
    "session/session",
    "session/put",
    "server/tick",
    "server/backoff",
)


def compile_modules(build_folder: Path) -> list[Path]:
    """Compile, and return the libraries, which lie in a folder as they have to in the wheel."""
    sources = [str(Path("starling_py", f"{each}.py")) for each in MODULES]
    extensions = mypycify(
        sources,
        opt_level="3",
        debug_level="0",
        group_name="starling_py",
        target_dir=str(build_folder / "c"),
    )
    # Not by setup(), which would read the project's file as if setuptools were to build it.
    command = Distribution({"name": "starling-py", "ext_modules": extensions}).get_command_obj(
        "build_ext"
    )
    command.build_lib = str(build_folder / "lib")
    command.build_temp = str(build_folder / "temp")
    command.ensure_finalized()
    command.run()
    return sorted((build_folder / "lib").rglob("*.so"))


class CustomBuildHook(BuildHookInterface[Any]):
    """Puts the compiled modules into the wheel beside their sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, unless the wheel is for an editable install."""
        if version == "editable":
            return
        self._folder = Path(tempfile.mkdtemp(prefix="starling-compile-"))
        for library in compile_modules(self._folder):
            inside = library.relative_to(self._folder / "lib")
            build_data["force_include"][str(library)] = str(inside)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was only needed to build."""
        del build_data, artifact_path
        if version != "editable":
            shutil.rmtree(self._folder, ignore_errors=True)
