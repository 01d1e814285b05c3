"""What a metric training is made of; torch is not imported here, as in `learning.settings`."""

from dataclasses import dataclass, field
from typing import Literal

from dermtwin.errors import SettingsError
from dermtwin.learning.bounds import refuse
from dermtwin.learning.metric.settings import AugmentationSettings, MetricLossSettings
from dermtwin.learning.settings import InputSettings, PreparationSettings

_BACKBONES = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
_TIMM = "timm:"
_STRIDE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSettings:
    """The network that is learnt upon.

    Attributes:
        name: an EfficientNet-Lite with its ImageNet weights, or timm:NAME, a network of timm's.
        frozen_stages: how many of its seven stages, with the stem, stay as ImageNet left them.
        weights: a file that timm's network starts from; empty: random weights.
        drop_path: how often, in training, the last block is skipped for a picture; earlier ones
            less often.
    """

    name: str = "efficientnet-lite0"
    frozen_stages: int = 2
    weights: str = ""
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        known = ", ".join(map(repr, _BACKBONES))
        # A second colon would name a place to download from.
        fits = self.name in _BACKBONES or (bool(self.of_timm) and ":" not in self.of_timm)
        need = f"one of {known}, or timm:NAME"
        refuse("backbone.name", repr(self.name), unless=fits, need=need)
        frozen = self.frozen_stages
        refuse("backbone.frozen_stages", frozen, unless=0 <= frozen <= 7, need="from 0 to 7")
        if self.of_timm and frozen:
            raise SettingsError(
                f"backbone.frozen_stages must be 0 with {self.name}, whose stages are its own, got "
                f"{frozen}."
            )
        drop = self.drop_path
        refuse("backbone.drop_path", drop, unless=0 <= drop < 1, need="from 0, below 1")
        if self.of_timm and drop:
            raise SettingsError(f"backbone.drop_path must be 0 with {self.name}, got {drop}.")
        if self.weights and not self.of_timm:
            raise SettingsError(f"backbone.weights: those of {self.name} come with its package.")

    @property
    def variant(self) -> int:
        """Of EfficientNet-Lite: 0, 1 or 2."""
        return int(self.name[-1])

    @property
    def of_timm(self) -> str:
        """What timm calls the network; empty: it is none of timm's."""
        return self.name.removeprefix(_TIMM) if self.name.startswith(_TIMM) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSettings:
    """The codes.

    Attributes:
        numbers: in the code, of unit length.
        bits: in the bit code; 0: none.
        dropout: of the features before both.
    """

    numbers: int = 32
    bits: int = 64
    dropout: float = 0.2

    def __post_init__(self) -> None:
        refuse("head.numbers", self.numbers, unless=2 <= self.numbers <= 512, need="2 … 512")
        fits = 0 <= self.bits <= 512 and self.bits % 8 == 0
        refuse("head.bits", self.bits, unless=fits, need="0, or a multiple of 8 up to 512")
        refuse("head.dropout", self.dropout, unless=0 <= self.dropout < 1, need="from 0, below 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class BitSettings:
    """What the bit code learns from, beside the loss of the code.

    Attributes:
        weight: of the code's own loss, taken of the bits as well.
        quantisation: of their distance from -1 and 1 (Liu 2016).
        balance: of each bit's being set half of the time.
        decorrelation: of bits telling different things.
        prefix: the first bits that must do by themselves too; 0: none.
    """

    weight: float = 0.5
    quantisation: float = 0.05
    balance: float = 0.1
    decorrelation: float = 0.1
    prefix: int = 32

    def __post_init__(self) -> None:
        for name in ("weight", "quantisation", "balance", "decorrelation"):
            value = getattr(self, name)
            refuse(f"bits.{name}", value, unless=0 <= value <= 1000, need="from 0 to 1000")
        fits = self.prefix >= 0 and self.prefix % 8 == 0
        refuse("bits.prefix", self.prefix, unless=fits, need="0 or a multiple of 8")


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingSettings:
    """What an epoch is made of.

    Attributes:
        power: lesions of a class in an epoch grow with this power of how many there are: 1 takes
            all, 0 as many of each class as the rarest has.
        per_batch: images a step.
    """

    power: float = 0.5
    per_batch: int = 48

    def __post_init__(self) -> None:
        refuse("sampling.power", self.power, unless=0 <= self.power <= 1, need="from 0 to 1")
        fits = 4 <= self.per_batch <= 65536
        refuse("sampling.per_batch", self.per_batch, unless=fits, need="4 … 65536")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricOptimiserSettings:
    """How the weights are moved: AdamW, one cycle of the rates, a moving average of the weights.

    Attributes:
        epochs: times that an epoch is drawn.
        backbone_rate: the highest learning rate of the backbone.
        head_rate: of the codes and of the loss's own directions.
        weight_decay: pull of each weight towards 0.
        average: decay of the moving average, a step.
        measured_every: epochs between two points of the curve.
        patience: points without a better validation figure after which training stops; 0: never.
        threads: processor threads a process; sums, and so the weights' last digits, depend on it.
        devices: GPUs to train on, or processes where there is none, each with its part of a batch;
            sums depend on it too.
        precision: of the backbone's multiplications while it is trained.
        first_size: pixels on each side of the first pictures; they grow to input.size in steps of
            32, each for as long (Tan 2021, "progressive learning"); 0: that of the input all along.
        start_share: with an encoder to start from, its weights' share in the final ones (Wortsman
            2022, "WiSE-FT").
    """

    epochs: int = 30
    backbone_rate: float = 6e-4
    head_rate: float = 3e-3
    weight_decay: float = 0.01
    average: float = 0.998
    measured_every: int = 3
    patience: int = 0
    threads: int = 1
    devices: int = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    first_size: int = 0
    start_share: float = 0.0

    def __post_init__(self) -> None:
        bounds = {"epochs": 100_000, "measured_every": 100_000, "threads": 1024, "devices": 1024}
        for name, most in bounds.items():
            value = getattr(self, name)
            refuse(f"optimiser.{name}", value, unless=1 <= value <= most, need=f"1 … {most}")
        for name in ("backbone_rate", "head_rate"):
            value = getattr(self, name)
            refuse(f"optimiser.{name}", value, unless=0 < value <= 1, need="above 0, at most 1")
        decay, average = self.weight_decay, self.average
        refuse("optimiser.weight_decay", decay, unless=0 <= decay <= 1, need="from 0 to 1")
        refuse("optimiser.average", average, unless=0 <= average < 1, need="from 0, below 1")
        fits = self.first_size >= 0 and self.first_size % _STRIDE == 0
        refuse("optimiser.first_size", self.first_size, unless=fits, need="0 or a multiple of 32")
        share = self.start_share
        refuse("optimiser.start_share", share, unless=0 <= share < 1, need="from 0, below 1")
        refuse("optimiser.patience", self.patience, unless=self.patience >= 0, need="0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricTrainingSettings:
    """Everything that decides, together with the images, what encoder comes out.

    Attributes:
        method: which kind of training a file asks for.
        name: what people call the encoder.
        seed: of the first weights and of every draw.
        input: size and resize rule; mean and deviation are the backbone's.
    """

    method: Literal["metric"] = "metric"
    name: str = "metric"
    seed: int = 0
    input: InputSettings = field(default_factory=lambda: InputSettings(size=160))
    preparation: PreparationSettings = field(default_factory=PreparationSettings)
    backbone: BackboneSettings = field(default_factory=BackboneSettings)
    head: HeadSettings = field(default_factory=HeadSettings)
    loss: MetricLossSettings = field(default_factory=MetricLossSettings)
    bits: BitSettings = field(default_factory=BitSettings)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    optimiser: MetricOptimiserSettings = field(default_factory=MetricOptimiserSettings)

    def __post_init__(self) -> None:
        refuse("name", repr(self.name), unless=bool(self.name.strip()), need="a name")
        refuse("seed", self.seed, unless=0 <= self.seed < 2**32, need="from 0 to 2³²-1")
        fits = self.input.size % _STRIDE == 0
        refuse("input.size", self.input.size, unless=fits, need=f"a multiple of {_STRIDE}")
        if self.input.mean:
            raise SettingsError("input.mean and input.std are the backbone's own; leave them out.")
        self.preparation.refuse_cutting_again(self.input.resize)
        first, need = self.optimiser.first_size, f"at most input.size {self.input.size}"
        refuse("optimiser.first_size", first, unless=first <= self.input.size, need=need)
        batch, devices = self.sampling.per_batch, self.optimiser.devices
        fits, need = batch % devices == 0, f"a multiple of optimiser.devices {devices}"
        refuse("sampling.per_batch", batch, unless=fits, need=need)
        if self.head.bits and self.bits.prefix >= self.head.bits:
            raise SettingsError(
                f"bits.prefix {self.bits.prefix} must be below head.bits {self.head.bits}; 0 does "
                "without."
            )

    @property
    def sizes(self) -> range:
        """Pixels on each side of the training's pictures, from the first to the input's."""
        last = self.input.size
        return range(self.optimiser.first_size or last, last + _STRIDE, _STRIDE)
