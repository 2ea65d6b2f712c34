"""Two MLflow runs on the terminal."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.text import Text

from flows.board import interval_drawn, model_words, score_words, signed, window
from flows.console import WIDTH, add_column, console_on, plain_table, show, unbroken, written
from lib.graph.past import several
from lib.places import Places
from lib.studies.entry import Entry, ModelKind
from lib.text import number
from lib.tracking.comparison import Comparison, Figure, ModelPair, Side, compare
from lib.tracking.store import connect

_MOST = 24
"""Models of two runs that are shown."""
_WIDE, _DRAWN = 100, 14
"""Columns of a terminal from which intervals are drawn, and of such a drawing."""


def show_comparison(left: str, right: str, where: Places) -> int:
    """Print two runs side by side. Raises ConfigError when there is no such run, or several."""
    console = console_on(sys.stdout, WIDTH)
    show(console, _parts(compare(connect(where), left, right, where.studies), console))
    return 0


def _parts(found: Comparison, console: Console) -> Iterator[RenderableType]:
    for letter, side in (("A", found.left), ("B", found.right)):
        yield unbroken(f"{letter}  {side.name} ({side.study}), run {side.run_id}", console)
    yield written(_data(found.left, found.right, found.same_data), console, "" if found.same_data else "yellow")
    differing = {name: both for name, both in found.params.items() if both[0] != both[1]}
    equal = [f"{name} {both[0]}" for name, both in found.params.items() if both[0] == both[1]]
    if found.whole_runs:
        differing.pop("studies", None)  # how many there are shows below
    if differing:
        yield ""
        rows = [[name, left or "–", right or "–"] for name, (left, right) in differing.items()]
        yield _table(["setting", "A", "B"], rows, console)
    if equal and not found.whole_runs:
        yield ""
        yield from _wrapped(f"equal in both: {', '.join(equal)}", console)
    if found.models:
        yield ""
        yield from _models(found.models, console)
    if found.whole_runs:
        yield from _studies(found, console)
    if found.same_model:
        yield ""
        yield written(f"figures: of the same model, the {found.of}'s in both", console)
    elif found.figures:
        yield ""
        heads = ["figure", ">A", ">B", ">B - A", "95 % interval"]
        yield _table(heads, [_row(each) for each in found.figures], console)


def _models(pairs: Sequence[ModelPair], console: Console) -> Iterator[RenderableType]:
    """Both leaderboards: each model's scores, drawn on one axis, and their difference."""
    shown, every = pairs[:_MOST], [entry for pair in pairs for entry in (pair.left, pair.right) if entry is not None]
    inputs, studies = (len({getattr(each, name) for each in every}) > 1 for name in ("input", "study"))
    axis = window([entry for pair in shown for entry in (pair.left, pair.right) if entry is not None])
    drawn = console.width >= _WIDE
    table = plain_table()
    add_column(table, console, "model", ratio=1)
    for head in ["", "A", "", "B"] if drawn else ["A", "B"]:
        add_column(table, console, head, right=bool(head))
    add_column(table, console, "B - A", right=True)

    def cells(entry: Entry | None) -> list[str]:
        if entry is None:
            return ["", "–"] if drawn else ["–"]
        hollow = entry.kind is ModelKind.BASELINE
        return [*([interval_drawn(entry.score, axis, _DRAWN, hollow)] if drawn else []), score_words(entry.score)]

    for pair in shown:
        entry = pair.left or pair.right
        assert entry is not None
        row = [model_words(entry, inputs, studies), *cells(pair.left), *cells(pair.right), _change(pair)]
        table.add_row(*(written(cell, console) for cell in row))
    yield table
    if len(pairs) > len(shown):
        yield written(f"and {len(pairs) - len(shown):,} more models", console, "dim")
    if any(pair.apart for pair in shown):
        yield written("* 95 % intervals do not overlap", console, "dim")


def _change(pair: ModelPair) -> str:
    if pair.left == pair.right:
        return "same  "
    return "" if pair.difference is None else f"{signed(pair.difference)} {'*' if pair.apart else ' '}"


def _studies(found: Comparison, console: Console) -> Iterator[RenderableType]:
    """Each study of two whole runs: the same in both, or what changed and what came of it in each."""
    yield ""
    if not found.studies:
        yield from _wrapped(
            "studies: not compared, for the record of a run is not in the data folder here (PROBEFLOW_DATA)", console
        )
    for pair in found.studies:
        name, (left, right) = pair.study.replace("_", " "), pair.headlines
        if pair.same:
            yield from _wrapped(f"{name}: same: {left or 'its result is not known here'}", console)
        elif all(pair.keys):
            changes = f": {several([*pair.changed])}" if pair.changed else ""
            yield from _wrapped(f"{name}: changed{changes}", console)
            yield from _wrapped(f"  A  {left or '–'}", console)
            yield from _wrapped(f"  B  {right or '–'}", console)
        else:
            here = "A" if pair.keys[0] else "B"
            yield from _wrapped(f"{name}: in {here} alone: {left or right or '–'}", console)


def _wrapped(text: str, console: Console) -> Iterator[Text]:
    lines = textwrap.wrap(
        written(text, console).plain,
        console.width,
        subsequent_indent="     ",
        break_on_hyphens=False,
        break_long_words=False,
    )
    return map(Text, lines)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> RenderableType:
    """A table whose last column takes what room is left; a head that starts with ">" is aligned to the right."""
    table = plain_table()
    table.expand = False
    for head in heads:
        table.add_column(head.removeprefix(">"), justify="right" if head.startswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(written(cell, console) for cell in row))
    return table


def _data(left: Side, right: Side, same: bool) -> str:
    if same:
        return f"both on {left.data}"
    return (
        f"DIFFERENT data, so their figures cannot be compared: A {left.data or 'unknown'}, B {right.data or 'unknown'}"
    )


def _row(figure: Figure) -> list[str]:
    known = figure.left is not None and figure.right is not None
    change = f"{(figure.right or 0.0) - (figure.left or 0.0):+.4g}" if known else ""
    return [figure.name, _value(figure.left), _value(figure.right), change, _judged(figure)]


def _value(value: float | None) -> str:
    return "–" if value is None else number(value)


def _judged(figure: Figure) -> str:
    if figure.difference is not None:
        return f"{figure.difference.low:+.4f} to {figure.difference.high:+.4f}: {figure.verdict}"
    known = [(name, each) for name, each in zip("AB", figure.intervals, strict=True) if each is not None]
    told = ", ".join(f"{name} {each.low:.4f} to {each.high:.4f}" for name, each in known)
    return f"{told}: {figure.verdict}" if figure.verdict else told
