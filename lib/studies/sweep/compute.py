"""Compute a sweep: every trial of every variant, compared on validation rows; winners trained again and tested once.

Each finished trial is kept on disk, so a killed sweep goes on with those that are missing. Rows of one input are in memory
at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from lib.evaluation.calibration import reliability
from lib.evaluation.checks import learned
from lib.evaluation.metrics import most_surely_wrong
from lib.files import digest_json
from lib.machine import one_blas_thread
from lib.mlp.course import objective
from lib.mlp.estimator import MLPClassifier
from lib.mlp.fused import Rung, Stopping
from lib.mlp.labels import architecture, label
from lib.mlp.store import save_network
from lib.mlp.trial import Trial
from lib.search.search import Search, open_search
from lib.studies.presentation import Rows
from lib.studies.record import keep_example
from lib.studies.study import ModelNote, Study
from lib.studies.sweep.answers import Answer, Judged, Model, ask, class_scores, confusion_of, leads
from lib.studies.sweep.baselines import Wanted, baseline_models, held_out_among, held_out_of
from lib.studies.sweep.judgement import judge, rivals_of, steps, winners, with_ranks
from lib.studies.sweep.predictions import Predictions, save_predictions
from lib.studies.sweep.remarks import remarks
from lib.studies.sweep.result import Configuration, Explored, ModelRole, SweepResult, TrialOutcome, TunedOn, Tuning
from lib.studies.sweep.rows import Candidates, Division, Source, sources_of
from lib.studies.sweep.settings import SweepSettings
from lib.studies.sweep.training import Trained, train_all, train_configurations
from lib.text import listed

NETWORK, EXAMPLE = "network.safetensors", "example.safetensors"
_MOST_WRONG = 12


def compute(study: Study[SweepSettings]) -> SweepResult:
    settings, sources = study.settings, sources_of(study)
    candidates = sources[0].candidates(settings)
    searches = {name: open_search(each, study.folder.path, name) for name, each in settings.variants.items()}
    trained = _train(study, searches, candidates)
    configurations = with_ranks(
        [each for name, groups in trained.items() for each in configurations_of(name, settings, groups, candidates)]
    )
    best = next(at for at, each in enumerate(configurations) if each.rank == 1)
    tested = settings.test and not configurations[best].halved
    if tested:
        candidates.release()
        judging = _Judging.test(study, sources, candidates, configurations, best)
    else:
        first = [group[0] for groups in trained.values() for group in groups][best]
        judging = _Judging.validation(study, candidates.first, configurations, best, first)
    return _result(study, sources, candidates.first, searches, configurations, best, judging)


def _train(
    study: Study[SweepSettings], searches: Mapping[str, Search], candidates: Candidates
) -> dict[str, list[list[Trained]]]:
    """Results of each variant's configurations, one a seed: ask all variants, train what they want together, tell them."""
    settings = study.settings
    trained: dict[str, list[list[Trained]]] = {name: [] for name in searches}
    stopping = stopping_of(settings)
    number = 0
    while asked := {name: points for name, search in searches.items() if (points := search.ask())}:
        number += 1
        wanted = {
            name: [[settings.variants[name].trial(point, seed) for seed in settings.seeds] for point in points]
            for name, points in asked.items()
        }
        words = study.name if number == 1 else f"{study.name}, round {number}"
        # At a rung only the configurations of one variant compete: variants are reported side by side.
        calls = [[name] for name in wanted] if settings.rungs else [list(wanted)]
        for names in calls:
            groups = [group for name in names for group in wanted[name]]
            results = iter(train_configurations(groups, candidates, study.folder, words, stopping))
            for name in names:
                of_variant = list(islice(results, len(wanted[name])))
                searches[name].tell(of_variant)
                trained[name] += of_variant
    return trained


def stopping_of(settings: SweepSettings) -> Stopping:
    """When a sweep's trials end before their epochs are over."""
    return Stopping(settings.patience, tuple(Rung(rung.epoch, rung.keep) for rung in settings.rungs))


