"""Before a run: everything that could only fail later is refused, and nothing is computed for it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lib.datasets.decoding import Decoder
from lib.errors import ConfigError, DataError, LeakageError, WeightsError
from lib.graph import check_graph, ready_node
from lib.profile import parse_profile
from tests.image_files import write_images
from tests.lib.graph.conftest import TINY, tiny_profile

LINEAR = {"linear": {"base": {"hidden": [], "epochs": 2}, "grid": {"learning_rate": [0.1, 0.01]}}}


def test_the_data_of_the_nodes_that_are_asked_for_is_returned(where):
    profile = parse_profile(TINY | {"data": TINY["data"] | {"letters": {"source": "letters"}}})
    assert list(check_graph(profile, ["look"], where).data) == ["digits"], "letters would have to be fetched"


@pytest.mark.parametrize(
    ("studies", "problem"),
    [
        ({"rates": {"variants": LINEAR}}, r"studies.map.of: every variant of 'rates' is a linear probe"),
        ({"map": {"perplexity": 60}}, r"studies.map.perplexity: 60 must be below the 60 rows .* raise sample"),
        ({"map": {"sample": None, "perplexity": 2000}}, "studies.map.perplexity: 2000 must be below the 1,350 rows"),
    ],
)
def test_what_could_only_fail_later_is_refused_in_a_line_that_names_the_setting(studies, problem, where):
    profile = tiny_profile(**studies)
    with pytest.raises(ConfigError, match=problem):
        check_graph(profile, list(profile.graph.nodes), where)
    assert not where.studies.exists()


def test_a_sweep_that_tests_without_test_rows_is_refused_before_its_data_is_fetched(where):
    profile = parse_profile(
        TINY
        | {
            "data": {"letters": {"source": "letters"}},
            "studies": {"rates": TINY["studies"]["rates"] | {"on": "letters", "test": True}},
        }
    )
    with pytest.raises(ConfigError, match=r"studies.rates.test is true, but data 'letters' has no test split"):
        check_graph(profile, ["rates"], where)
    assert not where.data.exists()


@pytest.mark.parametrize(
    ("changes", "least"), [({"input_size": 300}, 600), ({"preprocessing": "crop", "input_size": 250}, 572)]
)
def test_jpegs_decoded_to_less_than_twice_the_input_are_refused_before_one_is(changes, least, where, tmp_path):
    where = where.model_copy(update={"mirror": (tmp_path / "mirror").as_uri()})
    data = {"pets": {"source": "folder", "path": "not-there.tar"}}
    features = {"pool5": {"of": "pets", "layer": "pool5", "weights": "random", **changes}}
    content = {"name": "large", "data": data, "features": features}
    problem = rf"features.pool5: .* {least} pixels or more, and data.pets.decode_side is 512; set it to {least}"
    with pytest.raises(ConfigError, match=problem):
        check_graph(parse_profile(content), ["pool5"], where)
    with pytest.raises(DataError, match=r"^data.pets: .*not-there"):
        check_graph(parse_profile(content | {"data": {"pets": data["pets"] | {"decode": "full"}}}), ["pool5"], where)


def test_a_run_decodes_a_large_image_once(where, tmp_path, monkeypatch):
    pets = tmp_path / "pets"
    for name in ("a", "b"):
        (pets / name).mkdir(parents=True)
        for number in range(5):
            content = np.random.default_rng(number).integers(0, 256, (300, 280, 3), np.uint8)
            Image.fromarray(content + (name == "b")).save(pets / name / f"{number}.png")
    content = {
        "name": "large",
        "data": {"pets": {"source": "folder", "path": str(pets)}},
        "features": {"pool5": {"of": "pets", "layer": "pool5", "weights": "random", "input_size": 64}},
        "studies": {"look": {"kind": "exploration", "on": "pets", "grid": 2}},
    }
    decoded: list[bytes] = []
    decode = Decoder._decode

    def counted(self, data, look_for_frames):
        decoded.append(data)
        return decode(self, data, look_for_frames)

    monkeypatch.setattr(Decoder, "_decode", counted)
    profile = parse_profile(content)
    check_graph(profile, ["pool5", "look"], where)
    assert len(decoded) == 10
    for name in ("pool5", "look"):
        ready_node(profile, name, where).run()
    assert len(decoded) == 10 + 2, "beyond verification only the images that are shown"


def test_unknown_claims_are_refused(where):
    profile = parse_profile(TINY | {"claims": "another-study"})
    with pytest.raises(ConfigError, match="another-study"):
        check_graph(profile, ["look"], where)


def test_weights_that_are_not_there_are_told_before_anything_is_computed(where, tmp_path):
    features = {"fc8": {"of": "digits", "weights_file": str(tmp_path / "gone.pth")}}
    profile = parse_profile(TINY | {"features": features})
    with pytest.raises(WeightsError, match=r"gone\.pth"):
        check_graph(profile, list(profile.graph.nodes), where)
    assert list(check_graph(profile, ["rates"], where).data) == ["digits"], "nothing asks for the features"


def test_a_test_image_that_is_a_training_image_is_refused(where, tmp_path):
    pets = tmp_path / "pets"
    for split in ("train", "test"):
        write_images(pets / split, ("a", "b"), 6)
    image = next((pets / "train" / "a").iterdir())
    (pets / "test" / "a" / f"again-{image.name}").write_bytes(image.read_bytes())
    content = TINY | {"data": {"pets": {"source": "folder", "path": str(pets)}}}
    content["studies"] = {"look": TINY["studies"]["look"] | {"on": "pets"}}
    with pytest.raises(LeakageError):
        check_graph(parse_profile(content), ["look"], where)
