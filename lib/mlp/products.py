"""Matrix products in place by SciPy's BLAS.

NumPy's matmul can write into an array but not add to it; BLAS does both, so that a gradient goes into the weights while
they are in cache, and is never stored. One network's products must all come through here: NumPy and SciPy bring a BLAS
with threads of its own each, and two such pools that take turns within a step slow each other down twentyfold.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import dgemm, sgemm

Array = npt.NDArray[np.floating]


def product(left: Array, right: Array, out: Array, accumulate: bool = False) -> None:
    """out = left @ right, or out += left @ right.

    Parameters
    ----------
    left : ndarray, shape (m, k)
    right : ndarray, shape (k, n)
        Both contiguous, or the transpose of a contiguous array; others are copied first.
    out : ndarray, C-contiguous, shape (m, n)

    All of one dtype, float32 or float64.
    """
    gemm = sgemm if out.dtype == np.float32 else dgemm
    # BLAS counts by columns: to it, these arrays are their transposes, and out' = right' left'.
    turned = (right, 1) if right.flags.f_contiguous else (right.T, 0)
    other = (left, 1) if left.flags.f_contiguous else (left.T, 0)
    gemm(1.0, turned[0], other[0], float(accumulate), out.T, turned[1], other[1], 1)
