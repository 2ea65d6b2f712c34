"""What people are shown of a sweep: title, headline, notes in sections, warnings and runs, all made of its record."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from lib.evaluation.intervals import Difference, Interval, p_words
from lib.evaluation.measures import measure_named
from lib.figures.search import words as dimension_words
from lib.mlp.labels import params
from lib.studies.presentation import Presentation, Rows, Section, Tried, escaped
from lib.studies.study import Record
from lib.studies.sweep.result import Configuration, Explored, Lead, ModelRole, Outcome, SweepResult
from lib.studies.sweep.runs import logged_configurations, runs_below, sampler_words, study_run
from lib.studies.sweep.tables import confused_rows
from lib.studies.sweep.words import (
    OUTCOMES,
    best_models,
    brief_verdict,
    budget_words,
    configuration_name,
    decimals_for,
    difference_words,
    endings,
    estimate_words,
    in_order,
    interval_words,
    is_random,
    model_name,
    number,
    plain_value,
    remarks_words,
    rows_words,
    seconds_words,
    settings_words,
    step_words,
    verdict_words,
)

_NOTED, _ROWS, _CLASSES, _ENDS = 20, 40, 30, 10
"""Configurations, rows of another table and classes that notes list; of more classes so many of lowest and highest F1."""

_UNFOLDED = 12
"""Rows of a table up to which a page shows it open."""

_HELD_OUT = {
    "repeated": "held out of the training split, other ones by each seed; counts are the first seed's",
    "folds": "held out of the training split, a fold by each seed; counts are the first seed's",
    "fixed": "held out of the training split, the same by all seeds",
}
_CORRECTED = ", corrected for the splits' common rows (Nadeau and Bengio)"

_EVALUATOR = "Optuna's PED-ANOVA"


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
        tried=tuple(_tried(result, each) for each in result.explored),
        input=shown_input,
        tested=tuple(_tested(result)) if len(result.models) > 1 else (),
    )


def headline(result: SweepResult) -> str:
    """The best configuration, its accuracy with its interval, and whether it is significantly better than the others."""
    name = configuration_name(result, result.best)
    random = " (RANDOM weights)" if is_random(result) else ""
    verdict = brief_verdict(result)
    if result.judged_on is Rows.TEST:
        return f"{name}{random}: test accuracy {_brief_score(result, result.chosen)}; on validation rows {verdict}"
    trials = result.configurations[result.best].trials
    final = result.estimate(trials, "final_validation_accuracy")
    if final.standard_deviation is None or final.low is None or final.high is None:
        return f"{name}{random}: validation accuracy {number(final.mean)}, one seed; {verdict}"
    decimals = decimals_for(final.standard_deviation)
    return (
        f"{name}{random}: validation accuracy {number(final.mean, decimals)} ± {number(final.standard_deviation, decimals)} "
        f"(95 % interval {number(final.low, decimals)} to {number(final.high, decimals)}, {final.seeds} seeds); {verdict}"
    )


def _tested(result: SweepResult) -> Iterator[str]:
    """The chosen model, and those on other inputs or of other methods beside it: score, budget and time, a line each."""
    own = result.models[result.chosen].configuration
    others = [at for at, each in enumerate(result.models) if at != result.chosen and each.configuration in (None, own)]
    for at in (result.chosen, *others):
        model = result.models[at]
        name = f"{model_name(result, at)} (chosen)" if at == result.chosen else model_name(result, at)
        settings = "" if model.role is ModelRole.WINNER else settings_words(result, at)
        yield (
            f"{name}{f', {settings}' if settings else ''}: {_brief_score(result, at)}; settings tried: "
            f"{budget_words(model.tuning)}; {seconds_words(model)} s"
        )


def _brief_score(result: SweepResult, model: int) -> str:
    """A model's accuracy over seeds; of one seed, over rows."""
    over = result.over_seeds(model, "accuracy")
    if over.standard_deviation is None or over.low is None or over.high is None:
        first = result.models[model].accuracy
        decimals = decimals_for((first.high - first.low) / 2)
        ends = f"{number(first.low, decimals)} to {number(first.high, decimals)}"
        return f"{number(first.estimate, decimals)} (95 % interval over rows {ends}, one seed)"
    decimals = decimals_for(over.standard_deviation)
    ends = f"{number(over.low, decimals)} to {number(over.high, decimals)}"
    spread = number(over.standard_deviation, decimals)
    return f"{number(over.mean, decimals)} ± {spread} (95 % interval {ends}, {over.seeds} seeds)"


