"""The command line: `probeflow --help`, or `python -m flows --help`.

Only the standard library is imported until a command runs, so help comes at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from flows.failures import require_surroundings, tell
from flows.terminal import readable_everywhere
from lib.errors import ConfigError, program

if TYPE_CHECKING:
    from lib.places import Places, Workers
    from lib.profile import Profile

_ONLY = "a node, a group (data, features, studies) or a kind of study, with what it needs; may be given again"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its status: 1 where a check fails, 2 for bad input, 70 for a defect, 130 when interrupted."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    readable_everywhere()
    try:
        require_surroundings()
        if "" in given:  # a path would be the current folder, a name would begin every other
            raise ConfigError(f"argument {given.index('') + 1} is empty; give a name or a path, or leave it out")
        options = _options(given)
        # The flow's own log is in the Prefect UI; the terminal shows results, progress bars, and one line for an error.
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "INFO" if options.verbose else options.console)
        with _progress():
            status = _called(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader of our output, say `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # once more ends what is still waited for, without a word
        sys.stderr.write("probeflow: interrupted; the same command goes on from here\n")
        return 130
    except Exception as error:
        return tell(error, given)


def _progress() -> AbstractContextManager[None]:
    """On a terminal, bars of what is counted; not where Prefect's own log is shown, which writes there as well."""
    if not sys.stderr.isatty() or os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] == "INFO":
        return nullcontext()
    from flows.live import can_show, live

    return live(sys.stderr) if can_show(sys.stderr) else nullcontext()


