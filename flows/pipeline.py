"""The main job: acquire -> extract -> sweep -> evaluate -> promote.

Run it as `python -m flows run`, as `python flows/pipeline.py`, or as a deployment. Each stage does only what is
missing, so running it again after a crash or a change goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import flow

from flows.acquire import acquire
from flows.evaluate import classifier, exploration, tsne
from flows.extract import extract
from flows.settings import chosen, profile_and_flow
from flows.sweep import sweep
from lib.config import SWEEPS, Profile, ProfileName, Workers
from lib.studies.identity import note_stage_time
from lib.studies.stages import STAGES, Stage, what_runs
from tasks.ends import ENDS, refuse_endless_restarts
from tasks.evaluate import compare_with_reference
from tasks.tracking import promote_classifier, show_study

__all__ = ["STAGES", "Stage", "pipeline"]


@flow(name="pipeline", flow_run_name=profile_and_flow, **ENDS)
def pipeline(
    profile: ProfileName | Profile = "embedded",
    only: Stage | list[Stage] | None = None,
    changes: list[str] | None = None,
    workers: Workers | None = None,
) -> dict[str, Any]:
    """Run the whole pipeline, or some stages or studies of it with what they need. What is done already is not done again.

    Args:
        profile: What to study: a built-in profile by its name, or a whole profile.
        only: A stage (acquire, extract, sweep, evaluate, promote) or a study, or several of them; everything when empty.
        changes: Changes of a built-in profile's settings, such as "features.layer=fc7".
        workers: Who extracts features and trains the trials; what PROBEFLOW_POOL, PROBEFLOW_CHUNKS, PROBEFLOW_CHUNK_IMAGES
            and PROBEFLOW_CHUNK_MINUTES say where this runs when empty.
    """
    refuse_endless_restarts()
    profile = chosen(profile, changes or ())
    stages = [only] if isinstance(only, str) else only
    wanted = what_runs(profile, stages)
    outcomes: dict[str, dict[str, Any]] = {}
    seconds: dict[str, float] = {}

    def study(name: str, run: Callable[..., dict[str, Any]], *settings: Any) -> None:
        began, started = time.time(), time.perf_counter()
        outcomes[name] = run(*settings)
        seconds[name] = time.perf_counter() - started
        note_stage_time(Path(outcomes[name]["folder"]), seconds[name], began)

    if "acquire" in wanted:
        acquire(profile)
    if "exploration" in wanted:
        study("exploration", exploration, profile.images, profile.exploration)
    if "features" in wanted:
        study("features", extract, profile.images, profile.features, workers)
    for name in SWEEPS:
        if name in wanted:
            study(name, sweep, name, profile.sweep(name), workers)
    if "classifier" in wanted:
        study("classifier", classifier, profile.images, outcomes["features"]["folder"], profile.classifier)
    if "tsne" in wanted:
        study("tsne", tsne, profile.activations.data, outcomes["activations"]["folder"], profile.tsne)

    result: dict[str, Any] = {
        "profile": profile.name,
        "studies": outcomes,
        "seconds": seconds,
        "promotion": None,
        "pipeline": None,
    }
    began, started = time.time(), time.perf_counter()
    if "promote" in wanted:
        best = outcomes["classifier"]
        result["promotion"] = promote_classifier(best["folder"], best["run_id"], profile.images, profile.features)
    if "report" in wanted:
        folders = {name: outcome["folder"] for name, outcome in outcomes.items()}
        result["pipeline"] = show_study(compare_with_reference(profile, folders))
        note_stage_time(Path(result["pipeline"]["folder"]), time.perf_counter() - started, began)
    return result


if __name__ == "__main__":
    pipeline()
