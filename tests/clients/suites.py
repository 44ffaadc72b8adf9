"""Test suites of other projects, and which of their tests a queue cannot pass, by name and reason.

Each is read from its source package; nothing of it is built, and nothing is copied. A test that is
not named here must pass, and one that is named must fail: what passes by now is taken off the list.
"""

from collections.abc import Mapping
from pathlib import Path

import attrs

from tests.clients.rows import ROOT

SOURCES = ROOT / ".venv-clients" / "sources"
"""Where `scripts/clients` unpacks the source packages of ``suites.txt``."""

TWICE = "it reads an item twice, or wants it to be there when it has been read"
REPLACED = "it expects that a put replaces what was put before"
CHANGED = "it changes an item where it is: cas, append, prepend, touch"
LARGE = "it puts a mebibyte: memcached counts its own header too, and refuses it"
COUNTED = "it counts in an item: incr, decr"

Cannot = Mapping[str, str]
"""What cannot pass: by reason, the names, parted by blanks."""


@attrs.frozen
class Suite:
    """One suite: where it is, how it is run, and what cannot pass."""

    name: str
    folder: str
    """Its source package, unpacked."""
    files: tuple[str, ...]
    """What of it asks a server. The rest tests the client alone, or needs what is no part of a
    queue's protocol, as ``left_out`` says."""
    tests: int
    """How many tests there are."""
    cannot: Cannot
    left_out: str = ""
    ports: str = "11211"
    python: Path = ROOT / ".venv-clients" / "bin" / "python"
    added: Mapping[str, str] = attrs.field(factory=dict)
    """Files that the source package lacks, and their contents."""

    @property
    def failing(self) -> set[str]:
        """The names of all tests that cannot pass."""
        return {name for names in self.cannot.values() for name in names.split()}


def _both(*names: str) -> str:
    """Return the names in the two files of the suite of ``memcache``."""
    files = ("tests/test_client.py", "tests/test_asyncio_client.py")
    return " ".join(f"{file}::{name}" for file in files for name in names)


def _of(prefix: str, *names: str) -> str:
    return " ".join(prefix + name for name in names)


_CAPTURED = """
import contextlib
import io


@contextlib.contextmanager
def captured_stderr():
    text = io.StringIO()
    with contextlib.redirect_stderr(text):
        yield text
"""
_SIMPLE = "test/test_simple_functions.py::DistributedClient::"
_RAW = "test/test_raw_data.py::RawDataTests::"
_ERRORS = "test/test_error_handling.py::MemcachedTests::"

SUITES = (
    Suite(
        "pylibmc",
        "pylibmc-1.6.3",
        ("tests",),
        41,
        {
            TWICE: "tests/test_client.py::ClientTests::test_none_values"
            " tests/test_refcounts.py::RefcountTests::test_get_with_default"
            " tests/test_serialization.py::SerializationTests::test_override_deserialize"
            " tests/test_serialization.py::SerializationTests::test_refcounts",
            # Another test has left an item there.
            REPLACED: "tests/test_cmemcached.py::TestCmemcached::testGetMulti"
            " tests/test_pooling.py::ClientPoolTests::test_simple",
            CHANGED: "tests/test_client.py::ClientTests::test_cas"
            " tests/test_client.py::ClientTests::test_touch"
            " tests/test_cmemcached.py::TestCmemcached::testAppend"
            " tests/test_cmemcached.py::TestCmemcached::testPrepend"
            " tests/test_refcounts.py::RefcountTests::test_cas",
            COUNTED: "tests/test_refcounts.py::RefcountTests::test_incr",
        },
    ),
    Suite(
        "python-memcached",
        "python-memcached-1.62",
        ("tests",),
        26,
        {
            TWICE: _of(
                "tests/test_memcache.py::TestMemcache",
                "::test_get_multi",
                "Encoder::test_setget",
            ),
            COUNTED: _of(
                "tests/test_memcache.py::TestMemcache::",
                "test_incr",
                "test_incr_noreply",
                "test_decr",
                "test_decr_noreply",
            ),
            LARGE: "tests/test_memcache.py::TestMemcache::test_ignore_too_large_value",
        },
        added={"tests/utils.py": _CAPTURED, "tests/__init__.py": ""},
    ),
    Suite(
        "python-binary-memcached",
        "python_binary_memcached-0.33.0",
        (
            "test/test_simple_functions.py::TimeoutMemcachedTests",
            "test/test_simple_functions.py::DistributedClient",
            "test/test_error_handling.py::MemcachedTests",
            "test/test_compression.py",
            "test/test_pickler.py",
            "test/test_raw_data.py",
            "test/test_errors.py",
            "test/test_server_parsing.py",
            "test/test_distributed_client_hashing.py",
        ),
        112,
        {
            TWICE: _of(_ERRORS, "testGet", "testGetMulti", "testRetryDelay")
            + " test/test_compression.py::MemcachedTests::testCompressionMissmatch "
            + _of(
                _RAW,
                "test_large_value_is_not_compressed",
                "test_set_multi_and_get_multi",
                "test_read_ignores_flags_of_another_application",
            )
            + " "
            + _of(_SIMPLE, "testGetMulti"),
            REPLACED: _of(_RAW, "test_write_overwrites_flags_of_another_application")
            + " "
            + _of(_SIMPLE, "testReplacePass", "testMultiCas", "testSetMultiCas", "testGetMultiCas"),
            CHANGED: _of(_RAW, "test_add_replace_and_cas")
            + " "
            + _of(
                _SIMPLE,
                *("testAddCas", "testCas", "testCasCas", "testCasDelete", "testReplaceCas"),
                "testSetCas",
            ),
            COUNTED: _of(
                _SIMPLE,
                *("testIncrement", "testIncrementInitialize", "testDecrement"),
                *("testDecrementInitialize", "testNonAsciiKeySingle"),
            ),
        },
        "the classes for a UNIX socket, TLS, SASL and IPv6 want those",
        "11211,5000",
    ),
    Suite(
        "memcache",
        "memcache-0.14.0",
        ("tests/test_client.py", "tests/test_asyncio_client.py", "tests/test_serialize.py"),
        35,
        {
            CHANGED: _both("test_cas_success", "test_cas_with_expire"),
            COUNTED: _both(
                *("test_incr", "test_incr_with_value", "test_decr", "test_decr_with_value"),
                "test_incr_decr_combined",
            ),
        },
        "its tests for trio want an older one",
        python=ROOT / ".venv-clients-memcache" / "bin" / "python",
    ),
)
