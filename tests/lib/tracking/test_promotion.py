"""The gate and the registry: who becomes champion, who does not and why, and the way back."""

from __future__ import annotations

import re

import pytest

from lib.datasets.dataset import Split, build
from lib.errors import ConfigError
from lib.features import extract
from lib.studies.predictions import read_predictions
from lib.tracking.promotion import promote_by_hand, roll_back
from lib.tracking.registry import registered_name
from tests.gate import right_on

GOOD, BETTER, WORSE, TIE = right_on((0, 80)), right_on((0, 94)), right_on((0, 66)), right_on((1, 84))


def test_the_answers_kept_are_those_that_the_figures_are_of(classified, photos):
    kept = read_predictions(classified.folder)
    assert kept.dataset_digest == photos.digest
    assert (kept.of(kept.chosen) == kept.labels).mean() == classified.summary["final"]["test_accuracy"]


def test_an_unsound_one_is_not_registered_and_the_reason_stands_on_its_run(gate):
    final = gate.classified.summary["final"]
    cases = {
        "it did not learn": ({"flagged": "it did not learn"}, {}),
        "no better than the majority's 0.5000": ({"final": final | {"test_accuracy_low": 0.49}}, {}),
        "trained on images with digest feed": ({"dataset_digest": "feed" * 16}, {}),
        "made with other settings": ({}, {"settings": gate.settings.model_copy(update={"input_size": 96})}),
        "weights_file '/absent' not found": (
            {},
            {"settings": gate.settings.model_copy(update={"weights": "imagenet", "weights_file": "/absent"})},
        ),
    }
    for number, (words, (summary, given)) in enumerate(cases.items()):
        record = gate.record(f"unsound {number}", GOOD, **summary)
        decision = gate.consider(record, **given)
        assert (decision.promoted, decision.challenger) == (False, None)
        assert re.search(words, decision.why), decision.why
        (run,) = gate.tracking.client.search_runs(
            [gate.tracking.client.get_experiment_by_name("probeflow/classifier").experiment_id],
            f"tags.`probeflow.key` = '{record.parent.key}'",
        )
        assert decision.why in run.data.tags["probeflow.promotion"]
    assert gate.registry.versions() == []


def test_a_leak_is_refused_by_the_images_digests(gate):
    """Test images that are training images under other names and in another order."""
    train = gate.photos.splits["train"]
    test = Split(train.images[[5, 2, 11]].copy(), train.labels[[5, 2, 11]])
    leaking = build("photo-patches", gate.photos.class_names, {"train": train, "test": test}, "")
    decision = gate.consider(gate.record("leak", BETTER, dataset_digest=leaking.digest), leaking)
    assert not decision.promoted
    assert "3 of 3 test images of 'photo-patches' (100.0%) are also training images" in decision.why
    assert gate.registry.versions() == []


def test_the_first_sound_one_is_challenger_and_champion_once(gate):
    record = gate.record("good", GOOD)
    for words in ("the first champion", "unchanged"):
        decision = gate.consider(record)
        assert (decision.promoted, decision.version) == (True, "1")
        assert words in decision.why
    assert gate.aliases == {"challenger": "1", "champion": "1"}


def test_a_worse_one_and_a_tie_are_refused_and_a_better_one_promoted_each_with_the_reason(gate):
    gate.consider(gate.record("good", GOOD))
    for number, (title, right, words) in enumerate(
        [("worse", WORSE, "worse, difference -0.1458 ("), ("tie", TIE, "a tie: not told apart, difference +0.0312 (")],
        2,
    ):
        decision = gate.consider(gate.record(title, right))
        assert (decision.promoted, decision.version, decision.challenger) == (False, "1", str(number))
        assert decision.why.startswith(words)
        assert "paired over 96 images, p = " in decision.why
        assert "; test accuracy" in decision.why
        assert "champion version 1 has test accuracy 0.8333 (0.7463 to 0.8947) on the same images" in decision.why
        assert gate.aliases == {"challenger": str(number), "champion": "1"}
    decision = gate.consider(gate.record("better", BETTER))
    assert (decision.promoted, decision.version) == (True, "4")
    assert decision.why.startswith("better, difference +0.1458 (")
    assert gate.aliases == {"challenger": "4", "champion": "4"}
    for version in gate.registry.versions()[1:]:
        about = gate.tracking.client.get_model_version(gate.name, version.number).description
        assert version.tags["probeflow.decision"].rpartition(" UTC: ")[2] in about


