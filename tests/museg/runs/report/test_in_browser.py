"""The written report in a real browser, opened as a file."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from museg.runs.directory import RunDirectory
from museg.runs.report import write_report
from tests.chromium import chromium
from tests.museg.runs.report.conftest import MakeRow

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = "</script><script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
RIGHT_TO_LEFT = "a\u202egnp.exe \u0007bell \x1b[31m \u2067\u05e9\u05dc\u05dd\u2069 "
LONG = "x" * 30_000

pytestmark = pytest.mark.timeout(120)
expect = pytest.importorskip("playwright.sync_api", reason="no Playwright: `make setup`").expect
"""Waits; Playwright's other way of waiting evaluates strings, which the page's policy forbids."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


class Watched:
    """A page with what it complained about and asked the network for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    @property
    def network(self) -> list[str]:
        return [url for url in self.requests if not url.startswith(("file:", "data:"))]


Open = Callable[..., Watched]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens a report as a file, at a place and in a window of some size."""
    contexts = []

    def open_report(file: Path, place: str = "", *, width: int = 1280, scheme: str = "light") -> Watched:
        contexts.append(browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme))  # type: ignore[arg-type]
        watched = Watched(contexts[-1].new_page())
        watched.page.goto(f"file://{file}{place}")
        watched.page.locator("#history h3").wait_for()
        return watched

    yield open_report
    for context in contexts:
        context.close()


@pytest.fixture
def report(new_run: RunDirectory, make_row: MakeRow, real_clip_paths: dict[str, Path]) -> Path:
    """Four steps in two phases; samples 10 to 13 in each, one of them of a real video, one with hostile texts."""
    root = new_run.path.parent
    shutil.copy(real_clip_paths["bikes"], root / "bikes.mp4")
    phases = "phases: [{name: first, steps: 2}, {name: second, steps: 2}]"
    new_run.create(f"run: {{name: tiny}}\ngrpo: {{steps: 4}}\ndata: {{video_root: {root}}}\n{phases}\n")
    rewards = {10: (2.9, 3.0), 11: (1.0, 1.2), 12: (0.0, 3.0), 13: (2.0, 2.2)}
    for step in range(1, 5):
        metrics = {
            "step": step,
            "reward/mean": 1.0 + step,
            "reward/std": 0.5,
            "time/learn_s": 1.0,
            f"reward/{HOSTILE}": 1,
        }
        new_run.append_metrics(metrics)
        rows = []
        for idx, pair in rewards.items():
            for index, reward in enumerate(pair):
                text = f"<think>from {step}.0 to 12.5, of 99.0</think><answer>{step}.0-12.5</answer>"
                row = make_row(step=step, idx=idx, index=index, reward=reward, advantage=reward - sum(pair) / 2)
                row |= {"problem": f"When does number {idx} pass?", "completion": text}
                row |= {"video": "bikes.mp4"} if idx == 12 else {}
                if idx == 13:
                    row |= {"problem": HOSTILE + RIGHT_TO_LEFT, "video": HOSTILE, "finish_reason": HOSTILE}
                    row |= {"completion": HOSTILE + RIGHT_TO_LEFT + LONG, "rewards": {HOSTILE: 1.0}}
                rows.append(row)
        new_run.write_rollouts(step, rows)
    new_run.write_summary(
        {"status": "failed", "steps": 4, "error": HOSTILE, "videos_skipped": {HOSTILE: RIGHT_TO_LEFT}}
    )
    return write_report(new_run)


def listed(page: Page) -> list[str]:
    return [text.partition("sample ")[2] for text in page.locator("#groups .facts .soft").all_inner_texts()]


