"""What MLflow's pages say to people: what an experiment asks, which run to open first, how to compare."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lib.studies.presentation import Presentation, Role, escaped, markdown
from lib.studies.study import Record, kind_named
from lib.tracking.views import Link, as_markdown

_FIRST = (
    "**Open first** a run without a parent: one each time the study was run with other settings or data. Its "
    "description has the answer; under *Artifacts* are its figures, tables, notes, and of a whole run the report."
)

_COMPARE = """**Compare** by the links in that description. Or open *Views*, at the top right: "Newest" lists the last study's \
configurations, best first; as charts it shows their curves.

| `probeflow.role` | what the run is |
|---|---|
| (none) | the study: answer, figures, tables, model |
| `configuration` | one setting: means over its seeds, each with `_low` and `_high` (95 % interval) and \
`_standard_deviation`; curves are means; `rank` 1 is the best |
| `trial` | one seed of it, judged on validation rows |
| `final` | a winner trained again on all but test rows, judged on test rows |
| `baseline` | another model on the same rows |

`best_epoch_*` is taken at the epoch with the best validation loss, `last_epoch_*` after the last epoch, `mean_*` averaged over \
the epochs; `train_loss`, `validation_loss` and so on are the curves, of which MLflow's table shows the last value."""


def experiment_note(record: Record[Any], shown: Presentation) -> str:
    """What the experiment of all studies with this name says: the question of their kind, and how to read its runs."""
    compares = any(run.role is Role.CONFIGURATION for run in shown.runs)
    # MLflow's list of experiments shows the first lines as they stand: in plain words.
    return "\n\n".join([kind_named(record.kind).question, _FIRST, *([_COMPARE] if compares else [])])


def description(shown: Presentation, links: Iterable[Link]) -> str:
    """A study's own run for people: how to compare, the answer, then the notes.

    MLflow shows 100 pixels of it until "Show more", of which only the first two lines can be clicked: so the links come
    before the answer, which may be long.
    """
    compared = as_markdown(links)
    head = [f"**Compare:** {compared}" if compared else "", f"**Answer:** {escaped(shown.headline)}"]
    return "  \n".join(line for line in head if line) + f"\n\n{markdown(shown)}"
