"""What changed from one whole run of a profile to the next, in words: in a line, and as a section of report and notes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from lib.addresses import without_credentials
from lib.evaluation.paired import PairedPredictions, significant
from lib.graph.history import DataChange, Outcome, Step
from lib.graph.past import value_words
from lib.studies.presentation import Presentation, Section, escaped
from lib.studies.study import Record
from lib.text import listed, visible

_NAMED, _LISTED, _SHORT = 3, 10, 12


def presented(record: Record[Any], step: Step | None) -> Presentation:
    """What a record presents, of a whole run before all else what changed in its last `step`."""
    shown, section = record.present(), changes_section(step)
    return shown if section is None else replace(shown, sections=(section, *shown.sections))


def changed_since(step: Step | None) -> str:
    """A line such as "since the run of 2026-11-26 01:30 UTC: data: pets 900 -> 1,000 images"; empty where nothing changed."""
    if step is None or step.before is None or not changed_words(step):
        return ""
    return f"since the run of {step.before.when}: {changed_words(step)}"


def changes_section(step: Step | None) -> Section | None:
    """What changed since the run before; None where there is none."""
    if step is None or step.before is None:
        return None
    since = f"Since the run of {escaped(step.before.when)} ({step.before.key[:8]}):"
    lines = (*_causes(step, step.before), *_effects(step, step.before))
    told = [f"- {escaped(without_credentials(line))}" for line in lines]
    return Section("Changed since the run before", "\n".join([since, "", *told]))


def _causes(step: Step, before: Outcome) -> Iterator[str]:
    for change in step.data:
        yield f"data: {data_words(change)}"
    for name in step.settings[:_LISTED]:
        then, now = (value_words(run.settings.get(name)) for run in (before, step.run))
        yield f"setting: {name} {then} -> {now}"
    if len(step.settings) > _LISTED:
        yield f"and {len(step.settings) - _LISTED} more settings"
    if step.code:
        yield f"code: commit {before.commit[:_SHORT] or 'unknown'} -> {step.run.commit[:_SHORT] or 'unknown'}"
    if not changed_words(step):
        yield "data, settings and commit are the same"


def _effects(step: Step, before: Outcome) -> Iterator[str]:
    then, now = before.best, step.run.best
    if then is None or now is None:
        return
    if (then.model, then.settings, then.input) != (now.model, now.settings, now.input):
        yield f"best model: {model_words(before)} -> {model_words(step.run)}"
    difference = "scored on other images, so the two do not compare"
    if step.lead is not None:
        difference = f"difference on the same images {lead_words(step.lead)}"
    yield f"{now.rows.value} accuracy: {then.score.rounded} -> {now.score.rounded}; {difference}"


def changed_words(step: Step) -> str:
    """What was other than in the run before, in a line; empty where nothing was."""
    return "; ".join(_changed(step))


def _changed(step: Step) -> Iterator[str]:
    if step.data:
        yield f"data: {_few([data_words(each) for each in step.data])}"
    if step.settings:
        yield f"settings: {_few(step.settings)}"
    if step.code:
        yield "code"


def data_words(change: DataChange) -> str:
    """How a dataset changed, such as "pets 900 -> 1,000 images (class cat added)"."""
    before, after = change.images
    if change.before is None:
        return f"{change.name} new, {after:,} images"
    if change.after is None:
        return f"{change.name} no longer there"
    count = f"{before:,} -> {after:,} images" if before != after else f"{after:,} images as before, other content"
    classes = [
        f"{'class' if len(names) == 1 else 'classes'} {listed(names, _NAMED)} {what}"
        for names, what in ((change.classes_added, "added"), (change.classes_removed, "removed"))
        if names
    ]
    return f"{change.name} {count}" + (f" ({'; '.join(classes)})" if classes else "")


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return visible(", ".join(names[:_NAMED])) + more


def lead_words(of: PairedPredictions) -> str:
    """A difference of two runs, with its interval and what it means."""
    sign = "significant" if significant(of) else "not significant"
    return f"{of.estimate:+.3f} ({of.low:+.3f} to {of.high:+.3f}), {sign}"


def model_words(run: Outcome) -> str:
    """The model that a run chose, with its settings and input."""
    if run.best is None:
        return "nothing was scored"
    settings = f", {run.best.settings}" if run.best.settings else ""
    return visible(f"{run.best.model}{settings}, on {run.best.input}")
