"""What a gallery is handed: codes, and the fields of their cases, column by column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from dermtwin.errors import SettingsError
from dermtwin.vocabulary import FIELDS, Case

Value = str | int


@dataclass(frozen=True, slots=True)
class Encoded(Sequence[Value | None]):
    """A column of few distinct values, kept as their numbers: read much faster than a list.

    Attributes:
        numbers: int [N], places in `values`; -1: unknown.
        values: the distinct values.
    """

    numbers: NDArray[np.integer]
    values: Sequence[Value]

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> Value | None: ...

    @overload
    def __getitem__(self, place: slice) -> list[Value | None]: ...

    def __getitem__(self, place: int | slice) -> Value | list[Value | None] | None:
        values = self.values
        if isinstance(place, slice):
            numbers = self.numbers[place].tolist()
            return [None if number < 0 else values[number] for number in numbers]
        number = int(self.numbers[place])
        return None if number < 0 else values[number]


Column = Sequence[Value | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """N cases with their codes.

    Attributes:
        keys: int64 [N], each case's number, unique; what removals refer to.
        codes: float32 [N, D].
        columns: for each of `FIELDS`, N values; None where unknown. An `Encoded` one is the
            fastest to take in.
        bits: uint64 [N], the signs of a code's 64 bits, the first one highest; None: the encoder
            gives none.
    """

    keys: NDArray[np.int64]
    codes: NDArray[np.float32]
    columns: Mapping[str, Column]
    bits: NDArray[np.uint64] | None = None

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or self.codes.dtype != np.float32:
            shape = list(self.codes.shape)
            raise SettingsError(f"codes are {self.codes.dtype}{shape}; expected float32 [N, D].")
        if not np.isfinite(self.codes).all():
            raise SettingsError("a code holds a value that is not a finite number.")
        if sorted(self.columns) != sorted(FIELDS):
            raise SettingsError(f"expected the columns {', '.join(FIELDS)}.")
        lengths = {len(self.keys), len(self.codes), *map(len, self.columns.values())}
        if len(lengths) != 1:
            raise SettingsError(f"keys, codes and columns differ in length: {sorted(lengths)}.")
        if self.bits is not None and (
            self.bits.shape != self.keys.shape or self.bits.dtype != np.uint64
        ):
            shape = list(self.bits.shape)
            raise SettingsError(
                f"bits are {self.bits.dtype}{shape}; expected uint64[{len(self.keys)}]."
            )
        # A casebook hands them over in order, which is seen much faster.
        is_ascending = (self.keys[1:] > self.keys[:-1]).all()
        if not is_ascending and len(np.unique(self.keys)) != len(self.keys):
            raise SettingsError("a key stands twice among the entries.")

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def of_cases(
        cls,
        cases: Sequence[Case],
        *,
        codes: NDArray[np.float32],
        bits: NDArray[np.uint64] | None = None,
        keys: Sequence[int] | None = None,
    ) -> "Entries":
        """Entries of cases in memory; without `keys` they are numbered from 0."""
        return cls(
            keys=np.asarray(range(len(cases)) if keys is None else keys, dtype=np.int64),
            codes=codes,
            columns={name: [getattr(case, name) for case in cases] for name in FIELDS},
            bits=bits,
        )

    @classmethod
    def empty(cls, dimension: int) -> "Entries":
        """No entries, of codes with `dimension` numbers."""
        return cls.of_cases((), codes=np.empty((0, dimension), np.float32))