def _sections(record: Record[SweepResult]) -> Iterator[Section]:
    """The long parts last: MLflow shows the first 8,000 letters of a note."""
    result = record.result
    yield Section("", _setting(record))
    yield Section("Choice", _choice(result))
    if len(result.models) > 1 or result.judged_on is Rows.TEST:
        yield Section("Test results" if result.judged_on is Rows.TEST else "Comparison with baselines", _models(result))
    yield Section("Configurations", _configurations(result))
    if sentences := list(_explored(result)):
        yield Section("What was tried and what mattered", "\n".join(f"- {sentence}" for sentence in sentences))
    if result.steps:
        assert result.settings.axis is not None
        along = dimension_words(result.settings.axis)
        yield Section(f"Steps along the {along}", _steps(result), len(result.steps) > _UNFOLDED)
    yield Section("Measures", _measures(result))
    yield Section("Classes", _classes(result), len(result.per_class) > _UNFOLDED)


def _setting(record: Record[SweepResult]) -> str:
    result = record.result
    first = result.representations[0]
    rows = f"{result.train_rows:,} training and {result.validation_rows:,} validation rows"
    if result.held_out:
        rows += f" ({_HELD_OUT[result.settings.splits]})"
    if result.judged_on is Rows.TEST:
        rows += f", {result.judged_rows:,} test rows"
    scaled = ", standardised by training rows" if first.standardised else ""
    seeds, count = len(result.settings.seeds), len(result.configurations)
    trained = f"{count:,} configuration{'s' if count > 1 else ''}"
    if len(result.settings.variants) > 1:
        trained += f" in {len(result.settings.variants)} variants"
    data = f"Data: {escaped(record.dataset.origin)}, {rows}. Input: {escaped(first.description)}, {first.width:,} values{scaled}."
    if seeds == 1:
        return f"{data} {trained}, each trained with one seed, so no figure has an interval over seeds."
    return (
        f"{data} {trained}, each trained with {seeds} seeds. Figures over seeds are mean ± standard deviation (95 % "
        f"confidence interval of the mean, Student's t{_CORRECTED if result.overlap else ''})."
    )


def _choice(result: SweepResult) -> str:
    best = result.configurations[result.best]
    final = result.estimate(best.trials, "final_validation_accuracy")
    lines = [
        f"Best by validation accuracy after the last epoch: **{escaped(configuration_name(result, result.best))}**, "
        f"{estimate_words(final)}; {escaped(verdict_words(result))}."
    ]
    if len(result.configurations) > 1 and len(best.trials) > 1:
        lines.append(
            f"Differences are paired over seeds, with Student's t{_CORRECTED if result.overlap else ''}; the best is called "
            "significantly better only where each of these tests is below 5 %."
        )
    epochs = ", ".join(str(each.best_epoch) for each in best.trials)
    each_seed = " (one a seed)" if len(best.trials) > 1 else ""
    lines.append(f"Its validation loss was lowest after epoch {epochs} of {best.trial.epochs}{each_seed}.")
    settings = ", ".join(
        f"{name.replace('_', ' ')} {plain_value(value)}" for name, value in params(best.trial).items() if name != "seed"
    )
    return " ".join(lines) + f"\n\nIts settings: {escaped(settings)}."


