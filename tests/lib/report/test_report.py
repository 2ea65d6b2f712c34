"""The report: it stands alone, reads well in light and dark, says what the records say, and lets nothing else in."""

from __future__ import annotations

import dataclasses
import re
from importlib import resources

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure

from flows.__main__ import main
from lib.config import is_built_in, load_profile
from lib.datasets import acquire
from lib.errors import DataError
from lib.evaluation import figures
from lib.evaluation.vector import describe
from lib.report import render, write_report
from lib.report.markdown import notes_html
from lib.studies.exploration import explore
from lib.studies.pipeline import studies_of, summarise
from lib.studies.record import DatasetNote, RunNote, StudyFolder
from tests.report_page import require_self_contained

HOSTILE = """## Notes
<script>alert(1)</script> <b>bold</b>

### A heading

| a <i>class</i> | b |
|---|---|
| [click](javascript:alert(1)) | ![picture](https://example.org/x.png) |

[a page](https://example.org)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("report") / "studies"


@pytest.fixture(scope="module")
def exploration(small, root, tmp_path_factory):
    return explore(small.exploration, acquire(small.images, tmp_path_factory.mktemp("data"), None), root)


@pytest.fixture(scope="module")
def hostile(root):
    """A record with figures of all kinds, and text that would do harm as HTML."""
    folder = StudyFolder(root, "tsne", "0" * 64)
    rng = np.random.default_rng(0)
    curves = {"relu": {"train_loss": [[1.0, 0.5, 0.25]] * 3, "validation_loss": [[1.5, 0.75, 0.5]] * 3}}
    folder.figure("loss-curves", figures.training_curves(curves, "Curves"))
    folder.figure(
        "confusion-matrix", figures.confusion_matrix(np.array([[9, 1], [2, 8]]), ("<cat>", "dog"), "Confusion")
    )
    points = rng.normal(size=(60, 2))
    folder.figure("tsne", figures.scatter(points, np.arange(60) % 8, tuple("abcdefgh"), "Map", ("x", "y")))
    folder.table("points", [{"class": "<script>", "x": 0.123456789}])
    note = DatasetNote(
        "pets", "ab" * 32, "a folder of <b>pets</b>", ("<cat>", "dog"), {"train": 5000}, ("a <warning>",)
    )
    run = RunNote("k", "t-SNE", {"rows": 60, "perplexity": 30.0, "seed": 7})
    return folder.seal(
        title="Map of <pets>", headline="60 rows & no <script>", notes=HOSTILE, dataset=note, summary={}, parent=run
    )


@pytest.fixture(scope="module")
def studies(exploration, hostile):
    return {"exploration": exploration, "tsne": hostile}


@pytest.fixture(scope="module")
def pipeline(small, studies, root):
    return summarise(small, studies, root)


@pytest.fixture(scope="module")
def page(pipeline):
    return require_self_contained((pipeline.folder / "report.html").read_text())


def test_it_stands_alone_and_is_well_formed(page):
    assert len(page.all("svg")) == 6
    assert page.all("img") == []


def test_the_findings_of_a_study_s_notes_are_folded_and_what_follows_is_not():
    notes = "## Title\n\n### Findings\n\nHow.\n\n**Does it?** Yes.\n\n- told\n\n**Read with care:**\n- a flag\n"
    folded, rest = str(notes_html(notes, 4)).split("</details>")
    assert folded.startswith("<details>\n<summary>Findings")
    assert "told" in folded
    assert "a flag" in rest
    assert "details" not in notes_html("## Title\n\n### Steps\n\nHow.\n", 4)


def test_it_says_how_the_run_is_repeated_and_closes_the_long_table(page, pipeline):
    assert f"python -m flows reproduce {pipeline.key[:16]}" in page.words
    assert all("open" not in attributes for _, attributes in page.all("details"))
    assert "Figure by figure (1 row)" in page.words


def test_a_figure_of_one_arm_has_the_arm_in_brackets(pipeline, hostile):
    trial = RunNote("t", "trial", {"arm": "study"}, tags={"probeflow.role": "candidate"})
    shown = hostile.folder / "figures"
    for ending in ("png", "svg"):
        (shown / f"loss-curves-study.{ending}").write_bytes((shown / f"loss-curves.{ending}").read_bytes())
    record = dataclasses.replace(hostile, children=(trial,), figures=("loss-curves-study.png",))
    assert "Map of <pets>: loss curves (study)" in require_self_contained(render(pipeline, {"tsne": record})).words


def test_it_says_what_the_records_say(page, pipeline, studies):
    for record in studies.values():
        for words in (record.title, record.headline, record.key, record.dataset.digest, record.dataset.origin):
            assert words in page.words
    assert "5,000 train" in page.words
    assert "a <warning>" in page.words
    assert "rows 60, perplexity 30" in page.words
    assert "5000 / 5000" in page.words  # the reference study's class frequencies
    for name in ("commit", "machine", "python", "numpy", "torch", "prefect"):
        assert pipeline.made[name] in page.words


def test_text_of_the_records_stays_text(page):
    assert "<script>alert(1)</script> <b>bold</b>" in page.words
    assert "javascript" not in str(page.elements)
    links = [attributes["href"] for _, attributes in page.all("a") if "#" not in attributes["href"]]
    assert links == ["https://example.org/x.png", "https://example.org"]  # a picture elsewhere is a link to it


def test_every_figure_says_what_it_shows(page):
    words = [attributes["aria-label"] for _, attributes in page.all("svg")]
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
    curves = {"relu": {"train_loss": [[1.0, 0.5]], "validation_loss": [[1.5, 0.75]]}}
    folders = [StudyFolder(pipeline.folder / name, "tsne", "1" * 64) for name in ("one", "two")]
    for folder in folders:
        folder.figure("curves", figures.training_curves(curves, "Curves"))
    one, two = (folder.path / "figures" / "curves.svg" for folder in folders)
    assert one.read_bytes() == two.read_bytes()


def test_black_and_white_follow_the_page_but_not_on_a_picture(page):
    styles = [attributes.get("style", "") for _, attributes in page.all("text")]
    assert sum("fill: #000000" in style for style in styles) == 4  # two cells of two lines, pale in light and dark
    assert sum("fill: #ffffff" in style for style in styles) == 4  # two on dark blue
    drawn = [attributes["style"] for _, attributes in page.all("path", "use", "tspan") if "style" in attributes]
    assert not [style for style in drawn if "#000000" in style or "#ffffff" in style]
    for index in (0, 1, 2, 3, 4, 5, 6):
        assert sum(f"fill: var(--c{index}" in style for style in drawn) >= 7, index  # a class of the scatter
    assert {attributes["fill"] for _, attributes in page.all("svg")} == {"currentColor"}
    assert sum("fill" not in style.replace("fill-opacity", "") for style in drawn) >= 7  # the black class has none


def colours(style: str, scheme: str) -> dict[str, str]:
    """The style sheet's variables in one scheme."""
    light, _, rest = style.partition("/* The figures' palette")
    found = dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})", light))
    if scheme == "light":
        palette = {f"--c{index}": colour.lower() for index, colour in enumerate(figures.PALETTE)}
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
        ("link", "raised"), ("care-text", "care"),
    ):  # fmt: skip
        assert contrast(of[f"--{text}"], of[f"--{ground}"]) >= 4.5, (text, ground)
    if scheme == "dark":
        assert [name for name in of if name.startswith("--c") and contrast(of[name], of["--paper"]) < 3] == ["--care"]


