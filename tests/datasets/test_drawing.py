import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from dermtwin.datasets import Dataset, Kind, draw_dataset, draw_lesion, fingerprint
from dermtwin.datasets.drawn.drawing import _draw_sitting
from dermtwin.datasets.drawn.population import plan_sittings
from dermtwin.errors import DatasetError, SettingsError
from dermtwin.verbs.draw import draw
from dermtwin.vocabulary import Artefact, vocabulary_of

SIZE = (200, 150)


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(picture.filter(ImageFilter.MaxFilter(2 * pixels + 1))) > 0


def test_a_drawn_dataset_is_whole_and_marked(few_drawn: Dataset) -> None:
    assert not few_drawn.faults
    assert not few_drawn.warnings
    cases = [row.case for row in few_drawn]
    assert all(case.is_drawn for case in cases)
    assert len({case.lesion_id for case in cases}) == 40
    malignant = {case.lesion_id for case in cases if case.is_malignant}
    assert len(malignant) == 20
    assert cases[0].isic_id == "DRAWN_0000001"
    for case in cases:
        assert case.attribution == "drawn by dermtwin (drawn, not real)"
        assert case.diagnosis_3 in (vocabulary_of("diagnosis_3") or ())
    for row in few_drawn:
        with Image.open(row.image) as picture:
            assert (picture.format, picture.size) == ("JPEG", (120, 90))


def test_lesions_have_several_photographs_and_patients_several_lesions(
    few_drawn: Dataset,
) -> None:
    lesions: dict[str | None, set[str]] = {}
    patients: dict[str | None, set[str | None]] = {}
    for row in few_drawn:
        lesions.setdefault(row.case.lesion_id, set()).add(row.case.isic_id)
        patients.setdefault(row.case.patient_id, set()).add(row.case.lesion_id)
    assert {len(photographs) for photographs in lesions.values()} == {1, 2, 3}
    assert max(len(owned) for owned in patients.values()) > 1


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, few_drawn: Dataset) -> None:
    again = draw_dataset(tmp_path / "again", lesions=40, seed=3, size=(120, 90))
    assert fingerprint(again) == fingerprint(few_drawn)
    assert again.table.read_bytes() == few_drawn.table.read_bytes()
    other = draw_dataset(tmp_path / "other", lesions=40, seed=4, size=(120, 90))
    assert fingerprint(other) != fingerprint(few_drawn)


def test_one_lesion_alone_is_the_same_as_among_many(few_drawn: Dataset) -> None:
    drawn = {row.case.isic_id: row.image.read_bytes() for row in few_drawn}
    for sitting in reversed(list(plan_sittings(40, seed=3))[:6]):
        pictures = _draw_sitting(sitting, size=(120, 90))
        for shot, picture in zip(sitting.shots, pictures, strict=True):
            assert drawn[shot.case.isic_id] == picture


@pytest.mark.parametrize("kind", Kind)
def test_the_lesions_mask_parts_lesion_from_skin(kind: Kind) -> None:
    for seed in range(3):
        drawn = draw_lesion(seed, kind=kind, artefacts=(), size=SIZE)
        assert drawn.rgb.shape == (150, 200, 3)
        assert drawn.lesion.shape == (150, 200)
        assert 0.05 < drawn.lesion.mean() < 0.75
        inside = drawn.rgb[drawn.lesion].astype(float)
        outside = drawn.rgb[~grown(drawn.lesion, 8)].astype(float)
        assert np.abs(inside.mean(axis=0) - outside.mean(axis=0)).max() > 12
        assert not drawn.artefacts


@pytest.mark.parametrize("kind", Artefact)
def test_an_artefact_changes_the_picture_where_its_mask_says(kind: Artefact) -> None:
    for seed in range(3):
        clean = draw_lesion(seed, artefacts=(), size=SIZE)
        drawn = draw_lesion(seed, artefacts=[kind], size=SIZE)
        mask = drawn.artefacts[kind]
        assert np.array_equal(drawn.lesion, clean.lesion)
        change = np.abs(drawn.rgb.astype(int) - clean.rgb).max(axis=2)
        assert change[mask].mean() > 4 * change[~mask].mean()
        # Where less than a quarter is covered the picture changes by less than a quarter.
        far = ~grown(mask, 2)
        assert change[far].size == 0 or change[far].max() < 75
        assert mask.any() or kind is Artefact.DARK_CORNER


def test_artefacts_do_not_change_each_other() -> None:
    both = draw_lesion(7, artefacts=[Artefact.INK, Artefact.HAIR], size=SIZE)
    hair = draw_lesion(7, artefacts=[Artefact.HAIR], size=SIZE)
    assert np.array_equal(both.artefacts[Artefact.HAIR], hair.artefacts[Artefact.HAIR])


def test_severity_makes_borders_ragged() -> None:
    def raggedness(severity: float) -> float:
        values = []
        for seed in range(8):
            mask = draw_lesion(
                seed, kind=Kind.MELANOMA, severity=severity, artefacts=(), size=SIZE
            ).lesion
            edge = (mask[1:] ^ mask[:-1]).sum() + (mask[:, 1:] ^ mask[:, :-1]).sum()
            values.append(edge / mask.sum() ** 0.5)
        return float(np.mean(values))

    assert raggedness(0.95) > 1.15 * raggedness(0.05)


def test_no_artefact_gives_the_class_away() -> None:
    shots = [
        (sitting.traits.kind.is_malignant, shot)
        for sitting in plan_sittings(3000, seed=1)
        for shot in sitting.shots
    ]
    for kind in Artefact:
        share = [
            np.mean([kind in shot.artefacts for malignant, shot in shots if malignant is each])
            for each in (False, True)
        ]
        assert abs(share[0] - share[1]) < 0.05


def test_another_size_draws_the_same_lesion() -> None:
    small, large = (
        draw_lesion(5, artefacts=(), size=size).lesion for size in ((200, 150), (400, 300))
    )
    reduced = np.asarray(Image.fromarray(large).resize((200, 150), Image.Resampling.NEAREST))
    assert (small & reduced).sum() / (small | reduced).sum() > 0.6


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DatasetError, match="not empty"):
        draw_dataset(tmp_path, lesions=2)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(SettingsError, match="at least 2"):
        draw_dataset(tmp_path / "new", lesions=1)


def test_nothing_is_left_when_drawing_stops(tmp_path: Path) -> None:
    def stop(items: object, *, label: str, total: int | None = None) -> object:
        del items, label, total
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        draw_dataset(tmp_path / "new", lesions=4, size=(60, 45), track=stop)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_the_verb_counts_what_it_drew(tmp_path: Path) -> None:
    done = draw(tmp_path / "few", lesions_per_class=3, seed=1)
    files = list(done.folder.glob("*.jpg"))
    assert (done.images, done.lesions) == (len(files), 6)
    assert 3 <= done.malignant <= 9
    with Image.open(io.BytesIO(files[0].read_bytes())) as picture:
        assert picture.size == (400, 300)
