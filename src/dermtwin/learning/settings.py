"""What a training is made of: a frozen dataclass a concern, each with its bounds.

Torch is not imported here, so that settings can be read and checked before anything heavy is.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

from dermtwin.encoders import InputSpec, LightRule, ResizeRule
from dermtwin.errors import SettingsError
from dermtwin.learning.bounds import refuse
from dermtwin.preparation import Recipe

MAP_SIDE = 25
"""Rows and columns of the paper's image code."""

_KERNEL = 3
_CONVOLUTIONS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSettings:
    """What the network sees.

    Attributes:
        size: pixels on each side of the square input.
        resize: how a picture of any shape becomes that square.
        light: whether colours are taken as they are.
        mean, std: per channel, red-green-blue, of values from 0 to 1; empty: the training images'.
    """

    size: int = 100
    resize: ResizeRule = "centre-square"
    light: LightRule = "as-is"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        together = bool(self.mean) == bool(self.std)
        refuse("input.std", list(self.std), unless=together, need="given where input.mean is")
        _ = self.provisional

    @property
    def provisional(self) -> InputSpec:
        """Size and resize rule, which are all that bringing pictures to size needs."""
        return self.spec(mean=self.mean or (0.5, 0.5, 0.5), std=self.std or (0.5, 0.5, 0.5))

    def spec(self, *, mean: tuple[float, ...], std: tuple[float, ...]) -> InputSpec:
        """The encoder's input with these means and deviations; raises SettingsError."""
        if len(mean) != 3 or len(std) != 3:
            raise SettingsError("input.mean and input.std must be three numbers each, or empty.")
        return InputSpec(
            size=self.size,
            resize=self.resize,
            light=self.light,
            mean=(mean[0], mean[1], mean[2]),
            std=(std[0], std[1], std[2]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparationSettings:
    """How pictures are cut before anything else; docs/preparation.md.

    Attributes:
        crop: `none`, or the shape of the crop that keeps the lesion.
        margin: skin wanted on each side of the lesion, in lengths of the lesion's longer side.
        least_margin: what of it is kept even where an artefact lies in it.
        no_hair: ablation: hair painted over.
    """

    crop: Literal["none", "square", "rectangle"] = "none"
    margin: float = 0.2
    least_margin: float = 0.1
    no_hair: bool = False

    def refuse_cutting_again(self, resize: ResizeRule) -> None:
        """Raise SettingsError where the resize rule would cut what the crop keeps."""
        if self.crop != "none" and resize == "centre-square":
            raise SettingsError(
                "input.resize centre-square would cut what preparation.crop keeps; set "
                "input.resize to pad or stretch."
            )

    @property
    def recipe(self) -> Recipe | None:
        """As an encoder's card carries it; None: pictures are not prepared."""
        if self.crop == "none" and not self.no_hair:
            return None
        return Recipe(
            shape="whole" if self.crop == "none" else self.crop,
            margin=self.margin,
            least_margin=self.least_margin,
            no_hair=self.no_hair,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """Widths and strides, which the paper leaves open.

    Attributes:
        channels: outputs of the first four convolutions; the fifth gives one, the image code.
        strides: of all five convolutions.
        hidden: outputs of the first two fully connected layers.
        outputs: numbers in the code.
    """

    channels: tuple[int, ...] = (4, 8, 8, 8)
    strides: tuple[int, ...] = (2, 1, 1, 1, 1)
    hidden: tuple[int, ...] = (128, 64)
    outputs: int = 5

    def __post_init__(self) -> None:
        _check_counts("network.channels", self.channels, length=_CONVOLUTIONS - 1, most=1024)
        _check_counts("network.strides", self.strides, length=_CONVOLUTIONS, most=4)
        _check_counts("network.hidden", self.hidden, length=2, most=65536)
        refuse("network.outputs", self.outputs, unless=1 <= self.outputs <= 4096, need="1 … 4096")

    def last_side(self, size: int) -> int:
        """Rows of the last convolution's output for an input of `size` pixels.

        Raises:
            SettingsError: a layer's input is too small to be mirrored at its border.
        """
        side = size
        for stride in self.strides:
            refuse("input.size", size, unless=side >= _KERNEL, need="larger for network.strides")
            side = (side - 1) // stride + 1
        return side


def _check_counts(key: str, values: Collection[int], *, length: int, most: int) -> None:
    fits = len(values) == length and all(1 <= value <= most for value in values)
    refuse(key, list(values), unless=fits, need=f"{length} whole numbers from 1 to {most}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSettings:
    """The contrastive loss.

    Attributes:
        margin: the distance beyond which a dissimilar pair costs nothing.
    """

    margin: float = 2.0

    def __post_init__(self) -> None:
        refuse("loss.margin", self.margin, unless=0 < self.margin < 1e6, need="above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSettings:
    """How pairs are drawn.

    Attributes:
        per_epoch: pairs in an epoch, a multiple of four; 0: as many as there are images.
    """

    per_epoch: int = 0

    def __post_init__(self) -> None:
        fits = 0 <= self.per_epoch <= 10**7 and self.per_epoch % 4 == 0
        refuse("pairs.per_epoch", self.per_epoch, unless=fits, need="0 or a multiple of four")


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimiserSettings:
    """How the weights are moved.

    Attributes:
        kind: Adam is the only one so far.
        learning_rate: Adam's step size.
        weight_decay: pull of each weight towards 0.
        batch_pairs: pairs a step.
        epochs: times that pairs are drawn.
    """

    kind: Literal["adam"] = "adam"
    learning_rate: float = 0.002
    weight_decay: float = 0.0
    batch_pairs: int = 32
    epochs: int = 8

    def __post_init__(self) -> None:
        rate, decay = self.learning_rate, self.weight_decay
        refuse("optimiser.learning_rate", rate, unless=0 < rate <= 1, need="above 0, at most 1")
        refuse("optimiser.weight_decay", decay, unless=0 <= decay <= 1, need="from 0 to 1")
        pairs, epochs = self.batch_pairs, self.epochs
        refuse("optimiser.batch_pairs", pairs, unless=2 <= pairs <= 65536, need="2 … 65536")
        refuse("optimiser.epochs", epochs, unless=1 <= epochs <= 100_000, need="1 … 100000")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """Everything that decides, together with the images, what encoder comes out.

    Attributes:
        method: which kind of training a file asks for.
        name: what people call the encoder.
        seed: of the first weights and of every draw of pairs.
    """

    method: Literal["siamese"] = "siamese"
    name: str = "paper"
    seed: int = 0
    input: InputSettings = field(default_factory=InputSettings)
    preparation: PreparationSettings = field(default_factory=PreparationSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    pairs: PairSettings = field(default_factory=PairSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)

    def __post_init__(self) -> None:
        refuse("name", repr(self.name), unless=bool(self.name.strip()), need="a name")
        refuse("seed", self.seed, unless=0 <= self.seed < 2**32, need="from 0 to 2³²-1")
        _ = self.preparation.recipe
        self.preparation.refuse_cutting_again(self.input.resize)
        side = self.network.last_side(self.input.size)
        if side % MAP_SIDE or not side:
            raise SettingsError(
                f"the last convolution of input.size {self.input.size} and network.strides "
                f"{list(self.network.strides)} is {side} pixels wide; the image code needs a "
                f"multiple of {MAP_SIDE}."
            )