def test_contrast_is_wcag_s():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_the_settings_in_it_run_it_again(small, pipeline, tmp_path):
    text = render(pipeline, {})
    shown = re.search(r"<summary>profile.yaml</summary>\s*<pre[^>]*><code>(.*?)</code>", text, re.DOTALL)[1]
    file = tmp_path / "profile.yaml"
    file.write_text(shown.replace("&#39;", "'").replace("&#34;", '"').replace("&gt;", ">").replace("&amp;", "&"))
    assert load_profile(file=file, environment={}) == small
    assert yaml.safe_load(file.read_text())["name"] == "small"
    assert "python -m flows run --profile-file profile.yaml" in text
    assert is_built_in(load_profile(environment={}))
    assert not is_built_in(small)


def test_a_study_made_elsewhere_says_so(pipeline, exploration):
    other = dataclasses.replace(exploration, made=exploration.made | {"numpy": "1.0", "commit": "f" * 40})
    text = require_self_contained(render(pipeline, {"exploration": other})).words
    assert f"commit {'f' * 40}, numpy 1.0" in text
    unknown = dataclasses.replace(exploration, made={})
    assert "exploration: not recorded" in require_self_contained(render(pipeline, {"exploration": unknown})).words


def test_without_a_drawing_the_picture_is_put_in_and_without_both_it_says_what_to_do(pipeline, hostile, root):
    drawing = hostile.folder / "figures" / "tsne.svg"
    content = drawing.read_bytes()
    try:
        drawing.unlink()
        page = require_self_contained(render(pipeline, {"tsne": hostile}))
        assert [attributes["alt"] for _, attributes in page.all("img")] == ["Map of <pets>: the map"]
        drawing.write_bytes(b"<svg")
        with pytest.raises(DataError, match=r"tsne\.svg is damaged .*run the study again"):
            render(pipeline, {"tsne": hostile})
    finally:
        drawing.write_bytes(content)
    lost = dataclasses.replace(hostile, figures=("lost.png",))
    before = (pipeline.folder / "report.html").read_bytes()
    with pytest.raises(DataError, match=r"figure .*lost\.png is missing"):
        write_report(pipeline, {"tsne": lost}, anew=True)
    assert (pipeline.folder / "report.html").read_bytes() == before


def test_report_makes_it_anew_and_names_what_is_lacking(pipeline, root, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PROBEFLOW_DATA", str(root.parent))
    before = (pipeline.folder / "report.html").read_bytes()
    (pipeline.folder / "report.html").unlink()
    assert main(["report"]) == 0
    assert capsys.readouterr().out == f"{pipeline.folder / 'report.html'}\n"
    assert (pipeline.folder / "report.html").read_bytes() == before
    assert main(["report", str(pipeline.folder)]) == 0
    assert main(["report", str(studies_of(pipeline)["tsne"].folder)]) == 2
    assert "is a record of the study tsne, not of a whole run" in capsys.readouterr().err
    monkeypatch.setenv("PROBEFLOW_DATA", str(tmp_path))
    assert main(["report"]) == 2
    assert "no whole run is recorded in" in capsys.readouterr().err


def test_a_description_tells_of_lines_with_error_bars():
    figure = Figure()
    axis = figure.subplots()
    axis.errorbar([1, 2, 3], [0.5, 0.7, 0.9], yerr=0.1, label="calibrated")
    axis.set_title("Calibration")
    assert describe(figure) == "Calibration; calibrated from 0.5 to 0.9."
