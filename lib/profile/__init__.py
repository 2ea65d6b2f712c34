"""A profile: a graph of named nodes that says what to study. From YAML, then `PROBEFLOW_*` variables, then `--set`."""

from lib.profile.graph import Graph, Node
from lib.profile.layering import is_built_in, load_profile, parse_profile, profile_names, profile_text
from lib.profile.profile import Profile
from lib.studies.features import FeatureNode

__all__ = [
    "FeatureNode",
    "Graph",
    "Node",
    "Profile",
    "is_built_in",
    "load_profile",
    "parse_profile",
    "profile_names",
    "profile_text",
]
