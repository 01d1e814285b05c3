"""What the consultation's tests start from: the casebook's small datasets."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "casebook"))

from small_fixtures import dataset, encoder, encoder_file

__all__ = ["dataset", "encoder", "encoder_file"]
