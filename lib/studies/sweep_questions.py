"""The reference study's questions A to C, answered from the records of the three sweeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from lib.evaluation.intervals import LEVEL, Difference, Estimate, holm, paired_difference
from lib.evaluation.reference import ACCURACY, is_study_data
from lib.studies.findings import judged
from lib.studies.question import (
    CANNOT,
    CONFIRMED,
    IN_PART,
    NOT_TOLD,
    ONE_SEED,
    REFUTED,
    Part,
    Question,
    Reply,
    data_words,
    is_study_settings,
    lead_words,
    listed,
    qualified,
    seeds_words,
)
from lib.studies.record import StudyRecord

_CLAIMED_BEST = "relu"
_SLIP = 0.9767
_PARTS = {"hidden_units": ("B", "Hidden units"), "learning_rates": ("C", "Learning rate")}
_HEADER = (
    "The first row of both data files was taken for a header, so 8,999 and 999 rows were used. One validation row can move "
    "a mean loss by some thousandths: little, but more than the 0.0005 between its 100 and 200 units. Here every row is read."
)


def activation_part(record: StudyRecord) -> Part:
    """A: which activation, and whether the network from scratch keeps up with scikit-learn's."""
    summary = record.summary
    name = str(summary["dataset"]["name"])
    finals: Sequence[Mapping[str, Any]] = summary.get("finals", ())
    questions = [_best_activation(record, finals)]
    beside = [row for row in finals if "sklearn" in row]
    if beside:
        questions.append(_beside_sklearn(record, beside))
    linear = next((row for row in beside if row["value"] == "linear"), None)
    relu = next((row for row in beside if row["value"] == _CLAIMED_BEST), None)
    if linear and relu:
        questions.append(_linear_score(record, linear["sklearn"], relu["sklearn"]))
    return Part(
        "A", "activations", "Activation", data_words("activations", name), tuple(questions), _activation_faults(name, finals)
    )  # fmt: skip


def finding_part(name: str, record: StudyRecord) -> Part:
    """B or C: the findings that the sweep's own record answers (`lib.studies.findings`), beside what was claimed."""
    summary = record.summary
    found: Sequence[Mapping[str, Any]] = summary["findings"]
    arms = list(dict.fromkeys(each["arm"] for each in found))
    several = len(arms) > 1
    tried = {arm: [each["label"] for each in summary["configurations"] if each["arm"] == arm] for arm in arms}
    questions = []
    for question in dict.fromkeys(each["question"] for each in found):
        of_question = [each for each in found if each["question"] == question]
        replies = tuple(
            Reply(
                qualified(
                    judged(each, tried[each["arm"]]),
                    name,
                    summary,
                    other_settings=("study" in arms and each["arm"] != "study")
                    or not is_study_settings(record, each["arm"]),
                ),
                _without_verdict(str(each["words"])),
                str(each["arm"]) if several else "",
            )
            for each in of_question
        )
        brief = _brief(question, of_question, several)
        questions.append(Question(question, str(of_question[0]["claim"]), replies, brief))
    letter, title = _PARTS[name]
    data = data_words(name, str(summary["dataset"]["name"]))
    if "study" in arms and several and is_study_settings(record, "study"):
        data += '; the arm "study" has the study\'s own settings'
    wrong = [_HEADER, seeds_words(max(each["seeds"] for each in summary["configurations"]))]
    if name == "learning_rates":
        wrong.append(
            "Its network had 4 hidden units, which its report does not say: 0.874, 0.870 and 1.298 are losses of so small a "
            "network, and its best learning rate is the best for that one."
        )
    return Part(letter, name, title, data, tuple(questions), tuple(wrong))


def _without_verdict(words: str) -> str:
    """An answer without the "In part" that its verdict says already."""
    for opening in ("In part: ", "In part. "):
        if words.startswith(opening):
            rest = words.removeprefix(opening)
            return rest[0].upper() + rest[1:]
    return words


_BRIEF = {
    "Does the gap between validation and training loss grow": "Does width overfit (the gap between validation and training "
    "loss grows)?",
    "Which learning rate is best?": "Best by validation loss:",
    "Which learning rates are unstable": "Unstable:",
    "Which learning rates have not converged": "Not converged:",
}
"""How a question begins -> how its answer in one clause begins; the others have none."""


