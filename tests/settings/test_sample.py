"""The configuration that is printed has every setting, and means the defaults."""

import re
from pathlib import Path

import pytest

from starling_py.cli import main
from starling_py.settings import sample
from starling_py.settings.config_file import load
from starling_py.settings.server_settings import TABLE, Settings
from starling_py.settings.users import USER_TABLE


def test_what_is_printed_loads_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--print-config"]) == 0
    path = tmp_path / "starling.yml"
    path.write_text(capsys.readouterr().out)
    assert load(path) == Settings()


def test_it_has_every_setting_once_with_its_meaning() -> None:
    text = sample.render()
    for setting in TABLE:
        assert text.count(f"\n  # {setting.name}:") == 1
        assert setting.meaning in text
    for setting in USER_TABLE:
        assert f"#     {setting.name}:" in text


def test_with_its_comments_taken_away_it_loads_too(tmp_path: Path) -> None:
    text = sample.render().split("\nstarling:\n")[1].split("\n# What single")[0]
    lines = [line for line in text.splitlines() if re.match(r"  # \w+: \S", line)]
    path = tmp_path / "starling.yml"
    path.write_text("starling:\n" + "".join(line.replace("# ", "", 1) + "\n" for line in lines))
    assert load(path) == Settings()
