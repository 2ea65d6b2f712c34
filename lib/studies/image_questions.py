"""The reference study's questions D to F, answered from the records of the images, their features and the classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib.evaluation.baselines import MAJORITY
from lib.evaluation.intervals import Difference, Estimate, p_words, paired_difference
from lib.evaluation.reference import CONFUSION, is_study_data
from lib.studies.classifier_comparison import difference_words, interval_words
from lib.studies.question import (
    CANNOT,
    CONFIRMED,
    NO,
    NOT_ASKED,
    NOT_COMPARED,
    NOT_TOLD,
    ONE_SEED,
    OTHER_DATA,
    REFUTED,
    YES,
    Part,
    Question,
    Reply,
    Shown,
    data_words,
    lead_words,
    qualified,
)
from lib.studies.record import StudyRecord

PIXELS = "raw pixels"
_PRINTED = 0.6348
_RANDOM = "AlexNet's weights are random, not ImageNet's: nothing here speaks for or against trained features"
_BESIDE = {
    "logistic regression": "Is it better than logistic regression on the same features?",
    "scikit-learn MLPClassifier": "Is it better than scikit-learn's network at the same settings?",
}


def exploration_part(record: StudyRecord) -> Part:
    """D: what is in the images."""
    name = str(record.summary["dataset"]["name"])
    counts: Mapping[str, Mapping[str, int]] = record.summary["counts"]
    train = list(counts["train"].values())
    balanced = len(set(train)) == 1
    verdict = OTHER_DATA
    if is_study_data("exploration", name) and len(train) == 2:
        verdict = CONFIRMED if train == [5000, 5000] else REFUTED
    told = "; ".join(
        f"{split}: {', '.join(f'{label} {count:,}' for label, count in of.items())}" for split, of in counts.items()
    )
    words = f"{len(train)} classes, {'balanced' if balanced else 'not balanced'} in training. Images, counted: {told}."
    question = Question(
        "What is in the images?",
        "two classes of CIFAR-10, balanced (5,000 and 5,000), 32x32 RGB, labels 0 and 1",
        (Reply(verdict, words),),
        f"{len(train)} classes, {'balanced' if balanced else 'not balanced'} in training",
    )
    wrong = "Which two classes they were is not recorded, so that its figures in D to F cannot be had again exactly."
    return Part("D", "exploration", "Images", data_words("exploration", name), (question,), (wrong,))


def features_part(record: StudyRecord) -> Part:
    """E: how fast the features were extracted, and of what."""
    summary = record.summary
    speeds = [f"{each['images'] / each['seconds']:,.0f} images/s on {each['device']}" for each in summary["speeds"]]
    words = (
        f"{'; '.join(speeds)} (one extraction{'' if len(speeds) == 1 else ' each'}, no interval), into sealed shards that "
        "need not fit into memory."
        if speeds
        else "How fast this run's features were extracted is not recorded."
    )
    question = Question(
        "How fast are AlexNet's features extracted?",
        "about 432 images/s on a cloud GPU, one image at a time, with so much memory that training ran in another session",
        (Reply(f"{NOT_COMPARED}: another machine" if speeds else CANNOT, words),),
    )
    wrong = (
        "Its images were padded to AlexNet's input and not normalised as ImageNet's were: the network saw what it had never "
        "been trained on. What that cost is in no figure, for nothing was learned from the features (F). Here images are "
        "resized and normalised."
    )
    return Part("E", "features", "AlexNet features", _data("features", summary), (question,), (wrong,))


def classifier_part(record: StudyRecord) -> Part:
    """F: whether the network learns from the features, and what else would have done."""
    summary = record.summary
    questions = [_accuracy(record)]
    beside = {str(row["model"]): row for row in summary.get("comparison", ())}
    images = int(summary["dataset"]["rows"]["test"])
    if MAJORITY in beside:
        questions.append(
            _model(summary, beside[MAJORITY], "Is it better than always answering the most frequent class?", images)
        )
    if any(row["input"] == PIXELS for row in summary["table"]):
        questions.append(_pixels(record, beside, images))
    questions += [
        _model(summary, beside[model], question, images) for model, question in _BESIDE.items() if model in beside
    ]
    if summary.get("per_class"):
        questions.append(_classes(summary["per_class"]))
    return Part(
        "F", "classifier", "Classifier", _data("classifier", summary), tuple(questions), _faults(images), (confusion(),)
    )  # fmt: skip


def confusion() -> Shown:
    """The study's confusion matrix with its axes named, and the rates that it really shows."""
    (a, b), (c, d) = CONFUSION
    total, true_0, true_1 = a + b + c + d, a + c, b + d
    return Shown(
        "The reference study's confusion matrix, its axes named: of its training images",
        (
            "predicted in rows, true in columns",
            "true class 0",
            "true class 1",
            "all",
            "share that is right (precision)",
        ),
        (
            ("predicted 0", f"{a:,}", f"{b:,}", f"{a + b:,}", f"{a / (a + b):.4f}"),
            ("predicted 1", f"{c:,}", f"{d:,}", f"{c + d:,}", f"{d / (c + d):.4f}"),
            ("all", f"{true_0:,}", f"{true_1:,}", f"{total:,}", "–"),
            ("share found (recall)", f"{a / true_0:.4f}", f"{d / true_1:.4f}", f"accuracy {(a + d) / total:.4f}", "–"),
        ),
    )