def _brief(question: str, of_question: Sequence[Mapping[str, Any]], several: bool) -> str:
    opening = next((words for start, words in _BRIEF.items() if question.startswith(start)), None)
    if opening is None:
        return ""
    told = [
        f"{each['arm'] + ': ' if several else ''}"
        f"{'not told' if each['answer'] == 'open' else str(each['answer']).replace('rate ', '')}"
        for each in of_question
    ]
    if len({each["answer"] for each in of_question}) == 1:
        told = [told[0].rpartition(": ")[2]]
    return f"{opening} {'; '.join(told)}"


def _best_activation(record: StudyRecord, finals: Sequence[Mapping[str, Any]]) -> Question:
    question, claim = (
        "Which activation is best?",
        "ReLU (test accuracy 0.9388; tanh 0.9100, sigmoid 0.9036, linear 0.8163)",
    )
    if len(finals) < 2:
        return Question(question, claim, (Reply(CANNOT, f"This run has no two test figures. {record.headline}."),))
    ranked = sorted(finals, key=lambda row: -row["test_accuracy"])
    tested = [f"{row['value']} {_tested(row, row)}" for row in ranked]
    scores = f"Test accuracy: {'; '.join(tested)}."
    found = _per_seed(record, "final")
    best, *rivals = [str(row["value"]) for row in ranked]
    if ranked[0]["seeds"] < 2:
        return Question(question, claim, (Reply(ONE_SEED, scores),))
    # The best is picked by the figures it is tested on, so that every pair counts as tested, not its own alone.
    leads = {pair: paired_difference(found[pair[0]], found[pair[1]]) for pair in combinations([best, *rivals], 2)}
    tested_pairs = {pair: lead for pair, lead in leads.items() if lead is not None}
    p_values = dict(zip(tested_pairs, holm([lead.p_value for lead in tested_pairs.values()]), strict=True))
    finite = {rival: lead for (first, rival), lead in tested_pairs.items() if first == best}
    corrected = {rival: p_values[best, rival] for rival in finite}
    ahead = [rival for rival in finite if corrected[rival] < LEVEL]
    parts = [
        f"{'ahead of' if rival in ahead else 'not told apart from'} {rival}: "
        f"{lead_words(lead, corrected[rival], corrected=True)}"
        for rival, lead in finite.items()
    ]
    verdict = NOT_TOLD
    if best == _CLAIMED_BEST and len(ahead) == len(rivals):
        verdict = CONFIRMED
    elif best != _CLAIMED_BEST and _CLAIMED_BEST in ahead:
        verdict = REFUTED
    words = (
        f"{best} has the highest mean; {', '.join(parts)} (paired over {ranked[0]['seeds']} seeds; Holm's correction over all "
        f"{len(tested_pairs)} pairs). {scores}"
    )
    near = [rival for rival in rivals if rival not in ahead]
    brief = f"Best: {best}, {f'not told apart from {listed(near)}' if near else 'ahead of all others'}"
    return Question(question, claim, (Reply(_qualified(verdict, record), words),), brief)


def _beside_sklearn(record: StudyRecord, beside: Sequence[Mapping[str, Any]]) -> Question:
    question, claim = (
        "Does the network written from scratch lose to scikit-learn's?",
        "yes, every comparison (ReLU 0.9388 to 0.9767, sigmoid 0.9036 to 0.9644, tanh 0.9100 to 0.9667)",
    )
    leads = {
        str(row["value"]): row["sklearn"]["difference_of_test_accuracy"]
        for row in beside
        if row["sklearn"].get("difference_of_test_accuracy")
    }
    if not leads:
        scores = [f"{row['value']} {_tested(row, row)} to {_tested(row, row['sklearn'])}" for row in beside]
        reply = Reply(ONE_SEED, f"Ours to scikit-learn's: {'; '.join(scores)}.")
        return Question(question, claim, (reply,), "Beside scikit-learn's: one seed cannot tell")
    told: dict[str, list[str]] = {"behind": [], "ahead": [], NOT_TOLD: []}
    named: dict[str, list[str]] = {side: [] for side in told}
    for value, difference in leads.items():
        lead = Difference(**{key: difference[key] for key in ("estimate", "low", "high", "pairs", "p_value")})
        p_value = difference["holm_p_value"]
        side = NOT_TOLD if p_value >= LEVEL else "ahead" if lead.estimate > 0 else "behind"
        told[side].append(f"{value} {lead_words(lead, p_value, corrected=True)}")
        named[side].append(value)
    verdict = NOT_TOLD
    if told["behind"]:
        verdict = CONFIRMED if len(told["behind"]) == len(beside) else IN_PART
    elif told["ahead"]:
        verdict = REFUTED
    words = "; ".join(f"{side} with {', '.join(those)}" for side, those in told.items() if those)
    return Question(
        question,
        claim,
        (
            Reply(
                _qualified(verdict, record),
                f"By its accuracy less scikit-learn's at the same settings, it is {words}.",
            ),
        ),
        f"Beside scikit-learn's: {'; '.join(f'{side} with {listed(those)}' for side, those in named.items() if those)}",
    )


