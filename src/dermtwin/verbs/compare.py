"""`dermtwin compare`: encoders side by side on the same queries."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from dermtwin.encoders import Encoder, refuse_views
from dermtwin.errors import SettingsError
from dermtwin.evaluation.comparison import Beside, side_by_side
from dermtwin.evaluation.intervals import COVERAGE, RESAMPLES
from dermtwin.evaluation.protocols import DEFINITIONS, RULE
from dermtwin.evaluation.record import plain
from dermtwin.evaluation.study import Compared, Design
from dermtwin.running import Track, untracked
from dermtwin.verbs.evaluate import refuse_foreign, refuse_without_packages, write_folder
from dermtwin.verbs.sides import Side, compared_outputs, read_sides

COMPARISON_FILE, COMPARISON_PAGE = "compare.json", "compare.html"
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What came out.

    Attributes:
        page: compare.html.
        values: everything on it, compare.json.
        figures: by protocol, measure and encoder; differences are to the first encoder.
        drawn: whether any image was drawn.
    """

    page: Path
    values: Path
    figures: Mapping[str, Mapping[str, Mapping[str, Beside]]]
    drawn: bool


def compare(
    encoders: Sequence[str | Path],
    *,
    queries: str | Path,
    gallery: str | Path | None = None,
    out: str | Path,
    views: int = 1,
    seed: int = 0,
    track: Track = untracked,
) -> Comparison:
    """Measure encoders on the same queries, with paired intervals of their differences.

    Of each encoder the output `code` is compared, or its first output that has a distance.

    Args:
        encoders: two encoder files or more; the others are set against the first.
        queries: the test images, each a query; those neither benign nor malignant are left out.
        gallery: training cases to retrieve from as well.
        out: the folder for compare.json and compare.html. It must be new, empty, or hold an
            earlier comparison, which is then replaced when all is done.
        views: of each query: 1, 4 (turned by quarters) or 8 (mirrored too). A case is as near as
            it is to the nearest of them, and the vote is the mean of theirs.
        seed: of the bootstrap.
        track: looks on while images are encoded.

    Raises:
        MissingExtraError: the extra `evaluate` is not installed.
        SettingsError: fewer than two encoders, one of them twice, or views other than 1, 4, 8.
        DatasetError: a dataset cannot be read, is of one class only, or holds unreadable images.
        EncoderError: an encoder file is none, or gives nothing that can be compared.
        DermtwinError: `out` holds something else, or cannot be written.
    """
    refuse_without_packages("compare")
    refuse_views(views)
    out = Path(out)
    refuse_foreign(out, marker=COMPARISON_FILE)
    opened = _named([Encoder.open(each) for each in encoders], [Path(each) for each in encoders])
    contenders: dict[str, Compared] = {}
    for name, encoder in opened.items():
        sides = read_sides(encoder, queries=queries, gallery=gallery, views=views, track=track)
        contenders[name] = _chosen(compared_outputs(encoder, sides))
    design = _design(sides, seed=seed)
    figures = {
        protocol: side_by_side(contenders, protocol, design)
        for protocol in track(design.sides(), label="comparing")
    }
    values = _record(opened, contenders, sides, figures, views=views, seed=seed)
    write_folder(out, _files(values))
    return Comparison(
        page=out / COMPARISON_PAGE,
        values=out / COMPARISON_FILE,
        figures=figures,
        drawn=values["drawn"],
    )


def _named(encoders: Sequence[Encoder], paths: Sequence[Path]) -> dict[str, Encoder]:
    """By the file's name; files of one name are told apart by their id."""
    if len(encoders) < 2:
        raise SettingsError(f"{len(encoders)} encoder cannot be compared; give two or more.")
    ids = [each.id for each in encoders]
    stems = [path.stem for path in paths]
    for path, one in zip(paths, ids, strict=True):
        if ids.count(one) > 1:
            raise SettingsError(f"{path} is given twice; give each encoder once.")
    return {
        stem if stems.count(stem) == 1 else f"{stem} ({each.id[:8]})": each
        for stem, each in zip(stems, encoders, strict=True)
    }


def _chosen(outputs: Sequence[Compared]) -> Compared:
    found = {each.output: each for each in outputs if not each.derived}
    return found.get("code", next(iter(found.values())))


def _design(sides: Mapping[str, Side], *, seed: int) -> Design:
    gallery = sides.get("gallery")
    return Design(
        queries=sides["queries"].subjects,
        gallery=gallery.subjects if gallery else None,
        near_duplicates={},
        seed=seed,
    )


def _record(
    encoders: Mapping[str, Encoder],
    contenders: Mapping[str, Compared],
    sides: Mapping[str, Side],
    figures: Mapping[str, Mapping[str, Mapping[str, Beside]]],
    *,
    views: int,
    seed: int,
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "drawn": any(side.facts.drawn for side in sides.values()),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "dermtwin": metadata.version("dermtwin"),
        "seed": seed,
        "views": views,
        "encoders": {
            name: {
                "id": each.id,
                "name": each.card.name,
                "output": contenders[name].output,
                "shape": list(contenders[name].shape),
                "metric": contenders[name].metric,
            }
            for name, each in encoders.items()
        },
        "datasets": {part: asdict(side.facts) for part, side in sides.items()},
        "protocols": {name: DEFINITIONS[name] for name in figures},
        "rule": RULE,
        "intervals": {
            "coverage": COVERAGE,
            "resamples": RESAMPLES,
            "unit": "lesions of the queries, the same draws for all encoders",
        },
        "figures": {
            protocol: {
                measure: {
                    name: {key: plain(value) for key, value in asdict(each).items()}
                    for name, each in by_encoder.items()
                }
                for measure, by_encoder in measures.items()
            }
            for protocol, measures in figures.items()
        },
    }


def _files(values: dict[str, Any]) -> dict[str, bytes]:
    # Jinja and Matplotlib are an extra, and slow to import.
    from dermtwin.evaluation.report import comparison_page  # noqa: PLC0415

    text = json.dumps(values, indent=1, allow_nan=False)
    return {COMPARISON_FILE: text.encode(), COMPARISON_PAGE: comparison_page(values).encode()}
