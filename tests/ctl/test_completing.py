"""What shells are given; that they complete with it is tried in `tests/process/test_ctl.py`."""

import pytest

from starling_py.ctl.completing import SHELLS
from tests.ctl.conftest import Ctl


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_is_given_a_function_for_the_command(ctl: Ctl, shell: str) -> None:
    done = ctl("completion", shell)
    assert done.status == 0
    assert "starling-ctl" in done.out
    assert ctl("completion", "tcsh").status == 2
