"""What PROBEFLOW_DATA may be, and what a URL costs those who use none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lib.errors import ConfigError, StorageError
from lib.places import places
from lib.storage.address import store_of
from lib.storage.copies import shown
from tests.conftest import REPOSITORY


def at(address: str, cache: Path, **variables: str):
    return places({"PROBEFLOW_DATA": address, "PROBEFLOW_CACHE": str(cache)} | variables)


def test_a_path_is_the_folder_itself_and_has_no_store(tmp_path):
    for address in (str(tmp_path / "data"), f"file://{tmp_path}/data"):
        where = at(address, tmp_path / "cache")
        assert (where.data, where.store) == (tmp_path / "data", None)
        assert store_of(where.features) is None
        assert shown(where.features) == str(tmp_path / "data" / "features")
    assert list(tmp_path.iterdir()) == []


def test_a_url_is_a_folder_of_copies_that_knows_its_store(tmp_path):
    where = at("s3://bucket/pre/fix/", tmp_path / "cache")
    assert where.store == "s3://bucket/pre/fix"
    assert where.data.parent == tmp_path / "cache"
    assert shown(where.features / "x") == "s3://bucket/pre/fix/features/x"
    store = store_of(where.studies / "deep" / "inside")
    assert store is not None
    assert store.cache == where.data
    for mine in ("raw/images.tar", "features/.weights/w.json", "features/x/.part.tmp", "features"):
        assert not store.shares(where.data / mine)
    assert store.shares(where.studies / "sweep" / "record.json")


def test_one_bucket_name_at_two_servers_is_two_folders_of_copies(tmp_path):
    folders = {at("s3://b/p", tmp_path, AWS_ENDPOINT_URL=f"http://{host}:9000").data for host in ("one", "other")}
    assert len(folders | {at("s3://b/p", tmp_path).data, at("s3://b/q", tmp_path).data}) == 4


def test_without_probeflow_cache_copies_lie_in_the_user_s_cache_folder(tmp_path):
    where = places({"PROBEFLOW_DATA": "s3://b/p", "XDG_CACHE_HOME": str(tmp_path)})
    assert where.data.parent == tmp_path / "probeflow"


@pytest.mark.parametrize(
    "address", ["s3://KEY:hidden@bucket/p", "s3://hidden@bucket", "s3://bucket/p?X-Amz-Signature=hidden"]
)
def test_a_url_that_holds_credentials_is_refused_and_not_repeated(address, tmp_path):
    with pytest.raises(ConfigError, match="leave out user, password and query") as caught:
        at(address, tmp_path)
    assert "hidden" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["https://host/data", "s3://", "zip::s3://bucket/a.zip"])
def test_a_url_that_cannot_be_written_to_is_refused(address, tmp_path):
    with pytest.raises(ConfigError, match="cannot be written to; give a path or s3://BUCKET/PREFIX"):
        at(address, tmp_path)


def test_a_folder_of_copies_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot keep copies of s3://b/p in .*file.*: point PROBEFLOW_CACHE"):
        at("s3://b/p", tmp_path / "file")


def test_a_mark_of_another_user_is_not_followed(tmp_path, monkeypatch):
    where = at("s3://b/p", tmp_path)
    monkeypatch.setattr("os.getuid", lambda: 12345)
    assert store_of(where.features) is None


def test_a_path_imports_nothing_of_object_stores():
    code = (
        "import sys, lib.places, lib.features.work, lib.studies.sweep, lib.graph;"
        "lib.places.places({'PROBEFLOW_DATA': '/tmp/x'});"
        "sys.exit(' '.join({'fsspec', 's3fs', 'boto3', 'botocore', 'aiobotocore'} & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)
