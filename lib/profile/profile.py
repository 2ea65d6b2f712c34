"""The settings of a profile: data, features of data, studies of either, what is promoted, what it is held against.

Frozen, validated once, and also a flow's parameter. The graph that the nodes form is checked here as well, so that a
profile that exists can be walked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny, model_validator

from lib.datasets.sources import AnySource
from lib.profile.graph import Graph
from lib.studies.features import FeatureNode
from lib.studies.study import Group, StudySettings, kind_named, kind_names

NodeName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=60)]


def _parse_study(value: Any) -> Any:
    """A study's settings by its kind; what is wrong in them keeps its place in the profile."""
    if isinstance(value, StudySettings):
        return value
    if not isinstance(value, Mapping):
        raise ValueError("a study is a mapping of settings, e.g. {kind: exploration, on: pets}")
    if "kind" not in value:
        raise ValueError("a study needs its kind, e.g. kind: sweep")
    name = str(value["kind"])
    if name not in kind_names():
        raise ValueError(f"unknown kind of study {name!r}; known: {', '.join(kind_names())}")
    return kind_named(name).settings.model_validate(dict(value))


AnyStudy = Annotated[SerializeAsAny[StudySettings], BeforeValidator(_parse_study)]
"""Settings of a study of any registered kind."""


class Profile(BaseModel):
    """A named graph of nodes: what to study, on what, and what to make of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100, description="Shows in run names and tags."
    )
    data: dict[NodeName, AnySource] = Field(min_length=1, description="Datasets by name.")
    features: dict[NodeName, FeatureNode] = Field(
        default_factory=dict, description="Feature sets by name: a dataset seen by a layer of a frozen network."
    )
    studies: dict[NodeName, AnyStudy] = Field(default_factory=dict, description="Studies by name.")
    promote: str | None = Field(
        None, description="The sweep whose best network goes to the gate of the model registry."
    )
    claims: str | None = Field(None, description="Printed results and findings that the run is held against.")

    @model_validator(mode="after")
    def _is_a_graph(self) -> Profile:
        _ = self.graph
        return self

    @property
    def graph(self) -> Graph:
        """Its nodes in the order in which they run."""
        groups: dict[Group, Mapping[str, Any]] = {
            Group.DATA: self.data,
            Group.FEATURES: self.features,
            Group.STUDIES: self.studies,
        }
        return Graph.of(groups, self.promote)
