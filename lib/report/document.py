"""The report's content out of study records, and its file.

Equal records give equal bytes. Figures are the SVG files that lie beside their PNG; of a study made before there were
any, or of one whose drawing is very large, the PNG is put in.
"""

from __future__ import annotations

import base64
import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lib.addresses import without_credentials
from lib.errors import DataError
from lib.files import write_bytes
from lib.report.drawing import inline
from lib.report.markdown import notes_html
from lib.report.tables import Table, table
from lib.report.words import BRIEFS, CAPTIONS, QUESTION, QUESTIONS
from lib.studies.record import DatasetNote, RunNote, StudyRecord

REPORT = "report.html"

_LARGEST_DRAWING = 600_000
_LARGEST_PICTURE = 1_500_000
"""Bytes of an SVG beyond which the PNG is shown, and of a PNG beyond which it is only named."""

_READABLE = 0.75
"""A figure is never drawn smaller than so much of its natural size: rather one scrolls it sideways."""


@dataclass(frozen=True)
class Figure:
    """A figure on the page."""

    number: int
    caption: str
    markup: Markup
    width: int
    least_width: int


@dataclass(frozen=True)
class Tried:
    """What was tried in one arm of a study: settings that were the same in all its trials, and those that varied."""

    arm: str
    same: str
    varied: str
    seeds: str
    trials: int


@dataclass(frozen=True)
class Study:
    """A study on the page."""

    name: str
    label: str
    title: str
    question: str
    headline: str
    brief: str
    notes: Markup
    figures: Sequence[Figure]
    tables: Sequence[Table]
    tried: Sequence[Tried]
    key: str


def write_report(pipeline: StudyRecord, studies: Mapping[str, StudyRecord], *, anew: bool = False) -> Path:
    """Write `report.html` into the pipeline record's folder, unless it is there; `anew` writes it in any case.

    Raises
    ------
    DataError
        When a figure or table of a study is missing or damaged.
    StorageError
        When it cannot be written.
    """
    path = pipeline.folder / REPORT
    if anew or not path.exists():
        write_bytes(path, render(pipeline, studies).encode())
    return path


