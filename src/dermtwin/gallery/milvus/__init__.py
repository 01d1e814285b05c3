"""A gallery in Milvus, for casebooks beyond one machine's memory; docs/scale.md says when.

A gallery is one collection: a row a case with its bits as a binary vector (BIN_FLAT: each is
looked at, so that the answer is exact), its code as an array, and its fields as scalars. Milvus
proposes by Hamming distance; ties are settled here, by the codes. The number of the last change
stands in the collection's properties and is written last, so that what was cut short is done anew.

Two differences to the gallery in memory:

- A snapshot looks at the present: while changes are applied it may see a part of them. What was
  removed is gone from the next answer in every process all the same (consistency level Strong).
- One process at a time applies changes. Another that is still at an older one would bring cases
  back that have been removed meanwhile.
"""

from dermtwin.gallery.milvus.gallery import MilvusGallery, MilvusSnapshot

__all__ = ["MilvusGallery", "MilvusSnapshot"]
