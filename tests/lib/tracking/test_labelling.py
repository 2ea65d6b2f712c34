"""From image files to the pipeline's own labels: the classifier by itself, as an MLflow model, and as a command."""

from __future__ import annotations

import base64
import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from flows.predict import find_images, predict
from flows.promote import promote, show_versions
from lib.backbones import find_backbone
from lib.backbones.network import save_weights
from lib.backbones.random_weights import random_network
from lib.backbones.weights import weights_digest
from lib.datasets.decoding import encode_png
from lib.errors import ConfigError, DataError, WeightsError
from lib.features import extract, open_feature_set
from lib.features.plan import feature_set_digest
from lib.files import digest_file, write_json
from lib.mlp.store import load_network
from lib.prediction import ImageClassifier, Recipe, make_recipe
from lib.studies.predictions import read_predictions
from lib.tracking.models import log_network
from lib.tracking.promotion import consider
from lib.tracking.records import log_record
from lib.tracking.registry import Registry


@pytest.fixture(scope="module")
def images(photos):
    """The test images as PNG files."""
    return [encode_png(image) for image in photos.splits["test"].images]


@pytest.fixture(scope="module")
def own(photos, small, where, classified):
    """The pipeline's own probabilities of the test images: its network on the features in its shards."""
    features = open_feature_set(extract(photos, small.features, where.features).folder).load("test")
    return load_network(classified.folder / classified.model.network).predict_proba(features.X)


@pytest.fixture(scope="module")
def files(photos, small, where, classified, tmp_path_factory):
    """The files of the classifier: its recipe and its network."""
    folder = tmp_path_factory.mktemp("classifier")
    digest = classified.summary["features_digest"]
    recipe = make_recipe(photos, small.features, digest, where.features / ".weights", None)
    write_json(folder / "recipe.json", recipe.model_dump(mode="json"))
    shutil.copy(classified.folder / classified.model.network, folder / "network.safetensors")
    return folder


@pytest.fixture(scope="module")
def classifier(files):
    return ImageClassifier.load(files / "recipe.json", files / "network.safetensors", None)


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    """The test images in a folder, named by their position, and among them one that cannot be read."""
    folder = tmp_path_factory.mktemp("images")
    for number, image in enumerate(images):
        (folder / "deep").mkdir(exist_ok=True)
        (folder / "deep" / f"{number:03d}.PNG").write_bytes(image)
    (folder / "damaged.png").write_bytes(images[0][:100])
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def champion(tracking, where, photos, small, classified):
    run = log_record(tracking, replace(classified, children=(), figures=(), tables=()), {})
    return consider(tracking, classified, run.info.run_id, photos, small.features, where)


def test_probabilities_are_the_pipeline_s_own(classifier, images, own, photos, classified):
    answers = classifier.classify(images)
    np.testing.assert_allclose(answers.probabilities, own, rtol=1e-5)
    kept = read_predictions(classified.folder)
    assert answers.labels == [photos.class_names[label] for label in kept.of(kept.chosen)]
    assert answers.confidences == pytest.approx(own.max(axis=1).tolist())


def test_an_image_s_answer_depends_on_no_other(classifier, images, own):
    mixed = [b"", images[7], b"GIF89a", images[3], images[0][:100]]
    answers = classifier.classify(mixed)
    np.testing.assert_allclose(answers.probabilities[[1, 3]], own[[7, 3]], rtol=1e-5)
    assert sorted(answers.problems) == [0, 2, 4]
    assert answers.problems[0] == "the file is empty"
    assert answers.labels[0] is answers.confidences[0] is None
    assert np.isnan(answers.probabilities[[0, 2, 4]]).all()
    assert classifier.classify([]).labels == []


def test_imagenet_weights_go_with_the_model_or_it_refuses(classifier, files, images, photos, small, where, tmp_path):
    """A file with the random network's weights stands in for ImageNet's: then the features are the same ones."""
    torch.save(random_network(find_backbone("alexnet"), 0).state_dict(), tmp_path / "w.pth")
    settings = small.features.model_copy(update={"weights": "imagenet", "weights_file": str(tmp_path / "w.pth")})
    digest = feature_set_digest(photos.digest, settings, weights_digest(settings, tmp_path, None))
    recipe = make_recipe(photos, settings, digest, tmp_path, None)
    weights = tmp_path / "alexnet.safetensors"
    save_weights(settings, tmp_path, None, weights)
    (tmp_path / "w.pth").unlink()  # what was recorded of where the weights lay does not matter any more
    whole = recipe.model_copy(update={"weights_file_sha256": digest_file(weights)})
    write_json(tmp_path / "recipe.json", whole.model_dump(mode="json"))
    network = files / "network.safetensors"
    loaded = ImageClassifier.load(tmp_path / "recipe.json", network, weights)
    some = images[:40]
    np.testing.assert_array_equal(loaded.classify(some).probabilities, classifier.classify(some).probabilities)
    for other in (None, tmp_path / "absent", network):
        with pytest.raises(WeightsError, match=r"lacks its ImageNet weights, or they are damaged; train and promote"):
            ImageClassifier.load(tmp_path / "recipe.json", network, other)


def test_other_random_weights_and_other_formats_are_refused(files, tmp_path):
    content = json.loads((files / "recipe.json").read_text())
    for change, error, words in (
        (
            {"torch": "2.0.0", "weights_sha256": "feed"},
            WeightsError,
            r"draws other random weights with seed 0 than torch 2.0.0",
        ),
        (
            {"format": "probeflow-classifier-9"},
            DataError,
            "of another version of probeflow: promote one that this version",
        ),
    ):
        write_json(tmp_path / "recipe.json", content | change)
        with pytest.raises(error, match=words):
            ImageClassifier.load(tmp_path / "recipe.json", files / "network.safetensors", None)
    write_json(tmp_path / "recipe.json", content | {"torch": "2.0.0"})  # an older one that draws the same is taken
    assert ImageClassifier.load(tmp_path / "recipe.json", files / "network.safetensors", None)
    assert Recipe.model_validate(content).features.describe() == "AlexNet fc8, RANDOM weights (seed 0)"


