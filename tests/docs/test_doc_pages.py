"""README and docs hold together: links lead somewhere, profiles load, commands are understood, words are the field's."""

from __future__ import annotations

import os
import re
import shlex
import tomllib

import pytest
import yaml

from flows.__main__ import _parser
from lib.profile import load_profile
from tests.docs.pages import PAGES, blocks, commands
from tests.processes import REPOSITORY

WORDS = r"told apart|\bpeers?\b|\barms?\b|\bcautions?\b|\bmend(s|ed)?\b|hand(s|ed)? out|\bstages?\b"
"""Words that the field has others for."""

PROFILES = [(page.name, block) for page in PAGES for block in blocks("yaml", page) if "apiVersion" not in block]


def test_the_readme_is_short():
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_to_files_and_headings(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    for link in links:
        if "://" in link:
            continue
        path, _, heading = link.partition("#")
        target = page if not path else page.parent / path
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, link


def test_every_picture_is_shown_somewhere():
    shown = {name for page in PAGES for name in re.findall(r"images/([\w.-]+\.png)", page.read_text(encoding="utf-8"))}
    assert shown == {path.name for path in (REPOSITORY / "docs" / "images").glob("*.png")}


@pytest.mark.parametrize("page", [*PAGES, REPOSITORY / "CHANGELOG.md"], ids=lambda page: page.name)
def test_words_are_the_field_s(page):
    text = page.read_text(encoding="utf-8").replace("Renamed: arms", "").replace("and stages ->", "")
    assert [match[0] for match in re.finditer(WORDS, text, re.IGNORECASE)] == []


@pytest.mark.parametrize(("page", "block"), PROFILES, ids=[f"{page}-{at}" for at, (page, _) in enumerate(PROFILES)])
def test_every_profile_loads(page, block, tmp_path):
    file = tmp_path / "profile.yaml"
    file.write_text(block, encoding="utf-8")
    assert load_profile(file=file, environment={}).name == yaml.safe_load(block)["name"]


def test_the_profile_of_the_measured_heads_loads():
    profile = load_profile(file=REPOSITORY / "benchmarks" / "heads.yaml", environment={})
    for name in ("on_imagenet", "on_random"):
        variants = profile.studies[name].variants
        assert len(list(variants["mlp"].trials([0]))) == 6
        assert variants["linear"].search.configurations == 100


def test_the_profile_of_the_measured_scaling_curve_loads():
    curve = load_profile(file=REPOSITORY / "benchmarks" / "labels.yaml", environment={}).studies["worth"]
    assert (curve.on, curve.also_on) == ("imagenet", ("random", "images"))


def test_the_console_script_is_the_command_that_tests_run():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"probeflow": "flows.__main__:main"}


@pytest.mark.parametrize("command", [each for each in commands() if "bin/probeflow" in each])
def test_a_command_is_understood_and_its_settings_exist(command):
    words = shlex.split(command)
    at = words.index(".venv/bin/probeflow")
    options = _parser().parse_args(words[at + 1 :])
    if hasattr(options, "set") and isinstance(options.set, list) and options.profile_file is None:
        given = dict(word.split("=", 1) for word in words[:at])
        profile = load_profile(options.profile, None, options.set, given)
        assert profile.graph.chosen(options.only)


@pytest.mark.parametrize(
    "target", sorted({command.split()[1] for command in commands() if command.startswith("make ")})
)
def test_a_target_of_make_is_in_the_menu_and_runs_what_there_is(target):
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:.*## ", text, re.MULTILINE)
    recipe = re.search(rf"^{target}:.*\n((?:\t.+\n)+)", text, re.MULTILINE)
    assert recipe is not None
    for arguments in re.findall(r"\$\(RUN\) flows ([^$\n]*)", recipe[1]):
        _parser().parse_args(shlex.split(arguments))
    for module in re.findall(r"\$\(RUN\) (?!flows|pytest|pip|ruff|mypy)([\w.]+)", recipe[1]):
        assert (REPOSITORY / f"{module.replace('.', os.sep)}.py").exists()