@dataclass(frozen=True)
class _Judging:
    """The models that were scored, and on which rows."""

    on: Rows
    judged: Judged
    rows_digest: str
    """Names the rows, whatever went into the networks."""
    models: tuple[Model, ...]
    """Winners first; `chosen` is the place of the best configuration's."""
    chosen: int
    network: ModelNote
    """The chosen model's first seed."""

    @classmethod
    def test(
        cls,
        study: Study[SweepSettings],
        sources: Sequence[Source],
        candidates: Candidates,
        configurations: Sequence[Configuration],
        best: int,
    ) -> _Judging:
        """Winners trained again on all development rows; the best's settings on other inputs; and baselines."""
        division = sources[0].finals()
        chosen = winners(study.settings, configurations)
        trials = {at: [final_trial(each) for each in configurations[at].trials] for at in chosen}
        results = iter(
            train_all([t for at in chosen for t in trials[at]], division, study.folder, f"{study.name} winners")
        )
        networks = []
        for at in chosen:
            of_winner = list(islice(results, len(trials[at])))
            tuning = _tuning(at, study.settings, configurations)
            networks.append(_network_model(ModelRole.WINNER, 0, at, configurations[at], of_winner, division, tuning))
            if at == best:
                note = _keep_network(study, of_winner[0].network(), division, configurations[at])
        baselines = baseline_models(
            study.settings.baselines,
            [Wanted(at, name_of(configurations[at]), trials[at]) for at in chosen],
            division,
            held_out_among(candidates.first, division),
            study.where.baselines,
            f"{study.name} baselines",
        )
        division.release()
        for place, source in enumerate(sources[1:], start=1):
            other = source.finals()
            of_other = train_all(trials[best], other, study.folder, f"{study.name} on {source.input.name}")
            untuned = Tuning(tried=1, on=TunedOn.NOTHING, seconds=0.0)
            model = _network_model(ModelRole.ALSO_ON, place, best, configurations[best], of_other, other, untuned)
            networks.append(model)
            other.release()
        judged = Judged(division.y_watched, division.groups)
        digest = sources[0].dataset.digest
        return cls(Rows.TEST, judged, digest, (*networks, *baselines), chosen.index(best), note)

    @classmethod
    def validation(
        cls,
        study: Study[SweepSettings],
        division: Division,
        configurations: Sequence[Configuration],
        best: int,
        first: Trained,
    ) -> _Judging:
        """The best's first network as it is, and baselines, on the validation rows."""
        configuration = configurations[best]
        tuning = _tuning(best, study.settings, configurations)
        model = _network_model(
            ModelRole.WINNER, 0, best, configuration, [first], division, tuning, configuration.trials[:1]
        )
        note = _keep_network(study, first.network(), division, configuration)
        wanted = [Wanted(best, name_of(configuration), [final_trial(configuration.trials[0])])]
        baselines = baseline_models(
            study.settings.baselines,
            wanted,
            division,
            held_out_of(division, study.settings.validation_fraction),
            study.where.baselines,
            f"{study.name} baselines",
        )
        digest = digest_json([division.source.dataset.digest, "validation", study.settings.validation_fraction])
        judged = Judged(division.y_watched, division.groups)
        return cls(Rows.VALIDATION, judged, digest, (model, *baselines), 0, note)


def final_trial(candidate: TrialOutcome) -> Trial:
    """The candidate's settings; one that ran out of patience is trained as long again, for no rows are left to stop by."""
    if candidate.ended != "patience":
        return candidate.trial
    return candidate.trial.model_copy(update={"epochs": len(candidate.history)})


def _tuning(winner: int, settings: SweepSettings, configurations: Sequence[Configuration]) -> Tuning:
    """The budget that a winner had."""
    tried = rivals_of(winner, settings, configurations)
    seconds = sum(trial.seconds for each in tried for trial in each.trials)
    return Tuning(tried=len(tried), on=TunedOn.VALIDATION if len(tried) > 1 else TunedOn.NOTHING, seconds=seconds)


def name_of(configuration: Configuration) -> str:
    """A configuration for reading, unlike any other of its study."""
    settings = label(configuration.trial, configuration.varied)
    return f"{configuration.variant} #{configuration.number}{f' ({settings})' if settings else ''}"


def _network_model(
    role: ModelRole,
    representation: int,
    at: int,
    configuration: Configuration,
    results: Sequence[Trained],
    division: Division,
    tuning: Tuning,
    trials: tuple[TrialOutcome, ...] | None = None,
) -> Model:
    """Trained networks and what they answer, one a seed."""
    rows = division.rows.data.X_validation
    on = f" on {division.source.input.name}" if representation else ""
    answers = tuple(
        Answer(
            f"{name_of(configuration)}{on}, seed {each.trial.seed}",
            each.trial.seed,
            ask(each.network(), rows),
            each.seconds,
        )
        for each in results
    )
    if trials is None:
        trials = tuple(outcome(each, division.y_train) for each in results)
    return Model(role, representation, at, answers, tuning, trials)


def _keep_network(
    study: Study[SweepSettings], network: MLPClassifier, division: Division, configuration: Configuration
) -> ModelNote:
    """Keep a network that takes raw rows, with a few of them and what it answers."""
    rows, source = division.rows, division.source
    if rows.standardiser is not None:
        network = rows.standardiser.fold(network)
    folder, classes = study.folder.path, source.dataset.class_names
    save_network(folder / NETWORK, network)
    with np.errstate(over="ignore", invalid="ignore"), one_blas_thread():
        keep_example(folder, EXAMPLE, rows.examples, network.predict_proba(rows.examples))
    values = f"{source.width:,} values of {source.description}"
    if source.input.feature_set is None:
        values = f"{source.width:,} pixel values in [0, 1]"
    kind = architecture(configuration.trial.hidden)
    return ModelNote(
        NETWORK,
        EXAMPLE,
        f"{kind} for {source.dataset.name}; input: {values}; output: probabilities of {listed(classes)}",
    )


