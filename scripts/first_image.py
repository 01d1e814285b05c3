"""Print the path of a dataset's first image: `python scripts/first_image.py DATASET`."""

import sys

from dermtwin.datasets import read_dataset

print(read_dataset(sys.argv[1]).rows[0].image)
