"""A sweep of many classes and variants: figures, notes, warnings and runs are bounded, tables are whole."""

from __future__ import annotations

import csv

import pytest

from lib.profile import parse_profile
from lib.studies.sweep import runs
from lib.studies.sweep.result import SweepResult
from tests.image_files import write_images
from tests.records import WholeRun, places_under, whole_run

CLASSES, VARIANTS = 32, 14


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> WholeRun:
    root = tmp_path_factory.mktemp("many")
    images = write_images(root / "images", [f"class {k:02d}" for k in range(CLASSES)], 5)
    base = {"hidden": [3], "epochs": 1, "learning_rate": 0.001}
    variants = {f"v{k:02d}": {"base": base | {"batch_size": 30 + k}, "grid": {"l2": [0, 1]}} for k in range(VARIANTS)}
    profile = parse_profile(
        {
            "name": "many",
            "data": {"images": {"source": "folder", "path": str(images)}},
            "studies": {
                "look": {"kind": "exploration", "on": "images"},
                "heads": {
                    "kind": "sweep",
                    "on": "images",
                    "test": True,
                    "seeds": [0],
                    "axis": "l2",
                    "variants": variants,
                },
            },
        }
    )
    return whole_run(profile, places_under(root))


@pytest.fixture(scope="module")
def result(many) -> SweepResult:
    return many.records["heads"].result


def rows(many: WholeRun, name: str) -> list[dict[str, str]]:
    with (many.records["heads"].folder / "tables" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_best_twelve_variants_have_figures_of_their_own(many, result):
    best = {each.variant: each.rank for each in sorted(result.configurations, key=lambda each: -each.rank)}
    drawn = [figure for figure in many.records["heads"].figures if figure.variant]
    assert {figure.variant for figure in drawn} == set(sorted(best, key=best.get)[:12])
    assert all(f"({figure.variant}, of the best 12 of {VARIANTS} variants)" in figure.caption for figure in drawn)


def test_tables_are_whole(many, result):
    assert len(rows(many, "per-class")) == len(rows(many, "confusion-matrix")) == CLASSES
    assert len(rows(many, "configurations")) == 2 * VARIANTS
    confused = rows(many, "confusions")
    assert sum(int(row["rows"]) for row in confused) == result.wrong_rows
    counts = [int(row["rows"]) for row in confused]
    assert counts == sorted(counts, reverse=True)
    places = {name: place for place, name in enumerate(result.classes)}
    first = confused[0]
    assert result.confusion[places[first["true"]]][places[first["predicted"]]] == counts[0]


def test_a_first_look_counts_many_classes(many):
    text = many.records["look"].present().sections[0].body
    assert f"train: {CLASSES} classes of 4 to 4 images (`classes.csv`)" in text
    assert "class 10" not in text


def test_warnings_of_one_kind_are_counted(many):
    warnings = many.records["heads"].present().warnings
    assert len(warnings) < 12
    assert any("configurations of 14 variants diverged or did not learn" in each for each in warnings)


def test_mlflow_has_runs_of_the_best_configurations(many, result, monkeypatch):
    monkeypatch.setattr(runs, "_LOGGED", 10)
    shown = many.records["heads"].present()
    ranks = sorted(run.metrics["rank"] for run in shown.runs if "rank" in run.metrics and not run.below)
    assert ranks == [1, 2, 3, 4, 5]
