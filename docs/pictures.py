"""The pictures of README.md and docs/pictures.md: the report and both UIs after a fresh run of the embedded profile.

    python -m docs.pictures                # all of them: some 3 minutes on 2 cores (`make pictures`)
    python -m docs.pictures report mlflow-run    # these

Servers, data and records are the script's own, in a temporary folder, on free ports. Each picture names the page it shows
and words that must stand there; tests/integration/test_browser.py looks for the same words after a smaller run.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Run
from PIL import Image
from playwright.sync_api import Browser, Page
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from docs.browser import chromium, frame_inside, open_browser, open_page, settle, still_picture, wait_for_words
from lib.errors import ConfigError, ProbeflowError
from lib.files import write_bytes
from lib.places import places
from lib.progress import bar
from lib.tracking.store import TRAINING_PAGES, Tracking, connect

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDER = REPOSITORY / "docs" / "images"
_LARGEST = 150_000


@dataclass(frozen=True)
class Picture:
    """A page of a run, by its name in `pages_of`, and what it must say before it is taken.

    `words` may hold the names of `facts_of` in braces; those of `inside` stand in the page's frame. `at` is a selector that is
    scrolled to the top.
    """

    name: str
    page: str
    words: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    at: str = ""
    width: int = 1280
    height: int = 800
    scheme: str = "light"


PICTURES = (
    Picture("report", "report", ("{heading}", "chosen", "less the chosen")),
    Picture("report-figure", "report", ("{title}", "{headline}"), at="#study-hidden_units"),
    Picture("report-dark", "report", ("{heading}", "{title}"), at="#results", scheme="dark"),
    Picture("report-phone", "report", ("{heading}",), width=390, height=800),
    Picture("mlflow-experiments", "mlflow experiments", ("probeflow/hidden_units", "probeflow/pipeline")),
    Picture("mlflow-run", "mlflow run", ("{title}", "{headline}", "Metrics (", "validation_accuracy", "Parameters (")),
    Picture("mlflow-comparison", "mlflow comparison", ("hidden_units", "matching runs")),
    Picture("mlflow-curves", "mlflow curves", ("hidden_units", "validation_loss")),
    Picture("mlflow-report", "mlflow report", ("{run}", "report.html"), inside=("{heading}", "Results")),
    Picture("mlflow-model", "mlflow model", ("{model}", "@ champion", "@ challenger")),
    Picture("prefect-runs", "prefect runs", ("{flow}", "Completed")),
    Picture("prefect-run", "prefect run", ("{flow}", "Completed", "Artifacts")),
    Picture("prefect-notes", "prefect notes", ("{title}", "{headline}", "hidden-units-notes")),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the pictures that are named, or all; the exit status is 2 when something is missing."""
    known = [picture.name for picture in PICTURES]
    parser = argparse.ArgumentParser(prog="python -m docs.pictures", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(known)}")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the files go (default: docs/images)")
    options = parser.parse_args(arguments)
    try:
        if unknown := [name for name in options.names if name not in known]:
            raise ConfigError(f"unknown picture {unknown[0]!r}; known: {', '.join(known)}")
        chromium()  # before the minutes that the run takes
        wanted = [picture for picture in PICTURES if not options.names or picture.name in options.names]
        with tempfile.TemporaryDirectory() as folder, both_uis(Path(folder)) as environment:
            run_pipeline(environment)
            pages, facts = pages_of(environment)
            with open_browser() as browser, bar("pictures", len(wanted), "picture") as advance:
                for picture in wanted:
                    png = take(browser, picture, pages, facts)
                    write_bytes(options.folder / f"{picture.name}.png", compressed(png))
                    advance(1)
    except ProbeflowError as error:
        sys.stderr.write(f"pictures: {error}\n")
        return 2
    return 0


