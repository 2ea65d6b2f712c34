"""The image classifier: candidates compared on validation rows, the best trained again and scored on test rows once.

Features are standardised by training rows only. The same network on raw pixels stands beside it, so that the figure
says what the features are worth (reference study, part F), and scikit-learn's models on the same features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.config import ClassifierStudy
from lib.datasets import Dataset, hold_out_rows, require_no_leakage
from lib.errors import DataError
from lib.evaluation import figures
from lib.evaluation.baselines import BASELINES, MAJORITY
from lib.evaluation.checks import LEARNED_MARGIN, learning_flag, same_model_flags
from lib.evaluation.classifier_figures import calibration_curves, most_surely_wrong, wrong_images
from lib.evaluation.intervals import SHARE, Estimate, Interval, over_seeds, paired_difference
from lib.evaluation.measures import estimates, flat
from lib.evaluation.metrics import Scores, decided, score
from lib.features import FeatureSet, FeatureSettings
from lib.files import digest_json
from lib.mlp.estimator import MLPClassifier
from lib.mlp.labels import label, params, width
from lib.mlp.standardise import Standardiser
from lib.mlp.store import save_network
from lib.mlp.training import TrialData, TrialResult
from lib.mlp.trial import Trial
from lib.studies.baselines import Baseline, baseline_run, train_baselines
from lib.studies.cautions import cautions
from lib.studies.classifier_comparison import (
    Judged,
    accuracy_of,
    calibration_rows,
    class_rows,
    comparison_lines,
    comparison_rows,
    confusion_rows,
    interval_words,
    measure_lines,
    measure_rows,
)
from lib.studies.comparison import verdict
from lib.studies.configuration import STATISTICS, Configuration, seed_curves, table_row
from lib.studies.configuration_runs import with_configuration
from lib.studies.features import settings_of
from lib.studies.identity import Identity
from lib.studies.predictions import Predictions, save_predictions
from lib.studies.record import DatasetNote, ModelNote, RunNote, StudyFolder, StudyRecord
from lib.studies.training import train_all
from lib.studies.trial_runs import trial_run

_HOLD_OUT_SEED = 0
_CHOSEN_BY = STATISTICS["final_validation_accuracy"]
_WRONG_IMAGES = 12
_PIXELS = "raw pixels"


@dataclass(frozen=True)
class Rows:
    """Development and test rows of one representation: float arrays (n, features), labels (n,)."""

    name: str
    X: npt.NDArray[np.floating]
    y: npt.NDArray[np.int64]
    X_test: npt.NDArray[np.floating]
    y_test: npt.NDArray[np.int64]
    digest: str


@dataclass(frozen=True)
class Final:
    """A final network of one representation and seed; it takes raw rows."""

    representation: str
    result: TrialResult
    network: MLPClassifier
    probabilities: npt.NDArray[np.floating]
    scores: Scores
    measures: dict[str, float]
    flag: str | None

    @property
    def name(self) -> str:
        """Its name among the study's predictions."""
        return f"{self.representation} seed {self.result.trial.seed}"


def classifier_identity(study: ClassifierStudy, features: str, settings: FeatureSettings, dataset: Dataset) -> Identity:
    """What decides the classifier on the feature set of `dataset` with digest `features`, made with `settings`."""
    own = study.model_dump(mode="json")
    digests = {"features": features, "data": dataset.digest}
    parts = {"images": dataset.source, "features": settings.model_dump(mode="json"), "classifier": own}
    return Identity("classifier", own, digests, parts)


