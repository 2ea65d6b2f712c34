"""What people are shown of a sweep: one sentence, the models' table, warnings and runs. All else stands in its tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lib.evaluation.intervals import LEVEL, p_words
from lib.evaluation.measures import measure_named
from lib.mlp.labels import params
from lib.studies.entry import Standing
from lib.studies.presentation import Presentation, Rows, Section, escaped, table
from lib.studies.study import Record
from lib.studies.sweep.entries import STANDINGS
from lib.studies.sweep.result import Lead, SweepResult, Tuning, Weights
from lib.studies.sweep.runs import runs_below, study_run
from lib.studies.sweep.words import (
    best_models,
    budget_words,
    configuration_name,
    in_order,
    is_random,
    model_name,
    plain_value,
    remarks_words,
    rows_words,
    seconds_words,
    settings_words,
    test_words,
    verdict_words,
)

_ROWS = 40
"""Models that notes list."""

_HELD_OUT = {
    "repeated": "held out of the training split, other ones by each seed; counts are the first seed's",
    "folds": "held out of the training split, a fold by each seed; counts are the first seed's",
    "fixed": "held out of the training split, the same by all seeds",
}


def present(record: Record[SweepResult]) -> Presentation:
    """What people are shown of a sweep: a pure function of its record."""
    result = record.result
    shown_input = result.representations[0].description
    title = f"{record.name} on {shown_input} of {record.dataset.name}"
    return Presentation(
        title=title,
        question=f"Which settings of a small network learn best on {shown_input}?",
        headline=headline(result),
        sections=tuple(_sections(record)),
        warnings=(*remarks_words(result), *record.dataset.warnings),
        parent=study_run(record, title),
        runs=runs_below(record),
        input=shown_input,
        random_weights=any(each.weights is Weights.RANDOM for each in result.representations),
    )


def headline(result: SweepResult) -> str:
    """The best configuration, its accuracy with its interval, and whether it is significantly better than the others."""
    best = result.configurations[result.best]
    name = f"{best.variant} #{best.number}" if best.searched else configuration_name(result, result.best)
    name += " (RANDOM weights)" if is_random(result) else ""
    verdict = verdict_words(result)
    if result.judged_on is Rows.TEST:
        score = result.models[result.chosen].with_both.rounded
        return f"{name}: test accuracy {score}; on validation rows {verdict}"
    final = result.estimate(best.trials, "final_validation_accuracy")
    return f"{name}: validation accuracy {final.rounded} on the rows it was chosen by; {verdict}"


def _sections(record: Record[SweepResult]) -> Iterator[Section]:
    result = record.result
    yield Section("", _setting(record))
    yield Section("Choice", _choice(result))
    if len(result.models) > 1 or result.judged_on is Rows.TEST:
        yield Section("Test results" if result.judged_on is Rows.TEST else "Comparison with baselines", _models(result))
    yield Section("Measures", _measures(result))


def _setting(record: Record[SweepResult]) -> str:
    """The data, the input, and what was trained."""
    result, settings = record.result, record.result.settings
    first, seeds, count = result.representations[0], len(settings.seeds), len(result.configurations)
    rows = f"{result.train_rows:,} training and {result.validation_rows:,} validation rows"
    if result.held_out:
        rows += f" ({_HELD_OUT[settings.splits]})"
    if result.judged_on is Rows.TEST:
        rows += f", {result.judged_rows:,} test rows"
    scaled = ", standardised by training rows" if first.standardised else ""
    corrected = ", corrected for the splits' common rows (Nadeau and Bengio)" if result.overlap else ""
    spread = f"figures over seeds are mean ± standard deviation (95 % confidence interval, Student's t{corrected})"
    if seeds == 1:
        spread = "no figure has an interval over seeds"
    words = [
        f"Data: {escaped(record.dataset.origin)}, {rows}.",
        f"Input: {escaped(first.description)}, {first.width:,} values{scaled}.",
        f"{count:,} configuration{'s' if count > 1 else ''} with {seeds} seed{'s' if seeds > 1 else ''}; {spread}.",
    ]
    if settings.rungs:
        halved = sum(each.halved for each in result.configurations)
        words.append(f"Successive halving dropped {halved:,} of {count:,} configurations; they cannot win.")
    if settings.patience is not None:
        trials = [trial for each in result.configurations for trial in each.trials]
        stopped = sum(trial.ended == "patience" for trial in trials)
        words.append(f"Patience of {settings.patience} epochs ended {stopped:,} of {len(trials):,} trials early.")
    return " ".join(words)


def _choice(result: SweepResult) -> str:
    best = result.configurations[result.best]
    final = result.estimate(best.trials, "final_validation_accuracy")
    words = (
        f"Best by validation accuracy after the last epoch: **{escaped(configuration_name(result, result.best))}**, "
        f"{final.words}; {verdict_words(result)}."
    )
    if second := next((each for each in result.judgement.rivals if each.difference is not None), None):
        assert second.difference is not None
        name = escaped(configuration_name(result, second.configuration))
        words += f" It leads the runner-up, {name}, by {second.difference.with_p}."
    settings = ", ".join(
        f"{name.replace('_', ' ')} {plain_value(value)}" for name, value in params(best.trial).items() if name != "seed"
    )
    return f"{words}\n\nIts settings: {escaped(settings)}."


def _models(result: SweepResult) -> str:
    """All models on the rows that the study judges by, and what each has less than the chosen one, or more."""
    rows = rows_words(result)
    leads = {lead.model: lead for lead in result.leads}
    paired = result.over_seeds_p()
    several = any(len(model.scores) > 1 for model in result.models)
    inputs = len(result.representations) > 1
    how = (
        f"Chosen on validation rows, trained again on all {result.train_rows + result.validation_rows:,} training and "
        f"validation rows, and scored once on {result.judged_rows:,} test rows."
        if result.judged_on is Rows.TEST
        else f"Scored on the {result.judged_rows:,} validation rows by which the network's settings were chosen, which favours "
        "it; baselines chose theirs on rows held out of training."
    )
    head = ["model", *(["input"] if inputs else []), "settings tried", "chosen settings"]
    head += [f"{rows} accuracy over seeds", "95 % confidence interval over seeds and rows together"] if several else []
    head += [
        f"{'first seed' if several else f'{rows} accuracy'} (95 % confidence interval over rows)",
        "log loss (nats)",
    ]
    head += ["less the chosen model's, first seed"] if leads else []
    head += ["the same, paired over seeds"] if paired else []
    head += ["seconds to choose + to train"]
    lines = []
    for position in best_models(result, in_order(result), _ROWS)[0]:
        model, lead = result.models[position], leads.get(position)
        name = escaped(model_name(result, position))
        over_seeds = result.over_seeds(position, "accuracy").words if len(model.scores) > 1 else "one seed"
        lines.append(
            [
                f"**{name}** (chosen)" if position == result.chosen else name,
                *([escaped(result.representations[model.representation].node)] if inputs else []),
                budget_words(_budget(result, position)),
                escaped(settings_words(result, position)) or "-",
                *([over_seeds, model.with_both.words] if several else []),
                model.accuracy.words,
                f"{model.measured['loss'].estimate:.4f}",
                *(["-" if lead is None else _over_rows(lead)] if leads else []),
                *([_over_seeds(lead, paired)] if paired else []),
                seconds_words(model),
            ]
        )
    more = [f"The best {_ROWS} of {len(result.models):,} models; all are in `models.csv`."]
    over_rows = "Wilson's" if result.groups is None else f"a bootstrap's over {result.groups:,} groups of rows"
    note = f"Intervals over rows are {over_rows}."
    if leads:
        note += (
            f" Differences of first seeds are tested by {test_words(result)}. Where one is not significant, its interval "
            "tells how large it may still be."
        )
    if paired:
        note += (
            " The two differences answer two questions, and may disagree: whether these very networks differ on other "
            "rows, and whether the models differ with other seeds, on these rows (Student's paired t, with Holm's correction)."
        )
    return "\n\n".join([how, table(head, lines), *(more if len(result.models) > _ROWS else []), note])


def _budget(result: SweepResult, position: int) -> Tuning:
    """What a model's settings were chosen among: those of the chosen one among all that the sweep tried."""
    tuning = result.models[position].tuning
    return tuning if position != result.chosen else tuning.model_copy(update={"tried": len(result.configurations)})


