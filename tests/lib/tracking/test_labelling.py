"""From image files to the pipeline's own labels: the classifier by itself, as an MLflow model, and as a command."""

from __future__ import annotations

import base64
import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file
from sklearn.datasets import load_digits

import flows.predict
from flows.export import export
from flows.predict import find_images, predict
from flows.promote import promote, show_versions
from lib.backbones.network import save_weights
from lib.backbones.random_weights import random_network
from lib.backbones.weights import weights_digest
from lib.datasets import acquire
from lib.datasets.decoding import NO_FILE, encode_png
from lib.datasets.sources import Digits, ImageFolder
from lib.errors import ConfigError, DataError, StorageError, WeightsError
from lib.features.plan import feature_set_digest
from lib.files import digest_file, write_json
from lib.mlp.store import load_network
from lib.onnx_export import pixels_of
from lib.prediction import ImageClassifier, Recipe, feature_recipe, pixel_recipe
from lib.profile import parse_profile
from lib.studies.study import Record
from lib.studies.sweep.predictions import read_predictions
from lib.tracking import registry
from lib.tracking.labelling import label_images, load_version
from lib.tracking.models import log_network
from lib.tracking.promotion import consider
from lib.tracking.records import log_record
from lib.tracking.registry import Registry, model_name
from tests.docs.pages import PAGES, blocks
from tests.image_files import write_images
from tests.records import places_under, whole_run


@pytest.fixture(scope="module")
def photos(small_run):
    return small_run.input("classifier").dataset


@pytest.fixture(scope="module")
def classified(small_run):
    return small_run.records["classifier"]


@pytest.fixture(scope="module")
def extraction(small_run):
    return small_run.extraction("classifier")


@pytest.fixture(scope="module")
def images(photos):
    """The test images as PNG files."""
    return [encode_png(image) for image in photos.splits["test"].images]


@pytest.fixture(scope="module")
def own(small_run, classified):
    """The pipeline's own probabilities of the test images: its network on the features in its shards."""
    features = small_run.input("classifier").feature_set.load("test")
    return load_network(classified.folder / classified.model.network).predict_proba(features.X)


@pytest.fixture(scope="module")
def files(photos, small_run, extraction, classified, tmp_path_factory):
    """The files of the classifier: its recipe and its network."""
    digest = small_run.input("classifier").digest
    recipe = feature_recipe(photos, extraction, digest, small_run.where.weights, None)
    return write_files(tmp_path_factory.mktemp("classifier"), recipe, classified)


def write_files(folder: Path, recipe: Recipe, record: Record) -> Path:
    write_json(folder / "recipe.json", recipe.model_dump(mode="json"))
    shutil.copy(record.folder / record.model.network, folder / "network.safetensors")
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
def champion(tracking, small_run, extraction, classified):
    run = log_record(tracking, classified, {})
    on = small_run.input("classifier")
    return consider(tracking, classified, run.info.run_id, on, extraction, small_run.where)


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


def test_imagenet_weights_go_with_the_model_or_it_refuses(classifier, files, images, photos, extraction, tmp_path):
    """A file with the random network's weights stands in for ImageNet's: then the features are the same ones."""
    torch.save(random_network(extraction.entry, 0).state_dict(), tmp_path / "w.pth")
    settings = extraction.model_copy(update={"weights": "imagenet", "weights_file": str(tmp_path / "w.pth")})
    digest = feature_set_digest(photos.digest, settings, weights_digest(settings, tmp_path, None))
    recipe = feature_recipe(photos, settings, digest, tmp_path, None)
    weights = tmp_path / "alexnet.safetensors"
    save_weights(settings, tmp_path, None, weights)
    (tmp_path / "w.pth").unlink()  # what was recorded of where the weights lay does not matter any more
    whole = recipe.features.model_copy(update={"weights_file_sha256": digest_file(weights)})
    write_json(tmp_path / "recipe.json", recipe.model_copy(update={"features": whole}).model_dump(mode="json"))
    network = files / "network.safetensors"
    loaded = ImageClassifier.load(tmp_path / "recipe.json", network, weights)
    some = images[:40]
    np.testing.assert_array_equal(loaded.classify(some).probabilities, classifier.classify(some).probabilities)
    for other in (None, tmp_path / "absent", network):
        with pytest.raises(WeightsError, match=r"lacks its ImageNet weights, or they are damaged; train and promote"):
            ImageClassifier.load(tmp_path / "recipe.json", network, other)


