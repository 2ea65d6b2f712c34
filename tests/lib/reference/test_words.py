"""Claims and verdicts in words: made from the typed findings, every number theirs, in the terms of the field."""

from __future__ import annotations

import re
from typing import Any

import pytest

from lib.reference import Judged, claims_named, judge, judged_sections
from lib.reference.judged import Circumstance, Verdict
from lib.reference.words import badge
from lib.report.markdown import body_html

NAME = "reference-study"
FORMER = re.compile(r"told apart|beside|\barms?\b|cautions?|\bpeers?\b|\bmend|hand(ed)? out", re.IGNORECASE)


@pytest.fixture(scope="module")
def judged(run) -> Judged:
    base: dict[str, Any] = {"hidden": [4], "optimizer": "adam", "learning_rate": 0.01, "batch_size": 32, "epochs": 20}

    def sweep(name: str, axis: str, values: list[Any], **changes: Any) -> Any:
        variants = {"one": {"base": base, "grid": {axis: values}}}
        return run(name, "same", axis=axis, seeds=[0, 1, 2], variants=variants, **changes)

    tested = {"test": True, "baselines": ["sklearn-mlp"]}
    records = {
        "activations": sweep("activations", "activation", ["relu", "linear"], **tested),
        "learning_rates": sweep("learning_rates", "learning_rate", [0.1, 0.01, 0.001], baselines=["majority"]),
        "exploration": run("exploration", "same", kind="exploration", grid=4, scatter=20),
        "fc8": run("fc8", "same"),
    }
    return judge(NAME, records)


@pytest.fixture(scope="module")
def sections(judged) -> dict[str, str]:
    return {each.heading: each.body for each in judged_sections(judged)}


def numbers(text: str) -> set[float]:
    return {float(each.replace(",", "")) for each in re.findall(r"-?\d[\d,]*\.?\d*(?:e-?\d+)?", text)}


def test_a_section_for_claims_evidence_printed_results_and_faults(judged):
    shown = judged_sections(judged)
    assert [each.heading for each in shown] == [
        "The reference study: its claims",
        "What each verdict rests on",
        "The reference study: its printed results",
        "Where the reference study was wrong",
    ]
    for each in shown:
        assert body_html(each.body, 3)


def test_each_finding_is_a_row_with_what_was_claimed_and_the_verdict(judged, sections):
    _, _, *rows = sections["The reference study: its claims"].splitlines()
    assert len(rows) == len(judged.findings)
    for row, finding in zip(rows, judged.findings, strict=True):
        claim = claims_named(NAME).claim(finding.claim)
        _, part, question, claimed, ours, verdict, _ = re.split(r" ?\| ?", row)
        assert (part, claimed, verdict) == (finding.part, claim.claimed or "–", badge(finding))
        assert question.startswith(claim.question)
        if finding.value is not None:
            assert float(re.findall(r"[\d.,e+-]+", ours)[0].replace(",", "")) == pytest.approx(finding.value, rel=1e-3)


def test_every_figure_of_the_evidence_is_of_the_findings(judged, sections):
    text = sections["What each verdict rests on"]
    lines = [line for line in text.splitlines() if line.startswith("- ") and not line.startswith("- Taken together")]
    evidence = [each for finding in judged.findings for each in finding.evidence]
    assert len(lines) == len(evidence) > 10
    for line, each in zip(lines, evidence, strict=True):
        assert line.endswith(each.direction.value)
        shown = each.difference or each.estimate
        if each.difference is not None:
            estimate, low, high = (f"{value:.4f}" for value in (shown.estimate, shown.low, shown.high))
            assert f": {estimate} ({low} to {high}, p " in line
        elif each.estimate is not None:
            assert each.estimate.words in line


def test_printed_results_have_the_run_s_own_with_an_interval(judged, sections):
    _, _, *rows = sections["The reference study: its printed results"].splitlines()
    assert len(rows) == len(judged.rows) == 4 + 6
    for line, row in zip(rows, judged.rows, strict=True):
        assert f"| {row.printed:g}" in line
        assert row.ours.words in line
        assert line.endswith("| other data, other settings |")


def test_faults_are_those_of_the_parts_that_were_run(sections):
    text = sections["Where the reference study was wrong"]
    for letter, is_told in (("A", True), ("B", False), ("C", True), ("D", True), ("E", True), ("F", False)):
        part = claims_named(NAME).part(letter)
        assert part.faults
        for fault in part.faults:
            assert (f"- {fault}" in text) == is_told


def test_no_verdict_is_given_of_the_study_by_another_case(judged):
    refuted = next(each for each in judged.findings if each.verdict is Verdict.REFUTED)
    assert badge(refuted).startswith("differs here, other data")
    assert badge(refuted.model_copy(update={"circumstances": ()})) == "refuted"
    confirmed = refuted.model_copy(update={"verdict": Verdict.CONFIRMED})
    assert badge(confirmed).startswith("holds here, other data")
    random = refuted.model_copy(update={"circumstances": (Circumstance.RANDOM_WEIGHTS,)})
    assert badge(random) == "differs here, random weights"
    speed = next(each for each in judged.findings if each.claim == "speed")
    assert badge(speed) == "not comparable: another machine"


def test_counts_stand_in_full(judged, sections):
    (line,) = [line for line in sections["The reference study: its claims"].splitlines() if line.startswith("| D |")]
    (counts,) = [each.shown for each in judged.findings if each.part == "D"]
    assert set(counts.values()) <= numbers(line)


def test_words_are_the_field_s(sections):
    for text in sections.values():
        assert not FORMER.search(text), FORMER.search(text)
    claims = claims_named(NAME)
    for part in claims.parts:
        for text in (*part.faults, *(f"{each.question} {each.claimed} {each.details}" for each in part.claims)):
            assert not FORMER.search(text), text
