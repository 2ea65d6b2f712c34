"""The main job: a profile's graph node by node, then promotion, the run's own record, and the report.

`python -m flows run`, `python flows/pipeline.py`, or a deployment. What is done is not done again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

from prefect import flow
from prefect.futures import PrefectFuture, as_completed
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import BaseModel, BeforeValidator, WithJsonSchema

from lib.errors import ConfigError
from lib.places import Workers, workers_here
from lib.profile import Graph, Profile, load_profile, parse_profile, profile_names
from lib.progress import running
from lib.studies.record import note_node_time
from lib.studies.study import Group
from lib.text import listed
from tasks.ends import ENDS, refuse_endless_restarts
from tasks.node import CHUNK_FLOW, check, run_here, run_on_pool, summarise_run
from tasks.pool import await_predecessors, given_up
from tasks.progress import NodesDone
from tasks.tracking import Showing, promote, require_store, show_study

Ended = Callable[[str, str], None]
"""Called with a node's name and its record's folder."""


_SHOWN_TOGETHER = 8
"""Records that may wait to be shown while nodes compute; each holds a thread."""


def _as_json(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


ProfileName = Annotated[str, WithJsonSchema({"type": "string", "enum": profile_names()})]
"""A built-in profile; a form offers their names, and the flow itself says in one line what else was wrong."""

AnyProfile = Annotated[ProfileName | dict[str, Any], BeforeValidator(_as_json)]
"""A built-in profile's name, or a whole profile."""


def chosen(profile: str | dict[str, Any], changes: Sequence[str] = ()) -> Profile:
    """The profile of that name with `changes` such as "features.fc8.layer=fc7", or the one given whole.

    Raises ConfigError for what is wrong in it, or changes of a profile that is given whole.
    """
    if isinstance(profile, str):
        return load_profile(profile, assignments=changes)
    if changes:
        raise ConfigError(
            f"changes {list(changes)} are of a built-in profile, but profile {profile.get('name')!r} is given whole; "
            "put them into it"
        )
    return parse_profile(profile)


def profile_and_nodes() -> str:
    """A run's name: the flow's and the profile's, and the nodes that are asked for."""
    given = flow_run.get_parameters()
    profile, only = given.get("profile", "embedded"), given.get("only") or []
    name = profile if isinstance(profile, str) else str(_as_json(profile).get("name", ""))
    return " ".join([str(flow_run.get_flow_name()), name, *(f"· {node}" for node in only)])