def _models(result: SweepResult) -> str:
    """All models on the rows that the study judges by, and the chosen one's lead over each other."""
    rows = rows_words(result)
    leads = {lead.model: lead for lead in result.leads}
    paired = any(lead.over_seeds is not None for lead in result.leads)
    over_rows = "Wilson's" if result.groups is None else f"a bootstrap's over {result.groups:,} groups of rows"
    if result.judged_on is Rows.TEST:
        winners = sum(each.role is ModelRole.WINNER for each in result.models)
        axis = "" if result.settings.axis is None else f" of each {dimension_words(result.settings.axis)}"
        who = f"The winner{axis} was" if winners == 1 or axis else "The winners were"
        text = [
            f"{who} chosen on validation rows, trained again on all {result.train_rows + result.validation_rows:,} training "
            f"and validation rows, and scored once on {result.judged_rows:,} test rows."
        ]
    else:
        text = [
            f"All are trained on the same rows and scored on the same {result.judged_rows:,} validation rows. These favour the "
            "network, whose settings were chosen by them; baselines chose theirs on rows held out of training."
        ]
    text.append(f"Always answering the most frequent class would score {number(result.majority)}.")
    several = any(len(model.scores) > 1 for model in result.models)
    inputs = len(result.representations) > 1
    head = [*(["input"] if inputs else []), "settings tried", "chosen settings"]
    head += [f"{rows} accuracy over seeds", "95 % confidence interval over seeds and rows together"] if several else []
    head += [
        f"{'first seed' if several else f'{rows} accuracy'} (95 % confidence interval over rows)",
        "log loss (nats)",
    ]
    if result.leads:
        head += ["chosen model less this one, first seed"]
        head += ["the same, paired over seeds"] if paired else []
    head += ["seconds to choose + to train"]
    table = []
    for position in best_models(result, in_order(result), _ROWS)[0]:
        model = result.models[position]
        name = escaped(model_name(result, position))
        cells = [
            f"**{name}** (chosen)" if position == result.chosen else name,
            *([escaped(result.representations[model.representation].node)] if inputs else []),
            budget_words(model.tuning),
            escaped(settings_words(result, position)) or "-",
            *([_over_seeds(result, position), interval_words(model.with_both)] if several else []),
            interval_words(model.accuracy),
            number(model.measured["loss"].estimate),
        ]
        if result.leads:
            lead = leads.get(position)
            cells.append("-" if lead is None else _lead(lead))
            if paired:
                cells.append("-" if lead is None or lead.over_seeds is None else _lead_over_seeds(lead.over_seeds))
        cells.append(seconds_words(model))
        table.append(cells)
    notes = [
        "Settings tried by a network are configurations. Seconds of networks that train side by side are shares of the whole.",
        f"Intervals over rows are {over_rows}.",
    ]
    if result.leads:
        test = "McNemar's exact test" if result.groups is None else "an exact sign-flip test over groups of rows"
        notes.append(
            "The lead of the chosen model is its accuracy less the other's on the same rows, first seeds, with a paired "
            f"bootstrap's 95 % confidence interval and {test} (Holm's correction over {len(result.leads)})."
        )
    if paired:
        notes.append("Over seeds, the lead is tested by Student's paired t, each by itself.")
    return "\n\n".join(
        [" ".join(text), _table(["model", *head], table), *_more(result.models, "models"), " ".join(notes)]
    )


def _over_seeds(result: SweepResult, position: int) -> str:
    seeds = len(result.models[position].scores)
    return estimate_words(result.over_seeds(position, "accuracy")) if seeds > 1 else "one seed"


def _lead(lead: Lead) -> str:
    same = lead.same_rows
    if not same.only_first and not same.only_second:
        return "no row differs"
    ends = f" ({number(same.low)} to {number(same.high)})" if same.low < same.high else ""
    return f"{number(same.estimate)}{ends}, {p_words(lead.p)}: {OUTCOMES[lead.outcome]}"


