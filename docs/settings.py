"""docs/settings.md and the table of backbones in docs/features.md, made from the models and registries themselves.

python -m docs.settings            # write both
python -m docs.settings --check    # say whether they are up to date; the status is 1 when they are not
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lib.backbones import find_backbone, known_backbones
from lib.datasets.sources import SplitPatterns, kinds
from lib.evaluation.baselines import BASELINES
from lib.evaluation.measures import MEASURES
from lib.files import write_bytes
from lib.mlp.trial import Trial
from lib.places import Workers
from lib.profile import Profile
from lib.search.space import FloatRange, Layers, Space
from lib.search.variant import SearchSettings, Variant
from lib.studies.study import kind_named, kind_names
from lib.studies.sweep.settings import Rung

FOLDER = Path(__file__).resolve().parent
BEGIN, END = "<!-- made by python -m docs.settings -->", "<!-- end -->"

PLACES = {
    "PROBEFLOW_DATA": "Folder or `s3://BUCKET/PREFIX` of all data; default `data/` in the checkout.",
    "PROBEFLOW_CACHE": "This machine's copies of what lies at a URL; default `~/.cache/probeflow`.",
    "PROBEFLOW_MLRUNS": "Folder of MLflow's local database and artifacts; default `mlruns/` in the checkout.",
    "PROBEFLOW_MIRROR": "Path, `file://`, `http://`, `https://` or `s3://` that replaces the public addresses of data and "
    "weights.",
    "PROBEFLOW_LOCKS": "Folder where chunks take turns on a GPU, if those of a machine share no `/tmp`, as containers do.",
    "MLFLOW_TRACKING_URI": "An MLflow server, instead of the local database.",
    "MLFLOW_PUBLIC_URL": "Where a browser reaches MLflow, if that is another address.",
    "PREFECT_API_URL": "A Prefect server, instead of one for the length of a run.",
    "PROBEFLOW_SYSTEM_METRICS": "1: the machine is sampled while a node computes, for MLflow's *System metrics*; on workers "
    "of a pool, where it is set for them. Needs psutil, and of GPUs nvidia-ml-py.",
    "PROBEFLOW_WEBHOOK": "Address that `set-up` lets the server tell of failures and lateness.",
}
"""Variables that say where things are; those of the workers are fields of `Workers`."""

_LINKS = {
    "SplitPatterns": "[patterns](#splits)",
    "Variant": "a [variant](#variant)",
    "Trial": "a [trial](#trial)",
    "SearchSettings": "a [search](#search)",
    "Space": "a [search space](#search-space)",
    "Rung": "[rungs](#rung)",
    "FloatRange": "a [range](#range)",
    "IntRange": "a [range](#range)",
    "Layers": "[layers](#layers)",
}
_OF_PROFILE = {
    "data": "name: a [source](#data)",
    "features": "name: a [feature set](#features)",
    "studies": "name: a study: " + ", ".join(f"[{name}](#{name})" for name in kind_names() if name != "features"),
}
"""Fields of a profile that a schema cannot tell, for their kinds are registered."""

_REQUIRED = "must be given"


def settings_page() -> str:
    """The reference of all settings, as Markdown."""
    return "\n".join(_lines()).rstrip() + "\n"


def backbones_table() -> str:
    """Backbones, layers and widths, as a Markdown table."""
    rows = []
    for name in known_backbones():
        backbone = find_backbone(name)
        layers = ", ".join(
            f"`{layer}` ({cut.width}{', default' if layer == backbone.default else ''})"
            for layer, cut in backbone.cuts.items()
        )
        own = backbone.preprocessing
        least, most = backbone.input_sizes
        sizes = str(least) if least == most else f"{least} to {most}"
        crop = f"{own.resize_size} → {own.input_size}, {own.interpolation}"
        rows.append((f"`{name}`", backbone.title, layers, sizes, crop))
    return "\n".join(
        _table(("`backbone`", "network", "`layer` (features)", "`input_size`", "torchvision's crop"), rows)
    )


def features_page(text: str) -> str:
    """docs/features.md with the table of backbones as it is now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{backbones_table()}\n{END}{after}"


