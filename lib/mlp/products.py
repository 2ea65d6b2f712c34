"""Matrix products in place, by SciPy's BLAS.

NumPy's matmul can write into an array but not add to it; BLAS does both, so that a gradient goes into the weights while
they are in cache, and is never stored. Its call costs a third of NumPy's, too. One network's products must all come through
here: NumPy and SciPy bring a BLAS with threads of its own each, and two such pools that take turns within a step slow each
other down twentyfold.

What is prepared is called again and again: it computes with what its arrays hold by then.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import dgemm, dgemv, sgemm, sgemv

Array = npt.NDArray[np.floating]
Prepared = Callable[[], object]


def prepared_product(left: Array, right: Array, out: Array, accumulate: bool = False) -> Prepared:
    """out = left @ right, or out += left @ right.

    Parameters
    ----------
    left : ndarray, shape (m, k)
    right : ndarray, shape (k, n)
        Both contiguous, or the transpose of a contiguous array; others are copied first, as they are now.
    out : ndarray, C-contiguous, shape (m, n)

    All of one dtype, float32 or float64. Raises ValueError when `out` is not contiguous: a copy of it would be filled.
    """
    if not out.flags.c_contiguous:
        raise ValueError(f"a product of shape {out.shape} has to be C-contiguous")
    gemm = sgemm if out.dtype == np.float32 else dgemm
    # BLAS counts by columns: to it, these arrays are their transposes, and out' = right' left'.
    turned = (right, 1) if right.flags.f_contiguous else (right.T, 0)
    other = (left, 1) if left.flags.f_contiguous else (left.T, 0)
    return partial(gemm, 1.0, turned[0], other[0], float(accumulate), out.T, turned[1], other[1], 1)


def product(left: Array, right: Array, out: Array, accumulate: bool = False) -> None:
    """`prepared_product`, computed once."""
    prepared_product(left, right, out, accumulate)()


def prepared_sums(values: Array, ones: Array, out: Array, accumulate: bool = False) -> Prepared:
    """out = values.sum(axis=0), or out += values.sum(axis=0), as a product with `ones`, which is quicker than a sum.

    Parameters
    ----------
    values : ndarray, shape (m, n)
        Contiguous, or the transpose of a contiguous array.
    ones : ndarray, shape (m,)
    out : ndarray, contiguous, shape (n,)
    """
    gemv = sgemv if out.dtype == np.float32 else dgemv
    matrix, turned = (values.T, 0) if values.flags.c_contiguous else (values, 1)
    return partial(gemv, 1.0, matrix, ones, float(accumulate), out, trans=turned, overwrite_y=1)


def column_sums(values: Array, ones: Array, out: Array, accumulate: bool = False) -> None:
    """`prepared_sums`, computed once."""
    prepared_sums(values, ones, out, accumulate)()
