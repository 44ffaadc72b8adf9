"""Compiles the modules that every put and get goes through, with mypyc, from the same source.

A build hook of hatch, asleep unless ``HATCH_BUILD_HOOK_ENABLE_CUSTOM=true`` is set when the wheel
is built. The server is whole without it: where a compiled module is missing, its source runs. What
is compiled has its data classes from ``dataclasses``, as mypyc knows nothing of ``attrs``, and must
not be patched or subclassed by what is not.
"""

import os
import runpy
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from mypyc.build import mypycify
from setuptools import Distribution
from setuptools.command.build_ext import build_ext

PACKAGE = "starling_py"

COMPILED = (
    "clock",
    "journal",
    "keys",
    "memo",
    "protocol",
    "queues",
    "server",
    "session",
    "stats",
)
"""Modules and whole packages, below ``starling_py``, that are compiled but for ``PURE``."""

PURE = (
    # What is done on starting, on stopping, after trouble, or now and then in another thread.
    "journal/checkpoint",
    "journal/disk/background",
    "journal/disk/failed_syncs",
    "journal/disk/id_floor",
    "journal/disk/removed_directories",
    "journal/disk/spool_lock",
    "journal/errors",
    "journal/healing",
    "journal/log/replay",
    "journal/lost_names",
    # Compiled, an exception amid a recovery ends the process.
    "journal/recovery",
    "journal/restoring",
    "journal/shared",
    "journal/snapshots",
    "journal/spool",
    "journal/sync_on_demand",
    # What operators ask of queues, one question at a time.
    "protocol/operations",
    "protocol/operator_lines",
    "queues/by_hand",
    "queues/housekeeping",
    "queues/listing",
    "queues/sweep",
    "server/access",
    "server/accounts",
    "server/activation",
    "server/backoff",
    "server/core",
    "server/culprits",
    "server/detaching",
    "server/errors",
    "server/file_limit",
    "server/fitting",
    "server/gate",
    "server/handshakes",
    "server/host",
    "server/identity",
    "server/inner",
    "server/listeners",
    "server/listening",
    "server/log",
    "server/pid_file",
    "server/preloading",
    "server/process",
    "server/joining",
    "server/membership",
    "server/replicated",
    "server/standby",
    "server/server",
    "server/start_answers",
    "server/streams",
    "server/supervisor",
    "server/surroundings",
    "server/signals",
    "server/threads",
    "server/tls",
    "server/watching",
    "server/web",
    "server/web_opening",
    "server/web_source",
    "server/unix_socket",
    # What is asked by whoever looks after the server.
    "session/admin",
    "session/audit",
    "session/consumers",
    "session/guarded",
    "session/monitor",
    "session/operating",
    "session/origins",
    "session/permission",
    "session/reports",
    "session/view",
)
"""Modules and whole packages among those that are not."""


def modules(root: Path = Path(PACKAGE)) -> list[Path]:
    """Return the sources to compile. Raises ``FileNotFoundError`` if one that is named is gone."""
    compiled = {path for name in COMPILED for path in _sources(root, name)}
    return sorted(compiled - {path for name in PURE for path in _sources(root, name)})


def _sources(root: Path, name: str) -> list[Path]:
    """Return the source of a module, or those of a package without its ``__init__``."""
    module = root / f"{name}.py"
    if module.is_file():
        return [module]
    found = [path for path in (root / name).rglob("*.py") if path.name != "__init__.py"]
    if not found:
        raise FileNotFoundError(f"{root / name}: neither a module nor a package")
    return found


def compile_modules(sources: Sequence[Path], build_folder: Path) -> list[Path]:
    """Compile, and return the libraries, which lie in a folder as they have to in the wheel.

    The paths of the sources are relative to the working directory; tracebacks show them.
    """
    extensions = mypycify(
        [str(path) for path in sources],
        # As fast as -O3 within what can be measured, and a third quicker to compile.
        opt_level="1",
        debug_level="0",
        # A file for each module: in one file, what the compiler does grows faster than the modules.
        multi_file=True,
        group_name=PACKAGE,
        target_dir=str(build_folder / "c"),
    )
    for extension in extensions:
        # mypyc asks for -Werror; a newer compiler that warns of more is no reason to fail.
        extension.extra_compile_args.append("-Wno-error")
    # Not by setup(), which would read the project's file as if setuptools were to build it.
    command = _ParallelBuild(Distribution({"name": "starling-py", "ext_modules": extensions}))
    command.build_lib = str(build_folder / "lib")
    command.build_temp = str(build_folder / "temp")
    command.ensure_finalized()
    command.run()
    return sorted((build_folder / "lib").rglob("*.so"))


class _ParallelBuild(build_ext):
    """Compiles as many files at once as there are cores.

    Setuptools' own ``parallel`` builds several extensions at once, but the files of one after
    another, and nearly all of them belong to one.
    """

    def build_extensions(self) -> None:
        """Compile and link all extensions."""
        compile_files = self.compiler.compile
        has_affinity = hasattr(os, "sched_getaffinity")
        self.parallel = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count()
        with ThreadPoolExecutor(self.parallel) as pool:
            # The options are setuptools' own matter.
            def compile_at_once(sources: list[str], **options: Any) -> list[str]:  # noqa: ANN401
                largest_first = sorted(sources, key=os.path.getsize, reverse=True)
                compiled = pool.map(lambda each: compile_files([each], **options), largest_first)
                return [name for names in compiled for name in names]

            self.compiler.compile = compile_at_once
            super().build_extensions()


class CustomBuildHook(BuildHookInterface[Any]):
    """Puts the compiled modules into the wheel beside their sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, unless the wheel is for an editable install."""
        if version == "editable":
            return
        checker = runpy.run_path(str(Path(__file__).with_name("check_compiler.py")))
        if problem := checker["problem"]():
            raise SystemExit(problem)
        self._folder = Path(tempfile.mkdtemp(prefix="starling-compile-"))
        for library in compile_modules(modules(), self._folder):
            inside = library.relative_to(self._folder / "lib")
            build_data["force_include"][str(library)] = str(inside)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was only needed to build."""
        del build_data, artifact_path
        if version != "editable":
            shutil.rmtree(self._folder, ignore_errors=True)