def classify(study: ClassifierStudy, feature_set: FeatureSet, dataset: Dataset, root: Path) -> StudyRecord:
    """Run the classifier study, or return its record when nothing has changed.

    Raises
    ------
    LeakageError
        When a test image is a training image.
    DataError
        When the dataset has no test split.
    """
    digest, settings = feature_set.manifest.digest, settings_of(feature_set)
    folder = StudyFolder.of(root, classifier_identity(study, digest, settings, dataset))
    if record := folder.finished():
        return record
    require_no_leakage(dataset)
    dataset.require("test", "the classifier is scored on test images")
    features = _feature_rows(feature_set)
    compared = _compare(study, study.arm.trials(study.seeds), features, dataset, folder)
    candidates = _candidates(study, compared)
    best = max(candidates, key=lambda each: each.mean(_CHOSEN_BY))
    chosen = [result.trial for result in best.results]
    standardise, data = _final_data(features)
    finals = _finals(chosen, features, standardise, data, folder)
    names = list(BASELINES) if study.compare_sklearn else [MAJORITY]
    baselines = train_baselines(names, chosen[0], data, _final_key(features), folder)
    if study.pixel_baseline and (pixels := _pixel_rows(dataset)) is not None:
        finals += _finals(chosen, pixels, *_final_data(pixels), folder)
    judged = verdict(best, candidates, _CHOSEN_BY, several_arms=False)
    return _seal(study, feature_set, dataset, folder, candidates, judged, finals, baselines)


def _feature_rows(feature_set: FeatureSet) -> Rows:
    manifest = feature_set.manifest
    parts = [feature_set.load(split) for split in ("train", "validation") if split in manifest.splits]
    test = feature_set.load("test")
    return Rows(
        manifest.description,
        np.concatenate([part.X for part in parts]),
        np.concatenate([part.y for part in parts]),
        test.X,
        test.y,
        manifest.digest,
    )


def _pixel_rows(dataset: Dataset) -> Rows | None:
    """Raw pixels of the same images; None when they are of several sizes."""
    splits = [split for split in ("train", "validation") if split in dataset.splits]
    try:
        X = np.concatenate([dataset.pixels(split) for split in splits])
        X_test = dataset.pixels("test")
    except DataError:
        return None
    y = np.concatenate([dataset.splits[split].labels for split in splits])
    return Rows(_PIXELS, X, y, X_test, dataset.splits["test"].labels, dataset.digest)


def _compare(
    study: ClassifierStudy,
    candidates: Sequence[Trial],
    rows: Rows,
    dataset: Dataset,
    folder: StudyFolder,
) -> list[TrialResult]:
    """Train every candidate on part of the development rows and watch the rest."""
    kept, held = candidate_rows(study, dataset)
    standardise = Standardiser.fit(rows.X[kept])
    data = TrialData(
        standardise.apply(rows.X[kept]),
        rows.y[kept],
        standardise.apply(rows.X[held]),
        rows.y[held],
        len(dataset.class_names),
    )
    return train_all(candidates, data, candidate_key(study, rows.digest), folder, "classifier candidates")