@flow(name="pipeline", flow_run_name=profile_and_nodes, **ENDS)
def pipeline(
    profile: AnyProfile = "embedded",
    only: list[str] | None = None,
    changes: list[str] | None = None,
    workers: Workers | None = None,
) -> dict[str, Any]:
    """Run a profile, or some nodes of it with what they need. What is done already is not done again.

    The message of its last state says what was computed, and of a whole run what changed since the one before.

    Args:
        profile: What to study: a built-in profile by its name, or a whole profile as JSON.
        only: Nodes, groups (data, features, studies) or kinds of study; everything when empty.
        changes: Changes of a built-in profile's settings, such as "features.fc8.layer=fc7".
        workers: Who extracts features and trains the trials; what PROBEFLOW_POOL, PROBEFLOW_CHUNKS, PROBEFLOW_CHUNK_IMAGES
            and PROBEFLOW_CHUNK_MINUTES say where this runs when empty.
    """
    refuse_endless_restarts()
    settings = chosen(profile, changes or ())
    workers = workers or workers_here()
    graph = settings.graph
    wanted = graph.chosen(only)
    names = [name for name in wanted if graph[name].group is not Group.DATA]
    require_store()
    computed = check(settings, wanted, workers)
    done = NodesDone(len(names))
    outcomes: dict[str, dict[str, Any]] = {}
    folders: dict[str, str] = {}
    began: dict[str, float] = {}
    seconds: dict[str, float] = {}
    showing = Showing()
    promoting: PrefectFuture[dict[str, Any]] | None = None

    def ended(name: str, folder: str) -> None:
        folders[name] = folder
        seconds[name] = time.time() - began[name]
        note_node_time(Path(folder), seconds[name], began[name])
        showing.begin(name, folder)  # while the next nodes compute
        take_outcomes(_SHOWN_TOGETHER)

    def take_outcomes(pending: int) -> None:
        nonlocal promoting
        for name, outcome in showing.outcomes(pending):
            outcomes[name] = outcome | {"seconds": seconds[name]}
            done.add(name)
            if name == settings.promote:
                promoting = promote.submit(settings, outcome["folder"], outcome["run_id"])

    if workers.pool is None:
        for name in names:
            began[name] = time.time()
            ended(name, run_here(settings, name))
    else:
        await_predecessors(CHUNK_FLOW, workers.pool)
        _side_by_side(settings, graph, names, workers, began, ended)
    summary: str | None = None
    if not only:
        start = time.time()
        summary = summarise_run(settings, {name: folders[name] for name in names})  # while the last nodes are shown
        note_node_time(Path(summary), time.time() - start, start)
    with running("MLflow") as log:  # what is not logged yet; a network may be promoted meanwhile
        take_outcomes(0)
        log("every record is logged")
        result: dict[str, Any] = {
            "profile": settings.name,
            "nodes": {name: outcomes[name] for name in names},
            "promotion": None if promoting is None else promoting.result(),
            "pipeline": None if summary is None else show_study(summary),
        }
    changed = (result["pipeline"] or {}).get("changed", "")
    # Prefect gives callers the data alone.
    return cast("dict[str, Any]", Completed(message=_came_of(computed, len(names), changed), data=result))


def _came_of(computed: Sequence[str], nodes: int, changed: str) -> str:
    """What a run came to, in a line.

    >>> _came_of([], 5, "")
    'nothing computed: all 5 nodes were done already'
    >>> _came_of(["fc8", "heads"], 5, "since the run of 2026-11-25 01:30 UTC: data: pets 900 -> 1,000 images")
    'computed fc8, heads (2 of 5 nodes); changed since the run of 2026-11-25 01:30 UTC: data: pets 900 -> 1,000 images'
    """
    if not nodes:
        return "data verified; no node was asked for"
    if not computed:
        return f"nothing computed: {'the node was' if nodes == 1 else f'all {nodes} nodes were'} done already"
    return f"computed {listed(computed)} ({len(computed)} of {nodes} nodes)" + (
        f"; changed {changed}" if changed else ""
    )


def _side_by_side(
    profile: Profile, graph: Graph, names: Sequence[str], workers: Workers, began: dict[str, float], ended: Ended
) -> None:
    """Have nodes run by workers: each as soon as what it needs is done, so that independent ones run at the same time.

    After a failure nothing more is submitted, and what runs is waited for. Ending early (Ctrl-C) cancels it.

    Raises the error of the first node that failed.
    """
    left, done, failures = list(names), set[str](), list[BaseException]()
    futures: dict[PrefectFuture[str], str] = {}

    def submit_ready() -> None:
        for name in list(left):
            if all(need.node in done or need.node not in names for need in graph[name].needs):
                left.remove(name)
                began[name] = time.time()
                futures[run_on_pool.submit(profile, name, workers)] = name

    given_up.clear()
    try:
        submit_ready()
        while futures:
            future = next(as_completed(list(futures)))
            name = futures.pop(future)
            folder: Any = future.result(raise_on_failure=False)
            if isinstance(folder, BaseException):
                failures.append(folder)
                left.clear()
                continue
            done.add(name)
            submit_ready()  # before the record is shown, which may take a while
            ended(name, folder)
    except BaseException:
        given_up.set()
        raise
    if failures:
        raise failures[0]


if __name__ == "__main__":
    pipeline()
