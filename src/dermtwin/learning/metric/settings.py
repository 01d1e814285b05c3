"""What the losses and the augmentation are set to, each with its bounds; torch is not imported."""

from dataclasses import dataclass

from dermtwin.errors import SettingsError
from dermtwin.learning.bounds import refuse

TERMS = (
    "contrastive",
    "triplet",
    "multi_similarity",
    "supervised_contrastive",
    "proxy_anchor",
    "cosine_softmax",
    "hierarchical",
)
"""The losses that can be summed, by the names of their weights."""


def _refuse_outside(
    key: str, value: float, *, least: float = 0.0, most: float, above: bool = False
) -> None:
    """Refuse what is not from `least` to `most`, or, with `above`, not above `least`."""
    lower = f"above {least:g}, at most" if above else f"from {least:g} to"
    fits = least <= value <= most and (value > least or not above)
    refuse(key, value, unless=fits, need=f"{lower} {most:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricLossSettings:
    """A weighted sum of losses; a loss of weight 0 is left out.

    Attributes:
        contrastive, triplet, multi_similarity, supervised_contrastive, proxy_anchor,
            cosine_softmax, hierarchical: the weight of each loss.
        margin: of the contrastive loss, a distance; codes of unit length are at most 2 apart.
        triplet_margin: of the triplet loss, a squared distance.
        temperature: of the supervised contrastive loss.
        scale: of the cosine softmax; smaller is softer.
        smoothing: of the cosine softmax's labels.
        malignant_weight: of malignant/benign beside the diagnosis, in the cosine softmax.
        near: by how much, as a squared distance, the same diagnosis is nearer than another of the
            same malignancy.
        far: by how much these are nearer than the other malignancy.
    """

    contrastive: float = 0.0
    triplet: float = 0.0
    multi_similarity: float = 0.0
    supervised_contrastive: float = 0.0
    proxy_anchor: float = 0.0
    cosine_softmax: float = 1.0
    hierarchical: float = 0.0
    margin: float = 1.0
    triplet_margin: float = 0.2
    temperature: float = 0.1
    scale: float = 16.0
    smoothing: float = 0.05
    malignant_weight: float = 1.0
    near: float = 0.2
    far: float = 0.4

    def __post_init__(self) -> None:
        for name in TERMS:
            _refuse_outside(f"loss.{name}", getattr(self, name), most=1000)
        if not self.terms:
            raise SettingsError(f"all losses weigh 0; set one of {', '.join(TERMS)} above 0.")
        _refuse_outside("loss.margin", self.margin, most=2, above=True)
        for name in ("triplet_margin", "near", "far"):
            _refuse_outside(f"loss.{name}", getattr(self, name), most=4, above=True)
        _refuse_outside("loss.temperature", self.temperature, least=0.01, most=10)
        _refuse_outside("loss.scale", self.scale, most=1000, above=True)
        _refuse_outside("loss.smoothing", self.smoothing, most=0.5)
        _refuse_outside("loss.malignant_weight", self.malignant_weight, most=1000)

    @property
    def terms(self) -> dict[str, float]:
        """The weights above 0, by the losses' names."""
        return {name: getattr(self, name) for name in TERMS if getattr(self, name) > 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentationSettings:
    """How far a training picture may be changed; a spread s is a factor from 1/(1+s) to 1+s.

    Attributes:
        flip: mirrored, half of the time.
        quarter_turns: turned by 0, 90, 180 or 270 degrees.
        angle: degrees turned beyond that, at most, either way.
        scale: least and most side of the crop, in sides of the picture; below 1 is nearer.
        shift: how far the crop's middle moves at most, along each axis, in sides of the picture.
        aspect: spread of the crop's width to its height.
        gain: spread of each channel's brightness.
        gamma, contrast, saturation: their spreads.
        blur, noise: how often a picture is blurred, or gets noise.
        corner: how often the dark edge of a lens shows in the corners.
        mix: of the Beta(mix, mix) that draws how far the pictures of a batch, and their labels,
            are mixed with one another (Zhang 2018, "mixup"); 0: not.
    """

    flip: bool = True
    quarter_turns: bool = True
    angle: float = 10.0
    scale: tuple[float, ...] = (0.75, 1.0)
    shift: float = 0.1
    aspect: float = 0.1
    gain: float = 0.06
    gamma: float = 0.15
    contrast: float = 0.1
    saturation: float = 0.15
    blur: float = 0.1
    noise: float = 0.1
    corner: float = 0.05
    mix: float = 0.0

    def __post_init__(self) -> None:
        if len(self.scale) != 2 or not 0.1 <= self.scale[0] <= self.scale[1] <= 2:
            raise SettingsError(
                "augmentation.scale must be two numbers from 0.1 to 2, the lesser first, "
                f"got {list(self.scale)}."
            )
        _refuse_outside("augmentation.angle", self.angle, most=180)
        _refuse_outside("augmentation.shift", self.shift, most=0.5)
        for name in (
            "aspect",
            "gain",
            "gamma",
            "contrast",
            "saturation",
            "blur",
            "noise",
            "corner",
            "mix",
        ):
            _refuse_outside(f"augmentation.{name}", getattr(self, name), most=1)