def _faults(images: int) -> tuple[str, ...]:
    (a, b), (c, d) = CONFUSION
    return (
        "Its 10,000 test images were the training images again: 0.6348 is no test figure, and agrees with its training "
        f"accuracy of 0.63 because it is the same. Here test images that are training images stop the run; the {images:,} "
        "test images are unseen.",
        "Its loss was categorical cross-entropy on one output: near zero (5e-08) whatever the network answers, with nothing "
        "to learn from. The training had failed, and 0.63 is not what AlexNet's features are worth. Here a network that is "
        "no better than the most frequent class is flagged.",
        f"Its confusion matrix [[{a}, {b}], [{c}, {d}]] has predicted classes as rows and true ones as columns. Its columns "
        f"add up to {a + c:,} and {b + d:,}, as the images do. So {a / (a + c):.4f} of class 0 and {d / (b + d):.4f} of class 1 "
        f"were found; read the other way round, as scikit-learn prints them, it would be {a / (a + b):.4f} and "
        f"{d / (c + d):.4f}, which are shares of what was predicted. Here both axes are labelled: rows true, columns predicted.",
    )


def _data(study: str, summary: Mapping[str, Any]) -> str:
    representation = str(summary.get("representation", summary.get("description", "")))
    words = f"{data_words(study, str(summary['dataset']['name']))}; {representation}"
    return f"{words}. {_RANDOM}" if "RANDOM" in representation else words


def _accuracy(record: StudyRecord) -> Question:
    """The test accuracy beside the printed one; over seeds, of one seed by its test images."""
    summary = record.summary
    first = summary["table"][0]
    over = _over_seeds(first)
    if over.seeds > 1 and over.low is not None and over.high is not None:
        low, high, words = over.low, over.high, f"{over.words} over {over.seeds} seeds"
    else:
        low, high = first["low"], first["high"]
        words = (
            f"{first['test_accuracy']:.4f} ({low:.4f} to {high:.4f} {interval_words(summary.get('groups'))}, one seed)"
        )
    lies = "0.6348 lies within the interval"
    verdict = NOT_TOLD
    if low > _PRINTED or high < _PRINTED:
        lies = f"it is {'above' if low > _PRINTED else 'below'} 0.6348"
        verdict = REFUTED if low > _PRINTED else CONFIRMED
    if summary.get("flagged"):
        verdict = CONFIRMED  # it learned nothing, whatever the shares of the classes give it
    elif len(record.dataset.classes) != 2:
        verdict, lies = NOT_COMPARED, "0.6348 is of two classes, and is not compared"
    words = (
        f"{words} on {summary['dataset']['rows']['test']:,} unseen test images: {lies}. Training accuracy "
        f"{summary['final']['train_accuracy']:.4f}"
        + (f", flagged: {summary['flagged']}." if summary.get("flagged") else ": it learned.")
    )
    return Question(
        "Does a small network learn from AlexNet's features?",
        "hardly: 0.6348, printed as a test accuracy (training accuracy 0.63, loss 5e-08)",
        (Reply(qualified(verdict, "classifier", summary), words),),
    )