def test_predict_writes_the_champion_s_labels_and_names_what_it_could_not_read(
    champion, classified, photos, folder, where, own, tmp_path, capsys
):
    assert predict([str(folder)], tmp_path / "out.csv", None, None, where) == 1
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    kept = read_predictions(classified.folder)
    assert [row["image"] for row in rows] == [
        str(folder / "damaged.png"), *(str(folder / "deep" / f"{number:03d}.PNG") for number in range(len(own)))
    ]  # fmt: skip
    assert [row["label"] for row in rows[1:]] == [photos.class_names[label] for label in kept.of(kept.chosen)]
    np.testing.assert_allclose([float(row["probability"]) for row in rows[1:]], own.max(axis=1), rtol=1e-5)
    assert rows[0]["label"] == rows[0]["probability"] == ""
    told = capsys.readouterr()
    assert told.out == ""
    error, summary = told.err.splitlines()
    assert error == f"probeflow: {folder / 'damaged.png'}: {rows[0]['error']}"
    assert "97 image(s) in" in summary
    assert f"by {champion.model} version {champion.version}; 1 could not be read" in summary


def test_predict_prints_a_line_an_image_and_ends_well(champion, folder, where, own, capsys):
    assert predict([str(folder / "deep" / "00*.PNG")], None, champion.model, "challenger", where) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [float(probability) for _, probability, _ in lines] == pytest.approx(own[:10].max(axis=1).tolist(), abs=5e-5)
    assert lines[3][2] == str(folder / "deep" / "003.PNG")


def test_names_mean_files_folders_and_patterns_each_image_once(folder):
    deep = sorted((folder / "deep").iterdir())
    assert find_images([str(folder / "deep" / "001.PNG"), str(folder)]) == [
        deep[1],
        folder / "damaged.png",
        deep[0],
        *deep[2:],
    ]
    assert find_images([str(folder / "**" / "00?.PNG")]) == deep[:10]
    assert find_images([str(folder / "notes.txt")]) == [folder / "notes.txt"]  # who names a file means it
    for name in ("/absent", "*.absent"):
        with pytest.raises(ConfigError, match="is no file, no folder and no pattern of files; check the path"):
            find_images([str(folder), name])


def test_both_models_load_in_a_clean_process_and_score_alike_the_champion_as_mlflow_serves_it(
    champion, tracking, where, classified, images, own, tmp_path
):
    network = log_network(tracking, Registry(tracking, champion.model).champion().run_id, classified)
    example = load_file(classified.folder / classified.model.example)
    code = (
        "import sys, json, mlflow, numpy as np\n"
        "from fastapi.testclient import TestClient\n"
        "from mlflow.pyfunc.scoring_server import init\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "network, champion = (mlflow.pyfunc.load_model(uri) for uri in sys.argv[2:4])\n"
        "assert list(network.metadata.signature.inputs.to_dict()[0]['tensor-spec']['shape']) == [-1, 1000]\n"
        "assert 'lib' in sys.modules and 'code' in sys.modules['lib'].__file__, sys.modules['lib'].__file__\n"
        "np.save('network.npy', network.predict(network.input_example))\n"
        "server = TestClient(init(champion))\n"
        "answer = server.post('/invocations', json=json.load(open('request.json')))\n"
        "assert answer.status_code == 200, answer.text\n"
        "open('answer.json', 'w').write(answer.text)"
    )
    # -P and another folder: neither this checkout nor an installed probeflow may help
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    blocked = tmp_path / "blocked.py"
    blocked.write_text(
        "import sys\nsys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in type(f).__module__ + str(f)]\n"
        f"sys.path[:] = [p for p in sys.path if p != {os.getcwd()!r}]\n" + code  # noqa: PTH109
    )
    encoded = [base64.b64encode(image).decode() for image in (images[0], images[1][:100], images[2])]
    write_json(tmp_path / "request.json", {"dataframe_records": [{"image": image} for image in encoded]})
    done = subprocess.run(
        [sys.executable, "-P", str(blocked), where.tracking_uri, network, f"models:/{champion.model}@champion"],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    np.testing.assert_allclose(np.load(tmp_path / "network.npy"), example["probabilities"], rtol=1e-12)
    first, damaged, third = json.loads((tmp_path / "answer.json").read_text())["predictions"]
    for answer, row in ((first, 0), (third, 2)):
        assert answer["label"] == classified.dataset.classes[own[row].argmax()]
        assert (answer["probability"], answer["error"]) == (pytest.approx(own[row].max()), None)
    assert (damaged["label"], damaged["probability"]) == (None, None)
    assert damaged["error"]


def test_the_registry_is_listed_with_the_decisions(champion, where, capsys):
    assert show_versions(champion.model, where) == 0
    told = capsys.readouterr().out
    assert f"version {champion.version} (challenger, champion), run " in told
    assert "the first champion." in told


def test_promotion_by_hand_asks_for_a_reason(champion, where):
    with pytest.raises(ConfigError, match=r"promoting version '1' by hand needs a reason, which is kept: --reason WHY"):
        promote("1", False, None, None, where)
    with pytest.raises(ConfigError, match=r"--rollback goes back .* leave out the version '1'"):
        promote("1", True, None, None, where)
