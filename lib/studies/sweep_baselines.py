"""What stands beside a sweep's best network: the majority class and scikit-learn's models, on the rows that it is judged by.

A sweep that tests its winners is judged by test rows, any other by its validation rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lib.evaluation.baselines import BASELINES, MAJORITY, PEER
from lib.evaluation.checks import LEARNED_MARGIN
from lib.evaluation.figures import Reference
from lib.evaluation.intervals import p_words
from lib.evaluation.metrics import decided, score
from lib.mlp.labels import params
from lib.mlp.training import TrialData
from lib.mlp.trial import Trial
from lib.studies.baselines import Baseline, baseline_run, train_baselines
from lib.studies.classifier_comparison import Judged, comparison_rows, difference_words
from lib.studies.record import RunNote, StudyFolder

_FEATURES = "raw pixels"


@dataclass(frozen=True)
class Beside:
    """The best network (first seed, after its last epoch) and the baselines, asked about the same rows.

    Attributes
    ----------
    split : str
        The rows: "test", or "validation", by which the network was chosen.
    labels : ndarray of int64, shape (n,)
    groups : ndarray of int64, shape (n,), or None
        Rows that are not independent.
    trial : Trial
        The network's settings; the peer has them, too.
    network, judged : Judged, tuple of Judged
        Their answers and measures.
    """

    split: Literal["test", "validation"]
    labels: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64] | None
    trial: Trial
    network: Judged
    baselines: tuple[Baseline, ...]
    judged: tuple[Judged, ...]

    @classmethod
    def of(
        cls,
        split: Literal["test", "validation"],
        label: str,
        trial: Trial,
        probabilities: npt.NDArray[np.floating],
        data: TrialData,
        groups: npt.NDArray[np.int64] | None,
        baselines: Sequence[Baseline],
    ) -> Beside:
        """Measure the network of this `label` and the baselines on the rows that `data` watches."""
        labels = data.y_validation
        return cls(
            split,
            labels,
            groups,
            trial,
            Judged.of(label, labels, decided(probabilities), groups),
            tuple(baselines),
            tuple(Judged.of(each.name, labels, each.probabilities, groups) for each in baselines),
        )

    def rows(self) -> list[dict[str, Any]]:
        """One row a model with its measures, the network's first; the others are tested against it, row by row."""
        rows = comparison_rows(self.labels, [self.network, *self.judged], self.groups)
        return [{name.replace("test_", f"{self.split}_", 1): value for name, value in row.items()} for row in rows]

    def runs(self, parent_key: str) -> list[RunNote]:
        """The baselines as runs; a peer that its sweep shows as one already is left out."""
        runs = []
        for each in self.baselines:
            if each.name == PEER and self.split == "test":
                continue
            run = baseline_run(parent_key, each, self.labels, _FEATURES, self.trial.seed, self.split)
            if each.name == PEER:
                run = replace(run, params=params(self.trial) | run.params | {"init": "sklearn"})
            runs.append(run)
        return runs

    def references(self) -> list[Reference]:
        """The baselines as lines in a figure."""
        return [
            Reference(
                f"{each.name}, same settings, last epoch" if each.name == PEER else each.name,
                each.measured["test_accuracy"].estimate,
                each.measured["test_loss"].estimate,
            )
            for each in self.judged
            if not (each.name == PEER and self.split == "test")  # it has a bar of its own
        ]

    def digests(self) -> list[tuple[str, str]]:
        """Each model that the sweep does not score elsewhere, and a digest of its answers."""
        elsewhere = (PEER,) if self.split == "test" else ()
        models = [each for each in self.judged if each.name not in elsewhere]
        if self.split == "validation":
            models.append(self.network)
        return [(each.name, score(self.labels, each.probabilities).prediction_digest) for each in models]

    def flags(self) -> list[str]:
        """Baselines that did not learn; the sweep's own peers are flagged by it."""
        counts = np.bincount(self.labels)
        majority = float(counts.max() / counts.sum())
        return [
            f"{each.name}: did not learn at these settings ({self.split} accuracy {reached:.3f})"
            for each in self.judged
            if (reached := each.measured["test_accuracy"].estimate) < majority + LEARNED_MARGIN
            and each.name != MAJORITY
            and not (each.name == PEER and self.split == "test")
        ]


def train_beside(
    name: str, compare_sklearn: bool, trial: Trial, data: TrialData, data_key: str, folder: StudyFolder
) -> list[Baseline]:
    """The baselines of sweep `name`, trained on the training rows of `data`; without scikit-learn, the majority alone."""
    wanted = list(BASELINES) if compare_sklearn else [MAJORITY]
    return train_baselines(wanted, trial, data, data_key, folder, f"{name} baselines")


def beside_lines(rows: Sequence[Mapping[str, Any]], split: str, count: int) -> list[str]:
    """The comparison as Markdown, from a record's rows of it; `count` is how many rows of `split` all models answered."""
    rows_are = "test images" if split == "test" else "validation rows, which favour the network: it was chosen by them"
    lines = [
        "",
        "### Beside other models",
        "",
        f"All trained on the same rows and asked about the same {count:,} {rows_are}. The last column has the network's "
        f"accuracy (first seed) less the model's, and McNemar's exact test with Holm's correction over {len(rows) - 1}.",
        "",
        "| model | accuracy | log loss (nats) | network less model |",
        "|---|---|---|---|",
    ]
    for row in rows:
        accuracy = _interval(row, f"{split}_accuracy")
        tested = "-"
        if row["holm_p"] is not None:
            found = row["found"].replace("chosen network", "network")
            tested = f"{_lead(row)}, {p_words(row['holm_p'])}: {found}"
        lines.append(f"| {row['model']} | {accuracy} | {row[f'{split}_loss']:.4f} | {tested} |")
    return lines


def _lead(row: Mapping[str, Any]) -> str:
    return _interval(row, "difference") if row["difference_low"] < row["difference_high"] else difference_words(row)


def _interval(row: Mapping[str, Any], name: str) -> str:
    return f"{row[name]:.4f} ({row[f'{name}_low']:.4f} to {row[f'{name}_high']:.4f})"
