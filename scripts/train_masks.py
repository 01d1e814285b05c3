"""Train the mask networks that dermtwin.preparation ships, and write them where they belong.

    python scripts/train_masks.py lesion ISIC2018_TASK1 --more HAM10000 --work FOLDER
    python scripts/train_masks.py artefacts ISIC2018_TASK1 --work FOLDER

The held-out third (dermtwin.datasets.is_held_out) is neither learnt from nor looked at. A killed
run goes on from its checkpoint in FOLDER. About 45 minutes each on one core.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

import dermtwin.preparation
from dermtwin.datasets import HELD_OUT_SEED, HELD_OUT_SHARE, is_held_out, read_dataset
from dermtwin.evaluation.preparation import jaccard
from dermtwin.learning.checkpoint import Checkpoint, Identity
from dermtwin.learning.efficientnet import load_imagenet
from dermtwin.learning.masks.artefacts import ArtefactBatches, ArtefactLoss
from dermtwin.learning.masks.confidence import fit_confidence
from dermtwin.learning.masks.export import export_masks
from dermtwin.learning.masks.lesions import LesionBatches, lesion_loss
from dermtwin.learning.masks.network import ArtefactNetwork, Maps, MaskNetwork
from dermtwin.learning.masks.pasting import draw_bank
from dermtwin.learning.masks.pictures import KINDS, MaskedPictures, load_masked, without_alike
from dermtwin.learning.stepping import Pace, train_network
from dermtwin.preparation.lesion import look_at
from dermtwin.preparation.networks import MaskSession

VALIDATION_SHARE, VALIDATION_SEED = 0.12, 10
ROOM = Path(dermtwin.preparation.__file__).parent
# A checkpoint is this script's own; another training gets another folder.
IDENTITY = Identity(settings={}, data="", validation="")


def main() -> None:
    """Read the arguments and train one network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("which", choices=["lesion", "artefacts"])
    parser.add_argument("dataset", type=Path, help="with masks/ and label_* columns")
    parser.add_argument("--more", type=Path, help="a further dataset with masks/ (lesion only)")
    parser.add_argument("--work", type=Path, required=True, help="where the checkpoint is kept")
    parser.add_argument("--out", type=Path, default=ROOM, help="the networks' folder")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(0)
    given.work.mkdir(parents=True, exist_ok=True)
    (train_lesion if given.which == "lesion" else train_artefacts)(given)


def train_lesion(given: argparse.Namespace) -> None:
    """Half of what is drawn comes from the dataset, half from the further one."""
    training, validation, held_out = parts(load_masked(read_dataset(given.dataset), half=True))
    more = without_alike(load_masked(read_dataset(given.more), half=True), held_out, above=0.98)
    network = MaskNetwork(widths=(24, 40, 64, 96, 128), kinds=1, detail=2)
    batches = LesionBatches(
        main=training, more=more, bank=draw_bank((128, 160), each=150, seed=1), seed=1, size=24
    )
    network = train_network(
        network.to(memory_format=torch.channels_last),
        batches=batches,
        loss=lesion_loss,
        pace=Pace(rates=[(4e-3, list(network.parameters()))], steps=7000),
        checkpoint=Checkpoint(given.work / "lesion", IDENTITY),
        measure=lambda step, now: told(step, quality_of_lesions(now, validation)),
    ).network
    out, example = given.out / "lesion.onnx", images(validation)[:16]
    # Twice: what the confidence is fitted on are the file's own maps.
    export_masks(network, example=example, numbers={"confidence": [0.0] * 5}, out=out)
    session = MaskSession(out.read_bytes())
    looks = [look_at(view, session) for view in validation.views]
    weights = fit_confidence(looks, validation)
    worst = export_masks(network, example=example, numbers={"confidence": weights}, out=out)
    print(f"{out}: confidence {weights}, differs by {worst:.2g}")


def train_artefacts(given: argparse.Namespace) -> None:
    """Labels of whole pictures, and pixels of drawn artefacts."""
    training, validation, _ = parts(load_masked(read_dataset(given.dataset)))
    network, loss = ArtefactNetwork(kinds=len(KINDS)), ArtefactLoss()
    load_imagenet(network.trunk)
    trunk = list(network.train().trunk.parameters())
    rest = [each for name, each in network.named_parameters() if not name.startswith("trunk.")]
    batches = ArtefactBatches(
        pictures=training, bank=draw_bank((256, 320), each=60, seed=2), seed=2, size=12
    )
    rates = [(5e-4, trunk), (3e-3, [*rest, *loss.parameters()])]
    trained = train_network(
        network.to(memory_format=torch.channels_last),
        batches=batches,
        loss=loss,
        pace=Pace(rates=rates, steps=1800),
        checkpoint=Checkpoint(given.work / "artefacts", IDENTITY),
        measure=lambda step, now: told(step, quality_of_labels(now, validation)),
    ).network
    scales = [float(scale) for scale in loss.log_scale.detach().exp()]
    out = given.out / "artefacts.onnx"
    worst = export_masks(
        Maps(trained), example=images(validation)[:16], numbers={"scales": scales}, out=out
    )
    print(f"{out}: scales {scales}, differs by {worst:.2g}")


def parts(pictures: MaskedPictures) -> tuple[MaskedPictures, MaskedPictures, MaskedPictures]:
    """Training, validation and held-out pictures; of the first, none like the last."""
    held = np.array(
        [is_held_out(name, share=HELD_OUT_SHARE, seed=HELD_OUT_SEED) for name in pictures.names]
    )
    checked = np.array(
        [is_held_out(name, share=VALIDATION_SHARE, seed=VALIDATION_SEED) for name in pictures.names]
    )
    held_out = pictures.chosen(held)
    training = without_alike(pictures.chosen(~held & ~checked), held_out, above=0.97)
    return training, pictures.chosen(checked & ~held), held_out


def told(step: int, quality: dict[str, float]) -> float:
    """Say how far the training is; the mean of what was measured."""
    print(
        f"step {step}:", ", ".join(f"{key} {each:.3f}" for key, each in quality.items()), flush=True
    )
    return float(np.mean(list(quality.values())))


def images(pictures: MaskedPictures) -> torch.Tensor:
    """Views as a network takes them: float32 [N, 3, H, W], 0…1."""
    return torch.from_numpy(pictures.views.transpose(0, 3, 1, 2).astype(np.float32) / 255)


def quality_of_lesions(network: torch.nn.Module, pictures: MaskedPictures) -> dict[str, float]:
    """Mean Jaccard index of the raw maps."""
    with torch.no_grad():
        maps = [network(image[None])[0, 0].numpy() > 0 for image in images(pictures)]
    found = [jaccard(each, mask > 127) for each, mask in zip(maps, pictures.masks, strict=True)]
    return {"mean Jaccard index": float(np.mean(found))}


def quality_of_labels(network: torch.nn.Module, pictures: MaskedPictures) -> dict[str, float]:
    """AUC of each kind's share."""
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415 - for those who train alone

    with torch.no_grad():
        shares = np.array(
            [
                network(image[None])[0][0].sigmoid().mean((1, 2)).numpy()
                for image in images(pictures)
            ]
        )
    return {
        str(kind): float(roc_auc_score(pictures.labels[:, number], shares[:, number]))
        for number, kind in enumerate(KINDS)
    }


if __name__ == "__main__":
    main()
