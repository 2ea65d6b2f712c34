"""What `doctor` says of the place of the data."""

from __future__ import annotations

import re

from flows.doctor import examine
from lib.profile import load_profile


def test_doctor_says_whether_weights_can_be_had_and_who_waits_for_them(monkeypatch, tmp_path, capsys):
    for name in ("DATA", "MLRUNS"):
        monkeypatch.setenv(f"PROBEFLOW_{name}", str(tmp_path / name))
    monkeypatch.setenv("PROBEFLOW_MIRROR", tmp_path.as_uri())
    profile = load_profile(assignments=["features.fc8.weights=imagenet"], environment={})
    assert examine(profile, ["classifier"]) == 1
    told = capsys.readouterr().out
    assert re.search(
        r"^FIX   weights +AlexNet, ImageNet: not here, and cannot be had .*: set PROBEFLOW_MIRROR", told, re.M
    )
    assert re.search(r"^-     classifier +sweep: waits for fc8$", told, re.M)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "alexnet-owt-7be5be79.pth").touch()
    examine(load_profile(environment={}), ["learning_rates"])
    told = capsys.readouterr().out
    assert re.search(
        r"^ok    weights +AlexNet, ImageNet: not here yet: ImageNet weights \(233 MB\) are downloaded from", told, re.M
    )
    assert len({re.match(r"\S+ +\S+ +", line).end() for line in told.splitlines()}) == 1, "columns are aligned"


def test_doctor_says_whether_the_store_answers(small, s3_place, monkeypatch, capsys):
    for name, value in s3_place.variables("one").items():
        monkeypatch.setenv(name, value)
    examine(small)
    assert f"ok    data         {s3_place.address} answers and is writable; of its copies, " in capsys.readouterr().out
    monkeypatch.setenv("PROBEFLOW_DATA", "s3://nowhere/p")
    assert examine(small) == 1
    assert "FIX   data         cannot write s3://nowhere/p: there is no bucket 'nowhere'" in capsys.readouterr().out
