"""The report's content out of a run's records and what they present, and its file.

Equal records give equal bytes. Figures are put in as they are kept: as drawings, or those that would be very large as PNG.
"""

from __future__ import annotations

import base64
import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from lib.graph import RunResult
from lib.report.drawing import inline
from lib.report.markdown import body_html
from lib.report.tables import Table, table
from lib.studies.presentation import Presentation, Section
from lib.studies.record import read_origin
from lib.studies.study import Artifact, DatasetNote, Record
from lib.text import listed, visible

REPORT = "report.html"

_LARGEST_PICTURE = 1_500_000
"""Bytes of a PNG beyond which it is only named."""

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
class Study:
    """A study on the page."""

    name: str
    title: str
    question: str
    headline: str
    input: str
    sections: Sequence[Section]
    figures: Sequence[Figure]
    tables: Sequence[Table]


def write_report(run: Record[Any], records: Mapping[str, Record[Any]], *, anew: bool = False) -> Path:
    """Write `report.html` into the folder of a run's record, unless it is there; `anew` writes it in any case.

    Raises DataError when a figure or table of a study is missing or damaged; StorageError when it cannot be written.
    """
    path = run.folder / REPORT
    if anew or not path.exists():
        write_bytes(path, render(run, records).encode())
    return path


def render(run: Record[RunResult], records: Mapping[str, Record[Any]]) -> str:
    """The report of a whole run and its records, in the order they are shown, as one HTML page.

    Raises DataError when a figure or table of a study is missing or damaged.
    """
    environment = Environment(
        loader=PackageLoader("lib.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, finalize=_shown,
    )  # fmt: skip
    numbers = count(1)
    shown, of_run = {name: record.present() for name, record in records.items()}, run.present()
    return environment.get_template("page.html.j2").render(
        style=Markup(resources.files("lib.report").joinpath("style.css").read_text("utf-8")),  # ours
        title=of_run.title,
        key=run.key,
        question=of_run.question,
        main=shown.get(run.result.main),
        sections=_sections(of_run, 2),
        warnings=_warnings(records, shown),
        studies=[_study(name, record, shown[name], numbers) for name, record in records.items()],
        datasets=_datasets(records),
        made=run.made,
        others=_made_elsewhere(run.made, records),
        command=f"probeflow run {_profile(run.result)}",
        settings=without_credentials(
            yaml.safe_dump(run.result.profile, sort_keys=False, allow_unicode=True, width=100)
        ),
        digests=_digests(records),
    )


def _shown(value: Any) -> Any:
    """What a template puts out: text of a user has nothing in it that acts instead of being seen."""
    return visible(value, lines=True) if type(value) is str else value


def _profile(result: RunResult) -> str:
    """What names the profile on a command line: a built-in one, unchanged, by its name, else a file of its settings."""
    return f"--profile {result.profile['name']}" if result.built_in else "--profile-file profile.yaml"


def _warnings(records: Mapping[str, Record[Any]], shown: Mapping[str, Presentation]) -> list[str]:
    """Each dataset's warnings once, and each study's own with its name."""
    of_data = dict.fromkeys(each for record in records.values() for each in record.dataset.warnings)
    own = [f"{name}: {each}" for name, study in shown.items() for each in study.warnings if each not in of_data]
    return [*of_data, *own]


def _study(name: str, record: Record[Any], shown: Presentation, numbers: Iterable[int]) -> Study:
    return Study(
        name=name,
        title=shown.title,
        question=shown.question,
        headline=shown.headline,
        input=shown.input,
        sections=_sections(shown, 4),
        figures=[_figure(record, each, number) for each, number in zip(record.figures, numbers, strict=False)],
        tables=[_table(record, each) for each in record.tables],
    )


def _sections(shown: Presentation, level: int) -> list[Section]:
    """Notes as HTML; their headings are of `level`, and those within them of the next."""
    return [replace(each, body=body_html(each.body, level + bool(each.heading))) for each in shown.sections]


def _figure(record: Record[Any], of: Artifact, number: int) -> Figure:
    picture = record.folder / "figures" / of.file
    caption = f"{record.name}: {of.caption}"
    drawn = picture.with_suffix(".svg")  # beside the PNG in older records
    if drawn.exists():
        drawing = inline(drawn.read_bytes(), f"f{number}-", str(drawn))
        width, markup = drawing.width, Markup(drawing.markup)  # cleaned there
    elif not picture.exists():
        raise DataError(f"figure {picture} is missing; delete its study's folder and run the study again")
    elif picture.stat().st_size > _LARGEST_PICTURE:
        width, markup = 640, Markup("<p>{} is too large for this page.</p>").format(f"figures/{of.file}")
    else:
        width, markup = _picture(picture, caption)
    return Figure(number, caption, markup, round(width), round(_READABLE * width))


def _picture(path: Path, description: str) -> tuple[float, Markup]:
    from PIL import Image

    with Image.open(path) as image:
        width, height = image.size
    address = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
    markup = Markup('<img src="{}" alt="{}" width="{}" height="{}">').format(address, description, width, height)
    return 96 / 110 * width, markup  # drawn at 110 dots an inch


def _table(record: Record[Any], of: Artifact) -> Table:
    path = record.folder / "tables" / of.file
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            head, *rows = csv.reader(handle)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise DataError(
            f"table {path} is missing or damaged ({error}); delete its study's folder and run the study again"
        ) from None
    return table(of.caption, of.file, head, rows)


def _datasets(records: Mapping[str, Record[Any]]) -> list[tuple[DatasetNote, str, str]]:
    """Each dataset once, its classes in words, and the studies on it."""
    notes = {record.dataset.digest: record.dataset for record in records.values()}
    shown = []
    for digest, note in notes.items():
        users = ", ".join(name for name, record in records.items() if record.dataset.digest == digest)
        shown.append((note, listed(note.classes), users))
    return shown


def _digests(records: Mapping[str, Record[Any]]) -> list[tuple[str, str]]:
    """Digests of the data, of what else went into a study, and of the studies."""
    rows = {note.digest: f"data {note.name}" for note, _, _ in _datasets(records)}
    keys = {record.key: f"study {name}" for name, record in records.items()}
    for name, record in records.items():
        origin = read_origin(record.folder)
        for role, digest in ({} if origin is None else origin.identity.digests).items():
            if digest not in keys:
                rows.setdefault(digest, f"{role} of {name}")
    return [(name, digest) for digest, name in [*rows.items(), *keys.items()]]


def _made_elsewhere(made: Mapping[str, str], records: Mapping[str, Record[Any]]) -> list[tuple[str, str]]:
    """Studies that were not made as the run as a whole was, and what was other there."""
    rows = []
    for name, record in records.items():
        other = {key: value for key, value in record.made.items() if key != "when" and made.get(key) != value}
        if other:
            words = ", ".join(f"{key} {value}" for key, value in other.items())
            rows.append((name, f"{record.made.get('when', '')}: {words}"))
    return rows