def candidate_rows(study: ClassifierStudy, dataset: Dataset) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Positions among the development rows: those that candidates train on, and those they are watched on."""
    train = dataset.splits["train"]
    if "validation" in dataset.splits:
        return np.arange(len(train)), np.arange(len(train), len(train) + len(dataset.splits["validation"]))
    return hold_out_rows(train.labels, study.validation_fraction, _HOLD_OUT_SEED, train.groups)


def candidate_key(study: ClassifierStudy, features: str) -> str:
    """Names the rows that candidates train on; `features` is the digest of their set."""
    return digest_json([features, "candidates", study.validation_fraction, _HOLD_OUT_SEED])


def _candidates(study: ClassifierStudy, compared: Sequence[TrialResult]) -> list[Configuration]:
    """The results as one configuration a candidate, its seeds together."""
    seeds, varied = len(study.seeds), list(study.grid)
    groups = [tuple(compared[start : start + seeds]) for start in range(0, len(compared), seeds)]
    return [
        Configuration("candidates", label(group[0].trial, varied) or "as set", None, group, (None,) * seeds)
        for group in groups
    ]


def _final_data(rows: Rows) -> tuple[Standardiser, TrialData]:
    """All development rows to train on; the test rows are watched for the curves, and nothing is chosen by them."""
    standardise = Standardiser.fit(rows.X)
    classes = int(max(rows.y.max(), rows.y_test.max())) + 1
    return standardise, TrialData(
        standardise.apply(rows.X), rows.y, standardise.apply(rows.X_test), rows.y_test, classes
    )


def _final_key(rows: Rows) -> str:
    """Names the rows of `_final_data`."""
    return digest_json([rows.digest, rows.name, "final"])


def _finals(
    trials: Sequence[Trial], rows: Rows, standardise: Standardiser, data: TrialData, folder: StudyFolder
) -> list[Final]:
    """Train on all development rows; score the networks, standardisation folded in, on the raw test rows."""
    finals = []
    for result in train_all(trials, data, _final_key(rows), folder, f"classifier on {rows.name}"):
        network = standardise.fold(result.network)
        probabilities = decided(network.predict_proba(rows.X_test))
        scores = score(rows.y_test, probabilities)
        measures = estimates(rows.y_test, probabilities)
        finals.append(Final(rows.name, result, network, probabilities, scores, measures, learning_flag(result, rows.y)))
    return finals


def _seal(
    study: ClassifierStudy,
    feature_set: FeatureSet,
    dataset: Dataset,
    folder: StudyFolder,
    candidates: Sequence[Configuration],
    judged: str,
    finals: Sequence[Final],
    baselines: Sequence[Baseline],
) -> StudyRecord:
    compared = [result for each in candidates for result in each.results]
    description = feature_set.manifest.description
    main = finals[0]
    shown = {final.representation: final for final in reversed(finals)}  # the first seed of each
    firsts = [shown[name] for name in dict.fromkeys(final.representation for final in finals)]
    title = f"Image classifier on {dataset.name}"
    names = dataset.class_names

    folder.figure("confusion-matrix", figures.confusion_matrix(main.scores.confusion, names, f"{title}\n{description}"))
    curves = {
        name: seed_curves([final.result for final in finals if final.representation == name], "test")
        for name in dict.fromkeys(final.representation for final in finals)
    }
    folder.figure("loss-curves", figures.training_curves(curves, f"{title}: cross-entropy on train and test"))
    folder.figure("error-curves", figures.training_curves(curves, f"{title}: error on train and test", "error"))
    probabilities = {final.representation: final.probabilities for final in firsts}
    test = dataset.splits["test"]
    labels = test.labels
    groups = None if test.groups is None else len(np.unique(test.groups))
    networks = [Judged.of(final.representation, labels, final.probabilities, test.groups) for final in firsts]
    beside_it = [Judged.of(each.name, labels, each.probabilities, test.groups) for each in baselines]
    picture, areas = figures.roc_and_precision_recall(labels, probabilities, names, title)
    folder.figure("roc-and-precision-recall", picture)

    table = [_row(each.name, finals, areas, accuracy_of(each, labels, test.groups)) for each in networks]
    folder.table("test", table)
    folder.table("candidates", [table_row(each.summary()) for each in candidates])
    beside = _beside_pixels(finals)
    measured = networks[0].measured
    measures = [
        row
        for each in networks
        for row in measure_rows(
            each.name, each.measured, [final.measures for final in finals if final.representation == each.name]
        )
    ]
    per_class = class_rows(labels, networks[0].predicted, names)
    comparison = comparison_rows(labels, _named([*networks, *beside_it]), test.groups)
    folder.table("measures", measures)
    folder.table("comparison", comparison)
    folder.table("per-class", per_class)
    folder.table("confusion-matrix", confusion_rows(main.scores.confusion, names))
    folder.table("calibration", calibration_rows(labels, networks))
    error = measured["test_ece"].estimate
    calibration = f"{title}: calibration\nexpected calibration error of {description}: {error:.3f}"
    folder.figure("calibration", calibration_curves(labels, probabilities, calibration))
    if wrong := most_surely_wrong(labels, main.probabilities, names, _WRONG_IMAGES):
        images = [test.images[each.row] for each in wrong]
        words = f"{title}: the {len(wrong)} most surely wrong of {int((networks[0].predicted != labels).sum())}"
        folder.figure("most-wrong", wrong_images(images, wrong, f"{words}\n{description}"))
        folder.table("most-wrong", [asdict(each) for each in wrong])
    said = {final.name: final.probabilities for final in finals} | {each.name: each.probabilities for each in baselines}
    save_predictions(folder.path, Predictions(dataset.digest, labels, said, test.groups, main.name))
    flags = [f"{final.representation}: {final.flag}" for final in finals if final.flag]
    flags += [
        f"{each.name}: did not learn at these settings (test accuracy {reached:.3f})"
        for each in beside_it
        if (reached := each.measured["test_accuracy"].estimate) < main.scores.majority + LEARNED_MARGIN
        and each.name != MAJORITY
    ]
    flags += same_model_flags((name, score(labels, values).prediction_digest) for name, values in said.items())
    network = "network.safetensors"
    save_network(folder.path / network, main.network)
    rows = feature_set.load("test").X[:5].astype(np.float32)
    example = folder.example("example.safetensors", rows, main.network.predict_proba(rows))
    metrics = main.scores.summary() | flat(measured) | {"majority": main.scores.majority}
    metrics["training_seconds"] = sum(result.seconds for result in (*compared, *(final.result for final in finals)))
    varied = list(study.grid)
    chosen = label(main.result.trial, varied) or "as set"
    summary = {
        "dataset": {"name": dataset.name, "rows": {name: len(split) for name, split in dataset.splits.items()}},
        "dataset_digest": dataset.digest,
        "features_digest": feature_set.manifest.digest,
        "representation": description,
        "trial": main.result.trial.model_dump(mode="json"),
        "final": metrics | {"train_accuracy": main.result.history[-1]["train_accuracy"]},
        "groups": groups,
        "table": table,
        "measures": measures,
        "per_class": per_class,
        "comparison": comparison,
        "predictions": main.name,
        "candidates": [each.summary() for each in candidates],
        "verdict": judged,
        "beside_pixels": beside,
        "flagged": main.flag,
    }
    return folder.seal(
        title=title,
        headline=f"{_accuracy_words(table[0], groups)}; {width(main.result.trial.hidden)} on {description}",
        notes=_notes(
            title,
            description,
            f"{chosen}, {judged}. {_best_epochs(candidates, main)}",
            table,
            measures,
            comparison,
            groups,
            beside,
            main,
            [*flags, *cautions(summary)],
        ),
        dataset=DatasetNote.of(dataset),
        summary=summary,
        parent=RunNote(
            folder.key,
            f"{title} · {description}",
            params(main.result.trial) | {"features": description, "candidates": len(compared) // len(study.seeds)},
            metrics,
            tags={"probeflow.features": description},
        ),
        children=(
            *_children(folder.key, varied, candidates, finals),
            *(baseline_run(folder.key, each, labels, description, main.result.trial.seed) for each in baselines),
        ),
        flags=tuple(flags),
        model=ModelNote(
            network,
            example,
            f"{width(main.result.trial.hidden)} MLP for {dataset.name}; input: {rows.shape[1]} values of {description}; "
            f"output: probabilities of {', '.join(names)}",
            f"probeflow-{dataset.name}",
        ),
    )


def _best_epochs(candidates: Sequence[Configuration], main: Final) -> str:
    """Where the chosen candidate's validation loss was lowest, of each seed."""
    chosen = next(each for each in candidates if each.results[0].trial == main.result.trial)
    epochs = ", ".join(str(result.best_epoch) for result in chosen.results)
    return f"Their validation loss was lowest after epoch {epochs} of {main.result.trial.epochs} (one a seed)."


