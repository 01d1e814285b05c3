"""`dermtwin evaluate`: how well an encoder retrieves, measured and told."""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dermtwin.datasets.duplicates import near_duplicates, near_duplicates_between
from dermtwin.encoders import Encoder, refuse_views
from dermtwin.errors import DermtwinError, MissingExtraError
from dermtwin.evaluation.leaks import Neighbours, neighbours
from dermtwin.evaluation.protocols import GALLERY, LEAVE_ONE_OUT, QUERIES_PER_CLASS
from dermtwin.evaluation.record import record
from dermtwin.evaluation.study import Design, Study, study
from dermtwin.evaluation.summary import MAP_MICRO, Figure
from dermtwin.files import write_bytes
from dermtwin.running import Track, untracked
from dermtwin.verbs.sides import Side, compared_outputs, read_sides
from dermtwin.vocabulary import DRAWN_NOTICE

METRICS_FILE, REPORT_FILE = "metrics.json", "report.html"

_PACKAGES = ("jinja2", "matplotlib", "openTSNE", "scipy")
_TOLD = ("dermtwin", "numpy", "onnxruntime", "scipy", "openTSNE", "matplotlib", "pillow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What came out.

    Attributes:
        report: the page, report.html.
        metrics: everything on it as values, metrics.json.
        paper_map: by output, the average of Table I; none with fewer than five images of a class.
        mean_average_precision: by protocol and output, mAP over all queries.
        drawn: whether the images were drawn.
    """

    report: Path
    metrics: Path
    paper_map: Mapping[str, Figure]
    mean_average_precision: Mapping[str, Mapping[str, Figure]]
    drawn: bool

    def __str__(self) -> str:
        """The main figures, each with interval and chance, and where the report lies."""
        lines = [_told("paper_map", output, each) for output, each in self.paper_map.items()]
        for protocol, by_output in self.mean_average_precision.items():
            lines += [_told(f"mAP {protocol}", name, each) for name, each in by_output.items()]
        notice = f" ({DRAWN_NOTICE})" if self.drawn else ""
        return "\n".join([*lines, f"report: {self.report}{notice}"])


def evaluate(
    encoder: str | Path,
    *,
    queries: str | Path,
    gallery: str | Path | None = None,
    out: str | Path,
    views: int = 1,
    seed: int = 0,
    track: Track = untracked,
) -> Evaluation:
    """Measure how well an encoder retrieves, and write the report.

    Every output of the encoder that has a distance is measured: by the paper's protocol, by
    leave-one-out and, where a gallery is given, against it. docs/measures.md defines the measures.

    Args:
        encoder: the encoder file.
        queries: the test images, each a query; those neither benign nor malignant are left out.
        gallery: training cases to retrieve from as well.
        out: the folder for metrics.json, report.html and the PNG files. It must be new, empty, or
            hold an earlier evaluation, which is then replaced when all is done.
        views: of each query: 1, 4 (turned by quarters) or 8 (mirrored too). A case is as near as
            it is to the nearest of them, and the vote is the mean of theirs.
        seed: of draws, bootstrap and map.
        track: looks on while images are encoded.

    Raises:
        MissingExtraError: the extra `evaluate` is not installed.
        SettingsError: a picture cannot be asked in so many views.
        DatasetError: a dataset cannot be read, is of one class only, or holds unreadable images.
        EncoderError: the encoder file is none, or gives nothing that can be compared.
        DermtwinError: `out` holds something else, or cannot be written.
    """
    refuse_without_packages("evaluate")
    refuse_views(views)
    out = Path(out)
    refuse_foreign(out, marker=METRICS_FILE)
    opened, clock = Encoder.open(encoder), _Clock()
    with clock("encode"):
        sides = read_sides(opened, queries=queries, gallery=gallery, views=views, track=track)
    with clock("near-duplicates"):
        design = _design(sides, seed=seed, track=track)
    with clock("measure"):
        studies = {
            each.output: study(each, design=design)
            for each in track(compared_outputs(opened, sides), label="measuring")
        }
    facts = {part: side.facts for part, side in sides.items()}
    around = _around(opened, _notes(opened, studies), views=views)
    values = record(studies, design=design, sides=facts, around=around)
    files = _files(values, studies, sides, clock)
    write_folder(out, files)
    return _evaluation(out, studies, drawn=values["drawn"])


def refuse_without_packages(verb: str) -> None:
    """Stop before the work where the extra `evaluate` is not installed."""
    if not all(find_spec(package) for package in _PACKAGES):
        raise MissingExtraError(verb, extra="evaluate")


def refuse_foreign(out: Path, *, marker: str) -> None:
    """Stop before a folder is replaced that does not hold `marker`, the verb's own file."""
    if out.exists() and not out.is_dir():
        raise DermtwinError(f"{out} is a file; give a folder for the report.")
    if out.exists() and out.samefile(Path.cwd()):
        raise DermtwinError(
            f"{out} is the folder that you work in, and can't be replaced; give one beneath it."
        )
    if out.is_dir() and any(out.iterdir()) and not (out / marker).is_file():
        raise DermtwinError(f"{out} holds files but no {marker}; give a new folder for the report.")


def _design(sides: Mapping[str, Side], *, seed: int, track: Track) -> Design:
    queries, gallery = sides["queries"], sides.get("gallery")
    images = [row.image for row in queries.rows]
    own = near_duplicates(images, track=track)
    mirrored = [*own, *((second, first) for first, second in own)]
    found: dict[str, Neighbours] = {
        LEAVE_ONE_OUT: neighbours(mirrored, queries=queries.subjects, gallery=queries.subjects)
    }
    if gallery:
        pairs = near_duplicates_between(images, [row.image for row in gallery.rows], track=track)
        found[GALLERY] = neighbours(pairs, queries=queries.subjects, gallery=gallery.subjects)
    return Design(
        queries=queries.subjects,
        gallery=gallery.subjects if gallery else None,
        near_duplicates=found,
        seed=seed,
    )


def _notes(encoder: Encoder, studies: Mapping[str, Study]) -> list[str]:
    notes = [
        f"The output {name!r} is not measured: no single distance compares it here."
        for name in encoder.card.outputs
        if name not in studies
    ]
    if any(each.table_one is None for each in studies.values()):
        notes.append(
            "The paper's protocol is left out: it draws "
            f"{QUERIES_PER_CLASS} queries of each class, and there are fewer."
        )
    return notes


def _around(encoder: Encoder, notes: list[str], *, views: int) -> dict[str, Any]:
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: metadata.version(name) for name in _TOLD},
        "encoder": {
            "id": encoder.id,
            "name": encoder.card.name,
            "card": json.loads(json.dumps(asdict(encoder.card))),
        },
        "views": views,
        "notes": notes,
    }


