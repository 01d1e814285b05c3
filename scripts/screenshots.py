"""Make the README's pictures of the page: drawn lesions, a real server, a real browser.

Run: python scripts/screenshots.py --out docs/pictures
"""

import argparse
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

import dermtwin
from dermtwin.web.application import create_app

# Of this lesion the casebook keeps other photographs, so that something near is there to find.
QUERY = "DRAWN_0000112"
WIDE = {"width": 1280, "height": 1080}
PHONE = {"width": 390, "height": 844}
JPEG = {"type": "jpeg", "quality": 86}


def main() -> None:
    """Draw, add, serve, look."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--all", action="store_true", help="each page in both themes and widths")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        query = _casebook(Path(folder))
        with _served(Path(folder) / "cases") as address, sync_playwright() as started:
            chromium = started.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            (_every_page if given.all else _readme)(chromium, address, query, given.out)
            chromium.close()


def _casebook(folder: Path) -> Path:
    dermtwin.draw(folder / "lesions", lesions_per_class=60, seed=3)
    dermtwin.add(folder / "lesions", casebook=folder / "cases")
    dermtwin.forget(casebook=folder / "cases", case=QUERY)
    return (folder / "lesions" / f"{QUERY}.jpg").rename(folder / "photograph.jpg")


@contextmanager
def _served(casebook: Path) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(create_app(casebook), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.05)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def _readme(browser: Browser, address: str, query: Path, out: Path) -> None:
    page = _page(browser, address, theme="light", size=WIDE)
    _ask(page, query)
    page.screenshot(path=out / "page.jpg", **JPEG)
    _compare(page)
    page.screenshot(path=out / "page-compare.jpg", **JPEG)

    page = _page(browser, address, theme="dark", size=WIDE)
    _ask(page, query)
    _steer(page)
    page.screenshot(path=out / "page-dark.jpg", **JPEG)


def _every_page(browser: Browser, address: str, query: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for theme in ("light", "dark"):
        for width, size in (("wide", WIDE), ("phone", PHONE | {"width": 360})):
            page = _page(browser, address, theme=theme, size=size)
            name = f"{theme}-{width}.png"
            page.goto("/")
            page.wait_for_selector("#filters details", state="attached")
            page.screenshot(path=out / f"start-{name}", full_page=True)
            _ask(page, query)
            page.screenshot(path=out / f"hits-{name}", full_page=True)
            _compare(page)
            page.screenshot(path=out / f"compare-{name}")
            page.keyboard.press("Escape")
            _steer(page)
            page.screenshot(path=out / f"steered-{name}", full_page=True)
            page.goto("/cases")
            page.wait_for_selector("#list[aria-busy=false] .hit")
            page.wait_for_load_state("networkidle")
            page.screenshot(path=out / f"cases-{name}")
            page.goto("/cases/DRAWN_0000005")
            page.wait_for_selector("#record dd")
            page.wait_for_load_state("networkidle")
            page.screenshot(path=out / f"case-{name}", full_page=True)
            page.click("#forget")
            page.wait_for_selector("#forget-now")
            page.screenshot(path=out / f"forget-{name}")
            for place in ("/add", "/admin/audit", "/admin/users", "/login?failed=1", "/nowhere"):
                page.goto(place)
                told = place.strip("/").replace("/", "-").partition("?")[0]
                page.screenshot(path=out / f"{told}-{name}", full_page=True)


def _page(browser: Browser, address: str, *, theme: str, size: dict[str, int]) -> Page:
    context = browser.new_context(base_url=address, color_scheme=theme, viewport=size)
    return context.new_page()


def _ask(page: Page, query: Path) -> None:
    page.goto("/")
    page.set_input_files("#file", query)
    _settle(page)


def _settle(page: Page) -> None:
    page.wait_for_selector("#results[aria-busy=false] .hit")
    page.wait_for_load_state("networkidle")


def _compare(page: Page) -> None:
    page.click(".hit .open >> nth=0")
    page.wait_for_selector(".panes")
    page.wait_for_timeout(200)


def _steer(page: Page) -> None:
    """By a part of the picture, and by a case that is like it."""
    for button in ("#box", ".hit [id^=like-] >> nth=1"):
        with page.expect_response("**/api/v1/search"):
            page.click(button)
        _settle(page)
    page.evaluate("scrollTo(0, 0)")


if __name__ == "__main__":
    main()
