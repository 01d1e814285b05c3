import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dermtwin.learning.metric.augmentation import augmented  # noqa: E402
from dermtwin.learning.metric.settings import AugmentationSettings  # noqa: E402

NONE = {
    "flip": False,
    "quarter_turns": False,
    "angle": 0.0,
    "scale": (1.0, 1.0),
    **dict.fromkeys(
        ("shift", "aspect", "gain", "gamma", "contrast", "saturation", "blur", "noise", "corner"),
        0.0,
    ),
}
ALL = AugmentationSettings(
    angle=180, scale=(0.5, 1.5), shift=0.3, aspect=1, gain=1, gamma=1, contrast=1, saturation=1,
    blur=1, noise=1, corner=1,
)  # fmt: skip


def only(**changed: object) -> AugmentationSettings:
    return AugmentationSettings(**(NONE | changed))


def pictures(count: int = 6, height: int = 24, width: int = 24, *, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


def view(
    images: torch.Tensor, settings: AugmentationSettings, *, size: int = 24, seed: int = 0
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return augmented(images, generator=generator, size=size, settings=settings)


@pytest.mark.parametrize(("height", "width", "size"), [(24, 24, 24), (20, 31, 24), (40, 25, 17)])
def test_no_change_is_the_resized_picture(height: int, width: int, size: int) -> None:
    images = pictures(height=height, width=width)
    expected = torch.nn.functional.interpolate(
        images, size=(size, size), mode="bilinear", align_corners=False
    )
    torch.testing.assert_close(view(images, only(), size=size), expected, atol=2e-5, rtol=0)


def symmetries(picture: torch.Tensor) -> list[torch.Tensor]:
    """The eight mirrored and turned views of [3, side, side]; the mirrored ones last."""
    return [
        torch.rot90(each, turns, dims=(1, 2))
        for each in (picture, picture.flip(2))
        for turns in range(4)
    ]


@pytest.mark.parametrize(
    ("flip", "turns", "expected"),
    [(True, False, {0, 4}), (False, True, {0, 1, 2, 3}), (True, True, set(range(8)))],
)
def test_flips_and_turns_move_pixels_and_change_none(
    flip: bool,
    turns: bool,
    expected: set[int],
) -> None:
    images = pictures(80)
    views = view(images, only(flip=flip, quarter_turns=turns))
    torch.testing.assert_close(
        views.flatten(2).sort().values, images.flatten(2).sort().values, atol=2e-5, rtol=0
    )
    found = [
        [
            place
            for place, each in enumerate(symmetries(image))
            if torch.allclose(each, seen, atol=2e-5)
        ]
        for image, seen in zip(images, views, strict=True)
    ]
    assert all(len(places) == 1 for places in found)
    counts = np.bincount([places[0] for places in found], minlength=8)
    assert {place for place in range(8) if counts[place]} == expected


@pytest.mark.parametrize("settings", [AugmentationSettings(), ALL], ids=["default", "all"])
def test_values_stay_from_0_to_1(settings: AugmentationSettings) -> None:
    images = pictures(30)
    images[0], images[1] = 0, 1
    views = view(images, settings, size=32)
    assert views.shape == (30, 3, 32, 32)
    assert torch.isfinite(views).all()
    assert views.min() >= 0
    assert views.max() <= 1


@pytest.mark.parametrize("settings", [AugmentationSettings(), ALL], ids=["default", "all"])
def test_views_depend_on_the_generator_alone(settings: AugmentationSettings) -> None:
    images = pictures()
    before = images.clone()
    torch.manual_seed(1)
    one = view(images, settings)
    torch.manual_seed(2)
    assert torch.equal(one, view(images, settings))
    assert not torch.equal(one, view(images, settings, seed=1))
    assert torch.equal(images, before)


def test_pictures_of_a_batch_are_changed_apart() -> None:
    views = view(pictures(1).expand(20, -1, -1, -1), AugmentationSettings())
    assert len({each.numpy().tobytes() for each in views}) == 20


def ramps() -> torch.Tensor:
    """Pictures whose red is the place across, whose green is the place down, from 0 to 1."""
    places = (torch.arange(40) + 0.5) / 40
    red, green = places.expand(40, 40), places[:, None].expand(40, 40)
    return torch.stack([red, green, torch.zeros(40, 40)]).expand(200, 3, 40, 40)


def test_a_crop_shows_the_part_asked_for() -> None:
    views = view(ramps(), only(scale=(0.5, 0.8), shift=0.1), size=40)
    middle = views[:, :2, 19:21, 19:21].mean(dim=(2, 3))
    assert 0.4 - 1e-3 <= middle.min() < 0.42
    assert 0.58 < middle.max() <= 0.6 + 1e-3
    across = (views[:, 0, :, -1] - views[:, 0, :, 0]).mean(dim=1) * 40 / 39
    down = (views[:, 1, -1] - views[:, 1, 0]).mean(dim=1) * 40 / 39
    assert 0.5 - 1e-3 <= across.min() < 0.52
    assert 0.77 < across.max() <= 0.8 + 1e-3
    torch.testing.assert_close(across, down, atol=1e-3, rtol=0)


def test_the_aspect_stays_within_its_spread() -> None:
    views = view(ramps(), only(scale=(0.5, 0.5), aspect=0.2), size=40)
    ratio = (views[:, 0, 0, -1] - views[:, 0, 0, 0]) / (views[:, 1, -1, 0] - views[:, 1, 0, 0])
    assert 1 / 1.2 - 1e-3 <= ratio.min() < 0.86
    assert 1.17 < ratio.max() <= 1.2 + 1e-3


def test_angles_stay_within_their_bound() -> None:
    views = view(ramps(), only(angle=20.0, scale=(0.5, 0.5)), size=40)
    red = views[:, 0]
    slope_across, slope_down = red[:, 20, 30] - red[:, 20, 10], red[:, 30, 20] - red[:, 10, 20]
    angle = torch.rad2deg(torch.atan2(slope_down, slope_across))
    assert -20.1 <= angle.min() < -18
    assert 18 < angle.max() <= 20.1


def test_gains_are_per_channel() -> None:
    grey = torch.full((200, 3, 8, 8), 0.5)
    gains = view(grey, only(gain=0.1), size=8).mean(dim=(2, 3)) / 0.5
    assert 1 / 1.1 - 1e-3 <= gains.min() < 0.93
    assert 1.08 < gains.max() <= 1.1 + 1e-3
    assert abs(np.corrcoef(gains[:, 0], gains[:, 1])[0, 1]) < 0.3


def test_saturation_keeps_grey_and_contrast_keeps_the_mean() -> None:
    images = 0.35 + 0.3 * pictures(20)
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    plain = (images * weights).sum(dim=1)
    stronger = view(images, only(saturation=0.5))
    torch.testing.assert_close((stronger * weights).sum(dim=1), plain, atol=1e-4, rtol=0)
    steeper = (view(images, only(contrast=0.2)) * weights).sum(dim=1)
    torch.testing.assert_close(steeper.mean(dim=(1, 2)), plain.mean(dim=(1, 2)), atol=1e-4, rtol=0)
    factors = steeper.std(dim=(1, 2)) / plain.std(dim=(1, 2))
    assert 1 / 1.2 - 1e-3 <= factors.min() < factors.max() <= 1.2 + 1e-3


@pytest.mark.parametrize("change", ["blur", "noise", "corner"])
def test_rare_changes_happen_as_often_as_asked_and_leave_the_rest(change: str) -> None:
    images = pictures(400, 12, 12)
    views = view(images, only(**{change: 0.25}), size=12)
    changed = (views - images).abs().amax(dim=(1, 2, 3)) > 1e-4
    # Five standard deviations of a binomial count.
    assert abs(int(changed.sum()) - 100) < 5 * np.sqrt(400 * 0.25 * 0.75)


def test_blur_smooths_each_channel_by_itself() -> None:
    points = torch.zeros(30, 3, 25, 25)
    points[:, 0, 12, 12] = 1
    views = view(points, only(blur=1.0), size=25)
    assert not views[:, 1:].any()
    torch.testing.assert_close(views.sum(dim=(1, 2, 3)), torch.ones(30), atol=1e-4, rtol=0)
    torch.testing.assert_close(views, views.flip(2).flip(3), atol=1e-5, rtol=0)
    assert len(set(views[:, 0, 12, 12].tolist())) == 30


def test_a_lens_darkens_corners_and_leaves_the_middle() -> None:
    white = torch.ones(50, 3, 40, 40)
    views = view(white, only(corner=1.0), size=40)
    assert views[:, :, 14:26, 14:26].min() > 0.999
    darkest = torch.stack([views[:, 0, row, column] for row in (0, -1) for column in (0, -1)]).amin(
        dim=0
    )
    assert darkest.max() < 0.9
