"""A small whole run on real data, made once as a run makes it, for tests of those who read records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib.graph import RunResult, check_graph, ready_node, summarise
from lib.places import Places, places
from lib.profile import Profile
from lib.studies.study import Input, Record


@dataclass(frozen=True)
class WholeRun:
    """A run of a profile: its records by name in the order they were made, and its own."""

    profile: Profile
    where: Places
    records: Mapping[str, Record[Any]]
    record: Record[RunResult]
    _inputs: dict[str, Input] = field(default_factory=dict)

    def input(self, name: str) -> Input:
        """What a study is on, as it was when it was first asked for."""
        if name not in self._inputs:
            self._inputs[name] = next(iter(ready_node(self.profile, name, self.where).inputs.values()))
        return self._inputs[name]

    def extraction(self, name: str) -> Any:
        """Settings of the extraction that a study is on; None for raw pixels."""
        return getattr(self.profile.graph[self.input(name).name].settings, "extraction", None)


def places_under(folder: Path, mlruns: Path | None = None) -> Places:
    """Places in a folder of their own, or MLflow's elsewhere."""
    return places({"PROBEFLOW_DATA": str(folder / "data"), "PROBEFLOW_MLRUNS": str(mlruns or folder / "mlruns")})


def whole_run(profile: Profile, where: Places) -> WholeRun:
    """Run a profile; what is done already is not done again."""
    names = [node.name for node in profile.graph.recorded]
    check_graph(profile, names, where)
    records = {name: ready_node(profile, name, where).run() for name in names}
    return WholeRun(profile, where, records, summarise(profile, records, where))
