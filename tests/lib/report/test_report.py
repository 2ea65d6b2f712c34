"""The report: it stands alone, reads well in light and dark, says what the records say, and lets nothing else in."""

from __future__ import annotations

import base64
import dataclasses
import re
import shutil
from importlib import resources
from typing import Literal

import numpy as np
import pytest
import yaml

from flows.__main__ import main
from lib.datasets import LeftOut, Reading, SplitsBy, Understood, Why
from lib.errors import DataError
from lib.figures.curves import Panel, training_curves
from lib.figures.matrix import confusion_matrix
from lib.figures.plane import scatter
from lib.figures.style import PALETTE
from lib.graph import studies_of, summarise
from lib.profile import is_built_in, load_profile
from lib.reference import claims_named, judged_sections
from lib.reference.words import case_words, verdict_words
from lib.report import render, write_report
from lib.report.drawing import Styles, _relative, inline
from lib.report.markdown import body_html
from lib.studies import study
from lib.studies.presentation import Presentation, RunNote, Section
from lib.studies.record import Identity, StudyFolder, open_record
from lib.studies.study import Artifact, DatasetNote, Drawing, Kind, Result, StudySettings, Table
from tests.records import places_under
from tests.report_page import require_self_contained

HOSTILE = """<script>alert(1)</script> <b>bold</b>

### A heading

| a <i>class</i> | b |
|---|---|
| [click](javascript:alert(1)) | ![picture](https://example.org/x.png) |

[a page](https://example.org)
"""
CURVES = [Panel("relu", [[
    {"train_loss": train, "validation_loss": validation, "train_accuracy": 0.5, "validation_accuracy": 0.5}
    for train, validation in ((1.0, 1.5), (0.5, 0.75), (0.25, 0.5))
]] * 3)]  # fmt: skip


class HostileSettings(StudySettings):
    kind: Literal["hostile"] = "hostile"


class Hostile(Kind[HostileSettings, Result]):
    """A kind that shows text which would do harm as HTML."""

    name = "hostile"
    settings = HostileSettings
    result = Result
    question = "Is <it> safe?"

    def needs(self, settings):
        return ()

    def compute(self, study):
        return Result()

    def present(self, record):
        return Presentation(
            title="Map of <pets>",
            headline="60 rows & no <script>",
            question=self.question,
            sections=(Section("", HOSTILE), Section("All <of> it", "long | *story*")),
            random_weights=True,
            warnings=("read with <care>", *record.dataset.warnings),
            parent=RunNote(record.key, "t-SNE", {"rows": 60, "perplexity": 30.0, "seed": 7}),
            input="<raw> pixels",
        )


