"""What asking in several views adds: the few figures of evaluations that pages tell.

dermtwin evaluate dermtwin-base --queries parts/test --gallery parts/train --out one
dermtwin evaluate dermtwin-base … --out eight --views 8
python scripts/view_figures.py one eight --out docs/results/base/views.json
"""

import argparse
import json
from pathlib import Path
from typing import Any

from dermtwin.evaluation.protocols import BALANCED, GALLERY
from dermtwin.evaluation.scores import NEIGHBOURHOOD
from dermtwin.evaluation.subjects import DIAGNOSIS
from dermtwin.evaluation.summary import MAP_MICRO, vote_auc
from dermtwin.files import write_text
from dermtwin.learning.quality import OF_DIAGNOSES

PARTS = ("queries", "gallery")


def main() -> None:
    """Read what was measured and keep what is told."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("evaluations", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    records = [json.loads((each / "metrics.json").read_text()) for each in given.evaluations]
    encoders = {each["encoder"]["id"] for each in records}
    if len(encoders) > 1:
        parser.error("the evaluations are of several encoders; give those of one.")
    asked = {tuple(each["datasets"][part]["fingerprint"] for part in PARTS) for each in records}
    if len(asked) > 1:
        parser.error("the evaluations are of several datasets; give those of one.")
    found = {
        "encoder": encoders.pop(),
        **dict(zip(PARTS, asked.pop(), strict=True)),
        "by_views": {str(each["views"]): _figures(each["outputs"]["code"]) for each in records},
    }
    write_text(given.out, json.dumps(found, indent=1) + "\n")


def _figures(code: dict[str, Any]) -> dict[str, Any]:
    drawn, gallery = code[BALANCED], code[GALLERY]
    of_diagnoses = gallery["levels"][DIAGNOSIS]["figures"]
    return {
        "paper's test set: precision@10": drawn["precision@10"],
        "paper's test set: mAP, micro": drawn[MAP_MICRO],
        **{f"gallery: {vote_auc(k)}": gallery["figures"][vote_auc(k)] for k in (16, NEIGHBOURHOOD)},
        **{f"gallery, diagnoses: {name}": of_diagnoses[name] for name in OF_DIAGNOSES},
    }


if __name__ == "__main__":
    main()