def _lead_over_seeds(of: Difference) -> str:
    outcome = Outcome.NOT_SIGNIFICANT
    if of.significant:
        outcome = Outcome.AHEAD if of.estimate > 0 else Outcome.BEHIND
    return f"{difference_words(of)}: {OUTCOMES[outcome]}"


def _configurations(result: SweepResult) -> str:
    ranked = sorted(range(len(result.configurations)), key=lambda position: result.configurations[position].rank)
    table = []
    for position in ranked[:_NOTED]:
        each = result.configurations[position]
        figures = [
            result.estimate(each.trials, name)
            for name in (
                "final_validation_accuracy",
                "best_validation_loss",
                "mean_validation_loss",
                "mean_train_loss",
            )
        ]
        name = escaped(configuration_name(result, position)) + _ended(each)
        table.append([str(each.rank), name, *map(estimate_words, figures)])
    head = [
        "rank",
        "configuration",
        "final validation accuracy",
        "best validation loss",
        "mean validation loss",
        "mean train loss",
    ]
    logged = logged_configurations(result)
    in_mlflow = [f"MLflow has runs of the best {logged:,}."] if logged < len(ranked) else []
    return "\n\n".join([_table(head, table), *_more(ranked, "configurations", _NOTED), *in_mlflow])


def _more(rows: Sequence[Any], what: str, shown: int = _ROWS, first: str = "best") -> list[str]:
    """Where the rest of a table is that notes show some rows of."""
    return (
        [f"The {first} {shown} of {len(rows):,} {what}; all are in the table `{what}.csv`."]
        if len(rows) > shown
        else []
    )


def _ended(each: Configuration) -> str:
    return f" ({endings(each.trials)})" if any(trial.ended in ("halved", "diverged") for trial in each.trials) else ""


def _explored(result: SweepResult) -> Iterator[str]:
    """What each variant tried, which loss was lowest, and what mattered; then halving and early stopping."""
    several = [each for each in result.explored if len(each.dimensions) > 1]
    if len(several) > _UNFOLDED:
        several.sort(key=lambda each: math.inf if each.lowest is None else each.objectives[each.lowest])
        yield f"Of {len(several):,} variants the {_UNFOLDED} of lowest loss; all are in the table `importances.csv`."
    for each in several[:_UNFOLDED]:
        start = f"{escaped(each.variant)}: {sampler_words(each.sampler)} over {len(each.points):,} configurations"
        if each.lowest is not None:
            name = configuration_name(result, _position(result, each, each.lowest), variant=False)
            start += f"; lowest validation loss {number(each.objectives[each.lowest])} with {escaped(name)}"
        if each.importances is None:
            yield f"{start}. The {each.finished:,} that finished are too few, or too alike, to say which setting matters."
            continue
        shares = ", ".join(f"{dimension_words(name)} {share:.2f}" for name, share in each.importances.items())
        yield (
            f"{start}. The importance of each setting for being among the {100 * each.best_share:.0f} % of lowest loss "
            f"({_EVALUATOR}, shares of 1, {each.finished:,} finished configurations): {shares}."
        )
    settings = result.settings
    if settings.rungs:
        halved = sum(each.halved for each in result.configurations)
        rungs = ", ".join(f"{100 * rung.keep:.0f} % go on after epoch {rung.epoch}" for rung in settings.rungs)
        yield (
            f"Successive halving ({rungs}) by the validation loss of seed {settings.seeds[0]} dropped {halved:,} of "
            f"{len(result.configurations):,} configurations; they have that seed alone, are compared with none and cannot win."
        )
    if settings.patience is not None:
        trials = [trial for each in result.configurations for trial in each.trials]
        stopped = sum(trial.ended == "patience" for trial in trials)
        again = (
            " A winner's final training takes as many epochs as its trial did." if result.judged_on is Rows.TEST else ""
        )
        yield (
            f"Patience of {settings.patience} epochs ended {stopped:,} of {len(trials):,} trials early; means over epochs are "
            f"over those that ran.{again}"
        )


