"""The command line: `python -m flows --help`.

Only the standard library is imported until a command runs, so help comes at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lib.config import Profile, Workers

STAGES = (
    "acquire, extract, sweep, evaluate, promote; or one study: "
    "activations, hidden_units, learning_rates, exploration, features, classifier, tsne"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 where something is found wanting, 2 for bad input, 130 when interrupted."""
    options = _parser().parse_args(arguments)
    # The flow's own log is in the Prefect UI; the terminal shows results, progress bars, and one line for an error.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "INFO" if options.verbose else options.console)
    command: Callable[[argparse.Namespace], int] = options.command
    from lib.errors import ProbeflowError

    try:
        status = command(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader of our output, say `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except ProbeflowError as error:
        print(f"probeflow: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("probeflow: interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m flows",
        description="probeflow: what small networks learn from frozen AlexNet features or raw pixels.",
        epilog="Environment: PROBEFLOW_DATA (a path or s3://BUCKET/PREFIX), PROBEFLOW_CACHE (copies of what is at a URL), "
        "PROBEFLOW_MLRUNS (where records lie), PROBEFLOW_MIRROR (where data comes from), "
        "PROBEFLOW_POOL, PROBEFLOW_CHUNKS, PROBEFLOW_CHUNK_IMAGES, PROBEFLOW_CHUNK_MINUTES (who extracts features and trains "
        "sweeps), PROBEFLOW_WEBHOOK (whom set-up lets the server tell of failures), "
        "MLFLOW_TRACKING_URI, PREFECT_API_URL (servers), PROBEFLOW_<SETTING>[__<PART>]=value (any profile setting).",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show the flows' own log")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command, console="CRITICAL")
        return sub

    run = add("run", _run, "run the whole pipeline, or one stage of it")
    acquire = add("acquire", _stage("acquire"), "fetch and verify the data")
    extract = add("extract", _stage("extract"), "extract AlexNet features into sealed Parquet shards")
    sweep = add("sweep", _sweep, "run the sweeps")
    evaluate = add("evaluate", _stage("evaluate"), "explore the images, train and test the classifier, draw t-SNE")
    plan = add("plan", _plan, "say what a run would do, stage by stage: what is there, what is to do and why, how long")
    for sub in (run, plan):
        sub.add_argument("--only", metavar="STAGE", help=f"one stage with what it needs: {STAGES}")
    for sub in (sweep, plan):
        sub.add_argument(
            "--study",
            action="append",
            metavar="NAME",
            help="one sweep, or several by giving it again: activations, hidden_units, learning_rates",
        )
    for sub in (run, extract, sweep, plan):
        sub.add_argument(
            "--pool", metavar="NAME", help="extract features and train sweeps on the workers of this Prefect work pool"
        )
        sub.add_argument(
            "--chunks",
            metavar="N",
            help="child runs that an extraction or a sweep is cut into (default: one a worker online; "
            "an extraction has fewer when a chunk would hold less than PROBEFLOW_CHUNK_IMAGES, 20000)",
        )
    for sub in (run, acquire, extract, sweep, evaluate, plan):
        sub.add_argument(
            "--profile", default="embedded", metavar="NAME", help="built-in profile: embedded or reference"
        )
        sub.add_argument("--profile-file", type=Path, metavar="FILE", help="a profile of your own, in YAML")
        sub.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. features.layer=fc7")
        sub.add_argument("--quarantine", action="store_true", help="set unreadable images aside, counted and listed")
    features = add("features", _features, "list the feature sets, or describe one, with a picture")
    features.add_argument("set", nargs="?", metavar="SET", help="its folder, or the beginning of its digest")
    features.add_argument("--csv", type=Path, metavar="FILE", help="write the statistics of every feature there")
    features.add_argument(
        "--picture", type=Path, metavar="FILE.png", help="where the picture goes (default: features.png in its folder)"
    )
    verify = add("verify", _verify, "read feature sets and check rows, order, checksums and that values are finite")
    verify.add_argument(
        "set", nargs="?", metavar="SET", help="its folder, or the beginning of its digest (default: all)"
    )
    resume = add("resume", _resume, "make the missing and damaged shards of a feature set, and seal it")
    resume.add_argument("set", metavar="SET", help="its folder, or the beginning of its digest")
    resume.add_argument("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N")
    report = add("report", _report, "make the report of a finished run anew: one HTML file")
    report.add_argument(
        "folder", nargs="?", type=Path, metavar="FOLDER", help="the run's record (default: the latest run's)"
    )
    predict = add("predict", _predict, "label image files with the champion, or another registered version")
    predict.add_argument(
        "images", nargs="+", metavar="IMAGES", help="files, folders, or patterns such as 'pets/**/*.jpg'"
    )
    predict.add_argument("--csv", type=Path, metavar="FILE", help="write the answers there instead of the terminal")
    predict.add_argument("--version", metavar="V", help="a version's number or alias (default: champion)")
    promote = add("promote", _promote, "list the registered versions and why, make one champion by hand, or roll back")
    promote.add_argument("version", nargs="?", metavar="VERSION", help="its number or alias, to make it champion")
    promote.add_argument("--reason", metavar="WHY", help="why; kept with the version")
    promote.add_argument(
        "--rollback", action="store_true", help="make the champion before the present one champion again"
    )
    for sub in (predict, promote):
        sub.add_argument("--model", metavar="NAME", help="the registered model (default: the only one)")
    compare = add("compare", _compare, "settings and figures of two MLflow runs side by side")
    for run_name in ("left", "right"):
        compare.add_argument(
            run_name,
            metavar="RUN",
            help="a run's id, its record's key, the beginning of either, or its name, where only one run has it",
        )
    reproduce = add(
        "reproduce",
        _reproduce,
        "make a past run again in a place of its own, and say whether it is the same; the status is 1 when figures differ, "
        "0 when only digests do",
    )
    reproduce.add_argument(
        "past",
        metavar="RUN",
        help="an MLflow run's id, a record's key (a report names it), the beginning of either, or a run's name, where only "
        "one run has it; or the folder of a record",
    )
    reproduce.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep the new run there (default: nothing stays)"
    )
    deploy = add("deploy", _deploy, "make a work pool, and deployments of what its workers run")
    deploy.add_argument("--pool", required=True, metavar="NAME", help="e.g. gpu")
    deploy.add_argument("--limit", type=int, metavar="N", help="chunks the pool may run at once, on all its workers")
    deploy.add_argument(
        "--template",
        type=Path,
        metavar="FILE.json",
        help="base job template: a pool of Kubernetes (docs/kubernetes.md)",
    )
    set_up = add(
        "set-up", _set_up, "make what prefect.yaml describes on the server: pools, queues, deployments, watches"
    )
    set_up.add_argument("--cpu-limit", type=int, metavar="N", help="pipelines that pool cpu may run at once")
    set_up.add_argument("--gpu-limit", type=int, metavar="N", help="chunks that pool gpu may run at once")
    set_up.add_argument("--no-schedules", action="store_true", help="leave the schedules inactive")
    set_up.add_argument(
        "--template", type=Path, metavar="FILE.json", help="base job template: makes gpu a pool of Kubernetes"
    )
    work = add("work", _work, "take runs of a work pool here: a worker for each GPU, or one without, until Ctrl-C")
    work.add_argument("--pool", required=True, metavar="NAME", help="e.g. gpu")
    work.add_argument(
        "--limit", type=int, metavar="N", help="one worker that runs N at once without a GPU, for pipelines (pool cpu)"
    )
    work.set_defaults(console="INFO")  # the workers' and their chunks' log is all that there is to see
    add("secrets", _secrets, "make the stack's passwords into .env, those that are missing")
    stack = add("stack", _stack, "the services of docker-compose.yml as processes of this machine, on loopback")
    stack.add_argument("action", choices=["up", "down", "status", "supervise"])
    stack.add_argument("service", nargs="*", metavar="SERVICE", help="up: these, with what they need (default: all)")
    ui = add("ui", _ui, "open the MLflow and Prefect UIs on this machine")
    ui.add_argument("--mlflow-port", type=int, default=5000)
    ui.add_argument("--prefect-port", type=int, default=4200)
    doctor = add("doctor", _doctor, "say what works here: data, weights, GPU, servers, disk")
    doctor.add_argument("--profile", default="embedded", metavar="NAME")
    doctor.add_argument("--profile-file", type=Path, metavar="FILE")
    return parser


def _run(options: argparse.Namespace) -> int:
    return _pipeline(options, options.only)


def _stage(name: str) -> Callable[[argparse.Namespace], int]:
    return lambda options: _pipeline(options, name)


def _sweep(options: argparse.Namespace) -> int:
    _require_sweeps(options.study or ())
    return _pipeline(options, options.study or "sweep")


def _require_sweeps(names: Sequence[str]) -> None:
    from lib.config import SWEEPS
    from lib.errors import ConfigError

    for study in names:
        if study not in SWEEPS:
            raise ConfigError(f"unknown sweep {study!r}; known: {', '.join(SWEEPS)}")


def _pipeline(options: argparse.Namespace, only: str | list[str] | None) -> int:
    from lib.config import places
    from lib.files import require_writable

    profile, workers = _profile(options), _workers(options)
    where = places()
    require_writable(where.data)  # before Prefect's server takes its seconds to start
    require_writable(where.mlruns)

    from flows.report import run_and_report

    return run_and_report(profile, only, where, workers)


def _profile(options: argparse.Namespace) -> Profile:
    from lib.config import load_profile

    assignments = list(options.set) + (["images.unreadable=quarantine"] if options.quarantine else [])
    return load_profile(options.profile, options.profile_file, assignments)


def _workers(options: argparse.Namespace) -> Workers:
    from lib.config import workers_here

    return workers_here(getattr(options, "pool", None), getattr(options, "chunks", None))


def _plan(options: argparse.Namespace) -> int:
    _require_sweeps(options.study or ())
    from flows.plan import show_plan
    from lib.config import places

    stages = [*(options.study or ()), *([options.only] if options.only else ())]
    return show_plan(_profile(options), stages, places(), _workers(options))


def _features(options: argparse.Namespace) -> int:
    from flows.features import list_sets, show_set
    from lib.config import places

    if options.set is None:
        if options.csv is not None or options.picture is not None:
            from lib.errors import ConfigError

            raise ConfigError("--csv and --picture are of one set; name it: features SET, as `features` lists them")
        return list_sets(places())
    return show_set(options.set, places(), options.csv, options.picture)


def _verify(options: argparse.Namespace) -> int:
    from flows.verify import verify_sets
    from lib.config import places

    return verify_sets(options.set, places())


def _resume(options: argparse.Namespace) -> int:
    from flows.verify import profile_of_set
    from lib.config import places

    where = places()
    profile = profile_of_set(options.set, where, options.device)
    from flows.report import run_and_report

    return run_and_report(profile, "features", where, _workers(options))


def _report(options: argparse.Namespace) -> int:
    from flows.report_page import make_report
    from lib.config import places

    return make_report(options.folder, places())


def _predict(options: argparse.Namespace) -> int:
    from flows.predict import predict
    from lib.config import places

    return predict(options.images, options.csv, options.model, options.version, places())


def _promote(options: argparse.Namespace) -> int:
    from flows.promote import promote, show_versions
    from lib.config import places

    if options.version is None and not options.rollback:
        return show_versions(options.model, places())
    return promote(options.version, options.rollback, options.reason, options.model, places())


def _compare(options: argparse.Namespace) -> int:
    from flows.compare import show_comparison
    from lib.config import places

    return show_comparison(options.left, options.right, places())


def _reproduce(options: argparse.Namespace) -> int:
    from flows.reproduce import reproduce_run
    from lib.config import places

    return reproduce_run(options.past, options.keep, places())


def _deploy(options: argparse.Namespace) -> int:
    from flows.deploy import deploy

    return deploy(options.pool, options.limit, options.template)


def _set_up(options: argparse.Namespace) -> int:
    from flows.deploy import set_up, webhook_here

    return set_up(options.cpu_limit, options.gpu_limit, not options.no_schedules, options.template, webhook_here())


def _work(options: argparse.Namespace) -> int:
    from flows.work import work

    return work(options.pool, options.limit)


def _secrets(options: argparse.Namespace) -> int:
    from flows.stack.secrets import make_secrets

    return make_secrets()


def _stack(options: argparse.Namespace) -> int:
    from flows.stack import command
    from lib.errors import ConfigError

    if options.action == "up":
        return command.up(options.service)
    if options.action == "supervise":
        return command.supervise(options.service)
    if options.service:
        raise ConfigError(f"`stack {options.action}` is for the whole stack; leave out {' '.join(options.service)}")
    return command.down() if options.action == "down" else command.status()


def _ui(options: argparse.Namespace) -> int:
    from flows.servers import serve

    return serve(options.mlflow_port, options.prefect_port)


def _doctor(options: argparse.Namespace) -> int:
    from flows.doctor import examine
    from lib.config import load_profile

    return examine(load_profile(options.profile, options.profile_file))


if __name__ == "__main__":
    sys.exit(main())