def _beside_pixels(finals: Sequence[Final]) -> str | None:
    """Whether the features' test accuracy differs from the raw pixels', paired over seeds; None without the latter."""
    names = list(dict.fromkeys(final.representation for final in finals))
    if len(names) < 2:
        return None
    features, pixels = (
        [final.scores.accuracy.estimate for final in finals if final.representation == name] for name in names
    )
    difference = paired_difference(features, pixels)
    if difference is None:
        return "one seed cannot say whether the features are better than raw pixels"
    found = "not told apart from raw pixels"
    if difference.real:
        found = f"the features are {'better' if difference.estimate > 0 else 'worse'} than raw pixels"
    return f"{found}: {difference.words}"


def _row(name: str, finals: Sequence[Final], areas: dict[str, dict[str, float]], accuracy: Interval) -> dict[str, Any]:
    """A representation's test figures; `accuracy` is its first seed's."""
    group = [final for final in finals if final.representation == name]
    spread = over_seeds([final.scores.accuracy.estimate for final in group], SHARE)
    first = group[0].scores
    return {
        "input": name,
        "test_accuracy": first.accuracy.estimate,
        "low": accuracy.low,
        "high": accuracy.high,
        "f1": first.f1,
        **areas[name],
        "seeds": len(group),
        "mean_test_accuracy": spread.mean,
        "standard_deviation": spread.standard_deviation,
        "mean_low": spread.low,
        "mean_high": spread.high,
    }


