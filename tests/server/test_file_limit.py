"""Files are shared out so that nobody takes what another needs, and settings are made to fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.server.errors import StartError
from starling_py.server.file_limit import (
    FEWEST,
    FEWEST_CLIENTS,
    FEWEST_SEGMENTS,
    GUESTS,
    OWN,
    share_out,
)
from starling_py.server.fitting import HTTP, expect_enough, fitted
from starling_py.settings.http_settings import HttpSettings
from starling_py.settings.server_settings import Settings


@given(st.integers(FEWEST, 1 << 20), st.integers(1, 1_000_000))
def test_all_shares_together_are_within_the_limit(limit: int, wanted: int) -> None:
    shares = share_out(limit, wanted)
    assert shares.clients + shares.segments + OWN + GUESTS <= limit
    assert min(wanted, FEWEST_CLIENTS) <= shares.clients <= wanted
    assert shares.segments >= max(FEWEST_SEGMENTS, limit // 8)


@pytest.mark.parametrize(
    ("limit", "clients", "segments"),
    [(1 << 20, 4096, 1 << 18), (65536, 4096, 16384), (4096, 3540, 512), (256, 180, 32)],
)
def test_what_does_not_fit_is_made_smaller(limit: int, clients: int, segments: int) -> None:
    shares = share_out(limit, 4096)
    assert (shares.clients, shares.segments) == (clients, segments)


def test_settings_that_fit_are_left_alone() -> None:
    settings = Settings()
    assert fitted(settings, 1 << 20) == (settings, 1 << 18, [])


def test_settings_that_do_not_fit_are_fitted_with_a_warning() -> None:
    settings, _, warnings = fitted(Settings(item_size_max=1 << 30), 1024)
    assert settings.max_connections == 1024 - 128 - OWN - GUESTS
    assert settings.client_memory == 4 << 30
    assert [each.partition(":")[0] for each in warnings] == ["max_connections", "client_memory"]


def test_what_http_may_open_is_kept_from_clients_and_segments() -> None:
    plain, segments, _ = fitted(Settings(), 1024)
    told, fewer, warnings = fitted(Settings(http=HttpSettings()), 1024)
    assert (told.max_connections, fewer) < (plain.max_connections, segments)
    assert told.max_connections + fewer + HTTP <= 1024
    assert len(warnings) == 1


def test_a_start_with_fewer_files_than_the_work_takes_is_refused() -> None:
    plain, web = Settings(), Settings(http=HttpSettings())
    expect_enough(plain, FEWEST)
    expect_enough(web, FEWEST + HTTP)
    with pytest.raises(StartError, match=f"may have {FEWEST - 1} files open, and needs {FEWEST} "):
        expect_enough(plain, FEWEST - 1)
    with pytest.raises(StartError, match=f"needs {FEWEST + HTTP} at least"):
        expect_enough(web, FEWEST)