def _options(given: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    options, unknown = parser.parse_known_args(given)
    if "profile_file" in options and unknown and unknown[0].endswith((".yaml", ".yml")):
        raise ConfigError(f"unrecognized argument {unknown[0]}; did you mean --profile-file {unknown[0]}?")
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return options


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say also what to do about a file that was taken for an option."""
        file = next((each for each in sys.argv[1:] if each.startswith("-") and Path(each).exists()), None)
        super().error(f"{message}; put -- before names such as {file}" if file else message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=program(),
        description="probeflow: what small networks learn from features of frozen networks, or from raw pixels.",
        epilog="Environment: PROBEFLOW_DATA (a path or s3://BUCKET/PREFIX), PROBEFLOW_CACHE (copies of what is at a URL), "
        "PROBEFLOW_MLRUNS (where MLflow's records lie), PROBEFLOW_MIRROR (where data comes from), "
        "PROBEFLOW_POOL, PROBEFLOW_CHUNKS, PROBEFLOW_CHUNK_IMAGES, PROBEFLOW_CHUNK_MINUTES (who extracts features and trains "
        "sweeps), PROBEFLOW_WEBHOOK (where set-up lets the server report failures), "
        "MLFLOW_TRACKING_URI, PREFECT_API_URL (servers), PROBEFLOW_<GROUP>__<NODE>__<SETTING>=value (any profile setting).",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show the flows' own log")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, target: str, text: str, writes: bool = False, prefect: bool = False) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(target=target, writes=writes, prefect=prefect, console="CRITICAL")
        return sub

    attempt = add(
        "try",
        "flows.try_images:try_images",
        "explore a folder of images, extract features, train small networks on them, and report",
        writes=True,
    )
    attempt.add_argument(
        "images", metavar="FOLDER", help="<class>/*.jpg, or train/<class>/... and test/<class>/...; .tar, .zip"
    )
    attempt.add_argument("--weights", choices=["imagenet", "random"], default="imagenet", help="of AlexNet")
    attempt.add_argument("--weights-file", metavar="PATH", help="a file with ImageNet weights, instead of a download")
    attempt.add_argument(
        "--layer", choices=["pool5", "fc7", "fc8"], default="pool5", help="of AlexNet (default: pool5)"
    )
    attempt.add_argument("--quick", action="store_true", help="few configurations and one seed: for a first look")
    new = add("new", "flows.try_images:write_profile", "write a commented profile to edit")
    new.add_argument("file", type=Path, metavar="FILE.yaml", help="must not be there yet")
    new.add_argument("--images", metavar="FOLDER", help="your images; without it bundled photographs")
    new.add_argument("--weights-file", metavar="PATH", help="a file with ImageNet weights, instead of a download")
    run = add("run", "flows.report:run_and_report", "run a profile, or some of its nodes", writes=True)
    plan = add(
        "plan",
        "flows.plan:show_plan",
        "say what a run would do, node by node: what is there, what is to do and why, how long",
    )
    doctor = add(
        "doctor",
        "flows.doctor:examine",
        "say what works here for a profile: data, weights, studies, GPU, servers, disk",
    )
    for sub in (run, plan, doctor):
        sub.add_argument("--only", action="append", metavar="NODE", help=_ONLY)
    for sub in (run, plan, attempt):
        sub.add_argument(
            "--pool", metavar="NAME", help="extract features and train sweeps on the workers of this Prefect work pool"
        )
        sub.add_argument(
            "--chunks",
            metavar="N",
            help="child runs that an extraction or a sweep is cut into (default: one a worker online; "
            "an extraction has fewer when a chunk would hold less than PROBEFLOW_CHUNK_IMAGES, 20000)",
        )
    for sub in (run, plan, doctor):
        sub.add_argument(
            "--profile", default="embedded", metavar="NAME", help="built-in profile: embedded (default) or reference"
        )
        sub.add_argument("--profile-file", type=Path, metavar="FILE", help="a profile of your own, in YAML")
        sub.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="PATH=VALUE",
            help="e.g. features.fc8.layer=fc7; may be given again",
        )
        sub.add_argument("--quarantine", action="store_true", help="set unreadable images aside, counted and listed")
    features = add("features", "flows.features:features", "list the feature sets, or describe one, with a picture")
    features.add_argument("name", nargs="?", metavar="SET", help="its folder, or the beginning of its digest")
    verify = add(
        "verify",
        "flows.verify:verify_sets",
        "read feature sets and check rows, order, checksums and that values are finite",
    )
    verify.add_argument(
        "name", nargs="?", metavar="SET", help="its folder, or the beginning of its digest (default: all)"
    )
    resume = add(
        "resume",
        "flows.verify:resume_set",
        "make the missing and damaged shards of a feature set, and seal it",
        writes=True,
    )
    resume.add_argument("name", metavar="SET", help="its folder, or the beginning of its digest")
    resume.add_argument("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N")
    report = add("report", "flows.report_page:make_report", "make the report of a finished run anew: one HTML file")
    report.add_argument(
        "folder", nargs="?", type=Path, metavar="FOLDER", help="the run's record (default: the latest run's)"
    )
    predict = add(
        "predict", "flows.predict:predict", "label image files with the champion, or another registered version"
    )
    predict.add_argument(
        "names", nargs="+", metavar="IMAGES", help="files, folders, or patterns such as 'pets/**/*.jpg'"
    )
    predict.add_argument("--csv", type=Path, metavar="FILE", help="write the table there instead of standard output")
    predict.add_argument(
        "--top", type=int, default=1, metavar="K", help="classes of each image, the most probable first (default: 1)"
    )
    export = add("export", "flows.export:export", "write the champion, or another registered version, as an ONNX file")
    export.add_argument("file", type=Path, metavar="FILE.onnx", help="from an image's pixels to its probabilities")
    for sub in (predict, export):
        sub.add_argument("--version", metavar="V", help="a version's number or alias (default: champion)")
    promote = add(
        "promote",
        "flows.promote:promote",
        "list the registered versions and why, make one champion by hand, or roll back",
    )
    promote.add_argument("version", nargs="?", metavar="VERSION", help="its number or alias, to make it champion")
    promote.add_argument("--reason", metavar="WHY", help="why; kept with the version")
    promote.add_argument(
        "--rollback", dest="back", action="store_true", help="make the champion before the present one champion again"
    )
    for sub in (predict, export, promote):
        sub.add_argument(
            "--model", metavar="NAME", help="the registered model (default: the only one; the list has all)"
        )
    compare = add(
        "compare",
        "flows.history:compare_runs",
        "settings and figures of two MLflow runs side by side; of more runs, what each came to",
    )
    for run_name, how_many in (("left", None), ("right", None), ("more", "*")):
        compare.add_argument(
            run_name,
            nargs=how_many,
            metavar="RUN",
            help="a run's id, its record's key, the beginning of either, or its name, where only one run has it; "
            "a profile's name means its newest whole run",
        )
    past = add("history", "flows.history:show_history", "a profile's whole runs in time: is it still as good?", True)
    past.add_argument("profile_name", nargs="?", metavar="PROFILE", help="its name (default: the one that ran last)")
    reproduce = add(
        "reproduce",
        "flows.reproduce:reproduce_run",
        "make a past run again in a place of its own, and say whether it is the same; the status is 1 when figures differ, "
        "0 when only digests do",
    )
    reproduce.add_argument(
        "wanted",
        metavar="RUN",
        help="an MLflow run's id, a record's key (a report names it), the beginning of either, or a run's name, where only "
        "one run has it; a profile's name, for its newest whole run; or the folder of a record",
    )
    reproduce.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep the new run there (default: nothing stays)"
    )
    deploy = add(
        "deploy", "flows.deploy:deploy", "make a work pool, and deployments of what its workers run", prefect=True
    )
    deploy.add_argument("--pool", required=True, metavar="NAME", help="e.g. gpu")
    deploy.add_argument("--limit", type=int, metavar="N", help="chunks the pool may run at once, on all its workers")
    deploy.add_argument(
        "--template",
        type=Path,
        metavar="FILE.json",
        help="base job template: a pool of Kubernetes (docs/kubernetes.md)",
    )
    set_up = add(
        "set-up",
        "flows.deploy:set_up",
        "make what prefect.yaml describes on the server: pools, queues, deployments, watches",
        prefect=True,
    )
    set_up.set_defaults(webhook=os.environ.get("PROBEFLOW_WEBHOOK") or None)
    set_up.add_argument("--cpu-limit", type=int, metavar="N", help="pipelines that pool cpu may run at once")
    set_up.add_argument("--gpu-limit", type=int, metavar="N", help="chunks that pool gpu may run at once")
    set_up.add_argument("--no-schedules", dest="schedules", action="store_false", help="leave the schedules inactive")
    set_up.add_argument(
        "--template", type=Path, metavar="FILE.json", help="base job template: makes gpu a pool of Kubernetes"
    )
    work = add(
        "work",
        "flows.work:work",
        "take runs of a work pool here: a worker for each GPU, or one without, until Ctrl-C",
        prefect=True,
    )
    work.add_argument("--pool", required=True, metavar="NAME", help="e.g. gpu")
    work.add_argument(
        "--limit", type=int, metavar="N", help="one worker that runs N at once without a GPU, for pipelines (pool cpu)"
    )
    work.set_defaults(console="INFO")  # the workers' and their chunks' log is all that there is to see
    ui = add("ui", "flows.servers:serve", "open the MLflow and Prefect UIs on this machine")
    ui.add_argument("--mlflow-port", type=int, default=5000)
    ui.add_argument("--prefect-port", type=int, default=4200)
    return parser


def _called(options: argparse.Namespace) -> int:
    """Call the command's function with what its parameters name: options, or what is made of them and the environment."""
    from lib.machine import collect_rarely

    collect_rarely()
    if options.prefect:  # once its settings are known to be readable
        from flows.servers import require_prefect

        require_prefect()
    module, _, name = options.target.partition(":")
    function: Callable[..., int] = getattr(import_module(module), name)
    made = {"profile": _profile, "workers": _workers, "where": _where}
    known = [each for each in signature(function).parameters if each in made or each in options]
    return function(**{each: made[each](options) if each in made else getattr(options, each) for each in known})


def _where(options: argparse.Namespace) -> Places:
    """Where things are; known to be writable, if the command writes, before Prefect's server takes its seconds to start."""
    from lib.files import require_writable
    from lib.places import places

    where = places()
    if options.writes:
        require_writable(where.data, "PROBEFLOW_DATA")
        require_writable(where.mlruns, "PROBEFLOW_MLRUNS")
    return where


def _profile(options: argparse.Namespace) -> Profile:
    from lib.profile import load_profile

    profile = load_profile(options.profile, options.profile_file, options.set)
    if not options.quarantine:
        return profile
    aside = [
        f"data.{name}.unreadable=quarantine"
        for name, source in profile.data.items()
        if "unreadable" in type(source).model_fields
    ]
    return load_profile(options.profile, options.profile_file, [*options.set, *aside])


def _workers(options: argparse.Namespace) -> Workers:
    from lib.places import workers_here

    return workers_here(getattr(options, "pool", None), getattr(options, "chunks", None))


if __name__ == "__main__":
    sys.exit(main())
