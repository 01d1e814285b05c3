import numpy as np
import pytest

from dermtwin.learning.distances import nearest_of_another_lesion, percentiles


@pytest.mark.parametrize("count", [2, 30, 300])
def test_nearest_is_brute_force(count: int) -> None:
    rng = np.random.default_rng(count)
    vectors = rng.normal(size=(count, 5)).astype(np.float32)
    vectors[1] = vectors[0]
    lesions = [str(number // 2) for number in range(count)] if count > 2 else ["a", "b"]
    expected = [
        min(
            float(np.linalg.norm(one.astype(float) - other.astype(float)))
            for other, owner in zip(vectors, lesions, strict=True)
            if owner != lesion
        )
        for one, lesion in zip(vectors, lesions, strict=True)
    ]
    found = nearest_of_another_lesion(vectors, lesions)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_percentiles_are_named_by_their_number() -> None:
    found = percentiles(np.arange(101.0))
    assert found == {"1": 1, "5": 5, "25": 25, "50": 50, "75": 75, "95": 95, "99": 99}
