"""Claims as a table: what was claimed, the run's own figure on its axis, and a badge of the verdict."""

from __future__ import annotations

import re

import pytest

from lib.evaluation.intervals import Difference, Estimate
from lib.reference.judged import Direction, Evidence, Finding, Judged, Reason, Verdict
from lib.report.claims import claim_rows


def row(**finding):
    of = {"part": "A", "claim": "best-activation", "study": "activations", "verdict": Verdict.CONFIRMED} | finding
    (found,) = claim_rows(Judged(name="reference-study", findings=(Finding(**of),), rows=()))
    return found


def difference(estimate: float, low: float, high: float) -> Evidence:
    of = Difference(estimate, low, high, 5, 0.01)
    return Evidence(
        figure="test accuracy", subject="relu", other="tanh", difference=of, p=0.01, direction=Direction.HIGHER
    )


def places(markup: str, pattern: str) -> list[float]:
    return [float(each) for each in re.findall(pattern, markup)]


def test_a_figure_stands_with_its_interval_beside_the_printed_one():
    found = row(claim="hardly-learns", part="F", printed=0.6348, value=0.75, low=0.7, high=0.8)
    assert (found.claimed, found.ours) == ("hardly, 0.6348", "0.750 (0.700 to 0.800)")
    (line,), (mark,) = places(found.picture, r'class="line" d="M([\d.]+)'), places(found.picture, r'mark" cx="([\d.]+)')
    assert line < mark
    assert "printed 0.6348" in found.picture


def test_a_difference_stands_beside_0():
    found = row(claim="better-than-logistic", part="F", verdict=Verdict.NO, value=-0.02, low=-0.03, high=-0.01,
                evidence=(difference(-0.02, -0.03, -0.01),))  # fmt: skip
    (line,), (mark,) = places(found.picture, r'class="line" d="M([\d.]+)'), places(found.picture, r'mark" cx="([\d.]+)')
    assert mark < line
    assert (found.claimed, found.tone, found.badge) == ("no claim", "bad", "no")


def test_several_differences_are_stacked_and_counted():
    found = row(claim="loses-to-sklearn", verdict=Verdict.PARTLY, evidence=(difference(0.1, 0.05, 0.15),) * 3)
    assert len(places(found.picture, r'class="bar" d="M([\d.]+)')) == 3
    assert (found.ours, found.tone) == ("3 of 3 significant", "part")
    trend = row(claim="units-gap", verdict=Verdict.PARTLY, evidence=(difference(0.1, 0.05, 0.15),) * 3, trend_p=0.2)
    assert trend.ours == "3 of 3 significant, trend not significant"


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_is_a_badge_and_says_why_a_claim_is_not_comparable(verdict):
    found = row(verdict=verdict, reason=Reason.ONE_SEED)
    assert (found.badge, found.case) == (verdict.value, "one seed")
    assert found.tone in ("good", "bad", "part", "open")


def test_values_above_a_limit_are_named():
    about = {"figure": "net rise", "estimate": Estimate(0.2, 0.1, 0.1, 0.3, 3)}
    evidence = (
        Evidence(subject="0.1", direction=Direction.ABOVE, **about),
        Evidence(subject="0.01", direction=Direction.BELOW, **about),
    )
    assert row(claim="unstable-rate", part="C", evidence=evidence).ours == "0.1 above the limit"
    assert row(claim="unstable-rate", part="C", evidence=evidence[1:]).ours == "none above the limit"


def test_counts_stand_in_words():
    assert (
        row(claim="counts", part="D", verdict=Verdict.REFUTED, shown={"cat": 4000, "dog": 1000}).ours
        == "cat 4,000, dog 1,000"
    )
