"""The report's content out of a run's records and what they present, and its file.

Equal records give equal bytes. Figures are put in as they are kept: as drawings, or those that would be very large as PNG.
"""

from __future__ import annotations

import base64
import csv
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from lib.addresses import without_credentials
from lib.errors import DataError
from lib.files import write_bytes
from lib.graph import RunResult, leaderboard
from lib.graph.history import last_step
from lib.reference import judged_sections
from lib.report.board import boards
from lib.report.changes import changes_section
from lib.report.claims import claim_rows
from lib.report.drawing import Styles, inline
from lib.report.markdown import body_html
from lib.report.tables import Table, table
from lib.report.templates import ours, template
from lib.studies.presentation import Presentation, Section
from lib.studies.record import read_origin
from lib.studies.study import Artifact, DatasetNote, Record, kind_named
from lib.text import counted, listed

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
class Chip:
    """A warning in a few words, and where on the page it is told."""

    words: str
    href: str
    tone: str = "warn"


@dataclass(frozen=True)
class Study:
    """A study on the page: a sentence, a picture, and what is folded away."""

    name: str
    title: str
    sentence: str
    warnings: Sequence[str]
    picture: Figure | None
    fold: str
    """What the fold is called; empty where there is nothing in it."""
    question: str
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
    """The report of a whole run and its records as one HTML page: first the study that the run is about, then what scores
    models, then what shows data.

    Raises DataError when a figure or table of a study is missing or damaged.
    """
    numbers, given = count(1), list(records)
    scoring = {entry.study for record in records.values() for entry in kind_named(record.kind).entries(record)}
    order = sorted(given, key=lambda name: (name != run.result.main, name not in scoring, given.index(name)))
    shown = {name: record.present() for name, record in records.items()}
    script, judged, styles = ours("page.js"), run.result.judged, Styles()
    studies = [_study(name, records[name], shown[name], numbers, styles) for name in order]
    return template(
        "page.html.j2"
    ).render(
        style=Markup("{}{}").format(ours("style.css"), Markup(styles.sheet)),  # of colours and numbers, cleaned
        script=script,
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        title=run.result.title,
        key=run.key,
        facts=_facts(records, shown),
        chips=list(_chips(records, shown)),
        boards=list(boards(leaderboard(records, run.result.main))),
        changes=_sections([] if (changed := changes_section(last_step(run))) is None else [changed], 2),
        claims=[] if judged is None else list(claim_rows(judged)),
        evidence=[] if judged is None else _sections(judged_sections(judged)[1:], 3),
        studies=studies,
        datasets=_datasets(records),
        made=run.made,
        others=_made_elsewhere(run.made, records),
        command=f"probeflow run {_profile(run.result)}",
        settings=without_credentials(
            yaml.safe_dump(run.result.profile, sort_keys=False, allow_unicode=True, width=100)
        ),
        digests=_digests(records),
    )


def _profile(result: RunResult) -> str:
    """What names the profile on a command line: a built-in one, unchanged, by its name, else a file of its settings."""
    return f"--profile {result.profile['name']}" if result.built_in else "--profile-file profile.yaml"


def _facts(records: Mapping[str, Record[Any]], shown: Mapping[str, Presentation]) -> list[str]:
    """The data, and what went into networks, in a few words each."""
    of_data = [
        f"{note.name}: {sum(note.rows.values()):,} images"
        + (f" in {len(note.classes):,} classes" if len(note.classes) > 1 else "")
        for note, _, _ in _datasets(records)
    ]
    return [*of_data, *dict.fromkeys(each.input for each in shown.values() if each.input)]


def _chips(records: Mapping[str, Record[Any]], shown: Mapping[str, Presentation]) -> Iterator[Chip]:
    """Warnings in a few words: random weights first, then how many each dataset and study has."""
    if random := [name for name, each in shown.items() if each.random_weights]:
        yield Chip("random weights", f"#study-{random[0]}", "strong")
    for note, _, _ in _datasets(records):
        if note.warnings:
            yield Chip(f"{note.name}: {counted(len(note.warnings), 'warning')}", "#data")
    for name, each in shown.items():
        if own := _own_warnings(records[name], each):
            yield Chip(f"{name}: {counted(len(own), 'warning')}", f"#warnings-{name}")


def _own_warnings(record: Record[Any], shown: Presentation) -> list[str]:
    """A study's warnings without those of its data, which stand with the data."""
    return [each for each in dict.fromkeys(shown.warnings) if each not in record.dataset.warnings]


def _study(name: str, record: Record[Any], shown: Presentation, numbers: Iterable[int], styles: Styles) -> Study:
    figures = [_figure(record, each, number, styles) for each, number in zip(record.figures, numbers, strict=False)]
    more = [
        *([counted(len(figures) - 1, "more figure")] if len(figures) > 1 else []),
        *([counted(len(record.tables), "table")] if record.tables else []),
    ]
    notes = "how it was done" if shown.sections else ""
    return Study(
        name=name,
        title=shown.title,
        sentence=_sentence(shown.headline),
        warnings=_own_warnings(record, shown),
        picture=figures[0] if figures else None,
        fold=", ".join([*([notes] if notes else []), *more]).capitalize(),
        question=shown.question,
        input=shown.input,
        sections=_sections(shown.sections, 4),
        figures=figures[1:],
        tables=[_table(record, each) for each in record.tables],
    )


def _sentence(headline: str) -> str:
    return headline if headline.endswith(".") else f"{headline}."


def _sections(sections: Iterable[Section], level: int) -> list[Section]:
    """Notes as HTML; their headings are of `level`, and those within them of the next."""
    return [replace(each, body=body_html(each.body, level + bool(each.heading))) for each in sections]


def _figure(record: Record[Any], of: Artifact, number: int, styles: Styles) -> Figure:
    picture = record.folder / "figures" / of.file
    caption = f"{record.name}: {of.caption}"
    drawn = picture.with_suffix(".svg")  # beside the PNG in older records
    if drawn.exists():
        drawing = inline(drawn.read_bytes(), f"f{number}-", str(drawn), styles)
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
    return table(of.caption, of.file, head, rows, path.read_bytes())


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
