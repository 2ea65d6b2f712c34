"""The main job: acquire -> extract -> sweep -> evaluate -> promote.

Run it as `python -m flows run`, as `python flows/pipeline.py`, or as a deployment. Each stage does only what is
missing, so running it again after a crash or a change goes on from there.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from prefect import flow

from flows.acquire import acquire, name_of_profile
from flows.evaluate import classifier, exploration, tsne
from flows.extract import extract
from flows.sweep import sweep
from lib.config import SWEEPS, Profile, Workers, load_profile
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


@flow(name="pipeline", flow_run_name=name_of_profile)
def pipeline(
    profile: Profile | None = None, only: Stage | None = None, workers: Workers | None = None
) -> dict[str, Any]:
    """Run the whole pipeline, or one stage or study of it with what it needs.

    Parameters
    ----------
    profile : Profile
        What to study; the embedded profile when not given.
    only : str
        A stage (acquire, extract, sweep, evaluate, promote) or a study.
    workers : Workers
        Who trains the sweeps' trials; what PROBEFLOW_POOL and PROBEFLOW_CHUNKS say when not given.
    """
    profile = profile or load_profile()
    wanted = set(_STUDIES.get(only, (only,))) if only else None

    def want(name: str) -> bool:
        return wanted is None or name in wanted

    outcomes: dict[str, dict[str, Any]] = {}
    if want("acquire"):
        acquire(profile)
    if want("exploration"):
        outcomes["exploration"] = exploration(profile.images, profile.exploration)
    if want("features") or want("classifier"):
        outcomes["features"] = extract(profile.images, profile.features)
    for name in SWEEPS:
        if want(name) or (name == "activations" and want("tsne")):
            outcomes[name] = sweep(name, profile.sweep(name), workers)
    if want("classifier"):
        outcomes["classifier"] = classifier(profile.images, outcomes["features"]["folder"], profile.classifier)
    if want("tsne") and profile.activations.refit:
        outcomes["tsne"] = tsne(profile.activations.data, outcomes["activations"]["folder"], profile.tsne)

    result: dict[str, Any] = {"profile": profile.name, "studies": outcomes, "promotion": None, "pipeline": None}
    if want("promote"):
        best = outcomes["classifier"]
        result["promotion"] = promote_classifier(best["folder"], best["run_id"])
    if wanted is None:
        folders = {name: outcome["folder"] for name, outcome in outcomes.items()}
        result["pipeline"] = show_study(compare_with_reference(profile.name, folders))
    return result


if __name__ == "__main__":
    pipeline()