def _result(
    study: Study[SweepSettings],
    sources: Sequence[Source],
    division: Division,
    searches: Mapping[str, Search],
    configurations: tuple[Configuration, ...],
    best: int,
    judging: _Judging,
) -> SweepResult:
    settings, dataset, judged = study.settings, division.source.dataset, judging.judged
    held_out = "validation" not in dataset.splits
    overlap = settings.overlap(len(division.y_train), len(division.y_watched) if held_out else 0)
    classes = len(dataset.class_names)
    models, chosen = judging.models, judging.chosen
    first = models[chosen].answers[0]
    probabilities = {each.name: each.probabilities for model in models for each in model.answers}
    save_predictions(
        study.folder.path,
        Predictions(judging.rows_digest, judged.labels, probabilities, judged.groups, first.name),
    )
    scored = tuple(each.scored(judged) for each in models)
    compared = leads(chosen, models, judged)
    used = sources if judging.on is Rows.TEST else sources[:1]
    representations = tuple(each.representation for each in used)
    of_variants = {name: [each for each in configurations if each.variant == name] for name in settings.variants}
    courses = [*(trial for each in configurations for trial in each.trials)]
    if judging.on is Rows.TEST:
        courses += [trial for each in scored for trial in each.trials]
    return SweepResult(
        settings=settings,
        representations=representations,
        classes=dataset.class_names,
        train_rows=len(division.y_train),
        validation_rows=len(division.y_watched),
        judged_rows=len(judged.labels),
        held_out=held_out,
        judged_on=judging.on,
        groups=None if judged.groups is None else len(np.unique(judged.groups)),
        majority=judged.majority,
        configurations=configurations,
        best=best,
        judgement=judge(best, configurations, overlap),
        steps=steps(settings, configurations, overlap),
        explored=tuple(explored(name, settings, searches[name], each) for name, each in of_variants.items()),
        models=scored,
        chosen=chosen,
        leads=compared,
        per_class=class_scores(first, judged, classes),
        confusion=tuple(map(tuple, confusion_of(first, judged, classes).tolist())),
        calibration=tuple(tuple(reliability(judged.labels, each.answers[0].probabilities)) for each in models),
        most_wrong=tuple(most_surely_wrong(judged.labels, first.probabilities, _MOST_WRONG)),
        wrong_rows=int((first.predicted != judged.labels).sum()),
        remarks=remarks(configurations, scored, compared, judged, representations),
        training_seconds=sum(each.seconds for each in courses),
        network=judging.network,
    )


def configurations_of(
    variant: str, settings: SweepSettings, groups: Sequence[Sequence[Trained]], candidates: Candidates
) -> list[Configuration]:
    """The configurations of one variant, still without ranks, from their results: groups of one result a seed."""
    of_variant = settings.variants[variant]
    return [
        Configuration(
            variant=variant,
            number=number,
            searched=of_variant.search is not None,
            varied=of_variant.varied,
            trials=tuple(outcome(each, candidates.of_seed[each.trial.seed].y_train) for each in group),
            rank=0,
        )
        for number, group in enumerate(groups, start=1)
    ]


def outcome(trained: Trained, labels: npt.NDArray[np.int64]) -> TrialOutcome:
    """A training as a record keeps it; `labels` are those of the rows that it had, shape (n,)."""
    return TrialOutcome(
        trial=trained.trial,
        history=trained.history,
        diverged_epoch=trained.diverged_epoch,
        ended=trained.ended,
        parameters=trained.parameters,
        learned=learned(trained, labels),
    )


def explored(
    variant: str, settings: SweepSettings, search: Search, configurations: Sequence[Configuration]
) -> Explored:
    """What one variant tried, and which of the settings that vary in it matter; `configurations` in the order asked for."""
    dimensions = tuple(each for each in search.dimensions if each.size > 1)
    points = tuple(search.points())
    objectives = tuple(objective(each.trials) for each in configurations)
    # A diverged one has no objective, and a halved one's is of an earlier epoch.
    finished = [
        place
        for place, (each, value) in enumerate(zip(configurations, objectives, strict=True))
        if math.isfinite(value) and not each.halved
    ]
    share, importances = 0.0, None
    if len(dimensions) > 1:
        from lib.search import importance  # and with it Optuna

        rows = [points[place] | {"objective": objectives[place]} for place in finished]
        share, importances = importance.best_share(len(finished)), importance.importances(dimensions, rows)
    sampler = settings.variants[variant].search
    return Explored(
        variant=variant,
        sampler="grid" if sampler is None else sampler.sampler,
        dimensions=tuple(each.name for each in dimensions),
        points=points,
        objectives=objectives,
        finished=len(finished),
        lowest=min(finished, key=objectives.__getitem__, default=None),
        importances=importances,
        best_share=share,
    )
