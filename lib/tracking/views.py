"""Links that open MLflow's pages on the right comparison: a study's configurations in order, their curves, the best side by
side.

MLflow keeps what a page of runs shows (filter, order, columns, charts) as JSON in a tag of the experiment, and opens it by
the tag's key in the address. Each study has such views of its own, so that its links stay true; the newest study's is also
in the menu "Views", where MLflow counts no more than 40.
"""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mlflow.entities import Run

from lib.studies.presentation import RANK, Presentation, Role, Rows, RunNote
from lib.tracking.store import ROLE_TAG, ROWS_TAG, TRAINING_PAGES, Tracking

BEST = 10
"""Configurations that are laid side by side; MLflow's own charts show as many runs before others are chosen."""

_TAG = "mlflow.sharedViewState."
_NEWEST = "probeflow-newest"
_LETTER = 7
"""Pixels of a letter in a column's head."""


@dataclass(frozen=True)
class _View:
    """What a view of runs judged on some rows shows first: its title, figures in columns, how they are sorted, charts.

    Figures that none of the runs has are left out.
    """

    title: str
    figures: tuple[str, ...]
    order: str
    ascending: bool
    curves: tuple[str, ...]
    bars: tuple[str, ...]


_VIEWS = {
    Rows.VALIDATION: _View(
        "configurations, best first",
        (
            RANK,
            *(f"last_epoch_validation_accuracy{end}" for end in ("", "_low", "_high")),
            *(f"best_epoch_validation_loss{end}" for end in ("", "_low", "_high")),
            "best_epoch",
        ),
        RANK,
        True,
        ("validation_loss", "train_loss", "validation_accuracy", "train_accuracy"),
        ("last_epoch_validation_accuracy", "best_epoch_validation_loss"),
    ),
    Rows.TEST: _View(
        "results on test rows",
        (*(f"test_accuracy{end}" for end in ("", "_low", "_high")), "test_f1", "test_loss", "roc_auc"),
        "test_accuracy",
        False,
        ("test_loss", "train_loss"),
        ("test_accuracy", "test_loss"),
    ),
}


@dataclass(frozen=True)
class Link:
    """A page of MLflow: a name for it, what it shows in words, and where it is below the server's address."""

    name: str
    title: str
    path: str


def save_views(tracking: Tracking, parent: Run, study: Presentation) -> None:
    """Keep the views that `comparison_links` opens; once more changes nothing but the date of the newest."""
    for rows, view in _VIEWS.items():
        runs = _side_by_side(study, rows)
        if not runs:
            continue
        experiment, state = parent.info.experiment_id, _packed(_state(parent.info.run_id, rows, view, runs))
        tracking.client.set_experiment_tag(experiment, f"{_TAG}{_key(study, rows)}", state)
        now = int(1000 * time.time())
        newest = {"name": f"Newest: {view.title}", "createdAt": now, "updatedAt": now, "state": state}
        tracking.client.set_experiment_tag(experiment, f"{_TAG}{_NEWEST}-{rows}", json.dumps(newest))


def comparison_links(tracking: Tracking, parent: Run, study: Presentation) -> list[Link]:
    """The pages that compare what a study tried, most useful first; none for a study without configurations."""
    links = []
    experiment = parent.info.experiment_id
    if count := sum(run.role is Role.CONFIGURATION for run in _side_by_side(study, Rows.VALIDATION)):
        page = f"#/experiments/{experiment}/runs?viewStateShareKey={_key(study, Rows.VALIDATION)}"
        shown = min(count, BEST)
        of_best = f"of the best {BEST}" if count > BEST else "of all" if count > 1 else "of its seeds' mean"
        tried = study.parent.params.get("configurations", count)
        every = f"all {count} configurations" if tried == count else f"the best {count} of {tried} configurations"
        links += [
            Link(
                "compare",
                f"{every}, best first" if count > 1 else "the configuration",
                _training(page),
            ),
            Link("compare-curves", f"curves {of_best}", _training(f"{page}&compareRunsMode=CHART")),
        ]
        if shown > 1:
            best = [run.info.run_id for run in _best(tracking, parent, shown)]
            listed = f"runs={quote(json.dumps(best))}&experiments={quote(json.dumps([experiment]))}"
            links.append(Link("compare-best", f"the best {shown} side by side", _training(f"#/compare-runs?{listed}")))
    if len(_side_by_side(study, Rows.TEST)) > 1:
        page = f"#/experiments/{experiment}/runs?viewStateShareKey={_key(study, Rows.TEST)}"
        links.append(Link("compare-on-test", "results on test rows", _training(page)))
    return links


