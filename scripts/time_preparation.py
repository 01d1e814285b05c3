"""Time preparation on one core: a 640x480 JPEG and a 24-megapixel one, from bytes to crop.

taskset -c 0 python scripts/time_preparation.py
"""

import io
import statistics
import time

import cv2
from PIL import Image

from dermtwin.datasets import draw_lesion
from dermtwin.preparation import Preparation

ROUNDS = 30
SIZES = ((640, 480), (6000, 4000))


def main() -> None:
    """Print medians."""
    preparation = Preparation()
    picture = draw_lesion(3).rgb
    for width, height in SIZES:
        buffer = io.BytesIO()
        Image.fromarray(cv2.resize(picture, (width, height))).save(buffer, "JPEG", quality=90)
        prepare(preparation, buffer.getvalue())
        times = [prepare(preparation, buffer.getvalue()) for _ in range(ROUNDS)]
        median = statistics.median(times)
        print(f"{width}x{height}: {1000 * median:.0f} ms, {1 / median:.0f} images/s")


def prepare(preparation: Preparation, data: bytes) -> float:
    """Seconds from bytes to the crop."""
    start = time.perf_counter()
    preparation.cut_file(data, name="timed")
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
