"""From text to a profile: a file or a built-in one, then `PROBEFLOW_*` variables, then `--set`, validated once.

What a setting is decides how its text is read: after `--set` nothing is YAML's number or truth value by its looks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from lib.datasets.sources import SourceSettings, kinds
from lib.errors import ConfigError
from lib.places import ENVIRONMENT
from lib.profile.profile import Profile
from lib.studies.study import Group, StudySettings, kind_named, kind_names
from lib.validation import describe

_DECIDING = ("source", "kind")
"""Settings that decide which others a node has: they are set first, and a change of one takes the former's others away."""

_PREFIX = "PROBEFLOW_"


def profile_names() -> list[str]:
    """Names of the built-in profiles."""
    files = resources.files("lib.profile.builtin").iterdir()
    return sorted(Path(file.name).stem for file in files if file.name.endswith(".yaml"))


def profile_text(name: str) -> str:
    """The YAML of a built-in profile. Raises ConfigError for an unknown one."""
    if name not in profile_names():
        known = ", ".join(profile_names())
        raise ConfigError(f"unknown profile {name!r}; known: {known}; for a file of your own use --profile-file")
    return (resources.files("lib.profile.builtin") / f"{name}.yaml").read_text(encoding="utf-8")


def is_built_in(profile: Profile) -> bool:
    """Whether `profile` is the built-in one of its name, unchanged."""
    return profile.name in profile_names() and profile == load_profile(profile.name, environment={})


def load_profile(
    name: str = "embedded",
    file: Path | None = None,
    assignments: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
) -> Profile:
    """Build a profile: YAML, then `PROBEFLOW_*` variables, then `path=text` assignments, validated once.

    Parameters
    ----------
    name : str
        A built-in profile; ignored when `file` is given.
    file : Path, optional
        A user's YAML file. Its `extends: NAME` key, if any, names the built-in profile it changes.
    assignments : sequence of str
        Such as "features.pool5.weights=imagenet"; nothing after `=` empties a setting that may be empty.

    Raises
    ------
    ConfigError
        For an unknown profile or setting, a value out of range, or nodes that form no graph; the message names it.
    """
    content = _read_file(file) if file else read_profile_text(profile_text(name), f"profile {name}")
    given = [
        _Given(variable.removeprefix(_PREFIX).split("__"), text, f"environment variable {variable}", exact=False)
        for variable, text in sorted(environment.items())
        if variable.startswith(_PREFIX) and variable not in ENVIRONMENT
    ]
    for assignment in assignments:
        path, separator, text = assignment.partition("=")
        if not separator:
            raise ConfigError(
                f"--set {assignment!r} has no '='; write --set path=value, e.g. --set features.pool5.layer=fc7"
            )
        given.append(_Given(path.split("."), text, f"--set {path}"))
    # Stable: those that decide which settings there are come first, the others in their order.
    for each in sorted(given, key=lambda each: each.path[-1].lower() not in _DECIDING):
        _assign(content, each)
    return parse_profile(content)


def parse_profile(content: Mapping[str, Any]) -> Profile:
    """A profile from plain JSON. Raises ConfigError, which names what is wrong."""
    try:
        return Profile.model_validate(dict(content))
    except ValidationError as error:
        raise ConfigError(f"profile {content.get('name', '')!r}: {_described(error, content)}") from None


class _Given:
    """One assignment: the path to a setting, its text, and who gave it."""

    def __init__(self, path: Sequence[str], text: str, origin: str, *, exact: bool = True) -> None:
        self.path = list(path)
        self.text = text
        self.origin = origin
        self.exact = exact


def _assign(content: dict[str, Any], given: _Given) -> None:
    """Set one path; its first step must be a setting of the profile, deeper ones are checked on validation."""
    path = given.path if given.exact else _spelled(content, given.path)
    if path[0] not in Profile.model_fields:
        raise ConfigError(f"{given.origin}: unknown setting {path[0]!r}; known: {', '.join(Profile.model_fields)}")
    node = content
    for step in path[:-1]:
        child = node.setdefault(step, {})
        if not isinstance(child, dict):
            raise ConfigError(f"{given.origin}: {step!r} is a single value, not a group of settings")
        node = child
    last = path[-1]
    if last in _DECIDING and node.get(last) not in (None, given.text):
        node.clear()
    if last == "search" or (last == "grid" and given.text):
        node.pop("grid" if last == "search" else "search", None)
    node[last] = _read_text(given.text, _annotation(Profile, path, content))


def _spelled(content: Mapping[str, Any], path: Sequence[str]) -> list[str]:
    """A variable's path as the profile spells it: variables are upper case and have no hyphen."""
    found: list[str] = []
    node: Any = content
    for step in path:
        known = node if isinstance(node, Mapping) else {}
        plain = step.lower()
        name = next((key for key in known if str(key).lower().replace("-", "_") == plain), plain)
        found.append(str(name))
        node = known.get(name)
    return found


