"""Make the README's pictures from a finished `make demo demo-paper`: needs Chromium on the path.

python scripts/pictures.py demo
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops
from rich.console import Console
from rich.text import Text

from dermtwin.datasets import read_dataset

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
CHROMIUM = (
    *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
)


def main() -> None:
    """Write docs/pictures/: find, report, code, preparation; without a demo the last alone."""
    PICTURES.mkdir(exist_ok=True)
    if len(sys.argv) < 2:
        picture_of_preparation()
        return
    demo = Path(sys.argv[1]).resolve()
    picture_of_find(demo)
    picture_of_report(demo)
    picture_of_code(demo)
    picture_of_preparation()


def picture_of_find(demo: Path) -> None:
    """The terminal after `dermtwin find`, above it the query."""
    image = read_dataset(demo / "parts" / "test").rows[1].image
    command = ["dermtwin", "find", os.path.relpath(image, demo), "--casebook", "cases"]
    shown = subprocess.run(
        command,
        cwd=demo,
        env=os.environ | {"FORCE_COLOR": "1", "COLUMNS": "112"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    ).stdout
    with tempfile.TemporaryDirectory() as folder:
        console = Console(record=True, width=112, file=(Path(folder) / "log").open("w"))
        console.print(Text(f"$ {' '.join(command)}", style="bold"))
        console.print(Text.from_ansi(shown))
        page = Path(folder) / "find.svg"
        # Rich names a font of another host first; the machine's own monospace will do.
        svg = console.export_svg(title="dermtwin").replace("https://", "none:")
        page.write_text(svg)
        screenshot(page, PICTURES / "find.png", width=1400, height=640, trim=True)


def picture_of_report(demo: Path) -> None:
    """The head of the report."""
    page = demo / "report" / "report.html"
    screenshot(page, PICTURES / "report.png", width=1200, height=1240)
    keep(demo / "report" / "best-queries-code.png", PICTURES / "best-queries.png")


def picture_of_preparation() -> None:
    """The contact sheet of the forty hardest of many drawn lesions, and its head (Figure 6)."""
    with tempfile.TemporaryDirectory() as folder:
        drawn, out = Path(folder) / "drawn", Path(folder) / "prepared"
        draw = ["dermtwin", "draw", drawn, "--lesions-per-class", "60", "--seed", "5"]
        subprocess.run(draw, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["dermtwin", "prepare", drawn, out], check=True, stdout=subprocess.DEVNULL)
        with Image.open(out / "contact-sheet.png") as sheet:
            whole = sheet.convert("RGB")
    rows = whole.crop((0, 0, whole.width, 1420))
    rows.thumbnail((1500, 1500), Image.Resampling.LANCZOS)
    whole.thumbnail((1500, 10_000), Image.Resampling.LANCZOS)
    whole.save(PICTURES / "preparation-hard-cases.jpg", quality=80, optimize=True)
    # Not a palette of 256: the legend's colours would run into each other.
    rows.save(PICTURES / "preparation.jpg", quality=88, optimize=True)


def picture_of_code(demo: Path) -> None:
    """An image beside its code (the paper's Figure 2)."""
    image = read_dataset(demo / "parts" / "test").rows[1].image
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / "code.png"
        command = [
            "dermtwin",
            "encode",
            image,
            "--encoder",
            demo / "paper" / "paper.onnx",
            "--picture",
            code,
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        keep(code, PICTURES / "code.png")


def screenshot(page: Path, out: Path, *, width: int, height: int, trim: bool = False) -> None:
    """A page as a PNG."""
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        options = [f"--user-data-dir={folder}/user", f"--window-size={width},{height}"]
        subprocess.run(
            [*CHROMIUM, *options, f"--screenshot={shot}", page.as_uri()],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        keep(shot, out, trim=trim)


def keep(source: Path, out: Path, *, trim: bool = False) -> None:
    """A picture in few colours, for history keeps every version; `trim` cuts its empty border."""
    with Image.open(source) as opened:
        picture = opened.convert("RGB")
    if trim:
        border = Image.new("RGB", picture.size, picture.getpixel((0, 0)))
        picture = picture.crop(ImageChops.difference(picture, border).getbbox())
    few = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(out, optimize=True)


if __name__ == "__main__":
    main()
