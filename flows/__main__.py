"""The command line: `probeflow --help`, or `python -m flows --help`.

Only the standard library is imported until a command runs, so help comes at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
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
    """Run one command; returns the exit status.

    0, 1 where a check fails, 2 for bad input or a missing means, 70 for a defect, 130 when interrupted.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    readable_everywhere()
    try:
        require_surroundings()
        if "" in given:  # a path would be the current folder, a name would begin every other
            raise ConfigError(f"argument {given.index('') + 1} is empty; give a name or a path, or leave it out")
        options = _options(given)
        # The flow's own log is in the Prefect UI; the terminal shows results, progress bars, and one line for an error.
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "INFO" if options.verbose else options.console)
        command: Callable[[argparse.Namespace], int] = options.command
        status = command(options)
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

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command, console="CRITICAL")
        return sub

    attempt = add("try", _try, "explore a folder of images, extract features, train small networks on them, and report")
    attempt.add_argument(
        "images", metavar="FOLDER", help="<class>/*.jpg, or train/<class>/... and test/<class>/...; .tar, .zip"
    )
    attempt.add_argument("--weights", choices=["imagenet", "random"], default="imagenet", help="of AlexNet")
    attempt.add_argument("--weights-file", metavar="PATH", help="a file with ImageNet weights, instead of a download")
    attempt.add_argument(
        "--layer", choices=["pool5", "fc7", "fc8"], default="pool5", help="of AlexNet (default: pool5)"
    )
    attempt.add_argument("--quick", action="store_true", help="few configurations and one seed: for a first look")
    new = add("new", _new, "write a commented profile to edit")
    new.add_argument("file", type=Path, metavar="FILE.yaml", help="must not be there yet")
    new.add_argument("--images", metavar="FOLDER", help="your images; without it bundled photographs")
    new.add_argument("--weights-file", metavar="PATH", help="a file with ImageNet weights, instead of a download")
    run = add("run", _run, "run a profile, or some of its nodes")
    plan = add("plan", _plan, "say what a run would do, node by node: what is there, what is to do and why, how long")
    doctor = add("doctor", _doctor, "say what works here for a profile: data, weights, studies, GPU, servers, disk")
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
        sub.add_argument(
            "--model", metavar="NAME", help="the registered model (default: the only one; the list has all)"
        )
    compare = add("compare", _compare, "settings and figures of two MLflow runs side by side")
    for run_name in ("left", "right"):
        compare.add_argument(
            run_name,
            metavar="RUN",
            help="a run's id, its record's key, the beginning of either, or its name, where only one run has it; "
            "a profile's name means its newest whole run",
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
        "one run has it; a profile's name, for its newest whole run; or the folder of a record",
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
    ui = add("ui", _ui, "open the MLflow and Prefect UIs on this machine")
    ui.add_argument("--mlflow-port", type=int, default=5000)
    ui.add_argument("--prefect-port", type=int, default=4200)
    return parser


def _run(options: argparse.Namespace) -> int:
    profile, workers = _profile(options), _workers(options)
    where = _writable()
    from flows.report import run_and_report

    return run_and_report(profile, options.only, where, workers)


def _plan(options: argparse.Namespace) -> int:
    from flows.plan import show_plan
    from lib.places import places

    return show_plan(_profile(options), options.only, places(), _workers(options))


def _try(options: argparse.Namespace) -> int:
    workers, where = _workers(options), _writable()
    from flows.try_images import try_images

    return try_images(
        options.images, options.weights, options.weights_file, options.layer, options.quick, where, workers
    )


def _new(options: argparse.Namespace) -> int:
    from flows.try_images import write_profile
    from lib.places import places

    return write_profile(options.file, options.images, options.weights_file, places())


def _with_prefect() -> None:
    """Import Prefect, once its settings are known to be readable."""
    from flows.servers import require_prefect

    require_prefect()


def _writable() -> Places:
    """Where things are, once it is known that they can be written: before Prefect's server takes its seconds to start."""
    from lib.files import require_writable
    from lib.places import places

    where = places()
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


def _features(options: argparse.Namespace) -> int:
    from flows.features import list_sets, show_set
    from lib.places import places

    if options.set is None:
        if options.csv is not None or options.picture is not None:
            raise ConfigError("--csv and --picture are of one set; name it: features SET, as `features` lists them")
        return list_sets(places())
    return show_set(options.set, places(), options.csv, options.picture)


def _verify(options: argparse.Namespace) -> int:
    from flows.verify import verify_sets
    from lib.places import places

    return verify_sets(options.set, places())


def _resume(options: argparse.Namespace) -> int:
    where = _writable()
    from flows.report import run_and_report
    from flows.verify import profile_of_set

    profile = profile_of_set(options.set, where, options.device)
    return run_and_report(profile, ["features"], where, _workers(options))


def _report(options: argparse.Namespace) -> int:
    from flows.report_page import make_report
    from lib.places import places

    return make_report(options.folder, places())


def _predict(options: argparse.Namespace) -> int:
    from flows.predict import predict
    from lib.places import places

    return predict(options.images, options.csv, options.model, options.version, places())


def _promote(options: argparse.Namespace) -> int:
    from flows.promote import promote, show_versions
    from lib.places import places

    if options.version is None and not options.rollback:
        return show_versions(options.model, places())
    return promote(options.version, options.rollback, options.reason, options.model, places())


def _compare(options: argparse.Namespace) -> int:
    from flows.compare import show_comparison
    from lib.places import places

    return show_comparison(options.left, options.right, places())


def _reproduce(options: argparse.Namespace) -> int:
    from flows.reproduce import reproduce_run
    from lib.places import places

    return reproduce_run(options.past, options.keep, places())


def _deploy(options: argparse.Namespace) -> int:
    _with_prefect()
    from flows.deploy import deploy

    return deploy(options.pool, options.limit, options.template)


def _set_up(options: argparse.Namespace) -> int:
    _with_prefect()
    from flows.deploy import set_up, webhook_here

    return set_up(options.cpu_limit, options.gpu_limit, not options.no_schedules, options.template, webhook_here())


def _work(options: argparse.Namespace) -> int:
    _with_prefect()
    from flows.work import work

    return work(options.pool, options.limit)


def _ui(options: argparse.Namespace) -> int:
    from flows.servers import serve

    return serve(options.mlflow_port, options.prefect_port)


def _doctor(options: argparse.Namespace) -> int:
    from flows.doctor import examine

    return examine(_profile(options), options.only)


if __name__ == "__main__":
    sys.exit(main())
