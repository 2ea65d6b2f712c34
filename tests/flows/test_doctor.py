"""What `doctor` says of the place of the data."""

from __future__ import annotations

from flows.doctor import examine


def test_doctor_says_whether_the_store_answers(small, s3_place, monkeypatch, capsys):
    for name, value in s3_place.variables("one").items():
        monkeypatch.setenv(name, value)
    examine(small)
    assert f"ok    data         {s3_place.address} answers and is writable; of its copies, " in capsys.readouterr().out
    monkeypatch.setenv("PROBEFLOW_DATA", "s3://nowhere/p")
    assert examine(small) == 1
    assert "FIX   data         cannot write s3://nowhere/p: there is no bucket 'nowhere'" in capsys.readouterr().out
