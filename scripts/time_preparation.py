"""Time preparation on one core: a 640x480 JPEG and a 24-megapixel one, from bytes to crop.

taskset -c 0 python scripts/time_preparation.py --out docs/results/preparation/speed.json
"""

import argparse
import io
import json
import platform
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from dermtwin.datasets import draw_lesion
from dermtwin.files import write_text
from dermtwin.preparation import Preparation

ROUNDS = 30
SIZES = ((640, 480), (6000, 4000))


def main() -> None:
    """Print medians, and write them where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    timed = {}
    preparation = Preparation()
    picture = draw_lesion(3).rgb
    for width, height in SIZES:
        buffer = io.BytesIO()
        Image.fromarray(cv2.resize(picture, (width, height))).save(buffer, "JPEG", quality=90)
        prepare(preparation, buffer.getvalue())
        times = [prepare(preparation, buffer.getvalue()) for _ in range(ROUNDS)]
        median, p95 = (float(1000 * each) for each in np.quantile(times, [0.5, 0.95]))
        timed[f"{width}x{height}"] = {"median_ms": median, "p95_ms": p95}
        print(f"{width}x{height}: {median:.0f} ms, {1000 / median:.0f} images/s")
    if given.out:
        result = {"format": 1, "machine": processor(), "rounds": ROUNDS, "timed": timed}
        write_text(given.out, json.dumps(result, indent=1))


def processor() -> str:
    """What the processor calls itself."""
    names = Path("/proc/cpuinfo")
    lines = names.read_text().splitlines() if names.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor())


def prepare(preparation: Preparation, data: bytes) -> float:
    """Seconds from bytes to the crop."""
    start = time.perf_counter()
    preparation.cut_file(data, name="timed")
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
