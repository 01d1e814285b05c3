"""Make a small dataset and a query for `scripts/check_wheel`: drawn, not real."""

import shutil
import sys
from pathlib import Path

import dermtwin
from dermtwin.datasets import read_dataset

out = Path(sys.argv[1])
dermtwin.draw(out / "lesions", lesions_per_class=6, seed=0)
dermtwin.draw(out / "others", lesions_per_class=1, seed=1)
shutil.copy(read_dataset(out / "others").rows[0].image, out / "query.jpg")