def test_it_opens_without_complaint_and_asks_for_nothing(report: Path, opened: Open) -> None:
    watched = opened(report)
    page = watched.page
    assert page.locator(".plot canvas").count() == 3
    assert page.locator("#step-now").inner_text() == "4 of 4, second"
    # The worst group of the last step, at its best completion.
    assert page.locator("#group h3").inner_text() == "When does number 11 pass?"
    assert page.locator("#reading h3").inner_text() == "Completion 2 reward 1.20, advantage +0.10"
    assert (watched.complaints, watched.network) == ([], [])


def test_orders_scopes_and_search_choose_the_groups(report: Path, opened: Open) -> None:
    page = opened(report).page
    assert listed(page) == ["11", "12", "13", "10"]
    page.get_by_text("most disputed", exact=True).click()
    assert listed(page)[0] == "12"
    page.get_by_text("best", exact=True).click()
    assert listed(page) == ["10", "13", "12", "11"]
    page.get_by_text("all steps", exact=True).click()
    assert listed(page) == [idx for idx in ["10", "13", "12", "11"] for _ in range(4)]
    page.get_by_label("Search").fill("NUMBER 12")
    assert listed(page) == ["12"] * 4
    page.get_by_label("Search").fill("nothing of this")
    assert page.locator("#found").inner_text() == "No group matches the search."
    assert not page.locator("#group").is_visible()


def test_a_link_leads_to_a_completion_and_follows_what_is_looked_at(report: Path, opened: Open) -> None:
    watched = opened(report, "#step=2&sample=12&completion=0&order=best")
    page = watched.page
    assert page.locator("#step-now").inner_text() == "2 of 4, first"
    assert page.locator("#group h3").inner_text() == "When does number 12 pass?"
    assert page.locator("#reading h3").inner_text().startswith("Completion 1 ")
    page.locator(".completion").nth(1).click()
    expect(page).to_have_url(re.compile("completion=1"))
    page.locator("#history button").nth(3).click()
    expect(page).to_have_url(re.compile("step=4&sample=12"))
    page.evaluate("location.hash = '#step=1&sample=10'")
    expect(page.locator("#group h3")).to_contain_text("number 10")
    page.evaluate("location.hash = '#step=77&sample=nothing&order=%3Cscript%3E&completion=9999'")
    expect(page.locator("#step-now")).to_contain_text("4 of 4")
    assert watched.complaints == []


def test_a_time_of_the_text_is_marked_on_the_axis_and_a_segment_in_the_text(report: Path, opened: Open) -> None:
    page = opened(report, "#step=3&sample=11").page
    times = page.locator("#reading .time")
    # 99 s lies beyond the video.
    assert times.all_inner_texts() == ["3.0", "12.5", "3.0", "12.5"]
    times.nth(1).hover()
    point = page.locator("#group .point")
    assert point.inner_text() == "12.5 s"
    axis, mark = page.locator("#group .overlay").bounding_box(), point.bounding_box()
    assert axis is not None
    assert mark is not None
    assert mark["x"] - axis["x"] == pytest.approx(axis["width"] * 12.5 / 20, abs=2)
    times.nth(0).focus()
    assert point.inner_text() == "3 s"
    page.locator("#group .completion .guess").first.hover()
    assert page.locator("#reading .time.lit").count() == 4
    guess = page.locator("#group .completion .guess").first.bounding_box()
    assert guess is not None
    assert guess["width"] == pytest.approx(axis["width"] * 9.5 / 20, abs=2)


def test_frames_stand_above_a_video_that_can_be_read_and_no_other(report: Path, opened: Open) -> None:
    page = opened(report, "#step=1&sample=12").page
    page.locator(".film").wait_for()
    assert page.locator(".film span").count() == 8
    page.evaluate("location.hash = '#step=1&sample=11'")
    expect(page.locator("#group h3")).to_contain_text("number 11")
    assert page.locator(".film").count() == 0


