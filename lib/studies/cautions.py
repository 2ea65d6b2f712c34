"""What a reader should know before believing a study's figures, told from its summary; no fault of a model.

A record's flags name what went wrong (a network that did not learn, a model scored twice); these name what the figures
cannot carry. They are made from the summary alone, so that an older run's report has them, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib.studies.question import Part, listed


def cautions(summary: Mapping[str, Any]) -> list[str]:
    """Test images in groups, random weights, and models that score higher than the chosen network."""
    found = []
    if groups := summary.get("groups"):
        images = summary["dataset"]["rows"]["test"]
        found.append(
            f"the {images:,} test images come in {groups:,} groups that are not independent; McNemar's test, and intervals "
            "called Wilson's, take every image as independent and are too sure"
        )
    if "RANDOM" in summary.get("representation", ""):
        found.append(
            "AlexNet's weights are RANDOM, not ImageNet's: nothing here speaks for or against trained features"
        )
    return found + _higher(summary.get("comparison", ()))


def trust_words(found: Sequence[Part], seeds: Sequence[int], remarks: int) -> str:
    """Whether the comparison can be trusted, in a line: how many answers were told apart, and with how many seeds.

    `seeds` are those of the run's studies, one number each; `remarks` is how many things are to be read with care.
    """
    replies = [reply for part in found for question in part.questions for reply in question.replies]
    tested = [reply for reply in replies if reply.settled is not None]
    if not tested:
        return ""
    distinct = [str(count) for count in sorted(set(seeds))]
    with_seeds = f"with {listed(distinct)} seed{'' if distinct == ['1'] else 's'}, " if distinct else ""
    told = sum(bool(reply.settled) for reply in tested)
    other = sum(reply.elsewhere for reply in tested)
    words = [
        f"{with_seeds}{told} of {len(tested)} answers stand out from chance"
        + (", the rest are not told apart" if told < len(tested) else ""),
        *([f"{other} are of other data, settings or weights than the reference study's"] if other else []),
        f"{remarks or 'no'} remark{'' if remarks == 1 else 's'} on what to read with care",
    ]
    return f"Can the comparison be trusted? {_upper('; '.join(words))}."


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _higher(comparison: Sequence[Mapping[str, Any]]) -> list[str]:
    """A baseline whose accuracy is above the chosen network's, whether or not the two are told apart."""
    told = []
    for row in comparison[1:]:
        if row["difference"] is not None and row["difference"] < 0:
            apart = "and the two are told apart" if row["found"] == "chosen network behind" else "not told apart"
            told.append(
                f"{row['model']} scores higher than the chosen network (accuracy {-row['difference']:.4f} above, first seed), "
                f"{apart}"
            )
    return told
