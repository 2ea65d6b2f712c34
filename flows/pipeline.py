"""The main job: acquire -> extract -> sweep -> evaluate -> promote.

Run it as `python -m flows run`, as `python flows/pipeline.py`, or as a deployment. Each stage does only what is
missing, so running it again after a crash or a change goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal, get_args

from prefect import flow

from flows.acquire import acquire
from flows.evaluate import classifier, exploration, tsne
from flows.extract import extract
from flows.settings import chosen, profile_and_flow
from flows.sweep import sweep
from lib.config import SWEEPS, Profile, ProfileName, Workers
from tasks.ends import ENDS, refuse_endless_restarts
from tasks.evaluate import compare_with_reference
from tasks.tracking import promote_classifier, show_study

Stage = Literal[
    "acquire",
    "extract",
    "sweep",
    "evaluate",
    "promote",
    "activations",
    "hidden_units",
    "learning_rates",
    "exploration",
    "features",
    "classifier",
    "tsne",
]
STAGES: tuple[Stage, ...] = get_args(Stage)

_STUDIES: dict[Stage, tuple[str, ...]] = {
    "extract": ("features",),
    "sweep": SWEEPS,
    "evaluate": ("exploration", "classifier", "tsne"),
    "promote": ("classifier", "promote"),
}
"""What a stage stands for, where that is not the one study of its name."""


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
    wanted = {study for stage in stages for study in _STUDIES.get(stage, (stage,))} if stages else None

    def want(name: str) -> bool:
        return wanted is None or name in wanted

    outcomes: dict[str, dict[str, Any]] = {}
    seconds: dict[str, float] = {}

    def study(name: str, run: Callable[..., dict[str, Any]], *settings: Any) -> None:
        started = time.perf_counter()
        outcomes[name] = run(*settings)
        seconds[name] = time.perf_counter() - started

    if want("acquire"):
        acquire(profile)
    if want("exploration"):
        study("exploration", exploration, profile.images, profile.exploration)
    if want("features") or want("classifier"):
        study("features", extract, profile.images, profile.features, workers)
    for name in SWEEPS:
        if want(name) or (name == "activations" and want("tsne")):
            study(name, sweep, name, profile.sweep(name), workers)
    if want("classifier"):
        study("classifier", classifier, profile.images, outcomes["features"]["folder"], profile.classifier)
    if want("tsne") and profile.activations.refit:
        study("tsne", tsne, profile.activations.data, outcomes["activations"]["folder"], profile.tsne)

    result: dict[str, Any] = {
        "profile": profile.name,
        "studies": outcomes,
        "seconds": seconds,
        "promotion": None,
        "pipeline": None,
    }
    if want("promote"):
        best = outcomes["classifier"]
        result["promotion"] = promote_classifier(best["folder"], best["run_id"], profile.images, profile.features)
    if wanted is None:
        folders = {name: outcome["folder"] for name, outcome in outcomes.items()}
        result["pipeline"] = show_study(compare_with_reference(profile, folders))
    return result


if __name__ == "__main__":
    pipeline()