def test_hostile_text_is_shown_and_nothing_more(report: Path, opened: Open) -> None:
    watched = opened(report, "#step=1&sample=13")
    page = watched.page
    assert page.locator("#group h3").inner_text().startswith(HOSTILE)
    said = page.locator("#reading .said").inner_text()
    assert said.startswith(HOSTILE)
    assert "⟨U+202E⟩gnp.exe ␇bell ␛" in said
    assert "characters more" in said
    assert page.locator("#overview .failure").inner_text() == f"Failed: {HOSTILE}"
    assert page.title() == "tiny · MUSEG run report"
    assert page.locator("main img, main script").count() == 0
    assert (watched.complaints, watched.network) == ([], [])


@pytest.mark.parametrize("place", ["", "#step=1&sample=13", "#step=1&sample=12"])
def test_a_phone_scrolls_in_one_direction_only(report: Path, opened: Open, place: str) -> None:
    page = opened(report, place, width=390).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = page.locator("main .card").evaluate_all("cards => cards.map(card => card.getBoundingClientRect().right)")
    assert max(boxes) <= 390
    sizes = page.locator("main :visible").evaluate_all(
        "all => all.filter(one => [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim()))"
        ".map(one => parseFloat(getComputedStyle(one).fontSize))"
    )
    assert min(sizes) >= 10


def test_dark_mode_has_dark_cards_and_readable_text(report: Path, opened: Open) -> None:
    for scheme in ("light", "dark"):
        page = opened(report, scheme=scheme).page
        ink, soft, paper = (
            luminance(page.locator(where).first.evaluate(f"one => getComputedStyle(one).{what}"))
            for where, what in (
                ("#group h3", "color"),
                ("#group .soft", "color"),
                ("#group", "backgroundColor"),
            )
        )
        assert (paper < 0.1) == (scheme == "dark")
        assert contrast(ink, paper) > 7
        assert contrast(soft, paper) > 4.5


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2) of `rgb(…)`."""
    channels = [int(one) / 255 for one in re.findall(r"\d+", colour)[:3]]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


FOCUSED = """(() => {
    const one = document.activeElement;
    const shown = one.type === "radio" ? one.nextElementSibling : one;
    return [one.id || one.name || one.closest("[id]").id, getComputedStyle(shown).outlineStyle];
})()"""
"""Where the focus is, and how it is outlined."""


def test_everything_is_reached_and_worked_by_keyboard(report: Path, opened: Open) -> None:
    page = opened(report, "#step=4&sample=11").page
    page.locator("#step").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#step-now")).to_contain_text("3 of 4")
    page.keyboard.press("Home")
    expect(page.locator("#step")).to_have_attribute("aria-valuetext", "step 1 of 4, first")
    visited = []
    for _ in range(12):
        page.keyboard.press("Tab")
        where = page.evaluate(FOCUSED)
        visited.append(where[0])
        assert where[1] != "none", where
    assert visited[:4] == ["step-after", "order", "scope", "search"]
    assert {"groups", "group", "reading"} <= set(visited)
    page.locator('.completion[aria-pressed="true"]').focus()
    page.keyboard.press("ArrowUp")
    expect(page.locator("#reading h3")).to_contain_text("Completion 1")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Completion 1: reward 1.00")


def test_what_can_be_worked_has_a_name(report: Path, opened: Open) -> None:
    page = opened(report).page
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, a, [role=img], article')].filter(one => one.offsetParent && "
        "!(one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.[0]?.textContent.trim()))"
        ".map(one => one.outerHTML)"
    )
    assert unnamed == []
    charts = page.locator(".plot").evaluate_all("plots => plots.map(plot => plot.getAttribute('aria-label'))")
    assert charts[0] == "Reward: reward from 2 at step 1 to 5 at step 4"


def test_a_click_into_a_curve_opens_its_step(report: Path, opened: Open) -> None:
    page = opened(report).page
    over = page.locator(".u-over").first
    box = over.bounding_box()
    assert box is not None
    over.click(position={"x": box["width"] * 0.38, "y": box["height"] / 2})
    expect(page.locator("#step-now")).to_contain_text("2 of 4")
