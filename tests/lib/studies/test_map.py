"""A map is of the network that the sweep chose; where that has no hidden layer, the record says so."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from lib.errors import ConfigError
from lib.graph import check_graph, ready_node
from lib.mlp.store import load_network
from lib.places import Places
from lib.profile import parse_profile
from lib.studies.map import Shown
from lib.studies.record import open_record


def mapped(folder, hidden, learning_rate=0.2, **settings):
    profile = parse_profile(
        {
            "name": "mine",
            "data": {"digits": {"source": "digits"}},
            "studies": {
                "heads": {
                    "kind": "sweep",
                    "on": "digits",
                    "seeds": [0],
                    "variants": {
                        "one": {"base": {"epochs": 12, "learning_rate": learning_rate}, "grid": {"hidden": hidden}}
                    },
                },
                "map": {"kind": "map", "of": "heads", "sample": 120, "perplexity": 10, "iterations": 400} | settings,
            },
        }
    )
    where = Places(data=folder / "data", mlruns=folder / "mlruns", tracking_uri="")
    check_graph(profile, list(profile.graph.nodes), where)
    return [ready_node(profile, name, where).run() for name in ("heads", "map")]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return mapped(tmp_path_factory.mktemp("map"), [[32, 16]])


def test_rows_that_the_hidden_layer_puts_together_are_together_on_the_map(records, tmp_path):
    from lib.datasets import acquire
    from lib.datasets.sources import parse_source

    sweep, record = records
    result = record.result
    assert (result.shown, result.units) == (Shown.MAP, 16)
    pixels = acquire(parse_source({"source": "digits"}), tmp_path).pixels("train")[list(result.rows)]
    layer = load_network(sweep.folder / sweep.model.network).hidden_activations(pixels)
    nearest = np.argsort(cdist(layer, layer), axis=1)[:, 1:6]
    on_map = np.argsort(cdist(result.points, result.points), axis=1)[:, 1:6]
    shared = np.mean([len({*a} & {*b}) / 5 for a, b in zip(nearest, on_map, strict=True)])
    assert shared > 0.4, "by chance it were 0.04"


def test_the_rows_have_the_classes_in_proportion_and_their_own_labels(records):
    result = records[1].result
    assert len(result.rows) == len(result.labels) == 120
    assert np.ptp(np.bincount(result.labels)) <= 3
    table = (records[1].folder / "tables" / "points.csv").read_text().splitlines()
    assert table[0] == "row,class,x,y"
    assert len(table) == 121


def test_the_record_is_read_again_as_it_was_made_and_says_what_was_mapped(records):
    record = records[1]
    assert open_record(record.folder) == record
    shown = record.present()
    result = record.result
    away, labels = cdist(result.points, result.points), np.array(result.labels)
    np.fill_diagonal(away, np.inf)
    share = (labels[away.argmin(axis=1)] == labels).mean()
    assert shown.headline == f"{share:.1%} of 120 training images lie nearest to one of their own class"
    assert shown.parent.metrics == {"kl_divergence": record.result.divergence}
    assert [figure.file for figure in record.figures] == ["map.svg"]


def test_a_sweep_that_chose_a_linear_probe_has_no_map_and_does_not_fail(tmp_path):
    # A network of one unit is worse than a linear probe, and one that must be tried makes the map possible.
    sweep, record = mapped(tmp_path, [[], [1]])
    assert sweep.result.configurations[sweep.result.best].trial.hidden == ()
    assert record.result.shown is Shown.NO_HIDDEN_LAYER
    assert record.figures == record.tables == ()
    assert record.present().headline == "no map: the chosen network is a linear probe and has no hidden layer"


def test_a_sweep_whose_networks_all_diverged_has_no_map_and_does_not_fail(tmp_path):
    with np.errstate(all="ignore"):
        _, record = mapped(tmp_path, [[4]], learning_rate=1e30)
    assert (record.result.shown, record.figures) == (Shown.DIVERGED, ())
    assert record.present().headline == "no map: the chosen network diverged"


def test_a_sweep_of_linear_probes_alone_is_refused_before_anything_is_computed(tmp_path):
    with pytest.raises(ConfigError, match=r"studies.map.of: every variant of 'heads' is a linear probe"):
        mapped(tmp_path, [[]])
    assert not (tmp_path / "data" / "studies").exists()


@pytest.mark.parametrize("of", ["digits", "fc8"])
def test_pixels_and_features_are_mapped_as_they_are(tmp_path, of):
    profile = parse_profile(
        {
            "name": "mine",
            "data": {"digits": {"source": "digits"}},
            "features": {"fc8": {"of": "digits", "layer": "fc8", "weights": "random", "input_size": 64}},
            "studies": {"map": {"kind": "map", "of": of, "sample": 200, "perplexity": 10, "iterations": 300}},
        }
    )
    where = Places(data=tmp_path / "data", mlruns=tmp_path / "mlruns", tracking_uri="")
    check_graph(profile, profile.graph.with_needs(["map"]), where)
    if of == "fc8":
        ready_node(profile, "fc8", where).run()
    record = ready_node(profile, "map", where).run()
    result = record.result
    assert (result.shown, result.network, result.units) == (Shown.MAP, "", 64 if of == "digits" else 1000)
    nearest = np.argsort(cdist(result.points, result.points), axis=1)[:, 1]
    same = np.mean(np.array(result.labels)[nearest] == result.labels)
    assert same > (0.8 if of == "digits" else 0.5), "by chance it were 0.1"
    assert record.present().title.startswith(f"t-SNE of {of} (")