def _files(
    values: dict[str, Any],
    studies: Mapping[str, Study],
    sides: Mapping[str, Side],
    clock: "_Clock",
) -> dict[str, bytes]:
    # Jinja and Matplotlib are an extra, and slow to import.
    from dermtwin.evaluation.report import Album, Evaluated, page_files  # noqa: PLC0415

    parts = {LEAVE_ONE_OUT: sides["queries"]}
    if "gallery" in sides:
        parts[GALLERY] = sides["gallery"]
    albums = {
        protocol: Album(
            cases=tuple(row.case for row in side.rows),
            paths=tuple(row.image for row in side.rows),
        )
        for protocol, side in parts.items()
    }
    values = values | {"seconds": clock.seconds}
    evaluated = Evaluated(
        record=values,
        studies=studies,
        queries=sides["queries"].subjects,
        albums=albums,
        codes=sides["queries"].codes,
    )
    with clock("report"):
        files = page_files(evaluated)
    text = json.dumps(values | {"seconds": clock.seconds}, indent=1, allow_nan=False)
    return files | {METRICS_FILE: text.encode()}


def write_folder(out: Path, files: Mapping[str, bytes]) -> None:
    """Write all files beside `out`, then put the folder in its place."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
            made, earlier = Path(temporary) / "new", Path(temporary) / "earlier"
            for name, data in files.items():
                write_bytes(made / name, data)
            if out.exists():
                out.rename(earlier)
            made.rename(out)
            shutil.rmtree(earlier, ignore_errors=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DermtwinError(f"{out} cannot be written: {reason}; choose another folder.") from error


def _evaluation(out: Path, studies: Mapping[str, Study], *, drawn: bool) -> Evaluation:
    protocols = next(iter(studies.values())).runs
    return Evaluation(
        report=out / REPORT_FILE,
        metrics=out / METRICS_FILE,
        paper_map={
            name: each.table_one.average_paper_map
            for name, each in studies.items()
            if each.table_one
        },
        mean_average_precision={
            protocol: {
                name: each.runs[protocol].summary.figures[MAP_MICRO]
                for name, each in studies.items()
            }
            for protocol in protocols
        },
        drawn=drawn,
    )


def _told(measure: str, output: str, figure: Figure) -> str:
    return (
        f"{measure:24s}{output:16s}{figure.value:.3f}  "
        f"(95 %: {figure.low:.3f} – {figure.high:.3f}; chance {figure.chance:.3f})"
    )


class _Clock:
    """Wall times by step, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[step] = round(time.perf_counter() - started, 3)