def pages() -> dict[Path, str]:
    """The files that are made, with what they should hold."""
    features = FOLDER / "features.md"
    return {
        FOLDER / "settings.md": settings_page(),
        features: features_page(features.read_text(encoding="utf-8")),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or say which are out of date."""
    parser = argparse.ArgumentParser(prog="python -m docs.settings", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; the status is 1 when a page is out of date"
    )
    check = parser.parse_args(arguments).check
    old = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in old:
        if check:
            sys.stdout.write(f"{path.name} is out of date; run python -m docs.settings\n")
        else:
            write_bytes(path, pages()[path].encode())
    return 1 if check and old else 0


def _lines() -> Iterator[str]:
    yield "# Settings"
    yield ""
    yield "Made from the code by `python -m docs.settings`; do not edit. What they are for is told in [profiles.md](profiles.md),"
    yield "[sweeps.md](sweeps.md), [features.md](features.md) and [data.md](data.md). *Empty* is nothing after `=` on the command"
    yield "line, and `null` in YAML."
    yield from _section("Profile", Profile, only=_OF_PROFILE)
    yield from _heading("Data", "A node of `data` is a source of one of these kinds.")
    for name, source in kinds().items():
        yield from _section(f"source: {name}", source, level=3, hidden=("source",))
    yield from _section("Splits", SplitPatterns, level=3)
    yield from _section("Features", kind_named("features").settings, hidden=("kind",), backbone=True)
    for name in kind_names():
        if name != "features":
            yield from _section(name.capitalize(), kind_named(name).settings, hidden=("kind",))
    yield from _section("Variant", Variant)
    yield from _section("Trial", Trial)
    yield from _section("Search", SearchSettings)
    yield from _heading(
        "Search space", "Of each setting a list of choices or a range; what is not given stays the base's."
    )
    yield from _settings(Space)
    yield from _heading("Range", "Of numbers; whole ones for whole settings.")
    yield from _settings(FloatRange)
    yield from _section("Layers", Layers)
    yield from _section("Rung", Rung)
    yield from _heading("Baselines", "")
    yield from _table(
        ("`baselines`", "model", "trained"),
        [
            (f"`{name}`", each.title, "at each winner's settings and seeds" if each.per_trial else "once")
            for name, each in BASELINES.items()
        ],
    )
    yield from _heading("Measures", "Of whatever is scored, each with a 95 % interval.")
    yield from _table(
        ("name", "measure", "better"),
        [(f"`{name}`", each.words, "higher" if each.higher_is_better else "lower") for name, each in MEASURES.items()],
    )
    yield from _heading("Variables: places", "")
    yield from _table(("variable", "meaning"), [(f"`{name}`", text) for name, text in PLACES.items()])
    yield from _heading("Variables: workers", "`--pool` and `--chunks` go before the variables.")
    rows = []
    for name, field in Workers.model_fields.items():
        default = "empty" if field.default is None else f"`{field.default}`"
        rows.append((f"`PROBEFLOW_{name.upper()}`", default, str(field.description)))
    yield from _table(("variable", "default", "meaning"), rows)


def _section(
    title: str,
    model: type[BaseModel],
    level: int = 2,
    hidden: Sequence[str] = (),
    only: Mapping[str, str] | None = None,
    backbone: bool = False,
) -> Iterator[str]:
    about = (model.__doc__ or "").strip().partition("\n\n")[0]
    yield from _heading(title, " ".join(about.split()), level)
    yield from _settings(model, hidden, only or {}, backbone)


def _heading(title: str, about: str, level: int = 2) -> Iterator[str]:
    yield from ("", f"{'#' * level} {title}", "")
    if about:
        yield from (about, "")


def _settings(
    model: type[BaseModel], hidden: Sequence[str] = (), told: Mapping[str, str] | None = None, backbone: bool = False
) -> Iterator[str]:
    schema = model.model_json_schema()
    rows = []
    for name, field in schema["properties"].items():
        if name in hidden:
            continue
        what = (told or {}).get(name) or _words(field)
        default = _default(model, name, field, follows=backbone and name in ("layer", "input_size", "interpolation"))
        rows.append((f"`{name}`", what, default, str(model.model_fields[name].description or "")))
    rows.sort(key=lambda row: row[2] != _REQUIRED)  # stable: those that must be given come first
    if rows:
        yield from _table(("setting", "what it is", "default", "meaning"), rows)


def _default(model: type[BaseModel], name: str, field: Mapping[str, Any], follows: bool) -> str:
    if follows:
        return "the backbone's"
    if model.model_fields[name].is_required():
        return _REQUIRED
    value = field.get("default", {} if field.get("type") == "object" else None)
    return "empty" if value is None or value in ([], {}) else f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _words(schema: Mapping[str, Any]) -> str:
    """What a setting may be, from its JSON schema."""
    if "$ref" in schema:
        return _LINKS[schema["$ref"].rpartition("/")[2]]
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema or "oneOf" in schema:
        given = schema.get("anyOf") or schema["oneOf"]
        parts = [_words(part) for part in given if part.get("type") != "null"]
        if len(parts) < len(given):
            parts.append("empty")
        return " or ".join(dict.fromkeys(parts))
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items", {})
        return f"list of {_plural(_words(items))}" if items else "list"
    if kind == "object":
        inside = schema.get("additionalProperties")
        members = next(iter(schema.get("patternProperties", {}).values()), inside)
        return f"name: {_words(members)}" if isinstance(members, Mapping) else "mapping"
    if kind is None:
        return "any value"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true` or `false`"}[kind]
    return words + _limits(schema)


def _plural(words: str) -> str:
    """`words` of several: "whole numbers, at least 1"."""
    first, comma, limits = words.partition(",")
    if first in ("whole number", "number"):
        return f"{first}s{comma}{limits}"
    if words.startswith("list of "):
        return f"lists of {words.removeprefix('list of ')}"
    return {"text": "names"}.get(words, words)


def _limits(schema: Mapping[str, Any]) -> str:
    """Bounds in words: ", above 0, below 1"."""
    names = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    found = [f"{words} {json.dumps(schema[name])}" for name, words in names.items() if name in schema]
    return "".join(f", {each}" for each in found)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"


if __name__ == "__main__":
    sys.exit(main())