def _best(tracking: Tracking, parent: Run, count: int) -> Sequence[Run]:
    wanted = f"{_below(parent.info.run_id, Rows.VALIDATION)} AND tags.`{ROLE_TAG}` = '{Role.CONFIGURATION}'"
    found: Sequence[Run] = tracking.client.search_runs(
        [parent.info.experiment_id], wanted, max_results=count, order_by=[f"metrics.`{RANK}` ASC"]
    )
    return found


def _side_by_side(study: Presentation, rows: Rows) -> list[RunNote]:
    """The study's runs right below its own, which are configurations and baselines, whose figures are of these rows."""
    return [run for run in study.runs if not run.below and run.rows is rows]


def _below(run_id: str, rows: Rows) -> str:
    """Filter of the runs of `_side_by_side`."""
    return f"tags.`mlflow.parentRunId` = '{run_id}' AND tags.`{ROWS_TAG}` = '{rows}'"


def _key(study: Presentation, rows: Rows) -> str:
    return study.parent.key[:16] + ("" if rows is Rows.VALIDATION else f"-{rows}")


def _training(page: str) -> str:
    return f"{page}&{TRAINING_PAGES}"


def _state(run_id: str, rows: Rows, view: _View, runs: Sequence[RunNote]) -> dict[str, Any]:
    """What MLflow's page of runs is to show, in the words of its own saved views (3.17)."""
    known = dict.fromkeys(name for run in runs for name in run.metrics)
    figures = [name for name in view.figures if name in known] or list(known)[:1]
    curves = dict.fromkeys(name for run in runs for of_epoch in run.history for name in of_epoch)
    curves = dict.fromkeys(name for name in curves if name not in ("epoch", "seconds"))
    settings = dict.fromkeys(name for run in runs for name in run.params)
    varied = [name for name in settings if len({run.params[name] for run in runs if name in run.params}) > 1]
    charts = [_chart("LINE", "compared", name) for name in view.curves if name in curves]
    charts += [_chart("BAR", "compared", name) for name in view.bars if name in known]
    if varied:
        about = {"selectedParams": varied, "selectedMetrics": figures[1:2] if RANK in figures else figures[:1]}
        charts.append(
            {"uuid": "parallel", "type": "PARALLEL", "metricSectionId": "compared", "showAllRuns": True, **about}
        )
    shown = {chart.get("metricKey") for chart in charts}
    # MLflow would add a chart of every metric that has none.
    others = [_chart("LINE", "others", name) for name in curves if name not in shown]
    others += [_chart("BAR", "others", name) for name in known if name not in shown]
    columns = [f"metrics.`{name}`" for name in figures] + [f"params.`{name}`" for name in varied]
    return {
        "searchFilter": _below(run_id, rows),
        "orderByKey": f"metrics.`{view.order if view.order in known else next(iter(known), view.order)}`",
        "orderByAsc": view.ascending,
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": {column: _LETTER * len(column) for column in columns},  # else names are cut, all alike
        "compareRunCharts": [*charts, *others],
        "compareRunSections": [
            _section("compared", view.title.capitalize(), display=True),
            _section("others", "All other figures", display=False),
        ],
        "isAccordionReordered": True,
    }


def _chart(kind: str, section: str, metric: str) -> dict[str, Any]:
    several = {"selectedMetricKeys": [metric]} if kind == "LINE" else {}
    return {
        "uuid": f"{section}-{metric}",
        "type": kind,
        "metricSectionId": section,
        "metricKey": metric,
        "runsCountToCompare": BEST,
        "deleted": False,
        "isGenerated": False,
        **several,
    }


def _section(uuid: str, name: str, display: bool) -> dict[str, Any]:
    return {"uuid": uuid, "name": name, "display": display, "isReordered": True, "deleted": False, "isGenerated": False}


def _packed(state: Any) -> str:
    """As MLflow's page packs it, so that it fits a tag however many figures there are."""
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()


def as_markdown(links: Iterable[Link], prefix: str = "") -> str:
    """Links in a line; without a prefix they work on MLflow's own pages, wherever those are."""
    return " · ".join(f"[{link.title}]({prefix}{link.path})" for link in links)
