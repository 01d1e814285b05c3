"""How far to trust an answer: docs/trust.md, from result files alone.

    python scripts/trust_results.py docs/results/trust --out docs/trust.md

`calibration.json` is what scripts/calibrate_answers.py wrote, `trust.json` what
scripts/measure_trust.py wrote.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from result_page import write_page

Figures = Mapping[str, Any]

# What the project asks for.
ERROR, FOREIGN, UNSEEN = 0.05, 0.95, 0.70


def main() -> None:
    """Read what was measured and write the page."""
    write_page(__doc__, _page)


def _page(folder: Path) -> Iterator[str]:
    calibration = json.loads((folder / "calibration.json").read_text())
    trust = json.loads((folder / "trust.json").read_text())
    yield "# How far to trust an answer"
    yield ""
    yield "Written by `scripts/trust_results.py` from `docs/results/trust`; the figures come from"
    yield "`scripts/calibrate_answers.py` and `scripts/measure_trust.py`. 95 % intervals by"
    yield "bootstrap over lesions. What an answer says is about the casebook's cases; it is never a"
    yield "diagnosis of the picture."
    yield ""
    yield from _words()
    yield from _together(calibration)
    yield from _foreign(trust)
    yield from _unseen(trust)
    yield from _limits()


def _words() -> Iterator[str]:
    yield """\
## What an answer says of itself

| level | reason | when |
|---|---|---|
| refused | `not-dermoscopy` | the picture is unlike any dermoscopic one |
| refused | `nothing-near` | the nearest case is beyond the card's 99th percentile |
| refused | `none-eligible` | no case passes the filters |
| doubtful | `not-dermoscopy` | the picture is unlike most dermoscopic ones |
| doubtful | `unfamiliar` | the 20th nearest lesion is farther than for 95 % of pictures |
| doubtful | `quality` | blurred, dark, black and white, …; see [preparation.md](preparation.md) |
| doubtful | `crop` | no lesion was found, or its outline is uncertain (encoders that crop) |
| doubtful | `few-eligible` | fewer cases came back than were asked for |

A refused answer keeps its hits; who shows it asks first. A case is *very near* up to the card's
50th percentile (half of the training images have another lesion that near), *far* beyond the 99th.
Distances are judged only where a search goes by the picture's own code: a part of a picture, a
code moved by marked cases, and bits have other distances.
"""


def _together(results: Figures) -> Iterator[str]:
    first, second = results["chosen"]["first half"], results["chosen"]["second half"]
    yield f"""\
## What the nearest cases say together

Each case weighs 1/distance. Cases near one picture are near one another too, so k of them count as
fewer: as n = n_w / (1 + (n_w - 1) r), n_w being Kish's effective number of the weights and r the
correlation within a neighbourhood. The share shown is (n x weighted share + base rate) / (n + 1):
one case drawn from the eligible is added. Its interval is Wilson's for n + 1 cases: it needs no
more than the share and a number, stays within 0 and 1, and is wide where few cases count. It
says how well so few neighbours tell the share among cases like these, not how the encoder does
elsewhere.

`r` is the one number that was fitted: by the likelihood of the classes of one half of the
validation lesions it is {first}, by the other's {second}; the first is kept. {results["queries"]:,}
images of {results["lesions"]:,} lesions were asked of {results["gallery"]:,} images,
{results["base"]:.1%} malignant. Expected calibration error of the malignant share, 15 bins of as
many pictures each (asked for: at most {ERROR}); *both halves*: each picture by what was chosen on
the other half:

| k | as weighted | second half, chosen on the first | both halves |
|---|---|---|---|"""
    for size, errors in results["sizes"].items():
        yield f"| {size} | {' | '.join(_figure(each) for each in errors.values())} |"
    yield """
An error over bins is above 0 by chance alone, and a resampled one more so: the intervals lean
upwards. Shares of the ten nearest, one diagnosis each:
"""
    yield "| diagnosis | error |"
    yield "|---|---|"
    for name, error in results["diagnoses"]["each"].items():
        yield f"| {name} | {error:.3f} |"
    yield f"| mean | {results['diagnoses']['mean']:.3f} |"
    yield """
![Reliability: the share shown lies nearer to what happened than the plain weighted share.](\
results/trust/reliability.png)

An answer calls itself calibrated only where this was measured: with this encoder, by the code of
the whole picture, among real cases, without filters, each lesion once. In a casebook with other
base rates, from other clinics, it was not.
"""


def _foreign(results: Figures) -> Iterator[str]:
    foreign = results["foreign"]
    limits = results["limits"]
    yield f"""\
