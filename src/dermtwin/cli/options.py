"""The options that several verbs share, worded once."""

from pathlib import Path
from typing import Annotated

import typer

# Text, not a path: a path would make one slash of a URL's two.
_CASEBOOK = typer.Option(
    "--casebook",
    envvar="DERMTWIN_CASEBOOK",
    show_default=False,
    help="The casebook's folder, or postgresql://USER@HOST/DATABASE?images=FOLDER.",
)
Casebook = Annotated[str, _CASEBOOK]
OptionalCasebook = Annotated[str | None, _CASEBOOK]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
PseudonymKey = Annotated[
    Path | None,
    typer.Option(
        "--pseudonym-key",
        help="A file whose bytes are the key of the names that patients of DICOM files are given.",
        show_default=False,
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", min=0, max=2**32 - 1, help="Equal seeds give equal results.")
]
Views = Annotated[
    int,
    typer.Option(
        "--views",
        help="1, 4 or 8: the picture is asked turned by quarters (4) and mirrored too (8). A case "
        "is as near as it is to the nearest view.",
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        help="Only cases with: sex=female, age_approx=40..60, diagnosis_1=Malignant, … A condition "
        "with blanks stands in quotes.",
        metavar="FIELD=VALUE",
    ),
]