def _position(result: SweepResult, explored: Explored, place: int) -> int:
    """The position in the study of a variant's configuration, by its place in the order tried."""
    of_variant = [at for at, each in enumerate(result.configurations) if each.variant == explored.variant]
    return of_variant[place]


def _steps(result: SweepResult) -> str:
    several = len(result.settings.variants) > 1
    table = []
    for step in result.steps[:_ROWS]:
        before, after = (configuration_name(result, at, variant=False) for at in (step.before, step.after))
        words = [
            step_words(difference, p)
            + ("" if difference is None else f" ({number(difference.estimate)}, {p_words(p)})")
            for difference, p in (
                (step.train_loss, step.train_loss_p),
                (step.validation_loss, step.validation_loss_p),
            )
        ]
        table.append([*([escaped(step.variant)] if several else []), escaped(f"{before} to {after}"), *words])
    head = [*(["variant"] if several else []), "step", "mean train loss", "best validation loss"]
    how = "Mean differences, paired over seeds; p by Holm's correction over the steps of a variant. Intervals are in `steps.csv`."
    return "\n\n".join([_table(head, table), *_more(result.steps, "steps", first="first"), how])


def _measures(result: SweepResult) -> str:
    """All measures of the chosen model."""
    model = result.models[result.chosen]
    several = len(model.scores) > 1
    table = []
    for name, first in model.measured.items():
        over = [estimate_words(result.over_seeds(result.chosen, name))] if several else []
        table.append([measure_named(name).words, *over, interval_words(first)])
    head = ["measure", *(["over seeds"] if several else []), "first seed (95 % confidence interval of a bootstrap)"]
    name = escaped(model_name(result, result.chosen))
    who = f"Of the chosen model, {name}, on {result.judged_rows:,} {rows_words(result)} rows."
    return f"{who}\n\n{_table(head, table)}"


def _classes(result: SweepResult) -> str:
    classes = list(zip(result.classes, result.per_class, strict=True))
    text = ["Of the chosen model's first seed, with Wilson's 95 % confidence intervals."]
    if len(classes) > _CLASSES:
        ranked = sorted(classes, key=lambda each: each[1].f1)
        classes = [*ranked[:_ENDS], *ranked[-_ENDS:]]
        text.append(
            f"The {_ENDS} of lowest and the {_ENDS} of highest F1 of {len(ranked):,} classes; all are in `per-class.csv`."
        )
    table = []
    for name, each in classes:
        shares = [_share(each.precision), _share(each.recall)]
        table.append([escaped(name), *shares, number(each.f1), f"{each.support:,}"])
    head = ["class", "precision", "recall", "F1", f"{rows_words(result)} rows"]
    parts = [" ".join(text), _table(head, table)]
    if len(result.classes) > _CLASSES and (confused := confused_rows(result)):
        pairs = [[escaped(each["true"]), escaped(each["predicted"]), f"{each['rows']:,} ({each['share_of_true']:.0%})"]
                 for each in confused[:_ENDS]]  # fmt: skip
        parts.append(f"The largest of {len(confused):,} confusions; all are in `confusions.csv`.")
        parts.append(_table(["true class", "taken for", "rows (share of the true class)"], pairs))
    return "\n\n".join(parts)


def _share(of: Interval | None) -> str:
    return "-" if of is None else interval_words(of)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _tried(result: SweepResult, explored: Explored) -> Tried:
    """A variant's settings: those that all its trials have, and those that vary."""
    trials = [
        trial.trial for each in result.configurations if each.variant == explored.variant for trial in each.trials
    ]
    values: dict[str, dict[str | int | float, None]] = {}
    for trial in trials:
        for name, value in params(trial).items():
            values.setdefault(name, {})[value] = None
    seeds = values.pop("seed")
    return Tried(
        explored.variant,
        {name: next(iter(found)) for name, found in values.items() if len(found) == 1},
        {name: tuple(found) for name, found in values.items() if len(found) > 1},
        tuple(int(seed) for seed in seeds),
        len(trials),
    )
