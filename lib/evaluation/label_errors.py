"""Labels that are probably wrong, by confident learning on out-of-sample probabilities.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70 (2021). The package
cleanlab (2.9) suspects the same rows, but for one or two of some hundreds: it rounds estimated counts so that they add up.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.floating]


def suspected_labels(labels: Labels, probabilities: Probabilities) -> tuple[Labels, Labels]:
    """Rows whose label is probably wrong, and their most probable ones: shape (m,) each, the least self-confident rows first.

    A class's threshold is the mean probability of that class over the rows that have its label. A row counts for the most
    probable class of those whose thresholds it reaches: the confident joint, whose lines are scaled to the number of rows
    of each label. Of those with label i as many are suspected as this estimates to be j, those of the largest margin between
    the probabilities of j and i ("prune by noise rate"), if i is not their most probable class. A row's self-confidence is
    the probability of its label.

    Parameters
    ----------
    labels : ndarray of int64, shape (n,)
    probabilities : ndarray, shape (n, classes)
        Of each row by models that were not trained on it; a class without rows is nobody's label.

    >>> of = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.05, 0.95]])
    >>> suspected_labels(np.array([0, 0, 1, 1, 0]), of)
    (array([4]), array([1]))
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, own, minlength=classes)
    thresholds = np.divide(sums, counts, out=np.full(classes, np.inf), where=counts > 0)
    confident = np.where(probabilities >= thresholds, probabilities, -np.inf)
    counted = np.isfinite(confident.max(axis=1))
    joint = np.zeros((classes, classes))
    np.add.at(joint, (labels[counted], confident[counted].argmax(axis=1)), 1)
    joint *= (counts / np.maximum(joint.sum(axis=1), 1))[:, None]
    suspected = np.zeros(len(labels), bool)
    for i, j in np.argwhere(np.rint(joint) > 0).tolist():
        if i != j:
            rows = np.flatnonzero(labels == i)
            order = np.argsort(own[rows] - probabilities[rows, j], kind="stable")
            suspected[rows[order[: round(joint[i, j])]]] = True
    probable = probabilities.argmax(axis=1)
    found = np.flatnonzero(suspected & (probable != labels))
    found = found[np.argsort(own[found], kind="stable")]
    return found, probable[found]
