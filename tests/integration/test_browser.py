"""The pages that a run leads to, in a real browser: they show what the pictures in README show, and all can read the report."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from prefect.events.worker import EventsWorker
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)

from docs.browser import chromium, frame_inside, open_browser, open_page, wait_for_words
from docs.pictures import PICTURES, both_uis, pages_of, show
from flows.pipeline import pipeline
from lib.errors import ConfigError
from lib.evaluation.intervals import Interval
from lib.places import places
from lib.studies.record import open_record
from lib.tracking.registry import Registry
from lib.tracking.store import connect
from tests.gate import empty_model
from tests.processes import listens
from tests.small_profile import small_profile

pytestmark = [pytest.mark.integration, pytest.mark.stack]


@pytest.fixture(scope="module")
def uis(tmp_path_factory):
    """`flows ui`, as the environment of runs that its servers record; both end when it is told to."""
    with both_uis(tmp_path_factory.mktemp("uis")) as environment:
        yield environment
    ports = [urlsplit(environment[name]).port for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI")]
    assert not any(map(listens, ports))


@pytest.fixture(scope="module")
def run(request):
    """Pages of a run that these servers recorded, and facts that stand there."""
    try:
        chromium()
    except ConfigError as missing:
        pytest.skip(str(missing))
    environment = request.getfixturevalue("uis")
    settings = {
        PREFECT_API_URL: environment["PREFECT_API_URL"],
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
        PREFECT_LOGGING_TO_API_ENABLED: False,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PROBEFLOW_DATA", "PROBEFLOW_MLRUNS", "MLFLOW_TRACKING_URI"):
            patch.setenv(name, environment[name])
        EventsWorker.drain_all()  # or it goes on sending to the server of the test before
        with temporary_settings(settings):
            quick = {"activations": None, "classifier": None, "map": None}  # what is left out
            outcomes = pipeline(small_profile(features={"fc8": None}, studies=quick, promote=None))["nodes"]
            EventsWorker.drain_all()  # a server with an open connection takes ten seconds to end
    tracking, run_id = connect(places(environment)), outcomes["hidden_units"]["run_id"]
    registry = Registry(tracking, "probeflow-photo-patches")
    model = empty_model(tracking, run_id)
    dataset = open_record(Path(outcomes["hidden_units"]["folder"])).dataset
    version = registry.register(
        run_id, model, "a model", "test accuracy 1", dataset, Interval(1.0, 0.9, 1.0), Interval(0.1, 0.0, 0.2)
    )
    registry.challenge(version)
    registry.crown(version)
    pages, facts = pages_of(environment)
    assert pages["mlflow run"] == outcomes["hidden_units"]["run"]
    assert facts["headline"] == outcomes["hidden_units"]["headline"]
    return pages, facts


@pytest.fixture(scope="module")
def browser(run):
    with open_browser() as browser:
        yield browser


@pytest.fixture
def page(browser):
    """A page that fails the test if it raised an error, or if a server refused it data of a run."""
    complaints: list[str] = []

    def answered(response):
        if response.status >= 400 and re.search(r"/api/|ajax-api|artifact", response.url):
            complaints.append(f"{response.status} {response.url}")

    def told(message):
        if message.type == "error" and message.location["url"].startswith(("file:", "blob:")):  # the report's
            complaints.append(message.text)

    with open_page(browser) as page:
        page.on("response", answered)
        page.on("console", told)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
    # MLflow's pages ask who their user is, of whom there is none without a login.
    assert [each for each in complaints if not each.endswith("/mlflow/users/current")] == []


def test_ui_opens_both_and_prefect_s_pages_ask_their_own_server(uis):
    prefect = uis["PREFECT_API_URL"].removesuffix("/api")
    for address in (uis["MLFLOW_TRACKING_URI"], prefect):
        assert urllib.request.urlopen(address, timeout=30).status == 200
    told = json.load(urllib.request.urlopen(f"{prefect}/ui-settings", timeout=30))
    assert told["api_url"] == uis["PREFECT_API_URL"]


@pytest.mark.parametrize(
    "picture", {picture.page: picture for picture in PICTURES}.values(), ids=lambda each: each.page
)
def test_a_page_says_what_its_picture_shows(run, page, picture):
    show(page, picture, *run)


def test_prefect_s_link_leads_to_the_report_in_mlflow(run, page):
    pages, facts = run
    page.goto(pages["prefect report"])
    with page.expect_popup() as opened:
        page.get_by_role("link", name=re.compile("^Report")).click()
    wait_for_words(frame_inside(opened.value), [facts["heading"]])


def test_the_notes_in_prefect_lead_to_their_run_in_mlflow(run, page):
    pages, facts = run
    page.goto(pages["prefect notes"])
    wait_for_words(page, [facts["headline"]])
    with page.expect_popup() as opened:
        page.get_by_role("link", name=pages["mlflow run"]).click()
    wait_for_words(opened.value, [facts["title"], "Metrics ("])


@pytest.mark.parametrize(
    ("width", "height", "scheme"), [(1280, 800, "light"), (1280, 800, "dark"), (390, 800, "light")]
)
def test_nothing_keeps_anybody_from_reading_the_report(run, browser, width, height, scheme):
    pages, _ = run
    with open_page(browser, width, height, scheme) as page:
        page.goto(pages["report"])
        for opened in (False, True):
            page.evaluate("opened => document.querySelectorAll('details').forEach(each => each.open = opened)", opened)
            found = Axe().run(page).response["violations"]
            told = [(each["id"], each["impact"], [node["html"][:200] for node in each["nodes"][:3]]) for each in found]
            assert told == []
        wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wider <= 0, f"the page is {wider} pixels wider than its window"


def test_a_click_on_a_column_s_head_sorts_by_it_and_another_turns_the_order(run, page):
    pages, _ = run
    page.goto(pages["report"])
    board = page.locator("table.board").first
    head = board.locator("thead th.figure").filter(has_text="accuracy")
    orders = []
    for way in ("ascending", "descending"):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == way
        orders.append([float(each) for each in board.locator('td[data-head$="accuracy"]').all_inner_texts()])
    assert orders[0] == sorted(orders[0])
    assert orders[1] == orders[0][::-1] != orders[0]
