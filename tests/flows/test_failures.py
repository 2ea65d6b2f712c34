"""What a failed command says: one line, whatever failed, and of a defect the file that holds its traceback."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import pytest
import torch
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from sqlalchemy.exc import OperationalError

from flows import __main__ as command_line
from lib.errors import DataError
from tests.conftest import REPOSITORY


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.fixture
def failing(monkeypatch, tmp_path, capsys):
    """Run a command that raises an error; its exit status, and what it says."""
    monkeypatch.setenv("PROBEFLOW_DATA", str(tmp_path / "data"))

    def fail(error: BaseException) -> tuple[int, str]:
        def command(profile, only):
            raise error

        monkeypatch.setattr("flows.doctor.examine", command)
        status = command_line.main(["doctor", "--profile", "reference"])
        said = capsys.readouterr()
        assert said.out == ""
        return status, said.err

    return fail


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DataError("pets: no images"), "pets: no images"),
        (DataError("class 'a\nb' is empty"), r"class 'a\nb' is empty"),
        (caused(RuntimeError("a step failed"), DataError("no images")), "no images"),
        (OSError(errno.ENOSPC, "", "/data/x"), "disk full while writing '/data/x': free some space"),
        (OSError(errno.EACCES, "", "/data/x"), "cannot use '/data/x' (Permission denied): check its permissions"),
        (OSError(errno.ENAMETOOLONG, "", "x" * 5000), "… (5,002 letters) (File name too long): give a shorter name"),
        (OSError(errno.EIO, ""), "cannot use a file (Input/output error): the disk or its network share fails"),
        (OSError(errno.EMFILE, ""), "too many files are open; raise the limit"),
        (
            ModuleNotFoundError("No module named 'x'", name="x.y"),
            "needs cannot be imported (No module named 'x'); install",
        ),
        (MemoryError("Unable to allocate 9 TiB"), "memory of this machine is too small (Unable to allocate 9 TiB)"),
        (
            OSError(errno.ENOMEM, "Cannot allocate memory"),
            "memory of this machine is too small ([Errno 12] Cannot alloc",
        ),
        (torch.OutOfMemoryError("CUDA out of memory"), "the GPU's memory is full"),
        (httpx.ConnectError("refused"), "no longer answers (refused); see to it, then run the same command again"),
        (caused(RuntimeError("Failed to reach API"), httpx.ReadTimeout("slow")), "no longer answers (slow)"),
        (MlflowException("API request failed"), "fails (API request failed); see to it"),
        (OperationalError("INSERT", {}, Exception("database or disk is full")), "fails (database or disk is full)"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_what_comes_of_input_machine_or_servers_is_one_line_with_its_fix(failing, tmp_path, error, words):
    status, said = failing(error)
    assert (status, said.count("\n")) == (2, 1)
    assert said.startswith("probeflow: ")
    assert words in said
    assert len(said) < 500
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("division by zero"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/x"),
        MlflowException("no such parameter", INVALID_PARAMETER_VALUE),
        ModuleNotFoundError("No module named 'lib.x'", name="lib.x"),
        KeyError("http://me:secret@host"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_defect_is_one_line_and_its_traceback_lies_in_a_file_under_the_data_folder(failing, tmp_path, error):
    status, said = failing(error)
    assert (status, said.count("\n")) == (70, 1)
    assert said.startswith(f"probeflow: a defect of probeflow, not of your input ({type(error).__name__}: ")
    (log,) = (tmp_path / "data" / "logs").iterdir()
    assert f"please report it with {log}" in said
    text = log.read_text()
    assert "command: doctor --profile reference\n" in text
    assert re.search(r"^numpy: \d", text, re.MULTILINE)
    assert "Traceback (most recent call last)" in text
    assert "secret" not in text


def test_the_traceback_lies_where_temporary_files_go_when_the_data_folder_takes_none(failing, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PROBEFLOW_DATA", str(tmp_path / "file" / "data"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    assert failing(ZeroDivisionError())[0] == 70
    assert len(list((tmp_path / "temporary").glob("defect-*.log"))) == 1
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file" / "temporary"))
    status, said = failing(ZeroDivisionError())
    assert status == 70
    assert "no log could be written" in said
    assert "Traceback" in said, "else it would be lost"


def test_ctrl_c_is_one_line(failing):
    assert failing(KeyboardInterrupt()) == (130, "probeflow: interrupted; the same command goes on from here\n")


@pytest.mark.parametrize(
    ("output", "status", "words"),
    [
        ("reader has left", 141, ""),
        ("/dev/full", 2, "probeflow: disk full while writing a file: free some space and run the same command again\n"),
        ("closed", 0, ""),
    ],
)
def test_output_that_nobody_reads_or_no_disk_takes_leaves_no_traceback(output, status, words):
    code = (
        "import sys; from flows import doctor, __main__ as line\n"
        "doctor.examine = lambda: 0 * sys.stdout.write('x' * 100_000)\n"
        "sys.exit(line.main(['doctor']))"
    )
    if output == "/dev/full":
        if not Path(output).exists():
            pytest.skip("/dev/full is not here: Linux only")
        out = os.open(output, os.O_WRONLY)
    else:
        read, out = os.pipe()
        os.close(read)
    shell = [] if output != "closed" else ["sh", "-c", 'exec "$@" >&-', "sh"]
    done = subprocess.run(
        [*shell, sys.executable, "-c", code], cwd=REPOSITORY, stdout=out, stderr=subprocess.PIPE, text=True, timeout=240
    )
    os.close(out)
    assert (done.returncode, done.stderr) == (status, words)


def test_a_current_folder_that_is_gone_or_no_temporary_folder_is_one_line(tmp_path, monkeypatch, capsys):
    def none() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "gettempdir", none)
        assert command_line.main(["plan"]) == 2
    assert "point TMPDIR at one that can" in capsys.readouterr().err
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert command_line.main(["plan"]) == 2
    assert "the current folder was removed" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["try", ""], ["predict", "a.jpg", ""], ["run", "--profile-file", ""]])
def test_an_empty_argument_does_not_stand_for_the_current_folder(arguments, capsys):
    assert command_line.main(arguments) == 2
    assert capsys.readouterr().err == (
        f"probeflow: argument {arguments.index('') + 1} is empty; give a name or a path, or leave it out\n"
    )


@pytest.mark.parametrize("command", ["predict", "report", "features", "verify", "resume", "reproduce", "new"])
def test_an_argument_that_is_too_long_for_a_file_is_one_line(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PROBEFLOW_DATA", str(tmp_path))
    assert command_line.main([command, "x" * 5000]) == 2
    said = capsys.readouterr().err
    assert "(File name too long): give a shorter name" in said
    assert len(said) < 500
