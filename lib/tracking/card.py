"""The model card of a classifier that is registered: what it is for, its data, figures with intervals, and limits.

Markdown under the headings of Hugging Face's model cards, made of the study's typed result and the classifier's recipe.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lib.datasets.understood import WHY_WORDS, words
from lib.evaluation.intervals import Interval, p_words
from lib.evaluation.measures import measure_named
from lib.files import digest_file
from lib.mlp.labels import params
from lib.prediction import Recipe
from lib.studies.presentation import code, escaped, table
from lib.studies.study import Record
from lib.studies.sweep.result import SweepResult
from lib.studies.sweep.words import (
    OUTCOMES,
    budget_words,
    in_order,
    model_name,
    plain_value,
    remarks_words,
)
from lib.text import cut, listed, number

FILE = "model-card.md"

_LONGEST_NAME, _NAMED = 60, 10
_FOLLOWS = f"\n\n*The whole card is {FILE} among the model's files.*"


def model_card(title: str, uri: str, record: Record[SweepResult], recipe: Recipe) -> str:
    """The card of the network that a sweep chose.

    Parameters
    ----------
    title : str
        The registered model's name.
    uri : str
        By which MLflow loads the model.
    """
    sections = {
        f"# Model Card for {escaped(title)}": _summary(record, recipe),
        "## Model Details": _details(record, recipe),
        "## Uses": _uses(record, recipe),
        "## Bias, Risks, and Limitations": _bullets(_limits(record)),
        "## How to Get Started with the Model": _loading(uri),
        "## Evaluation": _evaluation(record.result),
        "## Training Details": _training(record, recipe),
        "## Technical Specifications": _bullets(_versions(record, recipe)),
    }
    return "\n\n".join(f"{heading}\n\n{body}" for heading, body in sections.items()) + "\n"


def shortened(card: str, most: int) -> str:
    """A card of at most so many letters, cut before a heading."""
    if len(card) <= most:
        return card.rstrip()
    return card[: card.rindex("\n\n#", 0, most - len(_FOLLOWS))] + _FOLLOWS


def _summary(record: Record[SweepResult], recipe: Recipe) -> str:
    result = record.result
    chosen = result.models[result.chosen]
    return (
        f"Labels an image as one of {len(recipe.class_names)} classes: {_names(recipe.class_names)}. Test accuracy "
        f"{chosen.accuracy.words}, 95 % confidence interval over {result.judged_rows:,} test images; always "
        f"answering the most frequent class would score {number(result.majority)}."
    )


def _details(record: Record[SweepResult], recipe: Recipe) -> str:
    result = record.result
    chosen = result.models[result.chosen]
    network = chosen.trials[0].trial
    layers = f"hidden layers {'-'.join(map(str, network.hidden))}" if network.hidden else "no hidden layer"
    return _bullets(
        [
            f"**Input:** an encoded image (JPEG, PNG, …), which becomes: {escaped(recipe.input_words)}",
            f"**Network:** fully connected, {layers}, {chosen.trials[0].parameters:,} parameters, seed {network.seed}",
            "**Output:** the most probable class and its probability, not recalibrated (see Calibration)",
            f"**Made by:** probeflow, study {code(record.name)}",
        ]
    )


def _uses(record: Record[SweepResult], recipe: Recipe) -> str:
    return (
        f"### Direct Use\n\nImages like those of {escaped(record.dataset.origin)}, each of which shows one of the classes.\n\n"
        "### Out-of-Scope Use\n\nImages that show none of the classes: each still gets one of their labels. Images of another "
        "kind or origin, until it is tested on some of them."
    )


def _limits(record: Record[SweepResult]) -> Iterator[str]:
    result, understood = record.result, record.dataset.understood
    independent = "" if result.groups is None else f", drawn in groups as these ({result.groups:,} groups)"
    yield (
        f"The intervals cover other test images of the same kind{independent}. They do not cover images from elsewhere: "
        "another camera, place, time or way of choosing them."
    )
    if understood is not None and len(understood.classes) > 1:
        train = {name: rows.get("train", 0) for name, rows in understood.classes.items()}
        most, least = max(train, key=train.__getitem__), min(train, key=train.__getitem__)
        yield "Class balance: " + (
            f"{train[most]:,} training images of each class."
            if train[most] == train[least]
            else f"{train[most]:,} training images of {_name(most)}, the largest class, and {train[least]:,} of "
            f"{_name(least)}, the smallest."
        )
        left = understood.reading.left_out
        yield from (f"Left out: {each.count:,} {WHY_WORDS[each.why]}: {escaped(words(each))}" for each in left)
    recalls = [(each.recall, name) for each, name in zip(result.per_class, result.classes, strict=True) if each.recall]
    if recalls:
        recall, name = min(recalls, key=lambda each: each[0].estimate)
        yield f"Recognised least: {_name(name)}, recall {recall.words}."
    yield from map(escaped, (*remarks_words(result), *record.dataset.warnings))


def _loading(uri: str) -> str:
    return (
        "With `MLFLOW_TRACKING_URI` naming the store:\n\n```python\nimport mlflow, pandas as pd\n"
        f'model = mlflow.pyfunc.load_model("{uri}")\n'
        'print(model.predict(pd.DataFrame({"image": [open("one.jpg", "rb").read()]})))\n```'
    )


def _evaluation(result: SweepResult) -> str:
    chosen = result.models[result.chosen]
    parts = [
        "### Testing Data, Factors & Metrics",
        f"{result.judged_rows:,} test images, which took part in no choice and were scored once. Intervals are 95 % "
        "confidence intervals over test images"
        + ("." if result.groups is None else ", drawn by groups of images that are not independent."),
        "### Results",
        table(
            ("measure", "value (95 % interval)"),
            [
                (measure_named(name).words, each.words)
                for name, each in (chosen.measured | {"accuracy": chosen.accuracy}).items()
            ],
        ),
    ]
    if (seeds := len(chosen.scores)) > 1:
        parts.append(f"Mean accuracy of {seeds} seeds, for other seeds and images: {chosen.with_both.words}.")
    if result.leads:
        leads = {lead.model: lead for lead in result.leads}
        parts += [
            "### Comparison",
            table(
                ("other model", "its accuracy", "this one's lead on the same images", "verdict"),
                [
                    (
                        escaped(cut(model_name(result, at), _LONGEST_NAME)),
                        result.models[at].accuracy.words,
                        f"{_lead(leads[at].same_rows)}, {p_words(leads[at].p)}",
                        OUTCOMES[leads[at].outcome],
                    )
                    for at in in_order(result)
                    if at in leads
                ],
            ),
            f"P-values have Holm's correction over {len(leads)}.",
        ]
    parts += [
        "### Calibration",
        table(
            ("confidence", "images", "mean confidence", "accuracy (95 % interval)"),
            [
                (
                    f"{each.low:.2f} to {each.high:.2f}",
                    f"{each.rows:,}",
                    number(each.confidence),
                    each.accuracy.words,
                )
                for each in result.calibration[result.chosen]
            ],
        ),
    ]
    return "\n\n".join(parts)


def _lead(of: Interval) -> str:
    return f"{of.estimate:+.4f} ({of.low:+.4f} to {of.high:+.4f})"


def _training(record: Record[SweepResult], recipe: Recipe) -> str:
    result, dataset = record.result, record.dataset
    chosen = result.models[result.chosen]
    splits = ", ".join(f"{escaped(name)} {count:,}" for name, count in dataset.rows.items())
    parts = ["### Training Data", f"{escaped(dataset.name)}, {escaped(dataset.origin)}, images: {splits}."]
    if dataset.understood is not None and len(dataset.understood.classes) > 1:
        counts = dataset.understood.classes
        parts.append(
            table(
                ("class", *map(escaped, dataset.rows)),
                [
                    (_name(name), *(f"{rows.get(split, 0):,}" for split in dataset.rows))
                    for name, rows in counts.items()
                ],
            )
        )
    settings = params(chosen.trials[0].trial)
    scaled = result.representations[chosen.representation].standardised
    parts += [
        "### Training Procedure",
        f"{escaped(recipe.input_words)}{', standardised by training rows' if scaled else ''}. Settings were chosen among "
        f"{budget_words(chosen.tuning)}; then the network was trained on all {result.train_rows + result.validation_rows:,} "
        "training and validation images.",
        _bullets(
            f"{escaped(name.replace('_', ' '))}: {escaped(plain_value(value))}" for name, value in settings.items()
        ),
    ]
    return "\n\n".join(parts)


def _versions(record: Record[SweepResult], recipe: Recipe) -> Iterator[str]:
    known = {"record": record.key, "dataset": record.dataset.digest}
    if recipe.features is not None:
        known |= {"features": recipe.features.digest, "frozen network": recipe.features.weights_sha256}
    if record.model is not None:
        known["trained network"] = digest_file(record.folder / record.model.network)
    yield from (f"SHA-256 of {name}: {code(digest)}" for name, digest in known.items())
    yield from (f"{name}: {code(value)}" for name, value in record.made.items())


def _name(name: str) -> str:
    return escaped(cut(name, _LONGEST_NAME))


def _names(names: Sequence[str]) -> str:
    return escaped(listed([cut(name, _LONGEST_NAME) for name in names], _NAMED))


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