def _linear_score(record: StudyRecord, linear: Mapping[str, Any], relu: Mapping[str, Any]) -> Question:
    question = "What does scikit-learn's linear network score, and is it as good as the ReLU network?"
    claim = "0.9767, the very figure of ReLU: a slip, the ReLU model was scored again"
    seeds = {"seeds": len(_per_seed(record, "peer").get("linear", ()))}
    scores = f"Linear {_tested(seeds, linear)}, ReLU {_tested(seeds, relu)}"
    if seeds["seeds"] < 2:
        alone = is_study_data("activations", record.summary["dataset"]["name"]) and linear["test_accuracy_high"] < _SLIP
        verdict = _qualified(REFUTED, record) if alone else ONE_SEED
        return Question(question, claim, (Reply(verdict, f"{scores}."),))
    of = _per_seed(record, "peer")
    lead = paired_difference(of["linear"], of[_CLAIMED_BEST])
    if lead is None:
        return Question(question, claim, (Reply(CANNOT, f"{scores}; a figure is not finite."),))
    verdict = REFUTED if lead.real and lead.estimate < 0 else NOT_TOLD
    words = (
        f"{scores}: linear less ReLU {lead_words(lead, lead.p_value, corrected=False)}, paired over {lead.pairs} seeds."
    )
    return Question(question, claim, (Reply(_qualified(verdict, record), words),))


def _qualified(verdict: str, record: StudyRecord) -> str:
    return qualified(verdict, "activations", record.summary, other_settings=not is_study_settings(record))


def _activation_faults(name: str, finals: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    scale = (
        "Its weights began scaled by 0.01, too small for a signal to pass three hidden layers: a reason why its sigmoid and "
        "linear networks learned so little, and scikit-learn's, which begin with Glorot's, did not."
    )
    slip = "Its score for scikit-learn's linear network is the ReLU network's, scored again."
    if is_study_data("activations", name) and finals:
        gaps = [
            f"{row['value']} {ACCURACY[row['value']] - row['test_accuracy']:+.4f}"
            for row in finals
            if row["value"] in ACCURACY
        ]
        scale += f" Its printed accuracies less this run's: {listed(gaps)}."
        linear = next((row["sklearn"] for row in finals if row["value"] == "linear" and "sklearn" in row), None)
        if linear:
            slip += f" The printed 0.9767 is {_SLIP - linear['test_accuracy']:.4f} above what it scores in this run."
    slip += " This run compares the answers of all models, and says so when two are the same."
    return scale, slip, seeds_words(max((row["seeds"] for row in finals), default=1))


def _per_seed(record: StudyRecord, role: str) -> dict[str, list[float]]:
    """Test accuracies by activation, in the order of the seeds; `role` is "final" (ours) or "peer" (scikit-learn's)."""
    found: dict[str, dict[int, float]] = {}
    for child in record.children:
        if child.tags.get("probeflow.role") == role:
            of = found.setdefault(str(child.params["activation"]), {})
            of[int(child.params["seed"])] = child.metrics["test_accuracy"]
    return {value: [of[seed] for seed in sorted(of)] for value, of in found.items()}


def _tested(row: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """A test accuracy with its interval: over the seeds, of one seed Wilson's over the test images."""
    if row["seeds"] > 1:
        return Estimate.of(figures["statistics"]["test_accuracy"]).words
    low, high = figures["test_accuracy_low"], figures["test_accuracy_high"]
    return f"{figures['test_accuracy']:.4f} ({low:.4f} to {high:.4f} by Wilson)"
