"""Debian's Chromium, headless, for pictures and tests: a page is ready when it says what it should and stands still.

Playwright drives it and brings no browser of its own. Nothing waits for a number of seconds.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from playwright.sync_api import Browser, ElementHandle, Frame, Page, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from lib.errors import ConfigError

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_SECONDS = 60
_STILL_SECONDS = 15

_MISSING = """words => {
    const shown = document.body ? document.body.innerText.replace(/\\s+/g, " ") : "";
    return words.filter(each => !shown.includes(each));
}"""

_ASSISTANT = """try {
    localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
    localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
} catch {}"""
"""MLflow's assistant opens over a third of the first page that a browser without a past sees."""


def chromium() -> str:
    """Where Chromium is.

    Raises
    ------
    ConfigError
        When none of its names is on the PATH.
    """
    for name in _NAMES:
        if found := shutil.which(name):
            return found
    raise ConfigError("Chromium is not on the PATH: apt install chromium")


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Chromium without a window, for the block. Prefect's synchronous clients do not work inside it: asyncio runs there.

    Raises
    ------
    ConfigError
        When Chromium is not installed.
    """
    executable = chromium()
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox refuses root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(browser: Browser, width: int = 1280, height: int = 800, scheme: str = "light") -> Iterator[Page]:
    """A page of a browser without a past: `scheme` is light or dark, `width` and `height` are in CSS pixels."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="UTC",
    )
    context.set_default_timeout(1000 * _SECONDS)
    context.add_init_script(_ASSISTANT)
    try:
        yield context.new_page()
    finally:
        context.close()


def wait_for_words(page: Page | Frame, words: Sequence[str], seconds: float = _SECONDS) -> None:
    """Wait until the page shows all of these words.

    Raises
    ------
    ConfigError
        When it does not; the message says which.
    """
    end = time.monotonic() + seconds
    while missing := page.evaluate(_MISSING, list(words)):
        if time.monotonic() > end:
            raise ConfigError(f"{page.url} does not show {missing[0]!r} within {seconds:g} s")
        time.sleep(0.1)


def frame_inside(page: Page) -> Frame:
    """The page that the first frame of `page` shows, as soon as there is one."""
    element: ElementHandle = page.wait_for_selector("iframe", state="attached")  # type: ignore[assignment]
    frame = element.content_frame()
    assert frame is not None
    frame.wait_for_load_state()
    return frame


def still_picture(page: Page) -> bytes:
    """A PNG of the page as soon as two in a row are the same; the last one when something moves for ever."""
    end, before = time.monotonic() + _STILL_SECONDS, b""
    while (now := page.screenshot()) != before and time.monotonic() < end:
        before = now
        page.wait_for_timeout(300)
    return now


def settle(page: Page, seconds: float = 3) -> None:
    """Wait until the page asks its server nothing more; MLflow's never does, which is no fault."""
    try:
        page.wait_for_load_state("networkidle", timeout=1000 * seconds)
    except PlaywrightTimeout:
        return
