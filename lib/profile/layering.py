"""From text to a profile: a file or a built-in one, then `PROBEFLOW_*` variables, then `--set`, validated once.

What a setting is decides how its text is read: where it is text, nothing is YAML's number, truth value or date by its looks.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from lib.datasets.sources import SourceSettings, kinds
from lib.errors import ConfigError
from lib.machine import from_home
from lib.places import ENVIRONMENT
from lib.profile.profile import Profile
from lib.studies.study import Group, StudySettings, kind_named, kind_names
from lib.text import not_utf8
from lib.validation import describe, shortened

_DECIDING = ("source", "kind")
"""Settings that decide which others a node has: they are set first, and a change of one takes the former's others away."""

_DECIDED_BY = {Group.DATA.value: "source", Group.FEATURES.value: "of", Group.STUDIES.value: "kind"}
"""What a new node of each group cannot do without."""

_PREFIX = "PROBEFLOW_"

_MOST_VALUES = 100_000
"""What a profile may hold, aliases written out."""

_ITEM = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,]*)\s*(?:,|$)""")
"""One of several texts between commas; quotes keep a comma."""


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

    Raises ConfigError for an unknown profile or setting, a value out of range, or nodes that form no graph; the message
    names it.

    `name`: a built-in profile; ignored when `file` is given. `file`: a user's YAML file. Its `extends: NAME` key, if
    any, names the built-in profile it changes. `assignments`: such as "features.pool5.weights=imagenet"; nothing after
    `=` empties a setting that may be empty.
    """
    content = _read_file(file) if file else _read_yaml(profile_text(name), f"profile {name}")
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
    there_before = {group.value: list(_members(content, group)) for group in Group}
    # Stable: those that decide which settings there are come first, the others in their order.
    paths = [
        (_assign(content, each), each.origin)
        for each in sorted(given, key=lambda each: each.path[-1].lower() not in _DECIDING)
    ]
    for (group, *rest), origin in paths:
        if rest and group in _DECIDED_BY and rest[0] not in there_before[group]:
            _require_whole(content, group, rest[0], there_before[group], origin)
    profile = parse_profile(_typed(content, content))
    needed = {need.node for node in profile.graph for need in node.needs}
    for (group, *rest), origin in paths:
        if rest and group in (Group.DATA, Group.FEATURES) and rest[0] not in {*there_before[group], *needed}:
            there = ", ".join(there_before[group]) or "none"
            raise ConfigError(f"{origin}: there is no {group}.{rest[0]}, and nothing would use it; there are: {there}")
    return profile


def _require_whole(content: Mapping[str, Any], group: str, name: str, there: Sequence[str], origin: str) -> None:
    """Refuse a setting of a node that is not there, unless assignments make a new one: its name may be misspelt."""
    node = _members(content, Group(group)).get(name)  # a later assignment may have replaced the whole group
    if isinstance(node, Mapping) and _DECIDED_BY[group] not in node:
        close = difflib.get_close_matches(name, there, n=1)
        meant = f"did you mean {group}.{close[0]}?" if close else f"there are: {', '.join(there) or 'none'}."
        raise ConfigError(f"{origin}: there is no {group}.{name}; {meant} A new one needs {_DECIDED_BY[group]}=...")


def parse_profile(content: Mapping[str, Any]) -> Profile:
    """A profile from plain JSON. Raises ConfigError, which names what is wrong."""
    for path, value in _scalars(content):
        if isinstance(value, str) and (problem := not_utf8(value)):
            raise ConfigError(f"{'.'.join(path)}: {problem}")
        # Pydantic would take them for 1 and 0.
        if isinstance(value, bool) and _is_number(_annotation(Profile, path, content)):
            raise ConfigError(f"{'.'.join(path)}: {str(value).lower()} is a truth value; give a number")
    try:
        return Profile.model_validate(dict(content))
    except ValidationError as error:
        name = shortened(content.get("name", ""))
        raise ConfigError(f"profile {name}: {_described(error, content)}") from None


@dataclass(frozen=True)
class _Given:
    """One assignment: the path to a setting, its text, who gave it, and whether the path is spelled as the profile's."""

    path: Sequence[str]
    text: str
    origin: str
    exact: bool = True


def _scalars(content: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All scalars in plain JSON with the path to each; those of a list have the list's."""
    if isinstance(content, Mapping):
        for name, each in content.items():
            yield from _scalars(each, (*path, str(name)))
    elif isinstance(content, list | tuple):
        for each in content:
            yield from _scalars(each, path)
    else:
        yield path, content


def _is_number(annotation: Any) -> bool:
    """Whether a setting is a number or several, and no truth value."""
    if get_origin(annotation) is Annotated:
        return _is_number(get_args(annotation)[0])
    parts = (annotation, *get_args(annotation))
    return bool not in parts and any(
        part in (int, float) or (part is not annotation and _is_number(part)) for part in parts
    )


def _assign(content: dict[str, Any], given: _Given) -> list[str]:
    """Set one path, which is returned as the profile spells it; steps after the first are checked on validation."""
    path = list(given.path) if given.exact else _spelled(content, given.path)
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
    node[last] = _read_text(given, _annotation(Profile, path, content))
    return path


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


def _read_text(given: _Given, annotation: Any) -> Any:
    """A setting's text as what the setting is: text stays as it is, several texts stand between commas, all else is YAML."""
    text = given.text
    if type(None) in get_args(annotation) and text.strip() in ("", "null", "~"):
        return None
    if _is_text(annotation):
        return text
    try:
        if _is_text(_item(annotation)):
            inner = text.strip()
            inner = inner[1:-1] if inner.startswith("[") and inner.endswith("]") else inner
            items = [found[1].strip() for found in _ITEM.finditer(inner) if found[0].strip()]
            return [yaml.safe_load(item) if item[0] == item[-1] and item[0] in "\"'" else item for item in items]
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError) as error:
        problem = getattr(error, "problem", None) or "no YAML"
        raise ConfigError(f"{given.origin}: {text!r} cannot be read ({problem}); put quotes around its texts") from None


