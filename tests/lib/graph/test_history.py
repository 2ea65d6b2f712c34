"""Whole runs of a profile in time, from records that are sealed as a run seals them."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from flows.history import compare_runs, show_history
from lib.errors import ConfigError
from lib.evaluation.paired import compare_predictions
from lib.graph import history as runs
from lib.graph import summarise
from lib.report.changes import changes_section
from lib.report.history import answer, write_history
from lib.studies.record import RECORD
from lib.tracking.store import connect
from tests.gate import Gate
from tests.records import places_under
from tests.report_page import Page

NAME = "nightly"


@pytest.fixture
def nights(small_run, tmp_path, monkeypatch):
    """Makes the record of a whole run whose classifier is right on some test images, as made at some time by some commit."""
    where = places_under(tmp_path)
    gate = Gate(connect(where), small_run, "activations", where.data)
    made = dict(small_run.record.made)
    monkeypatch.setattr("lib.studies.record.made_now", lambda: dict(made))

    def night(day: int, right: int, commit: str = "a" * 40, stride: int = 32, **changes):
        made.update(when=f"2026-11-{day:02} 02:00 UTC", commit=commit)
        sweep = gate.record(f"night {day}", gate.right_on((0, right)), **changes)
        base = small_run.profile
        data = base.data | {"patches": base.data["patches"].model_copy(update={"stride": stride})}
        profile = base.model_copy(update={"name": NAME, "data": data, "promote": sweep.name, "claims": None})
        return summarise(profile, {sweep.name: sweep}, where)

    night.where, night.gate = where, gate
    return night


def test_each_run_is_held_against_the_one_before_on_the_same_images(nights):
    for day, right in enumerate((400, 430, 429), start=1):
        nights(day, right)
    found = runs.history(nights.where.studies, NAME)
    assert [step.run.best.score.estimate for step in found.steps] == pytest.approx([400 / 447, 430 / 447, 429 / 447])
    labels = nights.gate.judged.labels
    answers = [np.where(nights.gate.right_on((0, right)), labels, (labels + 1) % 10) for right in (400, 430, 429)]
    expected = [None, *(compare_predictions(b, a, labels) for a, b in itertools.pairwise(answers))]
    assert [step.lead for step in found.steps] == expected
    assert [step.data for step in found.steps] == [(), (), ()]
    assert answer(found).endswith("not significantly different from the run before.")


def test_other_data_and_other_code_are_marked_and_other_images_not_compared(nights):
    nights(1, 400)
    nights(2, 380, commit="b" * 40)
    nights(3, 410, commit="b" * 40, dataset_digest="feed" * 16)
    second, third = runs.history(nights.where.studies, NAME).steps[1:]
    assert (second.code, second.data, second.lead.estimate) == (True, (), pytest.approx(-20 / 447))
    assert (third.code, [each.name for each in third.data], third.lead) == (False, ["digits"], None)
    assert "scored on other images" in answer(runs.history(nights.where.studies, NAME))


def test_a_run_that_got_worse_is_said_to_be(nights, capsys):
    nights(1, 430)
    nights(2, 380)
    assert show_history(None, nights.where) == 0
    printed = capsys.readouterr().out
    assert "significantly worse than the run before" in printed
    page = Path(printed.splitlines()[-1].split("page  ")[1])
    text = page.read_text()
    Page(text)  # well formed
    assert len(re.findall(r'<th scope="row"><a href="\.\./[0-9a-f]{16}/report.html">', text)) == 2
    assert (page.parent / re.findall(r'href="(.*?)/report.html', text)[0] / RECORD).exists()
    assert write_history(runs.history(nights.where.studies, NAME)).read_text() == text


def test_a_run_says_what_changed_since_the_one_before_whatever_comes_later(nights):
    first, second = nights(1, 430), nights(2, 380, commit="b" * 40, stride=30)
    assert changes_section(runs.last_step(first)) is None
    body = changes_section(runs.last_step(second)).body
    lines = body.replace("&gt;", ">").replace("\\", "").splitlines()
    assert lines[0] == f"Since the run of 2026-11-01 02:00 UTC ({first.key[:8]}):"
    assert lines[2:4] == ["- setting: data.patches.stride 32 -> 30", f"- code: commit {'a' * 12} -> {'b' * 12}"]
    assert re.search(r"difference on the same images -0\.112 \(-0\.\d+ to -0\.\d+\), significant$", lines[-1])
    nights(3, 410)
    assert changes_section(runs.last_step(second)).body == body


def test_damaged_runs_are_counted_and_other_profiles_left_out(nights, small_run):
    nights(1, 400)
    broken = nights(2, 410)
    file = broken.folder / RECORD
    file.write_text(file.read_text().replace('"studies"', '"studios"', 1))
    found = runs.history(nights.where.studies, NAME)
    assert (len(found.steps), found.unreadable) == (1, 1)
    assert runs.history(nights.where.studies, "other").steps == ()


def test_a_profile_without_runs_gets_one_line(nights):
    with pytest.raises(ConfigError, match=r"no whole run is recorded in .*`probeflow run` makes one"):
        show_history(None, nights.where)
    nights(1, 400)
    with pytest.raises(ConfigError, match=f"no whole run of profile 'other' is recorded in .*; recorded here: {NAME}"):
        show_history("other", nights.where)


def test_three_runs_are_each_held_against_the_first(nights, capsys, monkeypatch):
    made = [nights(1, 430), nights(2, 380), nights(3, 410, dataset_digest="feed" * 16)]
    monkeypatch.setattr("lib.tracking.past_runs.record_of_run", lambda wanted, where: made[int(wanted)].folder)
    compare_runs("0", "1", ["2"], nights.where)
    first, second, third, *_ = capsys.readouterr().out.splitlines()[1:]
    assert first.startswith("A")
    assert made[0].key[:8] in first
    assert re.search(r"-0\.112 \(-0\.\d+ to -0\.\d+\), significant$", second)
    assert third.endswith("other images")