## Pictures that are no dermoscopy

Twelve numbers of the picture (mean and spread of brightness and of two colour differences, detail
at four scales and of colour, within the circle that a dermatoscope shows) and their Mahalanobis
distance from the training pictures of HAM10000. {foreign["pictures"]} foreign pictures: crops of
photographs, walls, laboratory pictures and pages that scikit-image and scikit-learn ship, drawn
textures, plots. Limits: doubtful beyond {limits["doubtful"]:.2f}, the farthest picture of one half
of the validation lesions; refused beyond {limits["refused"]:.2f}, a quarter more. All figures are
of the other half, and of files and drawings none of which was used for the choice.

| score | AUROC (asked for: {FOREIGN}) |
|---|---|"""
    for name, figure in foreign["scores"].items():
        yield f"| {name} | {_figure(figure)} |"
    yield """
The first is kept: it is the best, the cheapest, and needs no encoder. Which numbers to take was
decided with all foreign pictures in sight, their mean, spread and limits were not.

| pictures | marked | refused |
|---|---|---|"""
    for name, shares in foreign["marked"]["kinds"].items():
        yield f"| {name} | {_share(shares['doubtful'])} | {_share(shares['refused'])} |"
    yield _marked("all foreign ones", foreign["marked"]["all"])
    yield _marked("HAM10000, other half", foreign["dermoscopy"])
    for name, other in foreign["elsewhere"].items():
        yield _marked(f"{name}: {other['pictures']:,} from elsewhere", other)
    yield """
From elsewhere are pictures of the ISIC 2018 challenge, task 1: whole frames, and close-ups cut from
the middle of frames with hair, rulers and bubbles (`_512`). Nothing was fitted on them, but that
the numbers are taken within a circle was decided after a look at their dark corners, and so was
the margin of a quarter. Close-ups are marked too often. AUROC against each:
"""
    for name, other in foreign["elsewhere"].items():
        yield f"- {name}: {_figure(other['auc'])}"
    yield ""


def _unseen(results: Figures) -> Iterator[str]:
    unseen, usual = results["unseen"], results["usual"]
    scores = list(unseen["mean"])
    yield f"""\
## A diagnosis that the casebook does not hold

One diagnosis at a time is left out of the gallery; its pictures and all others are asked of what is
left. AUROC of scores that may tell them apart (asked for: {UNSEEN}), on one half of the lesions:
"""
    yield f"| left out | pictures | {' | '.join(scores)} |"
    yield f"|---|---|{'---|' * len(scores)}"
    for name, each in unseen["diagnoses"].items():
        cells = " | ".join(_figure(each["scores"][score]) for score in scores)
        yield f"| {name} | {each['pictures']} | {cells} |"
    means = (f"{each:.3f}" for each in unseen["mean"].values())
    yield f"| mean | | {' | '.join(means)} |"
    yield f"""
The distance of the 20th nearest lesion is kept (decided with both halves in sight): a few cases of
another kind lie near almost any picture, twenty do not. Beyond
{results["limits"]["unfamiliar"]:.3f} (95 % of the first half's pictures are within) an answer is
doubtful; so marked are, on the other half:

| left out | its pictures | others |
|---|---|---|"""
    for name, each in unseen["diagnoses"].items():
        marked = each["marked"]
        yield f"| {name} | {_share(marked['unseen'])} | {_share(marked['others'])} |"
    yield f"""
With nothing left out {_share(usual["unfamiliar"])} are marked so, and
{_share(usual["nothing-near"])} are refused because nothing is near.
"""


def _limits() -> Iterator[str]:
    yield """\
## What this does not tell

- The encoder learnt from pictures of all seven diagnoses: one that it never saw may lie nearer to
  others than the ones left out here.
- In a small casebook cases lie farther apart: more is called unfamiliar there, and rightly so.
- Photographs of skin without a dermatoscope were not at hand. Fur and tissue of skin's colours come
  through most often.
- Twelve numbers can be imitated. The marks are for mistakes, not for malice.
"""


def _marked(name: str, shares: Figures) -> str:
    return f"| {name} | {_share(shares['doubtful'])} | {_share(shares['refused'])} |"


def _figure(figure: Figures) -> str:
    return f"{figure['value']:.3f} ({figure['low']:.3f} – {figure['high']:.3f})"


def _share(figure: Figures) -> str:
    return f"{figure['value']:.1%} ({figure['low']:.1%} – {figure['high']:.1%})"


if __name__ == "__main__":
    main()
