"""Which queries are asked of which gallery.

A query's own image, lesion and patient never come back. The paper leaves out the query's image
alone; where a test set holds several photographs of a lesion, this rule is the stricter.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from dermtwin.evaluation.ranking import Floats, Ints, Ranking, rank
from dermtwin.evaluation.subjects import CLASS_NAMES, STANDARD, Exclusion, Subjects

PAPER, BALANCED, LEAVE_ONE_OUT, GALLERY = "paper", "balanced", "leave-one-out", "gallery"

DRAWS, QUERIES_PER_CLASS = 10, 5

TEST_PER_CLASS = 113
"""As many test images of each class as the paper has."""

DEFINITIONS = {
    PAPER: f"{DRAWS} draws of {QUERIES_PER_CLASS} malignant and {QUERIES_PER_CLASS} benign "
    "queries, without repeats within a draw; each query against all other test images; the "
    "first 10 of each. paper_map is the mean precision@10 of a draw's queries, the measure of the "
    "paper's Table I; mAP is the mean of their full average precision.",
    BALANCED: f"{DRAWS} draws of {TEST_PER_CLASS} malignant and {TEST_PER_CLASS} benign images, as "
    "many as the paper's test set has, or as many of each as the smaller class has; each image "
    "against all others of its draw.",
    LEAVE_ONE_OUT: "each test image against all other test images.",
    GALLERY: "each test image against the training cases.",
}
RULE = (
    "A query's own image, lesion and patient never come back. The paper leaves out the query's "
    "image alone; where a test set holds several photographs of a lesion, this rule is stricter."
)


def rankings(
    distances: Iterable[Floats],
    *,
    queries: Subjects,
    gallery: Subjects,
    exclusion: Exclusion = STANDARD,
) -> Iterator[Ranking]:
    """Rank the gallery for each query in turn.

    Args:
        distances: a row of float64 [gallery], or [views, gallery], for each query, in the queries'
            order.
        queries: who asks.
        gallery: who may come back.
        exclusion: what never comes back.
    """
    for query, row in enumerate(distances):
        yield rank(
            row,
            classes=gallery.classes,
            query_class=int(queries.classes[query]),
            eligible=exclusion.eligible(queries, gallery, query=query),
        )


def paper_draws(classes: Ints, *, seed: int) -> Ints:
    """Draw the paper's queries.

    They ask nothing that leave-one-out does not ask: their values are picked from it.

    Args:
        classes: int64 [N] of the test images.
        seed: of the draws.

    Returns:
        int64 [10 draws, 10 queries], rows of the test images, malignant ones first; empty when a
        class has fewer than 5.
    """
    members = [np.flatnonzero(classes == each) for each in CLASS_NAMES]
    if min(map(len, members)) < QUERIES_PER_CLASS:
        return np.empty((0, 2 * QUERIES_PER_CLASS), dtype=np.int64)
    generator = np.random.default_rng(seed)
    return np.array(
        [
            np.concatenate(
                [generator.choice(each, QUERIES_PER_CLASS, replace=False) for each in members]
            )
            for _ in range(DRAWS)
        ]
    )