UNDERSTOOD = Understood(
    {"train": 5000},
    {"<cat>": {"train": 4000}, "dog": {"train": 1000}},
    None,
    Reading(SplitsBy.NAMES, (), {"JPEG": 5000}, (LeftOut(Why.HIDDEN, 1, ("<Thumbs>.db",)),)),
)


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    return places_under(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def exploration(small_run, where):
    theirs = small_run.records["exploration"].folder
    return open_record(shutil.copytree(theirs, where.studies / "exploration" / theirs.name))


@pytest.fixture(scope="module")
def hostile(where):
    """A record with figures of all kinds, of a kind that nothing else knows."""
    study.register(Hostile())
    folder = StudyFolder(where.studies, Identity("hostile", "hostile", 1, {}, {"on": "ab" * 32}))
    rng = np.random.default_rng(0)
    points = rng.normal(size=(60, 2))
    matrix = confusion_matrix(np.array([[9, 1], [2, 8]]), ("<cat>", "dog"), "Confusion")
    folder.keep(Drawing("loss-curves-sgd", "Loss curves (sgd)", training_curves(CURVES, "Curves"), "sgd"))
    folder.keep(Drawing("confusion-matrix", "True & <predicted> classes", matrix))
    plane = scatter(points, np.arange(60) % 8, tuple("abcdefgh"), "Map", ("x", "y"))
    folder.keep(Drawing("map", "The map", plane))
    folder.keep(Table("points", "Points of <it>", [{"class": "<script>", "x": 0.123456789}]))
    note = DatasetNote(
        "pets", "ab" * 32, "a folder of <b>pets</b>", ("<cat>", "dog"), {"train": 5000}, ("a <warning>",), UNDERSTOOD
    )
    yield folder.seal(Result(), note)
    study._KINDS.pop("hostile")


@pytest.fixture(scope="module")
def studies(exploration, hostile):
    return {"exploration": exploration, "hostile": hostile}


@pytest.fixture(scope="module")
def pipeline(small, studies, where):
    record = summarise(small, studies, where)
    write_report(record, studies)
    return record


@pytest.fixture(scope="module")
def page(pipeline):
    return require_self_contained((pipeline.folder / "report.html").read_text())


def test_it_stands_alone_and_is_well_formed(page):
    assert len(page.figures) == 6
    assert page.all("img") == []


def test_a_study_is_its_sentence_and_its_picture_and_the_rest_is_folded(page, pipeline, studies):
    assert all("open" not in attributes for _, attributes in page.all("details"))
    text = (pipeline.folder / "report.html").read_text()
    for name, record in studies.items():
        article = text.partition(f'<article aria-labelledby="study-{name}">')[2].partition("</article>")[0]
        shown, _, fold = article.partition('<details class="fold">')
        assert shown.count("<figure>") == 1
        assert shown.count("<table") == 0
        assert fold.count("<figure>") == len(record.figures) - 1
        assert fold.count('<details class="table">') == len(record.tables)
    assert "<h4>All &lt;of&gt; it</h4>" in fold


def test_a_table_can_be_taken_as_the_file_that_it_is(page, hostile):
    links = [attributes for _, attributes in page.all("a") if attributes.get("download") == "points.csv"]
    (content,) = [base64.b64decode(each["href"].partition(",")[2]) for each in links]
    assert content == (hostile.folder / "tables" / "points.csv").read_bytes()


def test_warnings_are_chips_that_lead_to_their_place(pipeline, studies):
    chips = re.findall(r'<a class="chip [a-z]+" href="([^"]*)">([^<]*)</a>', render(pipeline, studies))
    assert chips == [
        ("#study-hostile", "random weights"),
        ("#data", "pets: 1 warning"),
        ("#warnings-hostile", "hostile: 1 warning"),
    ]
    assert '<span class="chip good">no warnings</span>' in render(pipeline, {"exploration": studies["exploration"]})


def test_headings_within_a_section_go_on_from_its_own():
    assert re.findall(r"<h\d>", body_html("# One\n\n### Two\n\n# Three\n", 3)) == ["<h3>", "<h5>", "<h3>"]


def test_it_says_how_the_run_is_repeated(page, pipeline):
    assert f"probeflow reproduce {pipeline.key[:16]}" in page.words


def test_a_figure_and_a_table_are_called_what_their_study_calls_them(page):
    for words in (
        "hostile: True & <predicted> classes",
        "Table: Points of <it> (1 line)",
    ):
        assert words in page.words


def test_it_says_what_the_records_say(page, pipeline, studies):
    for record in studies.values():
        shown = record.present()
        for words in (
            shown.title, f"{shown.headline}.", record.key, record.dataset.digest, record.dataset.origin,
        ):  # fmt: skip
            assert words in page.words
    assert "5,000 train" in page.words
    assert "What was understood of pets before anything was computed" in page.words
    assert Hostile.question in page.words
    assert all(line in page.words for line in UNDERSTOOD.lines())
    assert "Input: <raw> pixels." in page.words
    for name in ("commit", "machine", "python", "numpy", "torch", "prefect"):
        assert pipeline.made[name] in page.words


def test_a_study_s_warnings_stand_with_it_and_the_data_s_once(page, pipeline, studies):
    for words in ("a <warning>", "read with <care>"):
        assert page.words.count(words) == 1
    again = dataclasses.replace(studies["hostile"], name="again")
    text = require_self_contained(render(pipeline, studies | {"again": again})).words
    assert text.count("a <warning>") == 1
    assert text.count("read with <care>") == 2


def test_the_promoted_study_stands_first_then_those_that_score_and_the_graph_s_order_else_with_what_the_run_says_of_claims(
    small_run,
):
    page = require_self_contained(render(small_run.record, small_run.records))
    titles = [attributes["id"] for tag, attributes in page.all("h3") if "id" in attributes]
    graph = [node.name for node in small_run.profile.graph.recorded]
    scoring = [name for name in graph if hasattr(small_run.records[name].result, "models")]
    first = [small_run.profile.promote, *(name for name in scoring if name != small_run.profile.promote)]
    assert titles == [f"study-{name}" for name in [*first, *(name for name in graph if name not in scoring)]]
    assert [data for tag, data in page.text if tag == "h2"] == [
        "Results", "Claims", "Studies", "Data", "Repeat",
    ]  # fmt: skip
    for section in judged_sections(small_run.record.result.judged)[1:]:
        assert section.heading in page.words
    for finding in small_run.record.result.judged.findings:
        claim = claims_named("reference-study").claim(finding.claim)
        for words in (claim.question, claim.claimed or "no claim", verdict_words(finding), case_words(finding)):
            assert words in page.words
    assert "learning_rate: - 0.001 - 0.01" in page.words
    assert "features of fc8" in page.words


def test_text_of_the_records_stays_text(page):
    assert "<script>alert(1)</script> <b>bold</b>" in page.words
    assert "javascript" not in str(page.elements)
    links = [each["href"] for _, each in page.all("a") if "#" not in each["href"] and "download" not in each]
    assert links == ["https://example.org/x.png", "https://example.org"]  # a picture elsewhere is a link to it


def test_every_figure_says_what_it_shows(page):
    words = [attributes["aria-label"] for attributes in page.figures]
    assert words[3].startswith(
        "Curves lines: mean of 3 seeds; bands: 95 % interval of the mean. relu: cross-entropy (nats)"
    )
    assert "train from 1 to 0.25; validation from 1.5 to 0.5" in words[3]
    assert (
        "true class (rows) by predicted class (columns); across: <cat>, dog; down the side: <cat>, dog; written in it: 9 90.0%"
        in words[4]
    )
    assert "60 points" in words[5]
    assert re.search(r"16 pictures: \d+ × ", words[0])


def test_equal_records_give_equal_bytes(pipeline, studies, page):
    assert render(pipeline, studies) == (pipeline.folder / "report.html").read_text()
    assert list(studies_of(pipeline)) == list(studies)
    folders = [StudyFolder(pipeline.folder / name, Identity("hostile", "h", 1, {}, {})) for name in ("one", "two")]
    for folder in folders:
        folder.keep(Drawing("curves", "", training_curves(CURVES, "Curves")))
    one, two = (folder.path / "figures" / "curves.svg" for folder in folders)
    assert one.read_bytes() == two.read_bytes()


def test_black_and_white_follow_the_page_but_not_on_a_picture(page):
    of_class = dict(
        re.findall(r"\.drawing \.(s\d+) \{ (.*?) \}", "".join(text for tag, text in page.text if tag == "style"))
    )
    styles = [of_class.get(attributes.get("class", ""), "") for _, attributes in page.all("text")]
    assert sum("fill: #000000" in style for style in styles) == 4  # two cells of two lines, pale in light and dark
    assert sum("fill: #ffffff" in style for style in styles) == 4  # two on dark blue
    drawn = [
        of_class[each["class"]] for _, each in page.all("path", "use", "tspan") if each.get("class", "") in of_class
    ]
    assert not [style for style in drawn if "#000000" in style or "#ffffff" in style]
    for index in (0, 1, 2, 3, 4, 5, 6):
        assert sum(f"fill: var(--c{index}" in style for style in drawn) >= 7, index  # a class of the scatter
    assert {attributes["fill"] for attributes in page.figures} == {"currentColor"}
    assert sum("fill" not in style.replace("fill-opacity", "") for style in drawn) >= 7  # the black class has none


def colours(style: str, scheme: str) -> dict[str, str]:
    """The style sheet's variables in one scheme."""
    light, _, rest = style.partition("/* The figures' palette")
    found = dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})", light))
    if scheme == "light":
        palette = {f"--c{index}": colour.lower() for index, colour in enumerate(PALETTE)}
        return found | palette
    dark = rest.partition("\n* {")[0]
    return found | dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})", dark))


