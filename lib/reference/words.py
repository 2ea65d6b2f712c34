"""A study's claims and what a run says of them, in words: made from the verdicts at the end, never read back."""

from __future__ import annotations

from collections.abc import Iterator

from lib.evaluation.intervals import p_words
from lib.reference.claims import Claims, claims_named
from lib.reference.judged import Evidence, Finding, Judged, Row, Verdict
from lib.studies.presentation import Section, escaped, table
from lib.text import number

_ELSEWHERE = {
    Verdict.CONFIRMED: "holds here",
    Verdict.PARTLY: "holds here in part",
    Verdict.REFUTED: "differs here",
    Verdict.PARTLY_REFUTED: "differs here in part",
}
"""What is said of a claim where the case is not the study's: it is neither confirmed nor refuted by it."""

_FIGURES = {
    "accuracy": "test accuracy",
    "train_loss": "training loss (mean over epochs)",
    "validation_loss": "validation loss (mean over epochs)",
}


def judged_sections(judged: Judged) -> tuple[Section, ...]:
    """The claims as a table, the evidence, the printed results beside the run's, and where the study was wrong."""
    claims = claims_named(judged.name)
    return (
        Section(f"{claims.title}: its claims", _claims(claims, judged)),
        Section("What each verdict rests on", "\n".join(_details(claims, judged))),
        Section(f"{claims.title}: its printed results", _printed(judged)),
        Section(
            f"Where {claims.title[0].lower()}{claims.title[1:]} was wrong",
            "\n".join(_faults(claims, judged)),
        ),
    )


def badge(finding: Finding) -> str:
    """The verdict in a few words, with in what the case is another than the study's."""
    case = case_words(finding)
    return f"{verdict_words(finding)}{': ' if finding.reason else ', '}{case}" if case else verdict_words(finding)


def verdict_words(finding: Finding) -> str:
    """The verdict alone: "confirmed", "differs here in part"."""
    words = finding.verdict.value
    return _ELSEWHERE.get(finding.verdict, words) if finding.circumstances else words


def case_words(finding: Finding) -> str:
    """Why a claim is not comparable, or in what the case is another than the study's; empty where it is the study's."""
    return finding.reason.value if finding.reason else ", ".join(each.value for each in finding.circumstances)


def _claims(claims: Claims, judged: Judged) -> str:
    rows = []
    for each in judged.findings:
        claim = claims.claim(each.claim)
        rows.append([each.part, claim.question + _variant(each), claim.claimed or "–", _ours(each), badge(each)])
    return table(["part", "question", "claimed", "this run", "verdict"], rows)


def _variant(finding: Finding) -> str:
    return f" ({escaped(finding.variant)})" if finding.variant else ""


def _ours(finding: Finding) -> str:
    if finding.value is None:
        return ", ".join(f"{escaped(name)} {number(of)}" for name, of in list(finding.shown.items())[:10]) or "–"
    if finding.low is None or finding.high is None:
        return number(finding.value)
    return f"{number(finding.value)} ({number(finding.low)} to {number(finding.high)})"


def _details(claims: Claims, judged: Judged) -> Iterator[str]:
    yield (
        "Differences are paired over seeds, or over the same rows where a model has none, each with its own 95 % confidence "
        "interval; p by Holm's correction over the tests made at once, save where a claim needs every one of them."
    )
    for each in judged.findings:
        claim = claims.claim(each.claim)
        if not each.evidence and not claim.details:
            continue
        claimed = f" Claimed: {claim.claimed}; {claim.details}." if claim.details else ""
        yield f"\n**{each.part}. {claim.question}**{_variant(each)} {badge(each)}.{claimed}\n"
        yield from (f"- {_evidence(one)}" for one in each.evidence)
        if each.trend_p is not None:
            yield f"- Taken together: Page's trend test, {p_words(each.trend_p)}"


def _evidence(one: Evidence) -> str:
    against = f" less {escaped(one.other)}" if one.other else ""
    start = f"{one.figure}, {escaped(one.subject)}{against}: "
    if one.difference is not None:
        low, high = one.difference.low, one.difference.high
        p = "" if one.p is None else f", {p_words(one.p)}"
        return f"{start}{one.difference.estimate:.4f} ({low:.4f} to {high:.4f}{p}), {one.direction.value}"
    if one.estimate is not None:
        return f"{start}{one.estimate.words}, {one.direction.value}"
    return f"{start}{one.direction.value}"


def _printed(judged: Judged) -> str:
    return table(["part", "figure", "setting", "model", "printed", "this run", "case"], map(_printed_row, judged.rows))


def _printed_row(row: Row) -> list[str]:
    variant = f"{escaped(row.variant)}: " if row.variant else ""
    printed = "–" if row.printed is None else f"{row.printed:g}"
    note = f" ({row.note})" if row.note else ""
    case = ", ".join(each.value for each in row.circumstances) or "the study's"
    setting = variant + (escaped(row.value) or "–")
    return [row.part, _FIGURES[row.figure], setting, row.model, printed + note, row.ours.words, case]


def _faults(claims: Claims, judged: Judged) -> Iterator[str]:
    judged_parts = {each.part for each in judged.findings}
    for part in claims.parts:
        if part.letter in judged_parts and part.faults:
            yield f"\n**{part.letter}. {part.title}**\n"
            yield from (f"- {fault}" for fault in part.faults)
