"""The command `features`: every set in a list, one in full with its picture, and one line for what cannot be shown."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from flows.__main__ import main
from lib.errors import command
from lib.features.quarantine import write_quarantine
from lib.features.speed import Speed, write_speed
from lib.files import sealed
from tests.feature_sets import expected_features, flip_bit, write_feature_set

SEALED, OTHER, UNSEALED = "aa11" * 16, "aa22" * 16, "bb33" * 16
SPLITS = {"train": 500, "test": 120}


@pytest.fixture
def sets(tmp_path, monkeypatch) -> Path:
    """Two sealed sets whose digests begin alike, and an unsealed one."""
    monkeypatch.setenv("PROBEFLOW_DATA", str(tmp_path))
    root = tmp_path / "features"
    for digest, storage in ((SEALED, "float32"), (OTHER, "float16"), (UNSEALED, "float32")):
        folder = root / "noise" / digest[:16]
        write_feature_set(folder, SPLITS, storage, shard_rows=400, digest=digest, sealed=digest != UNSEALED)
    (root / ".weights").mkdir()
    return root


def features(capsys, *arguments: str, expect: int = 0) -> str:
    """What the command prints; for bad input the one line on standard error."""
    assert main(["features", *arguments]) == expect
    told = capsys.readouterr()
    if expect:
        assert told.out == ""
        assert re.fullmatch(r"probeflow: [^\n]+\n", told.err)
        return told.err
    assert told.err == ""
    return told.out


def files(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file()}


def test_without_a_set_it_lists_them_all_sealed_or_not(sets, capsys):
    told = features(capsys)
    assert re.search(rf"^noise +{SEALED[:16]} +620 +1,000 +sealed +2.5 MB +AlexNet fc8, RANDOM weights", told, re.M)
    assert re.search(rf"^noise +{OTHER[:16]} .* sealed +1.3 MB .* stored as float16$", told, re.M)
    assert re.search(rf"^noise +{UNSEALED[:16]} .* unsealed, 1 of 2 shards +1.6 MB ", told, re.M)
    (sets / "noise" / UNSEALED[:16] / "plan.json").write_text("{")
    assert re.search(rf"^noise +{UNSEALED[:16]} +\? +\? +damaged ", features(capsys), re.M)


def test_without_any_set_it_says_how_to_make_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PROBEFLOW_DATA", str(tmp_path / "data"))
    assert f"{command('run --only features')} makes one" in features(capsys)
    assert not (tmp_path / "data").exists()


def test_a_set_is_shown_in_full_with_its_picture(sets, capsys):
    folder = sets / "noise" / SEALED[:16]
    write_speed(folder, Speed(device="cpu (2 cores)", batch_size=64, images=620, seconds=2, seconds_to_first_shard=1))
    X = expected_features(620)
    constant = int((np.ptp(X, axis=0) == 0).sum())
    told = features(capsys, "AA11")
    for words in (
        f"digest       {SEALED}",
        "rows         620: 500 train, 120 test",
        "quarantined  none",
        "model        AlexNet fc8, RANDOM weights (seed 0)",
        "weights      sha256 " + "d3" * 32,
        "input        224 x 224 px, bilinear",
        "precision    computed in float32, stored as float32",
        "width        1,000 values an image",
        "size         2.5 MB on disk, of which 2.5 MB are features",
        "shards       2 of up to 400 rows; sealed",
        "made         620 images: 310 images/s on cpu (2 cores) in batches of 64",
        f"{constant} of 1,000 features are constant (f0000, f0007, f0010, f0020, f0030, …), {constant - 1} of them always 0",
        f"picture: {folder / 'features.png'}",
    ):
        assert words in told
    assert re.search(r"^ant +167 +40$", told, re.M)
    means = X.mean(axis=0, dtype=np.float64)
    assert re.search(rf"^mean +{means.min():.4g} +f{means.argmin():04d} ", told, re.M)
    with Image.open(folder / "features.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000


def test_quarantined_files_are_counted_and_the_first_named_with_their_reasons(sets, capsys):
    folder = sets / "noise" / SEALED[:16]
    names = [f"a/{number}.jpg" for number in range(7)]
    reasons = ["not an image"] * 7
    columns = {"name": names, "split": ["train"] * 7, "label": [0] * 7, "bytes": [9] * 7, "reason": reasons}
    write_quarantine(folder, pa.table(columns))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(sealed(manifest | {"quarantined": 7})))
    told = features(capsys, str(folder))
    assert "quarantined  7 files" in told
    assert re.findall(r"^a/(\d).jpg +not an image$", told, re.M) == list("01234")
    assert f"and 2 more, in {folder / 'quarantine.parquet'}" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cc"], "no feature set 'cc': it is no folder and begins no digest; "),
        (["aa"], "'aa' begins the digests of 2 feature sets (aa11aa11aa11aa11 of noise, aa22aa22aa22aa22 of noise)"),
        ([""], "argument 2 is empty; give a name or a path"),
        (["bb"], "is not sealed (no manifest.json)"),
        (["."], "'.' is a folder but no feature set"),
    ],
)
def test_what_cannot_be_shown_gets_one_line_and_leaves_nothing(sets, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    before = files(tmp_path)
    assert message in features(capsys, *arguments, expect=2)
    assert files(tmp_path) == before


def test_a_damaged_set_is_refused_naming_the_shard(sets, capsys):
    folder = sets / "noise" / SEALED[:16]
    flip_bit(folder / "part-00001.parquet", 500_000)
    assert "part-00001.parquet is damaged" in features(capsys, "aa11", expect=2)
    assert not (folder / "features.png").exists()
