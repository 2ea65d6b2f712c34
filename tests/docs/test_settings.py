"""docs/settings.md and the table of backbones are what the models and registries say now."""

from __future__ import annotations

import pytest

from docs.settings import PLACES, main, pages
from lib.places import ENVIRONMENT, Workers
from lib.search.space import Space
from lib.studies.study import kind_named, kind_names

_OF_TESTS_AND_THE_STACK = ("PROBEFLOW_TEST_DATA", "PROBEFLOW_STACK_DATA", "PROBEFLOW_COMMIT", "PROBEFLOW_BIND")


def test_the_pages_are_up_to_date(capsys):
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_every_setting_of_every_kind_is_listed_with_a_meaning():
    (text,) = (page for path, page in pages().items() if path.name == "settings.md")
    for model in (*(kind_named(name).settings for name in kind_names()), Space):
        for name, field in model.model_fields.items():
            if name != "kind":
                assert f"| `{name}` |" in text
                assert f" | {field.description} |" in text


def test_every_variable_is_listed():
    listed = {*PLACES, *(f"PROBEFLOW_{name.upper()}" for name in Workers.model_fields)}
    assert {name for name in ENVIRONMENT if not name.startswith(_OF_TESTS_AND_THE_STACK)} <= listed


@pytest.mark.parametrize("name", ["settings.md", "features.md"])
def test_a_page_that_is_out_of_date_is_named_and_made_anew(name, tmp_path, monkeypatch, capsys):
    for path, page in pages().items():
        (tmp_path / path.name).write_text(
            page.replace("`knn`", "`nearest`").replace("(512, default)", "(511, default)")
        )
    monkeypatch.setattr("docs.settings.FOLDER", tmp_path)
    assert main(["--check"]) == 1
    assert f"{name} is out of date; run python -m docs.settings" in capsys.readouterr().out
    assert main([]) == 0
    assert main(["--check"]) == 0
