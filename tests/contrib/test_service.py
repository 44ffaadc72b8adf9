"""The files for systemd, containers and manuals: right in themselves, and true of this server."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scripts import man
from starling_py.settings.config_file import load
from starling_py.settings.server_settings import TABLE

ROOT = Path(__file__).parents[2]
SYSTEMD = ROOT / "contrib/systemd"
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing"
)


def analyze(*words: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["systemd-analyze", *map(str, words)], capture_output=True, check=False, text=True
    )


@needs_systemd
def test_the_units_have_no_word_that_systemd_does_not_know(tmp_path: Path) -> None:
    for each in SYSTEMD.iterdir():
        text = each.read_text().replace("/opt/starling/bin/starling-py", sys.executable)
        text = re.sub(r"(?m)^Documentation=.*\n", "", text)
        (tmp_path / each.name).write_text(text)
    units = sorted(tmp_path.iterdir())
    assert len(units) == 2
    done = analyze("verify", "--recursive-errors=no", *units)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_the_service_is_allowed_little() -> None:
    done = analyze("security", "--offline=true", "--threshold=20", SYSTEMD / "starling.service")
    assert done.returncode == 0, done.stdout


def test_the_configuration_for_kubernetes_is_a_good_one(tmp_path: Path) -> None:
    documents = list(yaml.safe_load_all((ROOT / "contrib/kubernetes/starling.yml").read_text()))
    (config,) = (each for each in documents if each["kind"] == "ConfigMap")
    path = tmp_path / "starling.yml"
    path.write_text(config["data"]["starling.yml"])
    settings = load(path)
    (stateful,) = (each for each in documents if each["kind"] == "StatefulSet")
    pod = stateful["spec"]["template"]["spec"]
    mounts = {each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
    assert settings.users_file is not None
    assert {str(settings.queue_path), str(settings.users_file.parent)} <= mounts
    assert settings.grace_time < pod["terminationGracePeriodSeconds"]
    volumes = {each["name"] for each in pod["volumes"]} | {"spool"}
    assert {each["name"] for each in pod["containers"][0]["volumeMounts"]} == volumes


def test_the_image_is_of_two_stages_and_not_of_root() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert len(re.findall("(?m)^FROM ", text)) == 2
    assert text.rpartition("FROM ")[2].count("USER 22122:22122") == 1
    assert '"ping"' in text
    kept = (ROOT / ".dockerignore").read_text().split()
    for needed in ("pyproject.toml", "README.md", "LICENSE", "starling_py", "man"):
        assert f"!{needed}" in kept
        assert (ROOT / needed).exists()
    hook = (ROOT / "scripts/compile.py").read_text()
    beside = [f"scripts/{name}" for name in re.findall(r'with_name\("([^"]+)"\)', hook)]
    assert beside
    for needed in ("scripts/compile.py", *beside):
        assert f"!{needed}" in kept


@pytest.mark.parametrize("name", man.COMMANDS)
def test_a_manual_page_has_every_option_of_its_command(name: str) -> None:
    text = (man.FOLDER / f"{name}.1").read_text().replace("\\-", "-")
    options = set(re.findall(r"(?<![\w-])--?[\w-]+", man.help_of(man.COMMANDS[name][0])))
    assert options
    assert {each for each in options if each not in text} == set()
    if name == "starling-py":
        assert all(flag in text for setting in TABLE for flag in setting.flags)


def test_the_version_stands_in_one_place() -> None:
    found = [
        path.relative_to(ROOT)
        for path in (ROOT / "starling_py").rglob("*.py")
        if re.search(r'(?m)^__version__ = "', path.read_text())
    ]
    assert found == [Path("starling_py/__init__.py")]
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("name", ["tests", "release"])
def test_a_workflow_names_scripts_that_there_are(name: str) -> None:
    text = (ROOT / f".github/workflows/{name}.yml").read_text()
    assert yaml.safe_load(text)["jobs"]
    for path in re.findall(r"(?<![\w/])(?:scripts|contrib)/[\w./-]+", text):
        assert (ROOT / path).exists(), path