def _read_text(text: str, annotation: Any) -> Any:
    """A setting's text as what the setting is: text stays as it is, anything else is YAML whose scalars are text still."""
    optional = type(None) in get_args(annotation)
    if optional and text.strip() in ("", "null", "~"):
        return None
    if _is_text(annotation):
        return text
    try:
        return yaml.load(text, yaml.BaseLoader)  # noqa: S506 - the loader that makes nothing but text, lists and mappings
    except yaml.YAMLError:
        return text


def _is_text(annotation: Any) -> bool:
    """Whether a setting is text: str, or a choice of words."""
    if annotation in (str, Path):
        return True
    if get_origin(annotation) is Literal:
        return all(isinstance(choice, str) for choice in get_args(annotation))
    parts = [part for part in get_args(annotation) if part is not type(None)]
    union = str(get_origin(annotation)) in ("typing.Union", "<class 'types.UnionType'>")
    return union and bool(parts) and all(map(_is_text, parts))


def _annotation(model: type[BaseModel], path: Sequence[str], content: Any) -> Any:
    """What the setting at `path` is, as far as it is known; Any where it is not."""
    step, *rest = path
    field = model.model_fields.get(step)
    if field is None:
        return Any
    if not rest:
        return field.annotation
    inside = content.get(step) if isinstance(content, Mapping) else None
    annotation = field.annotation
    if get_origin(annotation) is dict:
        name, *rest = rest
        inside = inside.get(name) if isinstance(inside, Mapping) else None
        annotation = get_args(annotation)[1]
        if not rest:
            return annotation
    for part in _models(annotation, inside):
        if rest[0] in part.model_fields:
            return _annotation(part, rest, inside)
    return Any


def _models(annotation: Any, content: Any) -> Iterator[type[BaseModel]]:
    """The models that a setting may be; of data and studies those that `content` says, else all."""
    given = content if isinstance(content, Mapping) else {}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation is StudySettings:
            known = kind_names()
            names = [given["kind"]] if given.get("kind") in known else known
            yield from (kind_named(name).settings for name in names)
        elif annotation is SourceSettings:
            sources = kinds()
            yield from [sources[given["source"]]] if given.get("source") in sources else sources.values()
        else:
            yield annotation
    for part in get_args(annotation):
        yield from _models(part, content)


def _described(error: ValidationError, content: Mapping[str, Any]) -> str:
    return describe(error, lambda: _paths(Profile, content), lambda step: step not in ("choices", "range"))


def _paths(model: type[BaseModel], content: Any) -> Iterator[tuple[str, ...]]:
    """Paths to all settings that a profile with this content has room for."""
    given = content if isinstance(content, Mapping) else {}
    for name, field in model.model_fields.items():
        yield (name,)
        inside: dict[tuple[str, ...], Any] = {(name,): given.get(name)}
        annotation = field.annotation
        if get_origin(annotation) is dict:
            members = given.get(name)
            inside = {(name, str(key)): value for key, value in members.items()} if isinstance(members, Mapping) else {}
            annotation = get_args(annotation)[1]
        for path, value in inside.items():
            for part in _models(annotation, value):
                yield from ((*path, *rest) for rest in _paths(part, value))


class _Loader(yaml.SafeLoader):
    """YAML in which a name that is given twice is an error, not a silent loss, and only true and false are truth values.

    In YAML 1.1, which PyYAML reads, a study's setting `on` and a class called `no` would be truth values, too.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node; raises for a key that stands there twice."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # `<<`: what it brings in may be given anew
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} is given twice; rename or remove one", key_node.start_mark
                )
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:bool"]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def _read_file(file: Path) -> dict[str, Any]:
    try:
        text = file.expanduser().read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"profile file {file}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"profile file {file}: is not UTF-8 text ({error.reason}); save it as UTF-8") from None
    content = read_profile_text(text, f"profile file {file}")
    base = content.pop("extends", None)
    if base is None:
        return content
    merged = _merge(read_profile_text(profile_text(str(base)), f"profile {base}"), content)
    for group in Group:  # a node that is set to nothing goes
        merged[group.value] = {name: node for name, node in (merged.get(group.value) or {}).items() if node is not None}
    return merged


def read_profile_text(text: str, what: str) -> dict[str, Any]:
    """The settings in a profile's YAML, not yet validated; `what` names it in errors. Raises ConfigError."""
    try:
        content = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise ConfigError(f"{what}: not valid YAML ({problem})") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{what}: must be a YAML mapping of settings, e.g. start with 'name: mine'")
    return content


def _merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`base` with the changes of a file that extends it."""
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and not _other_kind(old, value):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    for given, other in (("search", "grid"), ("grid", "search")):
        if change.get(given) and other not in change:
            merged.pop(other, None)  # a variant's search takes the place of the built-in profile's grid
    return merged


def _other_kind(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a node becomes one of another kind, whose settings do not mix with the old one's."""
    return any(name in new and old.get(name) != new[name] for name in _DECIDING)