def render(pipeline: StudyRecord, studies: Mapping[str, StudyRecord]) -> str:
    """The report as one HTML page.

    Parameters
    ----------
    pipeline : StudyRecord
        The record of the run as a whole (`lib.studies.pipeline`).
    studies : mapping of str to StudyRecord
        Its studies by name, in the order they are shown.

    Raises
    ------
    DataError
        When a figure or table of a study is missing or damaged.
    """
    from lib.studies import questions  # with scikit-learn, which takes a second
    from lib.studies.cautions import cautions, trust_words

    numbers = count(1)
    environment = Environment(
        loader=PackageLoader("lib.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    asked = questions.parts(studies)
    briefs = BRIEFS | {part.study: part.brief for part in asked}
    shown = [_study(name, record, briefs.get(name, ""), numbers) for name, record in studies.items()]
    flags = [flag.replace("_", " ", 1) for flag in pipeline.flags]
    for name, record in studies.items():
        flags += [f"{name.replace('_', ' ')}: {each}" for each in cautions(record.summary)]
    warnings = list(dict.fromkeys(each for record in studies.values() for each in record.dataset.warnings))
    care = [*flags, *warnings]
    settings = pipeline.summary.get("settings")
    return environment.get_template("page.html.j2").render(
        style=Markup(resources.files("lib.report").joinpath("style.css").read_text("utf-8")),  # ours
        title=pipeline.title,
        profile=pipeline.summary["profile"],
        key=pipeline.key,
        question=QUESTION,
        asked=asked,
        asked_title=questions.TITLE,
        asked_how=questions.HOW,
        studies=shown,
        classifier=next((study for study in shown if study.name == "classifier"), None),
        care=care,
        trust=trust_words(asked, list(filter(None, map(_seeds, studies.values()))), len(care)),
        datasets=_datasets(studies),
        reference=pipeline.summary["rows"],
        made=pipeline.made,
        others=_made_elsewhere(pipeline.made, studies),
        command=_command(pipeline.summary),
        settings=without_credentials(_yaml(settings)) if settings else None,
        digests=_digests(studies),
    )


def _seeds(record: StudyRecord) -> int:
    """With how many seeds a study's candidates were trained; 0 of one that trains nothing."""
    of = {child.params.get("seed") for child in record.children if child.tags.get("probeflow.role") == "candidate"}
    return len(of)


def _study(name: str, record: StudyRecord, brief: str, numbers: Iterable[int]) -> Study:
    return Study(
        name=name,
        label="t-SNE" if name == "tsne" else name.replace("_", " ").capitalize(),
        title=record.title,
        question=QUESTIONS.get(name, ""),
        headline=record.headline,
        brief=brief,
        notes=notes_html(record.notes, 4),
        figures=[_figure(record, file, number) for file, number in zip(record.figures, numbers, strict=False)],
        tables=[_table(record, file) for file in record.tables],
        tried=_tried(record),
        key=record.key,
    )


def _figure(record: StudyRecord, file: str, number: int) -> Figure:
    name = file.rpartition(".")[0]
    caption = _caption(record, name)
    picture = record.folder / "figures" / file
    drawn = picture.with_suffix(".svg")
    if drawn.exists() and drawn.stat().st_size <= _LARGEST_DRAWING:
        drawing = inline(drawn.read_bytes(), f"f{number}-", str(drawn))
        width, markup = drawing.width, Markup(drawing.markup)  # cleaned there
    elif not picture.exists():
        raise DataError(f"figure {picture} is missing; delete its study's folder and run the study again")
    elif picture.stat().st_size > _LARGEST_PICTURE:
        width, markup = 640, Markup("<p>{} is too large for this page.</p>").format(f"figures/{file}")
    else:
        width, markup = _picture(picture, f"{record.title}: {caption}")
    return Figure(number, f"{record.title}: {caption}", markup, round(width), round(_READABLE * width))


def _caption(record: StudyRecord, name: str) -> str:
    """What a figure is called; one of a single arm has the arm in brackets."""
    arms = {str(child.params["arm"]) for child in record.children if "arm" in child.params}
    arm = max((each for each in arms if name.endswith(f"-{each}")), key=len, default="")
    whole = name.removesuffix(f"-{arm}") if arm else name
    caption = CAPTIONS.get(whole, whole.replace("-", " "))
    return f"{caption} ({arm})" if arm else caption


def _picture(path: Path, description: str) -> tuple[float, Markup]:
    from PIL import Image

    with Image.open(path) as image:
        width, height = image.size
    address = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
    markup = Markup('<img src="{}" alt="{}" width="{}" height="{}">').format(address, description, width, height)
    return 96 / 110 * width, markup  # drawn at 110 dots an inch


def _table(record: StudyRecord, file: str) -> Table:
    path = record.folder / "tables" / file
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            head, *rows = csv.reader(handle)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise DataError(
            f"table {path} is missing or damaged ({error}); delete its study's folder and run the study again"
        ) from None
    return table(file, head, rows)


def _tried(record: StudyRecord) -> list[Tried]:
    """An arm a row, from its candidates' settings; of a study without trials its own settings."""
    candidates = [child for child in record.children if child.tags.get("probeflow.role") == "candidate"]
    if not candidates:
        settings = {name: value for name, value in record.parent.params.items() if name != "seed"}
        return [Tried("", _settings(settings), "", str(record.parent.params.get("seed", "")), 0)]
    arms: dict[str, list[RunNote]] = {}
    for child in candidates:
        arms.setdefault(str(child.params.get("arm", "")), []).append(child)
    return [_arm(name, children) for name, children in arms.items()]


def _arm(name: str, children: Sequence[RunNote]) -> Tried:
    values: dict[str, dict[Any, None]] = {}
    for child in children:
        for setting, value in child.params.items():
            values.setdefault(setting, {})[value] = None
    seeds = values.pop("seed", {})
    for unwanted in ("arm", "ended"):
        values.pop(unwanted, None)
    same = {setting: next(iter(found)) for setting, found in values.items() if len(found) == 1}
    varied = "; ".join(
        f"{setting.replace('_', ' ')}: {_several(list(found))}" for setting, found in values.items() if len(found) > 1
    )
    return Tried(name, _settings(same), varied, ", ".join(map(str, seeds)), len(children))


def _several(values: Sequence[Any]) -> str:
    if len(values) <= 12:
        return ", ".join(map(_value, values))
    if all(isinstance(value, int | float) for value in values):
        return f"{len(values)} values from {_value(min(values))} to {_value(max(values))}"
    return f"{len(values)} values"


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in settings.items())


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _datasets(studies: Mapping[str, StudyRecord]) -> list[tuple[DatasetNote, str, str]]:
    """Each dataset once, its classes in words, and the studies on it."""
    notes = {record.dataset.digest: record.dataset for record in studies.values()}
    shown = []
    for digest, note in notes.items():
        users = ", ".join(name.replace("_", " ") for name, record in studies.items() if record.dataset.digest == digest)
        classes = ", ".join(note.classes[:20])
        more = len(note.classes) - 20
        shown.append((note, f"{classes} and {more} more" if more > 0 else classes, users))
    return shown


def _digests(studies: Mapping[str, StudyRecord]) -> list[tuple[str, str]]:
    rows = [(f"data {note.name}", note.digest) for note, _, _ in _datasets(studies)]
    if "features" in studies and "digest" in studies["features"].summary:
        rows.append(("features", str(studies["features"].summary["digest"])))
    return rows + [(f"study {name.replace('_', ' ')}", record.key) for name, record in studies.items()]


def _made_elsewhere(made: Mapping[str, str], studies: Mapping[str, StudyRecord]) -> list[tuple[str, str]]:
    """Studies that were not made as the run as a whole was, and what was other there."""
    rows = []
    for name, record in studies.items():
        other = {key: value for key, value in record.made.items() if key != "when" and made.get(key) != value}
        if not record.made:
            rows.append((name.replace("_", " "), "not recorded"))
        elif other:
            words = ", ".join(f"{key} {value}" for key, value in other.items())
            rows.append((name.replace("_", " "), f"{record.made.get('when', '')}: {words}"))
    return rows


def _command(summary: Mapping[str, Any]) -> str:
    """What runs it again: the profile's name when it is a built-in one unchanged, else a file of its settings."""
    if summary.get("built_in"):
        return f"python -m flows run --profile {summary['profile']}"
    return "python -m flows run --profile-file profile.yaml"


def _yaml(settings: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True, width=100)
