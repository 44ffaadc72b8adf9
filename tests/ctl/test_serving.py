"""The commands for the whole server, and what it says when it does not allow them."""

from starling_py.session.client import Policy
from tests.core import CoreHarness
from tests.ctl.conftest import Ctl


def test_what_is_not_allowed_is_told_with_its_setting(core: CoreHarness, ctl: Ctl) -> None:
    core.policy = Policy(1 << 20, False, False)
    done = ctl("drain")
    assert done.status == 1
    assert "status not enabled; set allow_drain: true" in done.err
    assert "reload not enabled; set allow_reload: true" in ctl("reload").err


def test_a_drained_server_accepts_no_puts_until_it_may_again(ctl: Ctl) -> None:
    assert ctl("drain").out == "no puts are accepted; gets take what is there\n"
    assert "draining" in ctl("put", "jobs", "a").err
    assert ctl("check").lines()[0].startswith("STARLING WARNING - draining: no puts are accepted")
    assert ctl("drain", "--off").out == "puts are accepted again\n"
    assert ctl("put", "jobs", "a").status == 0


def test_waiting_for_empty_queues_has_an_end(ctl: Ctl) -> None:
    assert ctl("drain", "--wait").lines()[-1] == "all empty"
    ctl("drain", "--off")
    ctl("put", "jobs", "a")
    ctl("put", "mail", "a")
    done = ctl("drain", "jobs", "--wait", "--for", "0")
    assert (done.status, done.err) == (1, "starling-ctl: 1 item left when the time was over\n")
    ctl("get", "jobs")
    assert ctl("drain", "jobs", "--wait").lines()[-1] == "all empty"


def test_a_reload_tells_what_the_server_says(core: CoreHarness, ctl: Ctl) -> None:
    assert ctl("reload").out == "Reloaded config.\n"
    core.unapplied = ["sync: 50ms -> always", "port: 1 -> 2"]
    assert ctl("reload").lines() == [
        "Reloaded config.",
        "needs a restart: sync: 50ms -> always",
        "needs a restart: port: 1 -> 2",
    ]
    assert ctl("reload", "--json").objects()[0]["restart"] == list(core.unapplied)
    core.new_rules = "starling.yml, line 3: no such setting"
    done = ctl("reload")
    assert (done.status, "line 3: no such setting" in done.err) == (1, True)
