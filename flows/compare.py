"""Two MLflow runs on the terminal."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable

from flows.tables import aligned
from lib.graph.past import several
from lib.places import Places
from lib.text import number
from lib.tracking.comparison import Comparison, Figure, Side, compare
from lib.tracking.store import connect

_WIDTH = 118


def show_comparison(left: str, right: str, where: Places) -> int:
    """Print two runs side by side. Raises ConfigError when there is no such run, or several."""
    sys.stdout.write("\n".join(_lines(compare(connect(where), left, right, where.studies))) + "\n")
    return 0


def _lines(found: Comparison) -> Iterable[str]:
    for letter, side in (("A", found.left), ("B", found.right)):
        yield f"{letter}  {side.name} ({side.study}), run {side.run_id}"
    yield _data(found.left, found.right, found.same_data)
    differing = {name: both for name, both in found.params.items() if both[0] != both[1]}
    equal = [f"{name} {both[0]}" for name, both in found.params.items() if both[0] == both[1]]
    if found.whole_runs:
        differing.pop("studies", None)  # how many there are shows below
    if differing:
        yield ""
        yield from aligned(
            ["setting", "A", "B"], [[name, left or "–", right or "–"] for name, (left, right) in differing.items()]
        )
    if equal and not found.whole_runs:
        yield ""
        yield from textwrap.wrap(f"equal in both: {', '.join(equal)}", _WIDTH, break_on_hyphens=False)
    if found.whole_runs:
        yield from _studies(found)
    if found.same_model:
        yield ""
        yield f"figures: of the same model, the {found.of}'s in both"
    elif found.figures:
        yield ""
        yield from aligned(["figure", ">A", ">B", ">B - A", "95 % interval"], [_row(each) for each in found.figures])


def _studies(found: Comparison) -> Iterable[str]:
    """Each study of two whole runs: the same in both, or what changed and what came of it in each."""
    yield ""
    if not found.studies:
        yield "studies: not compared, for the record of a run is not in the data folder here (PROBEFLOW_DATA)"
    for pair in found.studies:
        name, (left, right) = pair.study.replace("_", " "), pair.headlines
        if pair.same:
            yield from _wrapped(f"{name}: same: {left or 'its result is not known here'}")
        elif all(pair.keys):
            yield from _wrapped(f"{name}: changed{': ' if pair.changed else ''}{several([*pair.changed])}")
            yield from _wrapped(f"  A  {left or '–'}")
            yield from _wrapped(f"  B  {right or '–'}")
        else:
            here = "A" if pair.keys[0] else "B"
            yield from _wrapped(f"{name}: in {here} alone: {left or right or '–'}")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, subsequent_indent="     ", break_on_hyphens=False, break_long_words=False, drop_whitespace=True
    )


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