def _model(summary: Mapping[str, Any], row: Mapping[str, Any], question: str, images: int) -> Question:
    """A model of the record's comparison: McNemar's test and a paired bootstrap on the same test images."""
    verdict = {"chosen network ahead": YES, "chosen network behind": NO}.get(row["found"], NOT_TOLD)
    return Question(
        question,
        NOT_ASKED,
        (Reply(qualified(verdict, "classifier", summary), f"By accuracy, it is {_lead(row)} on the same {images:,} images."),),
    )  # fmt: skip


def _lead(row: Mapping[str, Any]) -> str:
    """The chosen network's lead over a model of the comparison."""
    where = {"chosen network ahead": "ahead", "chosen network behind": "behind"}.get(row["found"], NOT_TOLD)
    lead = difference_words(row, " by paired bootstrap")
    return f"{where} ({lead}; McNemar's test, Holm's {p_words(row['holm_p'])}; first seed)"


def _pixels(record: StudyRecord, beside: Mapping[str, Mapping[str, Any]], images: int) -> Question:
    """Features against raw pixels: paired over seeds, and on the first seed's answers to the same images."""
    summary = record.summary
    of: dict[str, dict[int, float]] = {}
    for child in record.children:
        if child.tags.get("probeflow.role") == "final":
            of.setdefault(str(child.params["input"]), {})[int(child.params["seed"])] = child.metrics["test_accuracy"]
    features, pixels = of.get(summary["representation"], {}), of.get(PIXELS, {})
    seeds = sorted(set(features) & set(pixels))
    lead = paired_difference([features[seed] for seed in seeds], [pixels[seed] for seed in seeds])
    scores = " ".join(f"On {row['input']} {_over_seeds(row).words}." for row in summary["table"])
    if lead is None:
        verdict, words = ONE_SEED, scores
    else:
        verdict = NOT_TOLD if not lead.real else YES if lead.estimate > 0 else NO
        found = {NOT_TOLD: "the two are not told apart", YES: "the features are better", NO: "the features are worse"}
        words = (
            f"Paired over {lead.pairs} seeds, {found[verdict]}: features less pixels "
            f"{lead_words(lead, lead.p_value, corrected=False)}. {scores}"
        )
    if row := beside.get(f"same network on {PIXELS}"):
        words += f" On the same {images:,} images, {_lead(row)}."
    return Question(
        "Are the features worth more than raw pixels to the same network?",
        NOT_ASKED,
        (Reply(qualified(verdict, "classifier", summary), words),),
        _pixels_brief(lead),
    )


def _pixels_brief(lead: Difference | None) -> str:
    if lead is None:
        return "Features against raw pixels: one seed cannot tell"
    found = NOT_TOLD if not lead.real else "better" if lead.estimate > 0 else "worse"
    return f"Features less raw pixels: {lead_words(lead, lead.p_value, corrected=False)}, {found}"


def _classes(rows: Sequence[Mapping[str, Any]]) -> Question:
    known = [row for row in rows if row["recall"] is not None]
    told = [
        f"{row['class']} {row['recall']:.4f} ({row['recall_low']:.4f} to {row['recall_high']:.4f})"
        for row in known[:10]
    ]
    more = f" and {len(known) - 10} classes more" if len(known) > 10 else ""
    (a, b), (c, d) = CONFUSION
    return Question(
        "How many images of each class does it find?",
        f"its confusion matrix, read rightly: {a / (a + c):.4f} of class 0, {d / (b + d):.4f} of class 1",
        (
            Reply(
                NOT_COMPARED,
                f"Recall of the first seed, Wilson's intervals: {', '.join(told)}{more}. The study's shares are of training "
                "images, and which classes they were is not recorded.",
            ),
        ),
    )


def _over_seeds(row: Mapping[str, Any]) -> Estimate:
    return Estimate(
        row["mean_test_accuracy"], row["standard_deviation"], row["mean_low"], row["mean_high"], row["seeds"]
    )
