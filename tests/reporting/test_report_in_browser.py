"""The report in a real browser: copying, sorting, hovering, widths, no errors. Skipped where no Chromium is installed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from reporting_studies import kas_study

from kas.reporting.report import write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.system,
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.skipif(CHROMIUM is None, reason="no browser: chromium, chromium-browser or google-chrome is not installed"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report."""
    path = write_report(kas_study(), tmp_path_factory.mktemp("report") / "report.html")
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install kas[test]")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page(browser: Browser, report: str) -> Iterator[Page]:
    """The report, opened once in a window of 1280 pixels; an error in its console by the end fails the last test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(180_000)  # a busy machine takes its time to read plotly
    page, errors = context.new_page(), list[str]()
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(report)
    page.wait_for_selector("#plot-front .main-svg")
    yield page
    context.close()
    assert errors == []


def test_buttons_copy_the_hash_the_program_and_the_command(page: Page) -> None:
    card = page.locator("article").first
    for label in ("Copy hash", "Copy program", "Copy export command"):
        button = card.get_by_role("button", name=label)
        wanted = button.get_attribute("data-copy")
        button.click()
        card.get_by_text("Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == wanted
        card.get_by_role("button", name=label).wait_for()  # the label comes back


def test_a_heading_sorts_the_trials_up_and_down(page: Page) -> None:
    read = "[...document.querySelectorAll('#trials tbody tr')].map((row) => row.cells[2].dataset.key).filter((key) => key)"
    heading = page.locator("#trials th button", has_text="Accuracy")
    heading.click()
    rising = [float(key) for key in page.evaluate(read)]
    heading.click()
    falling = [float(key) for key in page.evaluate(read)]
    assert len(rising) > 10
    assert rising == sorted(rising)
    assert falling == rising[::-1]


def test_the_filter_hides_rows_and_a_link_to_one_shows_it_again(page: Page) -> None:
    page.fill("#filter", "too_slow")
    shown = page.locator("#trials tbody tr:visible")
    assert 0 < shown.count() < 40
    page.locator("article a[href^='#trial-']").first.click()
    assert shown.count() == 40


def test_a_point_of_the_front_says_what_it_is(page: Page) -> None:
    point = page.locator("#plot-front .scatterlayer .trace").nth(2).locator(".point").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    label = page.locator("#plot-front .hoverlayer .hovertext")
    label.wait_for()
    first = page.locator("#kernels tbody tr").nth(1).locator("td").last.inner_text()
    assert f"trial {first}" in (label.text_content() or "")


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_wider_than_the_window(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut = """[...document.querySelectorAll("#kernels td, #trials td")].filter(
        (cell) => cell.getClientRects().length && cell.getBoundingClientRect().right > innerWidth + 1).length"""
    assert page.evaluate(cut) == 0


def test_without_a_clipboard_a_selection_is_copied(page: Page) -> None:
    page.evaluate("delete Navigator.prototype.clipboard")
    assert page.evaluate("navigator.clipboard") is None
    copied = page.evaluate(
        """() => new Promise((done) => {
            document.addEventListener("copy", () => done(document.activeElement.value));
            document.querySelector("[data-copy]").click();
        })"""
    )
    assert copied == page.locator("[data-copy]").first.get_attribute("data-copy")


def test_without_scripts_the_tables_and_kernels_are_there(browser: Browser, report: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report)
    assert page.locator("#trials tbody tr").count() == 40
    assert not page.locator("[data-copy]").first.is_visible()
    page.locator("article summary").first.click()
    assert page.locator("article pre").first.is_visible()
    context.close()