def _typed(value: Any, content: Mapping[str, Any], path: tuple[str, ...] = ()) -> Any:
    """`value`, at `path` in a profile's content, with every scalar as what the setting there is."""
    if isinstance(value, dict):
        return {name: _typed(each, content, (*path, name)) for name, each in value.items()}
    return _as(value, _annotation(Profile, path, content))


def _as(value: Any, annotation: Any) -> Any:
    if isinstance(value, list):
        return [_as(each, _item(annotation)) for each in value]
    if isinstance(value, dict):
        return {name: _as(each, Any) for name, each in value.items()}
    if not isinstance(value, _Scalar):
        return value
    empty = value.read is None and (not value.text or type(None) in get_args(annotation))
    return value.text if _is_text(annotation) and not empty else value.read


def _item(annotation: Any) -> Any:
    """What an item of a list is; Any where the setting is no list, or it is not known."""
    if get_origin(annotation) is Annotated:
        return _item(get_args(annotation)[0])
    if get_origin(annotation) in (tuple, list):
        return get_args(annotation)[0]
    return next((found for part in get_args(annotation) if (found := _item(part)) is not Any), Any)


def _is_text(annotation: Any) -> bool:
    """Whether a setting is text: str, or a choice of words."""
    if get_origin(annotation) is Annotated:
        return _is_text(get_args(annotation)[0])
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


@dataclass(frozen=True)
class _Scalar:
    """A scalar without quotes that YAML reads as another thing than text: how it is written, and as what it is read."""

    text: str
    read: Any

    def __bool__(self) -> bool:
        return bool(self.read)


class _Loader(yaml.SafeLoader):
    """YAML in which a name is text and given once, and a scalar without quotes keeps its text.

    As in YAML 1.2, only true and false are truth values (a study's setting `on` and a class called `no` are none), and
    nothing is a date, an octal number or one of base 60.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node; raises for a key that stands there twice."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # `<<`: what it brings in may be given anew
                continue
            if isinstance(key_node, yaml.ScalarNode):
                key_node.tag = "tag:yaml.org,2002:str"
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} is given twice; rename or remove one", key_node.start_mark
                )
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)

    def scalar(self, node: yaml.ScalarNode) -> Any:
        """The value of a node that is no text."""
        name = node.tag.removeprefix("tag:yaml.org,2002:")
        return _Scalar(node.value, _READ[name](node.value))


_READ: dict[str, Callable[[str], Any]] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": int,
    "float": float,
}
_Loader.yaml_implicit_resolvers = {}
for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("merge", "<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), _first)
    if _name in _READ:
        _Loader.add_constructor(f"tag:yaml.org,2002:{_name}", _Loader.scalar)


def _read_file(file: Path) -> dict[str, Any]:
    try:
        text = from_home(file).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"profile file {file}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"profile file {file}: is not UTF-8 text ({error.reason}); save it as UTF-8") from None
    content = _read_yaml(text, f"profile file {file}")
    base = content.pop("extends", None)
    if not base:
        return content
    merged = _merge(_read_yaml(profile_text(str(base)), f"profile {base}"), content)
    for group in Group:  # a node that is set to nothing goes
        if _is_null(merged.get(group.value)):
            merged[group.value] = {}
        elif members := _members(merged, group):
            merged[group.value] = {name: node for name, node in members.items() if not _is_null(node)}
    return merged


def read_profile_text(text: str, what: str) -> dict[str, Any]:
    """The settings in a profile's YAML, not yet validated; `what` names it in errors. Raises ConfigError."""
    content = _read_yaml(text, what)
    return cast("dict[str, Any]", _typed(content, content))


def _read_yaml(text: str, what: str) -> dict[str, Any]:
    try:
        content = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
        _require_bounds(content)
    except (yaml.YAMLError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise ConfigError(f"{what}: not valid YAML ({problem})") from None
    except RecursionError:
        raise ConfigError(f"{what}: an alias contains itself, or it is nested too deeply; write it out") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{what}: must be a YAML mapping of settings, e.g. start with 'name: mine'")
    return content


def _require_bounds(content: Any, inside: frozenset[int] = frozenset(), room: list[int] | None = None) -> None:
    """Refuse what aliases make endless or huge. Raises ValueError."""
    room = [_MOST_VALUES] if room is None else room
    room[0] -= 1
    if room[0] < 0:
        raise ValueError(f"its aliases make more than {_MOST_VALUES:,} values of it; write out what is meant")
    if isinstance(content, dict | list):
        if id(content) in inside:
            raise ValueError("an alias contains itself; write out what is meant")
        for each in content.values() if isinstance(content, dict) else content:
            _require_bounds(each, inside | {id(content)}, room)


def _members(content: Mapping[str, Any], group: Group) -> Mapping[str, Any]:
    """The nodes of a group in a content that is not yet validated."""
    found = content.get(group)
    return found if isinstance(found, Mapping) else {}


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, _Scalar) and value.read is None)


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