def _over_rows(lead: Lead) -> str:
    """What the other model of a lead has less than the chosen one, or more."""
    same = lead.same_rows
    if not same.only_first and not same.only_second:
        return "no row differs"
    return f"{same.turned.words}, {p_words(lead.p)}: {STANDINGS[lead.outcome]}"


def _over_seeds(lead: Lead | None, corrected: Mapping[int, float]) -> str:
    if lead is None or lead.over_seeds is None:
        return "-"
    other, p_value, standing = lead.over_seeds.turned, corrected[lead.model], Standing.NOT_SIGNIFICANT
    if p_value < LEVEL:
        standing = Standing.BETTER if other.estimate > 0 else Standing.WORSE
    return f"{other.words}, {p_words(p_value)}: {standing}"


def _measures(result: SweepResult) -> str:
    """All measures of the chosen model."""
    model, several = result.models[result.chosen], len(result.models[result.chosen].scores) > 1
    lines = [
        [measure_named(name).words, *([result.over_seeds(result.chosen, name).words] if several else []), first.words]
        for name, first in model.measured.items()
    ]
    head = ["measure", *(["over seeds"] if several else []), "first seed (95 % confidence interval of a bootstrap)"]
    who = f"Of the chosen model, {escaped(model_name(result, result.chosen))}, on {result.judged_rows:,} rows."
    return f"{who}\n\n{table(head, lines)}"
