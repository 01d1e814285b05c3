"""A real browser on a real server, which complains of whatever a page should not do."""

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from served import running

from dermtwin.web.application import create_app

playwright = pytest.importorskip("playwright.sync_api", reason="no browser without playwright")

CHROMIUM = shutil.which("chromium")


@contextmanager
def served(casebook) -> Iterator[str]:
    with running(create_app(casebook)) as address:
        yield address


class Browser:
    """A browser that fails the test for any complaint of a page and any request elsewhere."""

    def __init__(self, browser, address: str) -> None:
        self.browser = browser
        self.address = address
        self.complaints: list[str] = []

    def page(self, *, theme="light", width=1280, height=800, touch=False) -> Any:
        context = self.browser.new_context(
            base_url=self.address,
            color_scheme=theme,
            viewport={"width": width, "height": height},
            has_touch=touch,
            is_mobile=touch,
        )
        context.set_default_timeout(20_000)
        # Of the context, so that a tab that the page opens is heard too.
        context.on("weberror", lambda each: self.complaints.append(str(each.error)))
        context.on("console", self._said)
        context.on("request", self._asked)
        page = context.new_page()
        # Choosing a file is listened to from the start: a listener added just before the key is
        # pressed reaches the browser on another way, and at times after the key.
        page.on("filechooser", lambda _: None)
        return page

    def _said(self, message) -> None:
        # A refusal that a test provokes is told by the browser too.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def _asked(self, request) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.complaints.append(f"a request to another host: {request.url}")


@contextmanager
def looking(address) -> Iterator[Browser]:
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        browser = Browser(chromium, address)
        yield browser
        chromium.close()
    assert browser.complaints == []


def drop(page, image: Path) -> None:
    """Drop a file on the page, as a hand does."""
    data = base64.b64encode(image.read_bytes()).decode()
    transfer = page.evaluate_handle(
        """([data, name]) => {
            const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name, {type: "image/jpeg"}));
            return transfer;
        }""",
        [data, image.name],
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})


def settled(page) -> list[str]:
    """The names of the hits, once the answer is there."""
    page.wait_for_selector("#results[aria-busy=false] .hit", state="attached")
    return page.locator(".hit a").all_inner_texts()


def searched(page, action) -> list[str]:
    """The names of the hits after something that asks anew."""
    with page.expect_response("**/api/v1/search") as response:
        action()
    assert response.value.ok, response.value.text()
    return settled(page)


def opened_by(page, action) -> Any:
    """The tab that something opens."""
    with page.expect_popup() as opened:
        action()
    return opened.value


def show_anyway(page) -> None:
    if page.locator("#anyway").count():
        page.click("#anyway")