def test_other_random_weights_and_other_formats_are_refused(files, tmp_path):
    content = json.loads((files / "recipe.json").read_text())
    drawn_before = content["features"] | {"torch": "2.0.0"}
    for change, error, words in (
        (
            {"features": drawn_before | {"weights_sha256": "feed"}},
            WeightsError,
            r"draws other random weights with seed 0 than torch 2.0.0",
        ),
        (
            {"format": "probeflow-classifier-9"},
            DataError,
            "of another version of probeflow: promote one that this version",
        ),
        ({"features": None}, DataError, "a recipe has either features or pixels"),
    ):
        write_json(tmp_path / "recipe.json", content | change)
        with pytest.raises(error, match=words):
            ImageClassifier.load(tmp_path / "recipe.json", files / "network.safetensors", None)
    write_json(tmp_path / "recipe.json", content | {"features": drawn_before})  # one that draws the same is taken
    assert ImageClassifier.load(tmp_path / "recipe.json", files / "network.safetensors", None)
    assert Recipe.model_validate(content).input_words == "AlexNet fc8, RANDOM weights (seed 0)"


def test_a_classifier_of_grey_pixels_answers_as_the_pipeline_and_refuses_images_unlike_its_own(small_run, tmp_path):
    record, digits = small_run.records["activations"], small_run.input("activations").dataset
    files = write_files(tmp_path, pixel_recipe(digits), record)
    classifier = ImageClassifier.load(files / "recipe.json", files / "network.safetensors", None)
    test = digits.splits["test"].images
    encoded = [encode_png(image) for image in test]
    network = load_network(record.folder / record.model.network)
    np.testing.assert_allclose(
        classifier.classify(encoded).probabilities, network.predict_proba(digits.pixels("test")), rtol=1e-12
    )
    kept = read_predictions(record.folder)
    assert classifier.classify(encoded).labels == [digits.class_names[label] for label in kept.of(kept.chosen)]
    colour = np.repeat(test[0][:, :, None], 3, axis=2)
    tinted = colour.copy()
    tinted[2, 3] = (1, 2, 3)
    mixed = [encoded[0], encode_png(np.zeros((9, 8), np.uint8)), encode_png(colour), encode_png(tinted)]
    answers = classifier.classify([*mixed, encode_png(test[0] * 15), b"", encoded[1]])
    assert answers.labels == [
        *classifier.classify(encoded[:1]).labels,
        None,
        answers.labels[0],
        *[None] * 3,
        answers.labels[6],
    ]
    assert answers.problems == {
        1: "the image is 8x9 and this classifier takes 8x8 in grey alone; resize it",
        3: "the image is in colour and this classifier takes 8x8 in grey alone; convert it",
        4: f"the image has the value {15 * test[0].max()} and the largest of the training is 16; scale it to that",
        5: "the file is empty",
    }


def pets(root: Path, classes: dict[str, int]):
    """A run of a sweep on a folder "pets" with the same pictures whatever its classes are called, and where they lie."""
    pictures, labels = load_digits(return_X_y=True)
    for name, digit in classes.items():
        (root / "pets" / name).mkdir(parents=True)
        for number, picture in enumerate(pictures[labels == digit][:60]):
            pixels = (15 * picture.reshape(8, 8)).astype(np.uint8)
            Image.fromarray(pixels).save(root / "pets" / name / f"{number}.png")
    sweep = {
        "kind": "sweep",
        "on": "pets",
        "seeds": [0],
        "test": True,
        "variants": {"mlp": {"base": {"hidden": [8], "optimizer": "adam", "learning_rate": 0.01, "epochs": 20}}},
    }
    content = {
        "name": "pets",
        "data": {"pets": {"source": "folder", "path": str(root / "pets")}},
        "studies": {"heads": sweep},
        "promote": "heads",
    }
    return whole_run(parse_profile(content), places_under(root))


def test_two_folders_of_one_name_have_a_model_each_and_one_folder_with_other_images_keeps_its_own(
    tracking, where, tmp_path, capsys, monkeypatch
):
    champions = []
    for place, names in (("one", {"cat": 0, "dog": 1}), ("other", {"rose": 0, "tulip": 1})):
        run = pets(tmp_path / place, names)
        shown = log_record(tracking, run.records["heads"], {}).info.run_id
        decision = consider(tracking, run.records["heads"], shown, run.input("heads"), None, run.where)
        assert decision.promoted, decision.why
        assert decision.model.startswith("probeflow-pets-")
        champions.append(decision.model)
        classifier = load_version(tracking, decision.model, "champion")
        paths = [next((tmp_path / place / "pets" / name).glob("*.png")) for name in names]
        assert [each.best[0][0] for each in label_images(classifier.classifier, paths)] == list(names)
    assert len(set(champions)) == 2
    Image.fromarray(np.full((8, 8), 7, np.uint8)).save(tmp_path / "other" / "pets" / "rose" / "new.png")
    again = acquire(run.profile.data["pets"], run.where.data)
    assert again.digest != run.records["heads"].dataset.digest
    assert model_name(again) == champions[1]

    for wanted, words in ((None, "name one with --model: "), ("pets", "no model 'pets' is registered; known: ")):
        with pytest.raises(ConfigError, match=words) as caught:
            predict([str(tmp_path / "one")], None, wanted, None, where)
        for place, name in zip(("one", "other"), champions, strict=True):
            assert f"{name} (image folder {str(tmp_path / place / 'pets')[-60:]}, digest "[-60:] in str(caught.value)
            assert str(caught.value).count("\n") == 0
    capsys.readouterr()
    monkeypatch.setattr(registry, "_PAGE", 1)
    assert show_versions(None, where) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == registry.registered_names(tracking)
    assert set(champions) < set(lines)
    assert sum("trained on image folder " in line for line in lines) == 2


