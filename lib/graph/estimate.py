"""How long a node will take, from how long such nodes took before and how much more or less there is to do now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from pydantic import ValidationError

from lib.graph.past import PastRecord
from lib.studies.record import FORMAT
from lib.studies.study import Effort, Forecast, kind_named

_LATEST = 5
"""Past runs that are asked, at most."""

NOTHING = "no past run to estimate from"


@dataclass(frozen=True)
class Estimate:
    """Seconds, or None when nothing tells; and in a few words how they were got."""

    seconds: float | None
    basis: str


def estimate(forecast: Forecast, kind: str, records: Sequence[PastRecord]) -> Estimate:
    """The time of a node of this kind, from `records` of such nodes: those that are alike, the nearest first.

    What of a record's time went into its work is scaled by the amount of work. What it took beside that (figures, tables)
    and what Prefect added are taken as they were.
    """
    if forecast.amount is None:
        return Estimate(None, "how much there is to do is not known yet")
    found = []
    for record in records:
        origin, past = record.origin, _effort(record, kind)
        if origin is None or origin.seconds is None or past is None or past.alike != forecast.alike or not past.amount:
            continue
        ratio = forecast.amount / past.amount
        worked = origin.seconds if past.seconds is None else min(past.seconds, origin.seconds)
        shown = 0.0 if origin.node_seconds is None else max(0.0, origin.node_seconds - origin.seconds)
        basis = f"{record.content['name']} of {record.when}"
        found.append((shown + origin.seconds - worked + worked * ratio, basis, ratio))
    return _middle(found)


def total(estimates: Sequence[Estimate]) -> tuple[float, int]:
    """Seconds of all that are known, and how many are not."""
    known = [each.seconds for each in estimates if each.seconds is not None]
    return sum(known), len(estimates) - len(known)


def _middle(found: Sequence[tuple[float, str, float]]) -> Estimate:
    """The median of what the latest past runs tell (seconds, whose, their scale): one may have shared its machine."""
    found = found[:_LATEST]
    if not found:
        return Estimate(None, NOTHING)
    _, basis, ratio = found[0]
    others = "" if len(found) == 1 else f", and {len(found) - 1} before (median)"
    return Estimate(median(seconds for seconds, *_ in found), f"{basis}{_scale_words(ratio)}{others}")


def _scale_words(ratio: float) -> str:
    """
    >>> [_scale_words(ratio) for ratio in (1.001, 0.5, 8600.0, 0.0)]
    ['', ', scaled by 0.5', ', scaled by 8,600', ', without its work, which is done']
    """
    if not ratio:
        return ", without its work, which is done"
    if abs(ratio - 1) < 0.005:
        return ""
    return f", scaled by {f'{ratio:.2g}' if ratio < 10 else f'{ratio:,.0f}'}"


def _effort(record: PastRecord, kind: str) -> Effort | None:
    content = record.content
    if content.get("kind") != kind or content.get("format") != FORMAT:
        return None
    of = kind_named(kind)
    if content.get("version") != of.version:
        return None
    try:
        return of.effort(of.result.model_validate_json(json.dumps(content["result"])))
    except (ValidationError, KeyError):
        return None
