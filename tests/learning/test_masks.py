from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dermtwin.datasets import draw_dataset, draw_lesion, is_held_out
from dermtwin.datasets.drawn.overlay import COVERED
from dermtwin.vocabulary import Artefact

torch = pytest.importorskip("torch")

from dermtwin.learning.checkpoint import Checkpoint, Identity  # noqa: E402
from dermtwin.learning.masks.artefacts import ArtefactBatches, ArtefactLoss, Truth  # noqa: E402
from dermtwin.learning.masks.augment import moved, relit  # noqa: E402
from dermtwin.learning.masks.export import export_masks  # noqa: E402
from dermtwin.learning.masks.lesions import (  # noqa: E402
    LesionBatches,
    lesion_loss,
    without_lesion,
)
from dermtwin.learning.masks.network import ArtefactNetwork, Maps, MaskNetwork  # noqa: E402
from dermtwin.learning.masks.pasting import LayerBank, draw_bank  # noqa: E402
from dermtwin.learning.masks.pictures import (  # noqa: E402
    KINDS,
    MaskedPictures,
    load_masked,
    without_alike,
)
from dermtwin.learning.stepping import Pace, train_network  # noqa: E402
from dermtwin.preparation.networks import MaskSession  # noqa: E402

SHAPE = (32, 48)


@pytest.fixture(scope="module")
def bank() -> LayerBank:
    return draw_bank(SHAPE, each=2, seed=0)


@pytest.fixture(scope="module")
def pictures() -> MaskedPictures:
    drawn = [draw_lesion(seed, artefacts=[], size=SHAPE[::-1]) for seed in range(4)]
    return MaskedPictures(
        names=tuple("abcd"),
        views=np.stack([each.rgb for each in drawn]),
        masks=np.stack([each.lesion.astype(np.uint8) * 255 for each in drawn]),
        labels=np.zeros((4, len(KINDS)), dtype=np.int8),
    )


def _network(kinds=1):
    torch.manual_seed(0)
    return MaskNetwork(widths=(4, 6, 8), kinds=kinds, detail=2)


def test_a_network_gives_one_map_a_kind_at_the_pictures_size() -> None:
    assert _network(7)(torch.zeros(2, 3, *SHAPE)).shape == (2, 7, *SHAPE)


def test_the_artefact_network_says_where_and_whether() -> None:
    network = ArtefactNetwork(kinds=7)
    logits, whole = network(torch.rand(2, 3, 32, 64))
    assert (logits.shape, whole.shape) == ((2, 7, 32, 64), (2, 7))
    assert torch.equal(
        Maps(network.eval())(torch.ones(1, 3, 32, 64)), network(torch.ones(1, 3, 32, 64))[0]
    )


def test_training_leaves_the_finest_stages_as_they_are() -> None:
    network = ArtefactNetwork(kinds=2).train()
    before = {name: value.clone() for name, value in network.trunk.state_dict().items()}
    logits, whole = network(torch.rand(2, 3, 32, 32))
    (logits.mean() + whole.mean()).backward()
    after = network.trunk.state_dict()
    for name, parameter in network.trunk.named_parameters():
        finest = name.startswith(("stem", "stages.0", "stages.1"))
        assert parameter.requires_grad != finest
        assert (parameter.grad is None) == finest
    moved_means = {
        name.partition(".")[0] + name.partition(".")[2][:2]
        for name in before
        if name.endswith("running_mean") and not torch.equal(before[name], after[name])
    }
    assert moved_means == {"stages2.", "stages3.", "stages4."}


def test_the_lesion_loss_is_the_formula() -> None:
    rng = np.random.default_rng(0)
    logits, truth = rng.normal(size=(3, 1, 4, 5)), (rng.random((3, 1, 4, 5)) < 0.4).astype(float)
    truth[2] = 0
    total, overlaps = 0.0, []
    for x, y in zip(logits, truth, strict=True):
        p = 1 / (1 + np.exp(-x))
        total += -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean() / 3
        index = ((p * y).sum() + 1) / ((p + y - p * y).sum() + 1)
        overlaps.append(1 - index if y.any() else 0.0)
    found = lesion_loss(torch.from_numpy(logits), torch.from_numpy(truth))
    assert found.item() == pytest.approx(total + np.mean(overlaps))


def test_the_artefact_loss_is_the_formula() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(2, 7, 4, 4))
    pixels, known = (rng.random((2, 2, 7, 4, 4)) < 0.5).astype(float)
    seen = (rng.random((2, 7)) < 0.5).astype(float)
    p = 1 / (1 + np.exp(-logits))
    asked = rng.normal(size=(2, 7))
    of_pixels, of_pictures, of_asked = [], [], []
    for n in range(2):
        for k in range(7):
            entropy = -(pixels[n, k] * np.log(p[n, k]) + (1 - pixels[n, k]) * np.log(1 - p[n, k]))
            of_pixels.append((entropy * known[n, k]).sum() / max(known[n, k].sum(), 1))
            there = 1 - np.exp(-p[n, k].mean() / np.exp(-5))
            there = min(there, 1 - np.exp(-30))
            of_pictures.append(-np.log(there) if seen[n, k] else -np.log(1 - there))
            chance = 1 / (1 + np.exp(-asked[n, k]))
            of_asked.append(-np.log(chance if seen[n, k] else 1 - chance))
    truth = Truth(*(torch.from_numpy(each) for each in (seen, pixels, known)))
    found = ArtefactLoss()((torch.from_numpy(logits), torch.from_numpy(asked)), truth).item()
    expected = 3 * np.mean(of_pixels) + np.mean(of_pictures) + np.mean(of_asked)
    assert found == pytest.approx(expected, rel=1e-3)