def luminance(colour: str) -> float:
    """Relative luminance, by WCAG 2."""
    shares = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_it_lies_on(scheme):
    of = colours(resources.files("lib.report").joinpath("style.css").read_text(), scheme)
    for text, ground in (
        ("text", "paper"), ("muted", "paper"), ("link", "paper"), ("text", "raised"), ("muted", "raised"),
        ("link", "raised"), ("care-text", "care"), ("good-text", "good"), ("bad-text", "bad"), ("paper", "link"),
    ):  # fmt: skip
        assert contrast(of[f"--{text}"], of[f"--{ground}"]) >= 4.5, (text, ground)
    if scheme == "dark":
        assert [name for name in of if name.startswith("--c") and contrast(of[name], of["--paper"]) < 3] == ["--care"]


def test_contrast_is_wcag_s():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_the_settings_in_it_run_it_again(small, pipeline, tmp_path):
    text = render(pipeline, {})
    shown = re.search(r"<summary>All settings: profile.yaml</summary>.*?<pre[^>]*><code>(.*?)</code>", text, re.DOTALL)[
        1
    ]
    file = tmp_path / "profile.yaml"
    file.write_text(shown.replace("&#39;", "'").replace("&#34;", '"').replace("&gt;", ">").replace("&amp;", "&"))
    assert load_profile(file=file, environment={}) == small
    assert yaml.safe_load(file.read_text())["name"] == "small"
    assert "probeflow run --profile-file profile.yaml" in text
    assert is_built_in(load_profile(environment={}))
    assert not is_built_in(small)


