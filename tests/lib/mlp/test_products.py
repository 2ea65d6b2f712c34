"""In-place products equal NumPy's, whichever way the operands lie."""

from __future__ import annotations

import numpy as np
import pytest

from lib.mlp.products import column_sums, product


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 4, 5), (3, 1, 5), (3, 4, 1), (1, 1, 1)])
def test_products_equal_numpy_s(dtype, accumulate, shape):
    m, k, n = shape
    rng = np.random.default_rng(0)
    lefts = [rng.normal(size=(m, k)), rng.normal(size=(k, m)).T, rng.normal(size=(m, 2 * k))[:, ::2]]
    rights = [rng.normal(size=(k, n)), rng.normal(size=(n, k)).T, rng.normal(size=(2 * k, n))[::2]]
    for left in lefts:
        for right in rights:
            left, right = left.astype(dtype, order="K"), right.astype(dtype, order="K")
            out = rng.normal(size=(m, n)).astype(dtype)
            expected = left @ right + (out if accumulate else 0)
            product(left, right, out, accumulate)
            np.testing.assert_allclose(out, expected, rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("shape", [(5, 3), (1, 3), (5, 1), (1, 1)])
def test_column_sums_equal_numpy_s(dtype, accumulate, shape):
    rng = np.random.default_rng(0)
    for values in (rng.normal(size=shape).astype(dtype), rng.normal(size=shape[::-1]).astype(dtype).T):
        out = rng.normal(size=shape[1]).astype(dtype)
        expected = values.sum(axis=0) + (out if accumulate else 0)
        column_sums(values, np.ones(shape[0], dtype), out, accumulate)
        np.testing.assert_allclose(out, expected, rtol=1e-5 if dtype == np.float32 else 1e-12)