def test_a_picture_and_its_mask_move_together(pictures) -> None:
    mask = pictures.masks[0]
    marked = np.repeat(mask[:, :, None], 3, axis=2)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        view, moved_mask = moved((marked, mask), rng, zoom=(0.7, 1.4), shift=0.1, turn=True)
        assert np.array_equal(view[:, :, 0], moved_mask)


def test_relighting_stays_a_picture(pictures) -> None:
    for seed in range(10):
        lit = relit(pictures.views[0].astype(np.float32) / 255, np.random.default_rng(seed))
        assert lit.dtype == np.float32
        assert 0 <= lit.min() <= lit.max() <= 1


def test_a_part_without_lesion_holds_none() -> None:
    view = np.zeros((*SHAPE, 3), np.uint8)
    mask = np.zeros(SHAPE, np.uint8)
    view[10:20, 30:40], mask[10:20, 30:40] = 255, 255
    part, empty = without_lesion(view, mask, np.random.default_rng(0))
    assert not empty.any()
    assert not part.any()
    full = np.full(SHAPE, 255, np.uint8)
    assert without_lesion(view, full, np.random.default_rng(0))[1] is full


def test_batches_are_the_same_for_the_same_luck(pictures, bank) -> None:
    batches = LesionBatches(main=pictures, more=pictures, bank=bank, seed=3, size=5)
    first, again = (batches.draw(1) for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], batches.draw(2)[0])
    assert first[0].shape == (5, 3, *SHAPE)
    assert first[1].shape == (5, 1, *SHAPE)


def test_pasted_artefacts_are_seen_and_known(pictures, bank) -> None:
    _, truth = ArtefactBatches(pictures=pictures, bank=bank, seed=0, size=16).draw(0)
    assert torch.equal(truth.seen > 0, truth.pixels.flatten(2).sum(2) > 0)
    assert truth.seen.any()
    assert truth.known.all()


def test_where_a_person_saw_an_artefact_only_pasted_pixels_are_known(pictures, bank) -> None:
    marked = replace(pictures, labels=np.ones_like(pictures.labels))
    _, truth = ArtefactBatches(pictures=marked, bank=bank, seed=0, size=16).draw(0)
    assert truth.seen.all()
    assert torch.equal(truth.known, truth.pixels)


def test_a_bank_holds_what_its_kind_is(bank) -> None:
    for kind in Artefact:
        layer = bank.pick(kind, np.random.default_rng(0))
        assert layer.coverage.shape == SHAPE
        assert (layer.coverage >= COVERED).any() or kind is Artefact.DARK_CORNER


def test_a_killed_training_goes_on_as_if_nothing_had_happened(tmp_path, pictures, bank) -> None:
    def train(steps, folder, stop=None):
        folder.mkdir(exist_ok=True)
        network = _network()

        def watched(items, *, label, total=None):
            del label, total
            for item in items:
                if item == stop:
                    raise KeyboardInterrupt
                yield item

        return train_network(
            network,
            batches=LesionBatches(main=pictures, more=pictures, bank=bank, seed=0, size=2),
            loss=lesion_loss,
            pace=Pace(rates=[(1e-3, list(network.parameters()))], steps=steps, every=2),
            checkpoint=Checkpoint(folder / "masks", Identity(settings={}, data="", validation="")),
            track=watched,
        ).network

    whole = train(5, tmp_path / "whole").state_dict()
    with pytest.raises(KeyboardInterrupt):
        train(5, tmp_path / "killed", stop=3)
    resumed = train(5, tmp_path / "killed").state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_file_gives_the_networks_own_chances(tmp_path) -> None:
    out = tmp_path / "lesion.onnx"
    worst = export_masks(
        _network(), example=torch.rand(3, 3, *SHAPE), numbers={"confidence": [1.0, 2.0]}, out=out
    )
    assert worst < 0.02
    assert MaskSession(out.read_bytes()).numbers == {"confidence": [1.0, 2.0]}


def test_masks_beside_a_dataset_are_read_in_the_canonical_pose(tmp_path) -> None:
    dataset = draw_dataset(tmp_path / "drawn", lesions=2, seed=1, size=(80, 60))
    (tmp_path / "drawn" / "masks").mkdir()
    for row in dataset:
        dark = np.asarray(Image.open(row.image).convert("L")) < 120
        dark[:5, :5] = True
        Image.fromarray(dark).save(tmp_path / "drawn" / "masks" / f"{row.case.isic_id}.png")
    found = load_masked(dataset, half=True)
    assert found.views.shape == (len(dataset), 128, 160, 3)
    for view, mask in zip(found.views, found.masks, strict=True):
        assert view[mask > 200].mean() < view[mask < 50].mean()
    assert set(np.unique(found.labels)) <= {0, 1}


def test_another_copy_of_a_picture_that_is_measured_on_is_left_out(pictures) -> None:
    kept = without_alike(pictures, pictures.chosen([1]), above=0.99)
    assert "b" not in kept.names
    assert "a" in kept.names


def test_a_case_is_on_one_side_whatever_else_is_there() -> None:
    names = [f"ISIC_{number:07d}" for number in range(3000)]
    held = [is_held_out(name, share=1 / 3, seed=9) for name in names]
    assert held == [is_held_out(name, share=1 / 3, seed=9) for name in names]
    assert 0.3 < np.mean(held) < 0.37
    assert held != [is_held_out(name, share=1 / 3, seed=8) for name in names]
