"""A study's claims as lines of a table: what was claimed, the run's own figure with its interval drawn, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lib.evaluation.intervals import LEVEL, Interval
from lib.reference.claims import claims_named
from lib.reference.judged import Direction, Finding, Judged, Verdict
from lib.reference.words import case_words, verdict_words
from lib.report.forest import Axis, drawn, stacked
from lib.text import listed, number

_TONES = {
    Verdict.CONFIRMED: "good",
    Verdict.YES: "good",
    Verdict.REFUTED: "bad",
    Verdict.NO: "bad",
    Verdict.PARTLY: "part",
    Verdict.PARTLY_REFUTED: "part",
    Verdict.PARTLY_YES: "part",
}
"""How a badge is coloured, beside its words; of others it is not."""

_ROOM = 0.2
"""Share of an axis left and right of what is drawn on it."""

_STACKED = 6
"""Differences that are drawn in one line, at most."""


@dataclass(frozen=True)
class Claim:
    """One claim, for one variant, on the page."""

    part: str
    question: str
    variant: str
    claimed: str
    picture: Markup
    ours: str
    badge: str
    tone: str
    case: str


def claim_rows(judged: Judged) -> Iterator[Claim]:
    """Each finding as a line."""
    claims = claims_named(judged.name)
    for each in judged.findings:
        claim = claims.claim(each.claim)
        picture, ours = _ours(each)
        yield Claim(
            part=each.part,
            question=claim.question,
            variant=each.variant,
            claimed=claim.claimed or "no claim",
            picture=picture,
            ours=ours,
            badge=verdict_words(each),
            tone=_TONES.get(each.verdict, "open"),
            case=case_words(each),
        )


def _ours(finding: Finding) -> tuple[Markup, str]:
    """The run's figure, drawn and in words: an estimate beside the printed one, or differences beside 0."""
    if finding.value is not None:
        words = _digits(finding.value)
        if finding.low is None or finding.high is None:
            return Markup(""), words
        interval = Interval(finding.value, finding.low, finding.high)
        words = _words(interval)
        line, against = finding.printed, "" if finding.printed is None else f", printed {number(finding.printed)}"
        if any(each.difference and each.difference.estimate == finding.value for each in finding.evidence):
            line, against = 0.0, " against 0"
        axis = _around([interval.low, interval.high, *([] if line is None else [line])])
        return drawn(axis, interval, f"this run {words}{against}", line=line), words
    tested = [each for each in finding.evidence if each.difference is not None][:_STACKED]
    intervals = [Interval(of.estimate, of.low, of.high) for of in (each.difference for each in tested) if of]
    if not intervals and finding.evidence:
        above = [each.subject for each in finding.evidence if each.direction is Direction.ABOVE]
        return Markup(""), f"{listed(above) or 'none'} above the limit"
    if not intervals:
        return Markup(""), listed([f"{name} {number(of)}" for name, of in finding.shown.items()], 4)
    words = _words(intervals[0]) if len(intervals) == 1 else ""
    words = words or f"{sum(each.differs for each in tested)} of {len(tested)} significant"
    if finding.trend_p is not None:
        words += f", trend {'not ' if finding.trend_p >= LEVEL else ''}significant"
    axis = _around([0.0, *(each.low for each in intervals), *(each.high for each in intervals)])
    return stacked(
        axis, intervals, f"differences in {tested[0].figure}: {listed(list(map(_words, intervals)))}", line=0.0
    ), words


def _around(places: Sequence[float]) -> Axis:
    room = _ROOM * (max(places) - min(places))
    return Axis.between(min(places) - room, max(places) + room)


def _words(of: Interval) -> str:
    return f"{_digits(of.estimate)} ({_digits(of.low)} to {_digits(of.high)})"


def _digits(value: float) -> str:
    """Three digits after the point, of large values fewer."""
    return (number(value) if abs(value) >= 10 else f"{value:.3f}").replace("-", "−")
