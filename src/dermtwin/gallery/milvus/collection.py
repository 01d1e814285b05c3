"""One collection of a Milvus server: every request goes through here, every fault is a sentence."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermtwin.errors import GalleryError, MissingExtraError
from dermtwin.gallery.milvus.expressions import NUMBERS, both, quoted, read
from dermtwin.vocabulary import FIELDS

_OLDEST = (2, 3)  # the first with upsert, count(*) and arrays
_CONNECTING, _TIMEOUT = 10.0, 60.0  # seconds, then seconds a request
_MOST = 16_384  # results that Milvus gives at once
_LONGEST_TEXT = 65_535  # bytes
_VERSION = "dermtwin.version"
_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A case as Milvus gives it back."""

    isic_id: str
    lesion_id: str | None
    hamming: int
    code: NDArray[np.float32]

    @classmethod
    def of_hit(cls, hit: Any) -> "Row":  # noqa: ANN401 - pymilvus has no types
        """From a hit of pymilvus."""
        entity = hit["entity"]
        return cls(
            isic_id=str(read(entity["isic_id"])),
            lesion_id=read(entity["lesion_id"]),
            hamming=int(hit["distance"]),
            code=np.asarray(entity["code"], dtype=np.float32),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """All rows up to some Hamming distance, in no order.

    Attributes:
        is_all: whether nothing was left out.
    """

    rows: list[Row]
    is_all: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A collection with the client that speaks for it.

    Every method raises GalleryError where the server cannot be reached or refuses.
    """

    client: Any
    uri: str
    name: str

    @classmethod
    def opened(cls, uri: str, *, name: str, dimension: int, token: str) -> "Collection":
        """Connect, make the collection where there is none, and load it."""
        try:
            from pymilvus import MilvusClient  # type: ignore[import-untyped]  # noqa: PLC0415
        except ImportError as error:
            raise MissingExtraError("a gallery in Milvus", extra="milvus") from error
        # It logs each refusal with its traceback; ours is the sentence.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        with _sentences(uri):
            client = MilvusClient(uri=uri, token=token, timeout=_CONNECTING)
            check_server_version(client.get_server_version(), uri=uri)
            collection = cls(client=client, uri=uri, name=name)
            if not client.has_collection(name, timeout=_TIMEOUT):
                collection.create(dimension)
            collection.check(dimension)
            client.load_collection(name, timeout=_TIMEOUT)
        return collection

    def create(self, dimension: int) -> None:
        """Make the collection with its index."""
        from pymilvus import DataType  # noqa: PLC0415  # an extra

        schema = self.client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", DataType.INT64, is_primary=True)
        schema.add_field("bits", DataType.BINARY_VECTOR, dim=_BITS)
        schema.add_field(
            "code", DataType.ARRAY, element_type=DataType.FLOAT, max_capacity=dimension
        )
        for name in FIELDS:
            if name in NUMBERS:
                schema.add_field(name, DataType.INT64)
            else:
                schema.add_field(name, DataType.VARCHAR, max_length=_LONGEST_TEXT)
        index = self.client.prepare_index_params()
        index.add_index("bits", index_type="BIN_FLAT", metric_type="HAMMING")
        self.client.create_collection(
            self.name,
            schema=schema,
            index_params=index,
            consistency_level="Strong",
            timeout=_TIMEOUT,
        )

    def check(self, dimension: int) -> None:
        """Refuse a collection of other fields, or of codes of another length."""
        fields = {field["name"]: field["params"] for field in self._description()["fields"]}
        if sorted(fields) != sorted(("key", "bits", "code", *FIELDS)):
            raise GalleryError(
                f"the collection {self.name!r} of {self.uri} is no gallery of this dermtwin: its "
                "fields are others; name another one."
            )
        if (held := int(fields["code"]["max_capacity"])) != dimension:
            raise GalleryError(
                f"the gallery {self.name!r} of {self.uri} holds codes of {held} numbers, not of "
                f"{dimension}; name one of this encoder."
            )

    def version(self) -> int:
        """Number of the last change that is in it; 0: none."""
        with _sentences(self.uri):
            return int(self._description()["properties"].get(_VERSION, 0))

    def set_version(self, version: int) -> None:
        """Tell every process that this change is in it."""
        with _sentences(self.uri):
            self.client.alter_collection_properties(
                self.name, properties={_VERSION: str(version)}, timeout=_TIMEOUT
            )

    def count(self, where: str) -> int:
        """How many rows meet an expression."""
        with _sentences(self.uri):
            (row,) = self.client.query(
                self.name, filter=where, output_fields=["count(*)"], timeout=_TIMEOUT
            )
            return int(row["count(*)"])

    def another(self, name: str, *, than: Sequence[str | None], where: str) -> str | None:
        """A text that some row meeting an expression has there besides those; None: there is none.

        Args:
            name: of the field.
            than: texts, None (unknown) among them.
            where: the expression.
        """
        mine = both(where, f"{name} not in [{', '.join(map(quoted, than))}]")
        with _sentences(self.uri):
            rows = self.client.query(
                self.name, filter=mine, output_fields=[name], limit=1, timeout=_TIMEOUT
            )
        return read(rows[0][name]) if rows else None

    def nearest(self, bits: bytes, *, where: str, wanted: int) -> Nearest:
        """The rows nearer than some distance, with all that tie; about `wanted` of them.

        Where more are wanted than Milvus gives at once, the keys are parted by their remainders.
        """
        parts = -(-wanted // _MOST)
        rows: list[Row] = []
        bound = _BITS + 1  # what is nearer is among the rows
        for part in range(parts):
            mine = both(where, f"key % {parts} == {part}") if parts > 1 else where
            found = self._search(bits, where=mine, limit=min(wanted, _MOST))
            if len(found) == min(wanted, _MOST):
                bound = min(bound, found[-1].hamming)
            rows += found
        within = [row for row in rows if row.hamming < bound]
        return Nearest(rows=within, is_all=bound > _BITS)

    def _search(self, bits: bytes, *, where: str, limit: int) -> list[Row]:
        with _sentences(self.uri):
            (found,) = self.client.search(
                self.name,
                data=[bits],
                filter=where,
                limit=limit,
                output_fields=["isic_id", "lesion_id", "code"],
                search_params={"metric_type": "HAMMING"},
                timeout=_TIMEOUT,
            )
            return [Row.of_hit(hit) for hit in found]

    def delete(self, keys: Sequence[int]) -> None:
        """Remove rows; keys that are not there are passed over."""
        for start in range(0, len(keys), _MOST):
            with _sentences(self.uri):
                self.client.delete(
                    self.name, ids=list(keys[start : start + _MOST]), timeout=_TIMEOUT
                )

    def upsert(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows; one of the same key goes."""
        with _sentences(self.uri):
            self.client.upsert(self.name, data=list(rows), timeout=_TIMEOUT)

    def drop(self) -> None:
        """Remove the collection."""
        with _sentences(self.uri):
            self.client.drop_collection(self.name, timeout=_TIMEOUT)

    def _description(self) -> Any:  # noqa: ANN401 - pymilvus has no types
        return self.client.describe_collection(self.name, timeout=_TIMEOUT)


@contextmanager
def _sentences(uri: str) -> Iterator[None]:
    from pymilvus.exceptions import MilvusException  # type: ignore[import-untyped]  # noqa: PLC0415

    try:
        yield
    except MilvusException as error:
        told = " ".join(str(error.message).split())
        raise GalleryError(
            f"Milvus at {uri} cannot do it ({told}); see that it is running and can be reached."
        ) from error


def check_server_version(text: str, *, uri: str) -> None:
    """Refuse a server that lacks what a gallery needs.

    Args:
        text: as the server tells it, such as v2.3.5-lite.
        uri: of the server, for the error.

    Raises:
        GalleryError: it is too old, or tells no version.
    """
    parts = text.removeprefix("v").split("-")[0].split(".")[:2]
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise GalleryError(f"the server {uri} says that it is {text!r}; is it Milvus?")
    if (int(parts[0]), int(parts[1])) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise GalleryError(
            f"Milvus at {uri} is {text}; a gallery needs {oldest} or newer: update the server."
        )


def bytes_of(bits: NDArray[np.uint64]) -> list[bytes]:
    """Each code's eight bytes, the first bit highest."""
    return [bytes(row) for row in bits.astype(">u8").view(np.uint8).reshape(-1, _BITS // 8)]
