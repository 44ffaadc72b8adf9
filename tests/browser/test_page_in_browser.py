"""The page as a person sees it, in a browser without a window."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import TOKEN, Paged, page_of

WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
SECONDS = 30_000


@contextlib.contextmanager
def opened(browser: Browser, address: str, **more: object) -> Iterator[Page]:
    """Open a page; there must be no error on its console."""
    options: Any = {"viewport": WIDE, **more}
    context = browser.new_context(**options)
    context.set_default_timeout(SECONDS)
    expect.set_options(timeout=SECONDS)
    page = context.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.goto(address)
    yield page
    context.close()
    assert told == []


def put(paged: Paged, *names: str, data: bytes = b"abc") -> None:
    with contextlib.closing(paged.server.client()) as client:
        for name in names:
            assert client.set(name.encode(), data)


def row(page: Page, name: str):  # type: ignore[no-untyped-def]  # noqa: ANN201
    return page.locator("#queues tr", has=page.get_by_role("button", name=name, exact=True))


def test_the_page_shows_queues_and_what_becomes_of_them(browser: Browser, paged: Paged) -> None:
    put(paged, "jobs")
    with opened(browser, paged.address) as page:
        expect(row(page, "jobs").locator("td").nth(1)).to_have_text("1")
        expect(page.locator("#state")).to_have_text("up")
        put(paged, "jobs", "mail")
        expect(row(page, "jobs").locator("td").nth(1)).to_have_text("2")
        expect(row(page, "mail").locator("td").nth(1)).to_have_text("1")
        expect(page.locator("#matching")).to_have_text("2 queues")


def test_a_filter_and_an_order_choose_what_is_shown(browser: Browser, paged: Paged) -> None:
    put(paged, "jobs", "jobs", "mail.eu", "mail.us")
    with opened(browser, paged.address) as page:
        names = page.locator("#queues button.name")
        expect(names).to_have_count(3)
        page.locator("#part").fill("MAIL")
        expect(names).to_have_text(["mail.eu", "mail.us"])
        expect(page.locator("#matching")).to_have_text("2 of 3 queues")
        page.locator("#part").fill("nothing")
        expect(page.locator("#empty")).to_be_visible()
        page.locator("#part").fill("")
        page.get_by_role("button", name="queue", exact=True).click()
        expect(names).to_have_text(["jobs", "mail.eu", "mail.us"])
        page.get_by_role("button", name="queue", exact=True).click()
        expect(names).to_have_text(["mail.us", "mail.eu", "jobs"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_are_drawn_in_light_and_dark(browser: Browser, paged: Paged, scheme: str) -> None:
    put(paged, "jobs")
    with opened(browser, paged.address, color_scheme=scheme) as page:
        canvas = page.locator("#items canvas")
        expect(canvas).to_be_visible()
        page.wait_for_timeout(2500)
        colours = canvas.evaluate(
            """canvas => {
                const {width, height} = canvas;
                const drawn = canvas.getContext("2d").getImageData(0, 0, width, height);
                return new Set(new Uint32Array(drawn.data.buffer)).size;
            }"""
        )
        assert colours > 3


def test_one_queue_is_shown_in_depth(browser: Browser, paged: Paged) -> None:
    put(paged, "jobs", data=b"<b>bold</b><script>alert(1)</script>")
    with opened(browser, paged.address) as page:
        row(page, "jobs").get_by_role("button").click()
        expect(page.locator("#name")).to_have_text("jobs")
        expect(page.locator("#one-items canvas")).to_be_visible()
        expect(page.locator("#facts")).to_contain_text("put in all1")
        page.locator("#browsed").get_by_role("button", name="Data").click()
        expect(page.locator("#data")).to_contain_text("<b>bold</b><script>alert(1)</script>")
        page.get_by_role("button", name="Close").click()
        expect(page.locator("#one")).to_be_hidden()


def test_names_and_data_are_text_and_nothing_else(browser: Browser, paged: Paged) -> None:
    name = "<img\u00a0src=x>&amp;\u202e"
    put(paged, name)
    with opened(browser, paged.address) as page:
        expect(page.locator("#queues button.name")).to_have_text([name])
        assert page.locator("#queues img").count() == 0


def test_an_action_is_done_only_when_the_name_is_typed(browser: Browser, paged: Paged) -> None:
    put(paged, "jobs", "jobs")
    with opened(browser, paged.address) as page:
        row(page, "jobs").get_by_role("button").click()
        page.get_by_role("button", name="Flush…").click()
        expect(page.locator("#yes")).to_be_disabled()
        page.locator("#typed").fill("job")
        expect(page.locator("#yes")).to_be_disabled()
        page.get_by_role("button", name="Cancel").click()
        expect(row(page, "jobs").locator("td").nth(1)).to_have_text("2")
        page.get_by_role("button", name="Flush…").click()
        page.locator("#typed").fill("jobs")
        page.locator("#yes").click()
        expect(page.locator("#notice")).to_have_text("flush: END")
        expect(row(page, "jobs").locator("td").nth(1)).to_have_text("0")
    audit = [line for line in paged.server.log if "asked: flush" in line]
    assert len(audit) == 1
    assert audit[0].rstrip().endswith("(page:anybody): asked: flush jobs: END")


def test_a_queue_is_paused_and_resumed_moved_and_deleted(browser: Browser, paged: Paged) -> None:
    put(paged, "jobs")
    with opened(browser, paged.address) as page:
        row(page, "jobs").get_by_role("button").click()
        page.get_by_role("button", name="Pause", exact=True).click()
        page.locator("#yes").click()
        expect(row(page, "jobs").locator(".mark")).to_have_text("paused")
        page.get_by_role("button", name="Resume", exact=True).click()
        page.locator("#yes").click()
        expect(row(page, "jobs").locator(".mark")).to_have_count(0)
        page.get_by_role("button", name="Move…").click()
        page.get_by_label("To the queue").fill("other")
        page.locator("#typed").fill("jobs")
        page.locator("#yes").click()
        expect(row(page, "other").locator("td").nth(1)).to_have_text("1")
        page.get_by_role("button", name="Delete…").click()
        page.locator("#typed").fill("jobs")
        page.locator("#yes").click()
        expect(row(page, "jobs")).to_have_count(0)
        expect(page.locator("#one")).to_be_hidden()


def test_an_open_item_is_buried_if_it_has_a_lease(browser: Browser, tmp_path: Path) -> None:
    queues = "queues:\n  jobs: {dead_letter: dead, max_deliveries: 5}\n"
    for paged in page_of(tmp_path, queues):
        put(paged, "jobs", "jobs")
        with contextlib.closing(paged.server.client()) as worker:
            assert worker.gets("jobs/open/lease=600")[0] == b"abc"
            with contextlib.closing(paged.server.client()) as other:
                assert other.get("jobs/open") == b"abc"
                with opened(browser, paged.address) as page:
                    row(page, "jobs").get_by_role("button").click()
                    expect(page.locator("#open tr")).to_have_count(2)
                    page.locator("#open").get_by_role("button", name="Bury…").click()
                    page.locator("#yes").click()
                    expect(page.locator("#notice")).to_have_text("bury: END")
                    expect(row(page, "dead").locator("td").nth(1)).to_have_text("1")


def test_without_a_token_nothing_is_shown(browser: Browser, locked: Paged) -> None:
    put(locked, "jobs")
    context = browser.new_context()
    page = context.new_page()
    answer = page.goto(locked.address)
    assert answer is not None
    assert answer.status == 401
    expect(page.locator("#queues")).to_have_count(0)
    context.close()
    key = {"username": "ops", "password": TOKEN}
    with opened(browser, locked.address, http_credentials=key) as page:
        expect(row(page, "jobs").locator("td").nth(1)).to_have_text("1")
        row(page, "jobs").get_by_role("button").click()
        page.get_by_role("button", name="Pause", exact=True).click()
        page.locator("#yes").click()
        expect(row(page, "jobs").locator(".mark")).to_have_text("paused")
    assert any("(page:ops): asked: pause jobs: OK" in line for line in locked.server.log)


def test_another_site_cannot_act(browser: Browser, paged: Paged) -> None:
    put(paged, "jobs")
    other = paged.address.replace("127.0.0.1", "localhost")
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{other}healthz")
    told = page.evaluate(
        """async address => {
            const body = JSON.stringify({verb: "delete", queue: "jobs", confirm: "jobs"});
            const told = [];
            for (const headers of [{}, {"X-Starling": "1"}]) {
                try { told.push((await fetch(address, {method: "POST", headers, body})).status); }
                catch { told.push("failed"); }
            }
            return told;
        }""",
        f"{paged.address}do",
    )
    context.close()
    assert told == ["failed", "failed"]
    assert paged.server.stat("curr_queues") == 1


def test_a_server_that_is_gone_is_told_and_found_again(browser: Browser, paged: Paged) -> None:
    put(paged, "jobs")
    context = browser.new_context()
    page = context.new_page()
    page.goto(paged.address)
    expect(page.locator("#state")).to_have_text("up", timeout=SECONDS)
    paged.server.kill()
    expect(page.locator("#state")).to_have_text("no connection", timeout=SECONDS)
    paged.server.start()
    expect(page.locator("#state")).to_have_text("up", timeout=SECONDS)
    context.close()


def test_on_a_phone_nothing_is_wider_than_the_screen(
    browser: Browser, paged: Paged, tmp_path: Path
) -> None:
    put(paged, "jobs", "a.queue.with.a.rather.long.name.indeed", data=b"a" * 100)
    with opened(browser, paged.address, viewport=PHONE) as page:
        row(page, "jobs").get_by_role("button").click()
        expect(page.locator("#browsed tr")).to_have_count(1)
        width = page.evaluate("() => document.documentElement.scrollWidth")
        assert width <= PHONE["width"]
        expect(page.locator("#heads th").nth(2)).to_be_hidden()
