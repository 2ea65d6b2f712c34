"""The difference of two accuracies on the same images, with an interval that knows they are the same images."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from lib.evaluation.intervals import Interval, wilson


def accuracy_difference(
    left: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_], confidence: float = 0.95
) -> Interval:
    """Accuracy of `left` less that of `right`, with Newcombe's interval (Statistics in Medicine 17:2635, 1998, method 10).

    Two models are mostly right on the same images, so the interval is narrower than those of the two accuracies suggest.
    It holds where both are right on every image, too.

    Parameters
    ----------
    left, right : ndarray of bool, shape (n,)
        Which images each model recognised, in one order.

    Raises
    ------
    ValueError
        When they are not of the same images, or there are none.
    """
    if len(left) != len(right):
        raise ValueError(f"{len(left)} answers beside {len(right)} are not pairs")
    count = len(left)
    both, neither = int((left & right).sum()), int((~left & ~right).sum())
    one, other = int((left & ~right).sum()), int((~left & right).sum())
    ours, theirs = wilson(both + one, count, confidence), wilson(both + other, count, confidence)
    correlation = _correlation(both, one, other, neither)

    def reach(first: float, second: float) -> float:
        return math.sqrt(max(0.0, first * first - 2 * correlation * first * second + second * second))

    difference = (one - other) / count
    below = reach(ours.estimate - ours.low, theirs.high - theirs.estimate)
    above = reach(ours.high - ours.estimate, theirs.estimate - theirs.low)
    return Interval(difference, difference - below, difference + above)


def _correlation(both: int, one: int, other: int, neither: int) -> float:
    """Of being right, between the two models; a positive one is made smaller, as Newcombe does, for small numbers."""
    product = (both + one) * (other + neither) * (both + other) * (one + neither)
    if product == 0:
        return 0.0
    covariance = float(both * neither - one * other)
    if covariance > 0:
        covariance = max(0.0, covariance - (both + one + other + neither) / 2)
    return covariance / math.sqrt(product)
