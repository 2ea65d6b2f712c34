"""The gate and the registry: who becomes champion, who does not and why, and the way back."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from lib.datasets.dataset import Split, build
from lib.errors import ConfigError, DataError, program
from lib.evaluation.checks import Learned
from lib.evaluation.intervals import wilson
from lib.evaluation.measures import measure
from lib.evaluation.paired import compare_predictions
from lib.studies.presentation import Rows, escaped
from lib.studies.sweep.predictions import read_predictions
from lib.tracking.labelling import newer_than_champion
from lib.tracking.promotion import Outcome, consider, promote_by_hand, roll_back
from lib.tracking.records import log_record
from lib.tracking.registry import registered_name


def test_the_predictions_kept_are_those_that_the_figures_are_of(small_run):
    record = small_run.records["classifier"]
    kept = read_predictions(record.folder)
    assert kept.dataset_digest == record.dataset.digest
    accuracy = record.result.models[record.result.chosen].accuracy
    assert (kept.of(kept.chosen) == kept.labels).mean() == accuracy.estimate


def test_an_unsound_one_is_not_registered_and_the_reason_stands_on_its_run(gate_of):
    gate = gate_of("classifier")
    good = gate.right_on((0, 90))
    trained = gate.record("trained", good).result.models[0]
    lazy = trained.trials[0].model_copy(update={"learned": Learned.AT_CHANCE})
    other = gate.extraction.model_copy(update={"input_size": 96})
    gone = gate.extraction.model_copy(update={"weights": "imagenet", "weights_file": "/absent"})
    cases = {
        Outcome.NOT_TESTED: (gate.record("halved", good, judged_on=Rows.VALIDATION), {}),
        Outcome.DID_NOT_LEARN: (
            gate.record("lazy", good, models=(trained.model_copy(update={"trials": (lazy,)}),)),
            {},
        ),
        Outcome.NOT_ABOVE_MAJORITY: (gate.record("poor", gate.right_on((0, 50))), {}),
        Outcome.CHANGED_IMAGES: (gate.record("others", good, dataset_digest="feed" * 16), {}),
        Outcome.CHANGED_FEATURES: (gate.record("features", good), {"extraction": other}),
        Outcome.NO_WEIGHTS: (gate.record("weights", good), {"extraction": gone}),
    }
    words = [
        r"dropped at a rung",
        r"did not learn \(at chance\)",
        r"does not exclude 0.5000, the majority class's share",
        r"trained on images with digest feedfeedfeed",
        r"made with other settings",
        r"weights_file '/absent' not found",
    ]
    for (outcome, (record, given)), said in zip(cases.items(), words, strict=True):
        decision = gate.consider(record, **given)
        assert (decision.outcome, decision.promoted, decision.challenger) == (outcome, False, None)
        assert re.search(said, decision.why), decision.why
        run = gate.tracking.client.get_run(gate.log(record))
        assert run.data.tags["probeflow.promotion"] == decision.sentence
    assert gate.registry.versions() == []


def test_a_leak_is_refused_by_the_images_digests(gate_of):
    """Test images that are training images under other names and in another order."""
    gate = gate_of("classifier")
    train = gate.on.dataset.splits["train"]
    test = Split(train.images[[5, 2, 11]].copy(), train.labels[[5, 2, 11]])
    leaking = build("photo-patches", gate.on.dataset.class_names, {"train": train, "test": test}, "")
    record = gate.record("leak", gate.right_on((0, 96)), dataset_digest=leaking.digest)
    decision = gate.consider(record, replace(gate.on, dataset=leaking))
    assert decision.outcome is Outcome.LEAKAGE
    assert "3 of 3 test images of 'photo-patches' (100.0%) are also training images" in decision.why


def test_the_first_sound_one_is_challenger_and_champion_once(gate):
    record = gate.record("good", gate.right_on((0, 380)))
    for outcome in (Outcome.FIRST, Outcome.UNCHANGED):
        decision = gate.consider(record)
        assert (decision.outcome, decision.promoted, decision.version) == (outcome, True, "1")
    assert gate.aliases == {"challenger": "1", "champion": "1"}
    assert gate.registry.champion().accuracy == wilson(380, 447)


def test_a_version_s_description_is_its_card_and_then_what_was_decided_last(gate):
    gate.consider(gate.record("good", gate.right_on((0, 380))))
    version = gate.registry.champion()
    for number in range(6):
        gate.registry.note(version, f"decision {number}: {'because ' * 120}")
    about = gate.tracking.client.get_model_version(gate.name, version.number).description
    assert len(about) == 5000
    card, decisions = about.split("\n\n## Decisions\n\n")
    assert card.startswith(f"# Model Card for {escaped(gate.name)}\n")
    assert decisions.endswith("because")
    assert "decision 5: because" in decisions
    assert "decision 0: because" not in decisions


def test_a_worse_one_and_a_tie_are_refused_and_a_better_one_promoted_each_with_the_reason(gate):
    good = gate.right_on((0, 380))
    gate.consider(gate.record("good", good))
    labels = gate.judged.labels
    cases = [
        ("worse", gate.right_on((0, 330)), Outcome.WORSE),
        ("tie", gate.right_on((6, 392)), Outcome.NOT_SIGNIFICANT),
        ("equal", good, Outcome.NOT_SIGNIFICANT),
    ]
    for number, (title, right, outcome) in enumerate(cases, 2):
        decision = gate.consider(gate.record(title, right))
        assert (decision.outcome, decision.version, decision.challenger) == (outcome, "1", str(number))
        said = [np.where(mask, labels, (labels + 1) % 10) for mask in (right, good)]
        assert decision.difference == compare_predictions(*said, labels)
        assert (decision.accuracy, decision.champion_accuracy) == (wilson(int(right.sum()), 447), wilson(380, 447))
        assert gate.aliases == {"challenger": str(number), "champion": "1"}
    decision = gate.consider(gate.record("better", gate.right_on((0, 420))))
    assert (decision.outcome, decision.version) == (Outcome.BETTER, "5")
    assert decision.sentence.startswith(f"`{gate.name}` version 5 is champion: better, difference +0.0895 (")
    assert "paired over 447 images, p < 0.0001; test accuracy 0.9396" in decision.why
    assert "champion version 1 has test accuracy 0.8501 (0.8140 to 0.8802) on the same images" in decision.why
    assert gate.aliases == {"challenger": "5", "champion": "5"}
    for version in gate.registry.versions()[1:]:
        about = gate.tracking.client.get_model_version(gate.name, version.number).description
        assert version.tags["probeflow.decision"].rpartition(" UTC: ")[2] in about


def test_predict_warns_that_a_newer_version_was_refused_or_the_newest_run_is_of_other_data(gate, small_run):
    assert gate.consider(gate.record("first", gate.right_on((0, 400)))).promoted
    assert newer_than_champion(gate.tracking, gate.name, named=True) is None
    log_record(gate.tracking, small_run.record, {})  # whose data are the photographs
    assert newer_than_champion(gate.tracking, gate.name, named=True) is None
    warning = newer_than_champion(gate.tracking, gate.name, named=False)
    assert warning.startswith(
        f"warning: the newest run, Pipeline {small_run.profile.name}, is of other data (photo-patches "
    )
    assert not gate.consider(gate.record("worse", gate.right_on((0, 300)))).promoted
    assert newer_than_champion(gate.tracking, gate.name, named=True).startswith(
        "warning: version 2 of this model is newer"
    )


def test_images_in_groups_are_judged_by_groups(gate_of):
    """One of 24 groups of images, all wrong or all right, is no more than one image that is independent."""
    gate = gate_of("classifier")
    labels, groups = gate.judged.labels, gate.judged.groups
    place = np.unique(groups, return_inverse=True)[1]
    first = gate.consider(gate.record("first", place < 20))
    predicted = np.where(place < 20, labels, 1 - labels)
    assert first.accuracy == measure(labels, np.eye(2)[predicted], groups)["accuracy"]
    assert first.accuracy.low < wilson(int((place < 20).sum()), len(labels)).low
    decision = gate.consider(gate.record("all right", place < 24))
    assert compare_predictions(labels, predicted, labels).significant
    assert decision.outcome is Outcome.NOT_SIGNIFICANT


def test_without_the_predictions_only_intervals_that_do_not_overlap_decide(gate):
    gate.consider(gate.record("good", gate.right_on((0, 380)), known=False))
    for title, count, outcome in (
        ("overlaps", 400, Outcome.NOT_SIGNIFICANT),
        ("clear", 440, Outcome.BETTER),
        ("worse", 330, Outcome.WORSE),
    ):
        decision = gate.consider(gate.record(title, gate.right_on((0, count)), known=title == "clear"))
        assert (decision.outcome, decision.difference) == (outcome, None)
        assert "by intervals" in decision.why
    assert gate.aliases == {"challenger": "4", "champion": "3"}


def test_one_of_other_images_is_refused_with_the_command_that_promotes_it_all_the_same(gate):
    right = gate.right_on((0, 380))
    gate.consider(gate.record("good", right))
    train, test = gate.on.dataset.splits["train"], gate.on.dataset.splits["test"]
    fewer = Split(test.images[:400], test.labels[:400])
    built = build("digits", gate.on.dataset.class_names, {"train": train, "test": fewer}, "", 16)
    others = replace(gate.on.dataset, splits=built.splits, digest=built.digest)
    decision = gate.consider(
        gate.record("others", right, dataset_digest=others.digest), replace(gate.on, dataset=others)
    )
    assert decision.outcome is Outcome.OTHER_TEST_IMAGES
    assert f"champion version 1 was tested on other images (digest {gate.on.dataset.digest[:12]}" in decision.why
    assert f"`probeflow promote 2 --model {gate.name} --reason WHY`" in decision.why
    by_hand = promote_by_hand(gate.tracking, gate.name, "challenger", "the images are better")
    assert by_hand.sentence == f"`{gate.name}` version 2 is champion: by hand, the images are better."
    assert gate.aliases["champion"] == "2"


class TestRollBack:
    @pytest.fixture
    def three(self, gate):
        """Three champions, one after the other."""
        records = [gate.record(f"number {count}", gate.right_on((0, count))) for count in (330, 380, 420)]
        for record in records:
            assert gate.consider(record).promoted
        return records

    def test_it_goes_from_champion_to_champion_before_and_says_when_none_is_left(self, gate, three):
        for before in ("2", "1"):
            assert roll_back(gate.tracking, gate.name, "it fails on new images").version == before
            assert gate.aliases["champion"] == before
        with pytest.raises(ConfigError, match=rf"no champion of .* came before version 1; `{program()} promote"):
            roll_back(gate.tracking, gate.name, "again")
        assert gate.aliases["champion"] == "1"

    def test_one_that_was_rolled_back_is_promoted_by_hand_only(self, gate, three):
        roll_back(gate.tracking, gate.name, "it fails on new images")
        decision = gate.consider(three[2])
        assert decision.outcome is Outcome.WITHDRAWN
        assert "it was rolled back (it fails on new images); `probeflow promote 3" in decision.why
        promote_by_hand(gate.tracking, gate.name, "3", "fixed")
        assert gate.aliases["champion"] == "3"
        assert gate.consider(three[2]).outcome is Outcome.UNCHANGED
        assert roll_back(gate.tracking, gate.name, "after all").version == "2"

    def test_an_alias_moved_by_others_is_taken_into_the_history(self, gate, three):
        gate.tracking.client.set_registered_model_alias(gate.name, "champion", "1")
        promote_by_hand(gate.tracking, gate.name, "2", "wanted")
        assert roll_back(gate.tracking, gate.name, "not wanted").version == "1"

    def test_a_deleted_version_is_stepped_over(self, gate, three):
        gate.tracking.client.delete_model_version(gate.name, "2")
        assert roll_back(gate.tracking, gate.name, "3 is bad").version == "1"


def test_what_is_not_there_is_refused_with_what_is(gate):
    gate.consider(gate.record("good", gate.right_on((0, 380))))
    with pytest.raises(ConfigError, match=r"has no version '7'; known: 1 \(champion\)"):
        promote_by_hand(gate.tracking, gate.name, "7", "why")
    with pytest.raises(ConfigError, match=r"version 1 of .* is champion already"):
        promote_by_hand(gate.tracking, gate.name, "1", "why")
    with pytest.raises(ConfigError, match=f"no model 'mine' is registered; known: .*{gate.name}"):
        registered_name(gate.tracking, "mine")


def test_a_study_that_keeps_no_network_is_refused(tracking, small_run):
    record = small_run.records["exploration"]
    with pytest.raises(
        DataError, match="study 'exploration' is of kind exploration, which keeps no network to promote"
    ):
        consider(tracking, record, "run", small_run.input("exploration"), None, small_run.where)
