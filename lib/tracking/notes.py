"""What MLflow's pages say to people: what an experiment asks, which run to open first, how to compare."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lib.studies.record import StudyRecord
from lib.tracking.views import Link, as_markdown

_QUESTIONS = {
    "activations": "Which activation function does a small network learn best with, and does scikit-learn's "
    "MLPClassifier come to the same at the same settings? (Reference study A)",
    "hidden_units": "How many hidden units does one hidden layer need, and does a wider one overfit? (Reference study B)",
    "learning_rates": "Which learning rate is best, which is unstable, which is too slow? (Reference study C)",
    "exploration": "What is in the images? (Reference study D)",
    "features": "Which values has AlexNet's layer for each image, and is the set of them whole? (Reference study E)",
    "classifier": "How well does a small network tell the classes apart on frozen AlexNet features, beside raw pixels "
    "and scikit-learn's models, on images it has not seen? (Reference study F)",
    "tsne": "What has the best network's last hidden layer learned, as a map?",
    "pipeline": "What came of a whole run? Its page has the report (report.html) and the table "
    '"reference study / this run".',
}

_FIRST = (
    "**Open first** a run without a parent: one each time the study was run with other settings or data. Its "
    "description begins with the answer; under *Artifacts* are its figures, tables, notes and report."
)

_COMPARE = """**Compare** by the links in that description. Or open *Views*, at the top right: "Newest" lists the last study's \
configurations, best first; as charts it shows their curves.

| `probeflow.role` | what the run is |
|---|---|
| (none) | the study: answer, figures, tables, model |
| `configuration` | one setting: means over its seeds, each with `_low` and `_high` (95 % interval) and \
`_standard_deviation`; curves are means; `rank` 1 is the best |
| `candidate` | one trial of it, one seed, judged on validation rows |
| `final` | a winner trained again on all but test rows, judged on test rows |
| `peer`, `baseline` | scikit-learn on the same rows |

`best_epoch_*` is taken at the epoch with the best validation loss, `last_epoch_*` after the last epoch, `mean_*` averaged over \
the epochs; `train_loss`, `validation_loss` and so on are the curves, of which MLflow's table shows the last value."""

_COMPARED = ("activations", "hidden_units", "learning_rates", "classifier")

EXPERIMENT_NOTES = {
    # MLflow's list of experiments shows the first lines as they stand: in plain words.
    study: "\n\n".join([question, _FIRST, *([_COMPARE] if study in _COMPARED else [])])
    for study, question in _QUESTIONS.items()
}


def description(record: StudyRecord, links: Iterable[Link]) -> str:
    """A study's own run for people: the answer, how to compare, then the notes.

    MLflow shows 100 pixels of it until "Show more", of which only the first two lines can be clicked: so the answer is short
    there, the links follow at once, and the rest of the headline after them.
    """
    answer, *rest = re.split("[,;] ", record.headline, maxsplit=1)
    compared = as_markdown(links)
    head = [
        f"**Answer:** {answer}",
        f"**Compare:** {compared}" if compared else "",
        *(f"{_upper(more)}." for more in rest),
    ]
    return "  \n".join(line for line in head if line) + f"\n\n{record.notes}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
