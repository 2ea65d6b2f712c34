"""A configuration of a sweep with its trials, one a seed: its figures over seeds, and which one is best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lib.config import SweepStudy
from lib.evaluation.checks import learning_flag
from lib.evaluation.intervals import LOSS, SHARE, Estimate, over_seeds
from lib.mlp.labels import label, params
from lib.mlp.training import TrialData, TrialResult

STATISTICS: dict[str, Callable[[TrialResult], float]] = {
    "mean_train_loss": lambda result: result.mean_train_loss,
    "mean_validation_loss": lambda result: result.mean_validation_loss,
    "best_validation_loss": lambda result: result.best_validation_loss,
    "final_validation_accuracy": lambda result: result.final_validation_accuracy,
    "best_validation_accuracy": lambda result: result.best_validation_accuracy,
}
"""What every configuration is described by, as mean, standard deviation and 95 % interval over its seeds."""


@dataclass(frozen=True)
class Configuration:
    """One setting of one arm and its trials, one a seed."""

    arm: str
    label: str
    value: Any
    results: tuple[TrialResult, ...]
    flags: tuple[str | None, ...]

    def values(self, figure: Callable[[TrialResult], float]) -> list[float]:
        """A figure of each seed."""
        return [figure(result) for result in self.results]

    def mean(self, figure: Callable[[TrialResult], float]) -> float:
        """Mean of a figure over seeds."""
        return float(np.mean(self.values(figure)))

    @property
    def halved(self) -> bool:
        """Whether it was dropped at a rung; its figures are then of an earlier epoch than its rivals'."""
        return any(result.ended == "halved" for result in self.results)

    @property
    def shown(self) -> str:
        """Its label, and that it was halved."""
        return f"{self.label} · {self.ended}" if self.halved else self.label

    @property
    def ended(self) -> str:
        """How its trials ended, each way once."""
        return ", ".join(dict.fromkeys(result.ended_words for result in self.results))

    def over_seeds(self, name: str) -> Estimate:
        """One of `STATISTICS` over the seeds."""
        return over_seeds(self.values(STATISTICS[name]), LOSS if name.endswith("loss") else SHARE)

    def summary(self) -> dict[str, Any]:
        """Figures over seeds, as JSON."""
        statistics = {name: self.over_seeds(name) for name in STATISTICS}
        return {
            "arm": self.arm,
            "label": self.label,
            "value": self.value,
            "seeds": len(self.results),
            "ended": self.ended,
            **{name: statistic.mean for name, statistic in statistics.items()},
            "statistics": {name: asdict(statistic) for name, statistic in statistics.items()},
            "best_validation_losses": [result.best_validation_loss for result in self.results],
            "best_validation_accuracies": [result.best_validation_accuracy for result in self.results],
            "flags": [flag for flag in self.flags if flag],
        }


def final_accuracy(result: TrialResult) -> float:
    """Validation accuracy after the last epoch."""
    return result.final_validation_accuracy


def configurations_of(
    arm: str, study: SweepStudy, groups: Sequence[Sequence[TrialResult]], data: TrialData
) -> list[Configuration]:
    """The configurations of one arm from their results, given as groups of one result a seed."""
    searched = study.arms[arm].search is not None
    varied = study.arms[arm].varied
    return [
        Configuration(
            arm,
            f"#{number} · {label(group[0].trial, varied)}" if searched else label(group[0].trial, varied),
            getattr(group[0].trial, study.axis),
            tuple(group),
            # A halved trial had no time to learn.
            tuple(None if result.ended == "halved" else learning_flag(result, data.y_train) for result in group),
        )
        for number, group in enumerate(groups, start=1)
    ]


def _rank(each: Configuration) -> tuple[bool, float, float]:
    """What is compared to find the best: never halved before halved, then accuracy, then loss."""
    loss = each.mean(lambda result: result.best_validation_loss)
    return (not each.halved, each.mean(final_accuracy), -loss if np.isfinite(loss) else -np.inf)


def winner(configurations: Sequence[Configuration]) -> Configuration:
    """The configuration of highest mean validation accuracy after its last epoch; a tie goes to the lower loss.

    A halved one never wins over one that was not: its figures were taken at an earlier epoch.
    """
    return max(configurations, key=_rank)


def ranked(configurations: Sequence[Configuration]) -> list[Configuration]:
    """All of them, the winner first."""
    return sorted(configurations, key=_rank, reverse=True)


def best_of(configurations: Sequence[Configuration], limit: int) -> tuple[list[Configuration], str]:
    """At most `limit` configurations, the best first if some are left out, and words that say so for a title."""
    if len(configurations) <= limit:
        return list(configurations), ""
    return ranked(configurations)[:limit], f" (the best {limit} of {len(configurations)})"


def winners(study: SweepStudy, configurations: Sequence[Configuration]) -> list[Configuration]:
    """The winner of each axis value; of an arm whose search draws the axis from a range, the arm's winner.

    A value all of whose configurations were halved has none.
    """
    groups: dict[tuple[str, Any], list[Configuration]] = {}
    for each in configurations:
        if each.halved:
            continue
        search = study.arms[each.arm].search
        ranged = search is not None and study.axis in search.space.ranges
        groups.setdefault(("arm", each.arm) if ranged else ("value", each.value), []).append(each)
    winners = [winner(group) for group in groups.values()]
    by_value = {value: [each for each in winners if each.value == value] for value in (each.value for each in winners)}
    return [winner(group) for group in by_value.values()]


def seed_curves(results: Sequence[TrialResult], watched: str = "validation") -> dict[str, list[list[float]]]:
    """Epoch columns of each seed; the watched rows go by the name `watched`."""
    columns = [name for name in results[0].history[0] if name.startswith(("train_", "validation_"))]
    return {
        name.replace("validation", watched): [[record[name] for record in result.history] for result in results]
        for name in columns
    }


def ranked_rows(configurations: Sequence[Configuration], varied: Sequence[str]) -> list[dict[str, Any]]:
    """A table of configurations, the best first: rank, name, the settings that vary, and figures over seeds."""
    rows = []
    for rank, each in enumerate(ranked(configurations), start=1):
        settings = params(each.results[0].trial)
        row = table_row(each.summary())
        named = {"rank": rank, "arm": row.pop("arm"), "label": row.pop("label")}
        rows.append(named | {name: settings[name] for name in varied} | row)
    return rows


def table_row(summary: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration's summary as one flat row."""
    row = {key: summary[key] for key in ("arm", "label", "seeds", "ended")}
    for name in STATISTICS:
        row |= statistic_columns(name, summary["statistics"][name])
    return row | {"flags": "; ".join(summary["flags"])}


def statistic_columns(name: str, statistic: Mapping[str, Any]) -> dict[str, Any]:
    """A statistic as columns of a table: its mean under its own name, then its spread."""
    return {name: statistic["mean"]} | {
        f"{name}_{key}": statistic[key] for key in ("standard_deviation", "low", "high")
    }