@contextmanager
def both_uis(folder: Path) -> Iterator[dict[str, str]]:
    """`probeflow ui` on free ports over an empty record in `folder`; gives the environment of a run that uses both servers.

    Raises
    ------
    ConfigError
        When they do not start.
    """
    foreign = ("PREFECT_", "PROBEFLOW_", "MLFLOW_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
        "PROBEFLOW_DATA": str(folder / "data"),
        "PROBEFLOW_MLRUNS": str(folder / "mlruns"),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    connect(places(environment))  # `probeflow ui` shows a record that is there
    mlflow, prefect = _free_ports(2)
    options = [f"--mlflow-port={mlflow}", f"--prefect-port={prefect}"]
    ui = subprocess.Popen(
        [sys.executable, "-m", "flows", "ui", *options],
        cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert ui.stdout is not None
        assert ui.stderr is not None
        lines = [ui.stdout.readline() for _ in range(2)]
        if not all(lines):
            raise ConfigError(f"the UIs did not start: {ui.stderr.read().strip()}")
        yield environment | {
            "PREFECT_API_URL": f"http://127.0.0.1:{prefect}/api",
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{mlflow}",
        }
    finally:
        ui.send_signal(signal.SIGTERM)
        ui.communicate(timeout=60)
    if ui.returncode:
        raise ConfigError(f"`probeflow ui` ended with status {ui.returncode} when it was told to end")


def run_pipeline(environment: Mapping[str, str]) -> None:
    """The embedded profile, as `make run` does it, recorded by these servers.

    Raises
    ------
    ConfigError
        When it ends other than well.
    """
    command = [sys.executable, "-m", "flows", "run"]
    done = subprocess.run(command, cwd=REPOSITORY, env=dict(environment), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise ConfigError(f"`probeflow run` ended with status {done.returncode}: {done.stdout.strip()[-500:]}")


def pages_of(environment: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Addresses of the pages that a run leads to, by the names that pictures use; and what is known to stand there."""
    where = places(environment)
    tracking = connect(where)
    hidden, pipeline = (_study_run(tracking, study) for study in ("hidden_units", "pipeline"))
    (report,) = (where.data / "studies" / "pipeline").glob("*/report.html")
    heading = re.search(r"<h1[^>]*>(.*?)</h1>", report.read_text(encoding="utf-8"), re.DOTALL)
    assert heading is not None
    mlflow = where.tracking_uri
    models = [model.name for model in tracking.client.search_registered_models()]
    with SyncPrefectClient(environment["PREFECT_API_URL"]) as prefect:
        ui = environment["PREFECT_API_URL"].removesuffix("/api")
        flow = prefect.read_flow_run(pipeline.data.tags["prefect.flow_run_id"])
        notes, linked = (
            prefect.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))[0]
            for key in ("hidden-units-notes", "pipeline-report")
        )
    link = re.search(r"\((http[^)]*)\)", str(linked.data))
    assert link is not None, linked.data
    pages = {
        "report": report.as_uri(),
        "mlflow experiments": f"{mlflow}/#/experiments?{TRAINING_PAGES}",
        "mlflow run": tracking.run_url(hidden),
        "mlflow comparison": _comparison(mlflow, hidden, ""),
        "mlflow curves": _comparison(mlflow, hidden, "compareRunsMode=CHART"),
        "mlflow report": link[1],
        "mlflow model": f"{mlflow}/#/models/{models[0] if models else ''}?{TRAINING_PAGES}",
        "prefect runs": f"{ui}/runs",
        "prefect run": pipeline.data.tags["prefect.flow_run_url"],
        "prefect notes": f"{ui}/artifacts/artifact/{notes.id}",
        "prefect report": f"{ui}/artifacts/artifact/{linked.id}",
    }
    facts = {
        "heading": " ".join(heading[1].split()),
        "title": hidden.info.run_name,
        "headline": hidden.data.tags["probeflow.result"],
        "run": pipeline.info.run_name,
        "model": models[0] if models else "",
        "flow": flow.name,
    }
    return pages, facts


def take(browser: Browser, picture: Picture, pages: Mapping[str, str], facts: Mapping[str, str]) -> bytes:
    """A PNG of the picture's page once it shows its words and nothing moves."""
    with open_page(browser, picture.width, picture.height, picture.scheme) as page:
        show(page, picture, pages, facts)
        settle(page)
        return still_picture(page)


def show(page: Page, picture: Picture, pages: Mapping[str, str], facts: Mapping[str, str]) -> None:
    """Open the picture's page and wait for its words.

    Raises
    ------
    ConfigError
        When they do not come.
    """
    page.goto(pages[picture.page])
    wait_for_words(page, [each.format_map(facts) for each in picture.words])
    if picture.inside:
        wait_for_words(frame_inside(page), [each.format_map(facts) for each in picture.inside])
    if picture.at:
        page.locator(picture.at).first.evaluate("element => element.scrollIntoView({block: 'start'})")
        page.evaluate("window.scrollBy(0, -24)")


def compressed(png: bytes) -> bytes:
    """The picture as small as PNG makes it; in 256 colours when that is still too much, which costs small spots theirs."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    whole = _png(image)
    if len(whole) <= _LARGEST:
        return whole
    return _png(image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE))


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _study_run(tracking: Tracking, study: str) -> Run:
    """The run of a study itself, not those below it."""
    experiment = tracking.client.get_experiment_by_name(f"probeflow/{study}")
    runs = tracking.all_runs([experiment.experiment_id])
    return next(run for run in runs if "mlflow.parentRunId" not in run.data.tags)


def _comparison(mlflow: str, run: Run, wanted: str) -> str:
    """The page of MLflow that lays the configurations side by side: the first link of the run's notes there with `wanted`."""
    links = re.findall(r"\((?:http[^)#]*/)?(#/[^)]*)\)", run.data.tags["mlflow.note.content"])
    for link in links:
        if "/runs?" in link and wanted in link:
            return f"{mlflow}/{link}"
    query = "&".join(each for each in (TRAINING_PAGES, wanted) if each)
    return f"{mlflow}/#/experiments/{urllib.parse.quote(run.info.experiment_id)}/runs?{query}"


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


if __name__ == "__main__":
    sys.exit(main())
