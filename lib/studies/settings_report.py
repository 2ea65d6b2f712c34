"""What is shown and said of the settings that vary in each arm, searched or not: where it was tried, and what mattered."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from lib.evaluation import search_figures
from lib.evaluation.heat_map import heat_map
from lib.search.space import Dimension
from lib.studies.record import StudyFolder
from lib.studies.tried import Tried

EVALUATOR = "Optuna's PED-ANOVA"


def report_settings(arms: Mapping[str, Tried], folder: StudyFolder, title: str) -> dict[str, Any]:
    """Draw what each arm tried, keep its importances, and return what is to be said of it, as JSON; arms by name.

    Only where two or more settings vary: parallel coordinates over all of them, a heat map of the two (of more, the two
    most important), and the importance of each.
    """
    said: dict[str, Any] = {}
    for arm, tried in arms.items():
        varied = {each.name: each for each in tried.dimensions}
        if len(varied) < 2:
            continue
        suffix = f"-{arm}" if len(arms) > 1 else ""
        heading = f"{title}{f' ({arm})' if suffix else ''}: %s, {way_words(tried.way)}"
        importances = _importances(tried)
        folder.figure(
            f"parallel-coordinates{suffix}",
            search_figures.parallel_coordinates(tried.rows, tried.dimensions, heading % "configurations"),
        )
        shown = _two(varied, importances)
        if shown is not None and tried.finished:
            one, other = (search_figures.words(each.name) for each in shown)
            comparable = [
                row | {"objective": None if row["ended"].startswith("halved") else row["objective"]}
                for row in tried.rows
            ]
            folder.figure(f"heat-map{suffix}", heat_map(comparable, shown, heading % f"{one} and {other}"))
        if importances:
            folder.table(
                f"importances{suffix}",
                [{"setting": name, "importance": share} for name, share in importances.items()],
            )
            folder.figure(
                f"importances{suffix}",
                search_figures.importance_bars(importances, heading % "importance of settings"),
            )
        lowest = tried.lowest
        said[arm] = {
            "way": tried.way,
            "settings": list(varied),
            "configurations": len(tried.rows),
            "finished": len(tried.finished),
            "lowest": None if lowest is None else {"label": lowest["label"], "loss": lowest["objective"]},
            "heat_map": None if shown is None else [each.name for each in shown],
            "importances": importances,
            "best_share": _best_share(tried),
            "evaluator": EVALUATOR,
        }
    return said


def settings_sentences(said: Mapping[str, Any]) -> list[str]:
    """What was tried in each arm, which loss was lowest, and what mattered; a sentence or two an arm."""
    sentences = []
    for arm, of_arm in said.items():
        start = f"{arm}: {way_words(of_arm['way'])} over {of_arm['configurations']} configurations"
        if of_arm["lowest"] is not None:
            start += f"; lowest validation loss {of_arm['lowest']['loss']:.4f} with {of_arm['lowest']['label']}"
        if of_arm["importances"] is None:
            sentences.append(
                f"{start}. The {of_arm['finished']} that finished are too few, or too alike, to say which setting matters."
            )
            continue
        shares = ", ".join(f"{search_figures.words(name)} {share:.2f}" for name, share in of_arm["importances"].items())
        sentences.append(
            f"{start}. The importance of each setting for being among the {of_arm['best_share']:.0%} of lowest validation "
            f"loss ({of_arm['evaluator']}, shares of 1, {of_arm['finished']} finished configurations): {shares}."
        )
    return sentences


def way_words(way: str) -> str:
    """How an arm's configurations were found, in words."""
    return "grid" if way == "grid" else f"{way} search"


def _two(
    varied: Mapping[str, Dimension], importances: Mapping[str, float] | None
) -> tuple[Dimension, Dimension] | None:
    """What a heat map is drawn over: the two settings, or of more the two most important, if that is known."""
    if len(varied) > 2 and importances is None:
        return None
    one, other = islice(importances or varied, 2)
    return varied[one], varied[other]


def _importances(tried: Tried) -> dict[str, float] | None:
    from lib.search.importance import importances  # Optuna; only where several settings vary

    return importances(tried.dimensions, tried.finished)


def _best_share(tried: Tried) -> float:
    from lib.search.importance import best_share

    return best_share(len(tried.finished))