def _children(
    parent_key: str, varied: Sequence[str], candidates: Sequence[Configuration], finals: Sequence[Final]
) -> list[RunNote]:
    runs = []
    best_first = sorted(candidates, key=lambda each: each.mean(_CHOSEN_BY), reverse=True)
    ranks = {id(each): place for place, each in enumerate(best_first, start=1)}
    for each in candidates:
        name = label(each.results[0].trial, varied) or "candidate"
        trials = [
            trial_run(parent_key, "candidate", name, result, params(result.trial), None) for result in each.results
        ]
        runs += with_configuration(name, trials, ranks[id(each)])
    for representation in dict.fromkeys(final.representation for final in finals):
        name = f"final on {representation}"
        trials = [_final_run(parent_key, name, final) for final in finals if final.representation == representation]
        runs += with_configuration(name, trials)
    return runs


def _final_run(parent_key: str, name: str, final: Final) -> RunNote:
    shown = params(final.result.trial) | {"input": final.representation}
    run = trial_run(parent_key, "final", name, final.result, shown, final.flag)
    return replace(run, metrics=final.scores.summary() | final.measures | run.metrics)


def _named(models: Sequence[Judged]) -> list[Judged]:
    """The models of a comparison, the chosen network first and called so."""
    first, *others = models
    return [
        replace(first, name=f"chosen network on {first.name}"),
        *(replace(each, name=f"same network on {each.name}") if each.name == _PIXELS else each for each in others),
    ]


def _notes(
    title: str,
    description: str,
    chosen: str,
    table: Sequence[dict[str, Any]],
    measures: Sequence[dict[str, Any]],
    comparison: Sequence[dict[str, Any]],
    groups: int | None,
    beside: str | None,
    main: Final,
    flags: Sequence[str],
) -> str:
    lines = [
        f"## {title}",
        f"Features: **{description}**, standardised by training rows only. Settings chosen on validation rows: {chosen} "
        f"Always answering the most frequent class would score {main.scores.majority:.4f}.",
        "",
        "| input | test accuracy over seeds: mean ± standard deviation (95 % interval) | first seed: test accuracy "
        f"(95 % interval {interval_words(groups)}) | F1 | ROC AUC |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['input']} | {_spread(row).words} | {row['test_accuracy']:.4f} ({row['low']:.4f} to {row['high']:.4f}) "
        f"| {row['f1']:.4f} | {row['roc_auc']:.4f} |"
        for row in table
    ]
    if beside:
        lines += ["", f"Test accuracy, paired over seeds, features less pixels: {beside}."]
    lines += measure_lines([row for row in measures if row["input"] == main.representation], groups)
    lines += comparison_lines(comparison, int(main.scores.confusion.sum()))
    if flags:
        lines += ["", "**Read with care:**", *(f"- {flag}" for flag in flags)]
    return "\n".join(lines) + "\n"


def _accuracy_words(row: dict[str, Any], groups: int | None) -> str:
    """The test accuracy over seeds, then the first seed's with its interval over test images."""
    first = f"{row['test_accuracy']:.4f} ({row['low']:.4f} to {row['high']:.4f} {interval_words(groups)}), F1 {row['f1']:.4f}"
    if row["seeds"] == 1:
        return f"test accuracy {first}, one seed"
    words = _spread(row).words
    over = "" if words.endswith(" seeds") else f" over {row['seeds']} seeds"
    return f"test accuracy {words}{over}; first seed {first}"


def _spread(row: dict[str, Any]) -> Estimate:
    return Estimate(
        row["mean_test_accuracy"], row["standard_deviation"], row["mean_low"], row["mean_high"], row["seeds"]
    )