def test_equal_answers_are_a_tie(gate):
    gate.consider(gate.record("one", GOOD))
    decision = gate.consider(gate.record("other", GOOD))
    assert not decision.promoted
    assert decision.why.startswith("a tie: not told apart, difference +0.0000 (")


def test_without_the_answers_only_intervals_that_do_not_overlap_decide(gate):
    gate.consider(gate.record("good", GOOD, told=False))
    overlapping, clear = right_on((0, 90)), right_on((0, 96))
    tie = gate.consider(gate.record("tie", overlapping))
    assert not tie.promoted
    assert tie.why.startswith("a tie: not told apart, by intervals")
    assert gate.consider(gate.record("better", clear)).why.startswith("better, by intervals")
    assert gate.consider(gate.record("worse", WORSE, told=False)).why.startswith("worse, by intervals")
    assert gate.aliases == {"challenger": "4", "champion": "3"}


def test_one_of_other_images_is_refused_with_the_command_that_promotes_it_all_the_same(gate, small, where):
    gate.consider(gate.record("good", GOOD))
    train, test = gate.photos.splits["train"], gate.photos.splits["test"]
    fewer = Split(test.images[:40], test.labels[:40])
    others = build("photo-patches", gate.photos.class_names, {"train": train, "test": fewer}, "")
    features = extract(others, small.features, where.features).manifest.digest
    record = gate.record("others", BETTER, dataset_digest=others.digest, features_digest=features)
    decision = gate.consider(record, others)
    assert not decision.promoted
    assert f"champion version 1 was tested on other images (digest {gate.photos.digest[:12]}" in decision.why
    assert f"`python -m flows promote 2 --model {gate.name} --reason WHY`" in decision.why
    by_hand = promote_by_hand(gate.tracking, gate.name, "challenger", "the images are better")
    assert by_hand.sentence == f"`{gate.name}` version 2 is champion: by hand, the images are better."
    assert gate.aliases["champion"] == "2"


class TestRollBack:
    @pytest.fixture
    def three(self, gate):
        """Three champions, one after the other."""
        records = [gate.record(f"number {n}", right_on((0, n))) for n in (66, 80, 94)]
        for record in records:
            assert gate.consider(record).promoted
        return records

    def test_it_goes_from_champion_to_champion_before_and_says_when_none_is_left(self, gate, three):
        for before in ("2", "1"):
            assert roll_back(gate.tracking, gate.name, "it fails on new images").version == before
            assert gate.aliases["champion"] == before
        with pytest.raises(ConfigError, match=r"no champion of .* came before version 1; `python -m flows promote"):
            roll_back(gate.tracking, gate.name, "again")
        assert gate.aliases["champion"] == "1"

    def test_one_that_was_rolled_back_is_promoted_by_hand_only(self, gate, three):
        roll_back(gate.tracking, gate.name, "it fails on new images")
        decision = gate.consider(three[2])
        assert not decision.promoted
        assert "it was rolled back (it fails on new images); `python -m flows promote 3" in decision.why
        promote_by_hand(gate.tracking, gate.name, "3", "mended")
        assert gate.aliases["champion"] == "3"
        assert gate.consider(three[2]).why.endswith("unchanged")
        assert roll_back(gate.tracking, gate.name, "after all").version == "2"

    def test_an_alias_moved_by_others_is_taken_into_the_history(self, gate, three):
        gate.tracking.client.set_registered_model_alias(gate.name, "champion", "1")
        promote_by_hand(gate.tracking, gate.name, "2", "wanted")
        assert roll_back(gate.tracking, gate.name, "not wanted").version == "1"

    def test_a_deleted_version_is_stepped_over(self, gate, three):
        gate.tracking.client.delete_model_version(gate.name, "2")
        assert roll_back(gate.tracking, gate.name, "3 is bad").version == "1"


def test_what_is_not_there_is_refused_with_what_is(gate):
    gate.consider(gate.record("good", GOOD))
    with pytest.raises(ConfigError, match=r"has no version '7'; known: 1 \(challenger\) \(champion\)"):
        promote_by_hand(gate.tracking, gate.name, "7", "why")
    with pytest.raises(ConfigError, match=r"version 1 of .* is champion already"):
        promote_by_hand(gate.tracking, gate.name, "1", "why")
    with pytest.raises(ConfigError, match=f"no model 'mine' is registered; known: .*{gate.name}"):
        registered_name(gate.tracking, "mine")
