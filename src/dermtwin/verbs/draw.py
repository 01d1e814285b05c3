"""`dermtwin draw`: a dataset of lesions that are drawn, not real."""

from dataclasses import dataclass
from pathlib import Path

from dermtwin.datasets import count_lesions, draw_dataset
from dermtwin.running import Track, untracked


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawResult:
    """What was drawn: the folder, and how many images of how many lesions."""

    folder: Path
    images: int
    malignant: int
    lesions: int


def draw(
    out: str | Path, *, lesions_per_class: int = 510, seed: int = 0, track: Track = untracked
) -> DrawResult:
    """Draw a dataset of benign and malignant lesions, one to three photographs each.

    The default is enough for a split of 684 + 113 images of each class with lesions kept apart.

    Args:
        out: the folder to make; it must not exist or be empty.
        lesions_per_class: lesions of each class, about 1.8 photographs of each.
        seed: of everything that is drawn; the same seed gives the same bytes.
        track: watches the lesions go by.

    Raises:
        DatasetError: the folder holds something already, or cannot be written.
        SettingsError: less than one lesion is asked for.
    """
    drawn = draw_dataset(out, lesions=2 * lesions_per_class, seed=seed, track=track)
    return DrawResult(
        folder=Path(out),
        images=len(drawn),
        malignant=sum(row.case.is_malignant is True for row in drawn),
        lesions=count_lesions(drawn),
    )