def test_one_name_under_two_mirrors_is_two_models(tmp_path):
    names = set()
    for mirror in ("one", "other", "one"):
        folder = tmp_path / mirror
        folder.mkdir(exist_ok=True)
        if not (folder / "pets.zip").exists():
            write_images(folder / "in", ("cat", "dog"), 6)
            shutil.make_archive(str(folder / "pets"), "zip", folder / "in")
        names.add(model_name(acquire(ImageFolder(path="pets.zip"), tmp_path / "data", folder.as_uri())))
    assert len(names) == 2
    assert len({model_name(acquire(Digits(), tmp_path / "data", mirror)) for mirror in (None, "file:///other")}) == 1


def test_a_name_that_is_no_utf_8_is_an_escape_in_the_csv(champion, folder, where, tmp_path):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    shutil.copy(folder / "damaged.png", odd)
    assert predict([odd], tmp_path / "out.csv", champion.model, None, where) == 1
    (row,) = csv.DictReader((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines())
    assert row["file"] == rf"{tmp_path}/caf\xe9.png"


def test_predict_writes_the_champion_s_labels_and_names_what_it_could_not_read(
    champion, classified, photos, folder, where, own, tmp_path, capsys
):
    assert predict([str(folder)], tmp_path / "out.csv", champion.model, None, where) == 1
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    kept = read_predictions(classified.folder)
    assert [row["file"] for row in rows] == [
        str(folder / "damaged.png"), *(str(folder / "deep" / f"{number:03d}.PNG") for number in range(len(own)))
    ]  # fmt: skip
    assert [row["label"] for row in rows[1:]] == [photos.class_names[label] for label in kept.of(kept.chosen)]
    np.testing.assert_allclose([float(row["confidence"]) for row in rows[1:]], own.max(axis=1), rtol=1e-5)
    assert rows[0]["label"] == rows[0]["confidence"] == ""
    told = capsys.readouterr()
    assert told.out == ""
    model, calibration, error, summary = told.err.splitlines()
    data = f"{photos.origin}, digest {photos.digest[:12]}"
    assert model == f"by {champion.model} version {champion.version}, trained on {data}"
    recorded = classified.result.models[classified.result.chosen].measured["ece"]
    assert calibration == (
        f"confidence: expected calibration error {recorded.estimate:.4f} ({recorded.low:.4f} to {recorded.high:.4f}) on "
        "its test images"
    )
    assert error == f"probeflow: {folder / 'damaged.png'}: {rows[0]['error']}"
    assert "97 image(s) in" in summary
    assert summary.endswith(
        f"by {champion.model} version {champion.version}; 1 could not be read; "
        f"1 file(s) are no images and were left out, e.g. {folder / 'notes.txt'}; "
        f"written to {tmp_path / 'out.csv'}"
    )


def test_predict_prints_the_same_table_with_as_many_classes_as_are_asked_for(
    champion, folder, where, own, photos, capsys
):
    names = [str(folder / "deep" / "00*.PNG")]
    assert predict(names, None, champion.model, "challenger", where, top=2) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert list(rows[0]) == ["file", "label", "confidence", "label_2", "confidence_2", "error"]
    for row, probabilities in zip(rows, own[:10], strict=True):
        order = [int(place) for place in np.argsort(-probabilities)]
        assert [row["label"], row["label_2"]] == [photos.class_names[place] for place in order]
        found = [float(row["confidence"]), float(row["confidence_2"])]
        assert found == pytest.approx(probabilities[order].tolist(), rel=1e-4)
    assert rows[3]["file"] == str(folder / "deep" / "003.PNG")
    for top in (0, 3):
        with pytest.raises(ConfigError, match=rf"--top {top} does not fit .*, which has 2 classes; give 1 to 2"):
            predict(names, None, champion.model, None, where, top)


def test_rows_are_written_batch_by_batch_and_an_interrupted_table_is_not_left(
    champion, folder, where, tmp_path, monkeypatch
):
    """The second batch holds a file whose reading is interrupted; by then the first one's rows lie in the temporary file."""
    monkeypatch.setattr(flows.predict, "_AT_ONCE", 40)
    last = folder / "deep" / "050.PNG"
    seen = []
    read_bytes = Path.read_bytes

    def reading(path):
        if path == last:
            (temporary,) = tmp_path.iterdir()
            seen.append(temporary.name)
            raise KeyboardInterrupt
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", reading)
    with pytest.raises(KeyboardInterrupt):
        predict([str(folder / "deep")], tmp_path / "out.csv", champion.model, None, where)
    assert seen
    assert seen[0].startswith(".out.csv.")
    assert list(tmp_path.iterdir()) == []


def test_a_version_s_onnx_file_gives_the_pipeline_s_probabilities(
    champion, tracking, photos, folder, images, own, where, tmp_path, capsys
):
    file = tmp_path / "photos.onnx"
    assert export(file, champion.model, None, where) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{file}: {champion.model} version {champion.version}, ")
    assert lines[1].startswith("input pixels: float32 (batch, 3, 64, 64)")
    assert lines[3].startswith("onnxruntime's probabilities of 8 test images differ from ours by at most ")
    session = onnxruntime.InferenceSession(str(file))
    classifier = load_version(tracking, champion.model, "champion").classifier
    (found,) = session.run(["probabilities"], {"pixels": pixels_of(classifier, images)})
    np.testing.assert_allclose(found, own, atol=1e-4)
    about = session.get_modelmeta().custom_metadata_map
    assert (about["model"], about["version"], about["dataset_digest"]) == (champion.model, "1", photos.digest)
    assert about["run_id"] == Registry(tracking, champion.model).champion().run_id

    (block,) = [each for page in PAGES for each in blocks("python", page) if "onnxruntime" in each]
    names: dict[str, object] = {}
    (tmp_path / "one.jpg").write_bytes(images[0])
    exec(block.replace("pets.onnx", str(file)).replace("one.jpg", str(tmp_path / "one.jpg")), names)
    # Pillow rounds resized pixels to whole numbers.
    np.testing.assert_allclose(names["probabilities"], own[0], atol=0.02)
    with pytest.raises(StorageError, match="a folder of that name is in its place; give a file"):
        export(tmp_path, champion.model, None, where)


def test_names_mean_files_folders_and_patterns_each_image_once(folder):
    deep = sorted((folder / "deep").iterdir())
    found = find_images([str(folder / "deep" / "001.PNG"), str(folder)])
    assert found.images == [deep[1], folder / "damaged.png", deep[0], *deep[2:]]
    assert found.left_out == [folder / "notes.txt"]
    assert find_images([str(folder / "**" / "00?.PNG")]).images == deep[:10]
    assert find_images([str(folder / "*")]).left_out == [folder / "notes.txt"]
    named = find_images([str(folder / "notes.txt"), str(folder)])
    assert (named.images[0], named.left_out) == (folder / "notes.txt", [])  # who names a file means it
    for name in ("/absent", "*.absent"):
        with pytest.raises(ConfigError, match="is no file, no folder and no pattern of files; check the path"):
            find_images([str(folder), name])


def test_what_is_no_regular_file_is_an_image_that_cannot_be_read_and_nothing_waits_for_it(classifier, tmp_path):
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    for name in ("pipe.png", "pipe"):
        os.mkfifo(tmp_path / name)
    shutil.copy(write_images(tmp_path / "else", ("cat",), 1) / "cat" / "0.png", tmp_path / "0.png")
    (tmp_path / "linked").symlink_to(tmp_path / "else")  # a link to a folder is followed
    found = find_images([str(tmp_path)])
    names = ["0.png", "else/cat/0.png", "gone.jpg", "linked/cat/0.png", "pipe.png"]
    assert found.images == [tmp_path / name for name in names]
    assert found.left_out == [tmp_path / "pipe"]
    for named in ("gone.jpg", "pipe.png", "pipe"):
        assert find_images([str(tmp_path / named)]).images == [tmp_path / named]
    odd = [tmp_path / name for name in ("gone.jpg", "pipe.png", "pipe")]
    assert [(each.best, each.error) for each in label_images(classifier, odd)] == [((), NO_FILE)] * 3


@pytest.mark.slow
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
    assert f"version {champion.version} (champion), run " in told
    assert "the first champion." in told


def test_promotion_by_hand_asks_for_a_reason(champion, where):
    with pytest.raises(ConfigError, match=r"promoting version '1' by hand needs a reason, which is kept: --reason WHY"):
        promote("1", False, None, None, where)
    with pytest.raises(ConfigError, match=r"--rollback goes back .* leave out the version '1'"):
        promote("1", True, None, None, where)
