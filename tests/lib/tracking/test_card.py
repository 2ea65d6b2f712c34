"""The model card: what it says is the record's, names are shown as they are, and it loads the model as it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from lib.datasets.decoding import encode_png
from lib.datasets.understood import Reading, Why, left_out
from lib.prediction import feature_recipe
from lib.tracking.card import FILE, model_card, shortened
from lib.tracking.promotion import consider
from lib.tracking.records import log_record
from lib.tracking.registry import LONGEST_CARD, Registry


@pytest.fixture(scope="module")
def record(small_run):
    return small_run.records["classifier"]


@pytest.fixture(scope="module")
def recipe(small_run):
    on = small_run.input("classifier")
    return feature_recipe(on.dataset, small_run.extraction("classifier"), on.digest, small_run.where.weights, None)


@pytest.fixture(scope="module")
def card(record, recipe):
    return model_card("probeflow-x", "runs:/1a2b/image-classifier", record, recipe)


def table(card: str, heading: str) -> list[list[str]]:
    """The rows of the table below a heading."""
    body = card.split(f"### {heading}\n")[1].split("\n#")[0]
    rows = [line for line in body.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_headings_are_those_of_hugging_face(card):
    assert re.findall(r"^##? (.*)", card, re.MULTILINE) == [
        "Model Card for probeflow-x", "Model Details", "Uses", "Bias, Risks, and Limitations",
        "How to Get Started with the Model", "Evaluation", "Training Details", "Technical Specifications",
    ]  # fmt: skip


def test_its_figures_are_the_record_s(card, record, small_run):
    result = record.result
    chosen = result.models[result.chosen]
    accuracy = f"{chosen.accuracy.estimate:.4f} ({chosen.accuracy.low:.4f} to {chosen.accuracy.high:.4f})"
    assert f"Test accuracy {accuracy}" in card
    measured = {row[0]: row[1] for row in table(card, "Results")}
    assert len(measured) == len(chosen.measured)
    ece = chosen.measured["ece"]
    assert measured["expected calibration error"] == f"{ece.estimate:.4f} ({ece.low:.4f} to {ece.high:.4f})"
    compared = table(card, "Comparison")
    assert len(compared) == len(result.leads) > 0
    verdicts = {"ahead": "significantly better", "behind": "significantly worse"}
    expected = sorted(verdicts.get(lead.outcome.value, "not significantly different") for lead in result.leads)
    assert sorted(row[3] for row in compared) == expected
    assert sum(int(row[1].replace(",", "")) for row in table(card, "Calibration")) == result.judged_rows
    dataset = small_run.input("classifier").dataset
    counts = {row[0]: [int(each.replace(",", "")) for each in row[1:]] for row in table(card, "Training Data")}
    for label, name in enumerate(dataset.class_names):
        assert counts[name] == [int((split.labels == label).sum()) for split in dataset.splits.values()]
    for digest in (dataset.digest, record.key, small_run.input("classifier").digest):
        assert f"`{digest}`" in card


def test_limits_tell_of_balance_of_what_was_left_out_and_of_random_weights(record, recipe):
    understood = record.dataset.understood
    classes = {"*big*": {"train": 900, "test": 10}, "small|<b>": {"train": 30, "test": 10}}
    names = tuple(classes)
    reading = Reading(left_out=left_out(Why.UNREADABLE, 7, ["a_b.jpg"]))
    dataset = replace(record.dataset, understood=replace(understood, classes=classes, reading=reading), classes=names)
    changed = replace(record, dataset=dataset, result=record.result.model_copy(update={"classes": names}))
    card = model_card("x", "", changed, recipe.model_copy(update={"class_names": names}))
    limits = card.split("## Bias, Risks, and Limitations\n")[1].split("\n## ")[0]
    assert r"900 training images of \*big\*, the largest class, and 30 of small\|&lt;b&gt;, the smallest" in limits
    assert r"Left out: 7 unreadable, set aside: a\_b.jpg and 6 more" in limits
    assert "RANDOM" in limits
    assert "another camera, place, time" in limits
    assert r"2 classes: \*big\*, small\|&lt;b&gt;." in card


def test_a_long_card_is_cut_before_a_heading_and_says_where_the_rest_is(card):
    assert shortened(card, 100_000) == card.rstrip()
    for most in (1000, 2500):
        short = shortened(card, most)
        assert len(short) <= most
        kept, _, rest = short.rpartition("\n\n")
        assert FILE in rest
        assert card[len(kept) :].startswith("\n\n#")


@pytest.mark.slow
def test_it_lies_beside_the_model_and_on_the_version_and_its_three_lines_load_the_model(
    tracking, small_run, record, where, tmp_path
):
    run_id = log_record(tracking, record, {}).info.run_id
    decision = consider(
        tracking, record, run_id, small_run.input("classifier"), small_run.extraction("classifier"), where
    )
    version = Registry(tracking, decision.model).of_run(run_id)
    kept = tracking.client.get_model_version(decision.model, version.number)
    described, decisions = kept.description.split("\n\n## Decisions\n\n")
    assert decision.sentence in decisions
    assert len(described) <= LONGEST_CARD
    folder = mlflow.artifacts.download_artifacts(version.uri, dst_path=str(tmp_path / "model"))
    whole = (Path(folder) / "artifacts" / FILE).read_text(encoding="utf-8")
    assert described == shortened(whole, LONGEST_CARD)
    (code,) = re.findall(r"```python\n(.*?)```", described, re.DOTALL)
    assert code.count("\n") == 3
    image = small_run.input("classifier").dataset.splits["test"].images[0]
    (tmp_path / "one.jpg").write_bytes(encode_png(image))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True,
        env=environment | {"MLFLOW_TRACKING_URI": where.tracking_uri},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert any(name in done.stdout for name in record.dataset.classes)