def test_a_study_made_elsewhere_says_so(pipeline, exploration):
    other = dataclasses.replace(exploration, made={**exploration.made, "numpy": "1.0", "commit": "f" * 40})
    text = require_self_contained(render(pipeline, {"exploration": other})).words
    assert f"commit {'f' * 40}, numpy 1.0" in text


def test_a_figure_too_large_for_a_page_is_kept_as_a_picture_alone_and_tells_of_letters_without_a_font(
    pipeline, hostile, monkeypatch, tmp_path
):
    monkeypatch.setattr("lib.figures.vector.LARGEST", 10)
    folder = StudyFolder(tmp_path, Identity("hostile", "large", 1, {}, {}))
    folder.keep(Drawing("curves", "All curves", training_curves(CURVES, "Curves of \U0010fffd")))
    record = folder.seal(Result(), hostile.dataset)
    assert [path.name for path in (record.folder / "figures").iterdir()] == ["curves.png"]
    page = require_self_contained(render(pipeline, {"hostile": record}))
    assert [attributes["alt"] for _, attributes in page.all("img")] == ["large: All curves"]
    told = [warning for warning in record.present().warnings if "no font installed here has \U0010fffd" in warning]
    assert len(told) == 1


def test_a_damaged_or_lost_figure_says_what_to_do_and_leaves_the_page(pipeline, hostile):
    drawing = hostile.folder / "figures" / "map.svg"
    content = drawing.read_bytes()
    try:
        drawing.write_bytes(b"<svg")
        with pytest.raises(DataError, match=r"map\.svg is damaged .*run the study again"):
            render(pipeline, {"hostile": hostile})
    finally:
        drawing.write_bytes(content)
    lost = dataclasses.replace(hostile, figures=(Artifact("lost.svg", "lost"),))
    before = (pipeline.folder / "report.html").read_bytes()
    with pytest.raises(DataError, match=r"figure .*lost\.svg is missing"):
        write_report(pipeline, {"hostile": lost}, anew=True)
    assert (pipeline.folder / "report.html").read_bytes() == before


def test_report_makes_it_anew_and_names_what_is_lacking(pipeline, studies, where, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PROBEFLOW_DATA", str(where.data))
    before = (pipeline.folder / "report.html").read_bytes()
    (pipeline.folder / "report.html").unlink()
    assert main(["report"]) == 0
    assert capsys.readouterr().out == f"{pipeline.folder / 'report.html'}\n"
    assert (pipeline.folder / "report.html").read_bytes() == before
    assert main(["report", str(pipeline.folder)]) == 0
    assert main(["report", str(studies["hostile"].folder)]) == 2
    assert "is a record of the study hostile, not of a whole run" in capsys.readouterr().err
    monkeypatch.setenv("PROBEFLOW_DATA", str(tmp_path))
    assert main(["report"]) == 2
    assert "no whole run is recorded in" in capsys.readouterr().err


def test_a_long_curve_is_written_by_steps_that_lead_to_the_same_points():
    rng = np.random.default_rng(0)
    points = np.round(rng.normal(0, 100, (300, 2)).cumsum(axis=0), 2)
    lines = " ".join(f"{'M' if number % 100 == 0 else 'L'} {x} {y}" for number, (x, y) in enumerate(points.tolist()))
    short = _relative(f"{lines} z")
    assert len(short) < 0.8 * len(lines)
    found, at = [], np.zeros(2)
    for command, numbers in re.findall(r"([Ml])([^Mlz]*)", short):
        pairs = np.array([float(each) for each in re.findall(r"-?\d*\.?\d+", numbers)]).reshape(-1, 2)
        for pair in pairs:
            at = pair if command == "M" else at + pair
            found.append(at)
    assert np.array(found) == pytest.approx(points, abs=0.051)
    assert short.endswith("z")


def test_a_style_that_would_be_more_than_a_style_is_left_out():
    svg = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M 1 1" style="fill: red} body { x: y"/></svg>"""
    styles = Styles()
    assert "style" not in inline(svg, "f1-", "a drawing", styles).markup
    assert styles.sheet == ""
