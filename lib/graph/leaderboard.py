"""The leaderboard of a run: everything that its studies tested, the best first; numbers, and one sentence made of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lib.studies.entry import Entry, ModelKind, Standing
from lib.studies.presentation import Rows, Section, escaped, table
from lib.studies.study import Drawing, Record, kind_named

__all__ = [
    "Entry", "ModelKind", "Standing", "answer", "drawings", "leaderboard", "markdown_sections", "name_among", "same_rows",
    "several_seeds", "titled",
]  # fmt: skip

_DRAWN = 24
"""Models in a picture, at most."""

_NAMED = 2
"""Models that a sentence names, at most."""


def leaderboard(records: Mapping[str, Record[Any]], main: str | None = None) -> list[Entry]:
    """All models that were tested; where none was, those scored on validation rows.

    Entries on the same rows stand together (`same_rows`), the highest score first; those on the rows of the study `main`,
    which a run promotes, before all others.
    """
    every = [entry for record in records.values() for entry in kind_named(record.kind).entries(record)]
    tested = [entry for entry in every if entry.rows is Rows.TEST] or every
    places: dict[str, int] = {}
    for entry in sorted(tested, key=lambda each: each.study != main):
        places.setdefault(entry.digest, len(places))
    return sorted(tested, key=lambda each: (places[each.digest], *_rank(each)))


def same_rows(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """The entries of a leaderboard that are scored on the same rows, and so compare."""
    for digest in dict.fromkeys(entry.digest for entry in entries):
        yield [entry for entry in entries if entry.digest == digest]


def several_seeds(entries: Sequence[Entry]) -> bool:
    """Whether a difference, which is of first seeds, may be another than that of the scores, which are over seeds."""
    return any(len(each.seeds) > 1 for each in entries)


def titled(entries: Sequence[Entry]) -> list[tuple[str, list[Entry]]]:
    """The entries on the same rows, each group with what it is of: "photo-patches, 216 test images".

    Groups that are so called alike also have the nodes they are of: inputs of models on test rows, studies of those on
    validation rows.
    """
    groups = list(same_rows(entries))
    plain = [f"{group[0].data}, {group[0].count:,} {group[0].rows.value} images" for group in groups]
    found = []
    for group, words in zip(groups, plain, strict=True):
        nodes = dict.fromkeys(each.input if each.rows is Rows.TEST else each.study for each in group)
        found.append((words if plain.count(words) == 1 else f"{words} ({', '.join(nodes)})", group))
    return found


def markdown_sections(entries: Sequence[Entry]) -> Iterator[Section]:
    """A leaderboard as Markdown: for each set of rows a sentence and a table."""
    for title, group in titled(entries):
        rows = [
            [
                f"**{escaped(each.model)}**" if each.standing is Standing.CHOSEN else escaped(each.model),
                escaped(each.settings),
                escaped(each.input) + (" (random weights)" if each.random_weights else ""),
                each.score.rounded,
                "" if each.difference is None else f"{each.difference.estimate:+.3f}",
                each.standing.value,
            ]
            for each in group
        ]
        accuracy = f"{group[0].rows.value} accuracy (95 % interval)"
        heads = ["model", "settings", "input", accuracy, "less the chosen", ""]
        yield Section(
            f"Leaderboard: {title}",
            f"{escaped(answer(group))}\n\n{table(heads, rows)}",
        )


def drawings(entries: Sequence[Entry]) -> Iterator[Drawing]:
    """A leaderboard as pictures, one for each set of rows: a row a model, the best first."""
    from lib.figures.intervals import Row, Spread, ranked

    for number, (words, group) in enumerate(titled(entries), start=1):
        rows = [
            Row(each.kind.value, _labelled(each, group), Spread(each.seeds, each.score.low, each.score.high))
            for each in group[:_DRAWN]
        ]
        more = f", the best {_DRAWN} of {len(group):,} models" if len(group) > _DRAWN else ""
        title = f"{words}{more}"
        name = "leaderboard" if number == 1 else f"leaderboard-{number}"
        yield Drawing(name, f"leaderboard: {title}", ranked(rows, title, f"{group[0].rows.value} accuracy"))


def _labelled(entry: Entry, entries: Sequence[Entry]) -> str:
    """A model in a row: its method, input and settings, and whether it is the chosen one."""
    chosen = " (chosen)" if entry.standing is Standing.CHOSEN else ""
    inputs = f" on {entry.input}" if len({each.input for each in entries}) > 1 else ""
    return f"{entry.model}{inputs}{chosen}{f' · {entry.settings}' if entry.settings else ''}"


def answer(entries: Sequence[Entry]) -> str:
    """What entries on the same rows say, in one sentence of at most 25 words: the best that was chosen, and who ties with it."""
    best = next((each for each in entries if each.standing is Standing.CHOSEN), entries[0])
    rivals = [each for each in entries if each.study == best.study and each is not best]
    words = [f"{name_among(best, entries)}: {best.rows.value} accuracy {best.score.rounded}"]
    higher = [
        each
        for each in rivals
        if each.standing is Standing.NOT_SIGNIFICANT and each.score.estimate > best.score.estimate
    ]
    if higher:
        words.append(
            f"{name_among(higher[0], entries)} scores {higher[0].score.estimate:.3f}, not significantly higher"
        )
    for standing in (Standing.BETTER, Standing.NOT_SIGNIFICANT, Standing.WORSE):
        of_standing = [each for each in rivals if each.standing is standing and each not in higher[:1]]
        if of_standing and (standing is not Standing.WORSE or len(of_standing) == len(rivals)):
            words.append(f"{_several(of_standing, entries)} {standing.value}")
    if best.standing is not Standing.CHOSEN:
        words.append("no difference was tested")
    return f"{'; '.join(words)}."


def name_among(entry: Entry, entries: Sequence[Entry]) -> str:
    """A model in a sentence: its method, with its settings and input where others of these entries differ from it by them."""
    alike = [each for each in entries if each.model == entry.model and each.study == entry.study]
    settings = f" ({entry.settings})" if len({each.settings for each in alike}) > 1 and entry.settings else ""
    return f"{entry.model}{settings}" + (f" on {entry.input}" if len({each.input for each in entries}) > 1 else "")


def _several(rivals: Sequence[Entry], entries: Sequence[Entry]) -> str:
    """Some models as what a sentence is about: by their names, or of many how many they are."""
    if len(rivals) == 1:
        return f"{name_among(rivals[0], entries)} is"
    if len({each.study for each in entries}) == 1 and len(rivals) == len(entries) - 1:
        return f"all {len(rivals):,} others are"
    if len(rivals) > _NAMED:
        return f"{name_among(rivals[0], entries)} and {len(rivals) - 1:,} others are"
    return f"{' and '.join(name_among(each, entries) for each in rivals)} are"


def _rank(entry: Entry) -> tuple[bool, float, bool]:
    score = entry.score.estimate
    return not math.isfinite(score), -score, entry.standing is not Standing.CHOSEN
