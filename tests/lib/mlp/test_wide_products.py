"""Products of wide rows: both libraries give them, and the processor alone says which is taken."""

from __future__ import annotations

import pytest
import torch

from lib.mlp import torch_program, wide_products
from lib.mlp.fused import train_many
from lib.mlp.grouping import WIDE
from lib.mlp.training import TrialData
from lib.mlp.trial import Trial
from lib.mlp.wide_products import BY_BLAS, BY_ONEDNN

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="torch has no oneDNN on this processor"
)


@pytest.fixture
def processor(monkeypatch, tmp_path):
    """Have this be a processor of some make."""

    def be(capability: str, vendor: str | None) -> None:
        information = tmp_path / "cpuinfo"
        if vendor is not None:
            information.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\n")
        monkeypatch.setattr(wide_products, "_CPUINFO", information)
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
        wide_products.onednn_is_faster.cache_clear()

    yield be
    wide_products.onednn_is_faster.cache_clear()


@needs_onednn
@pytest.mark.parametrize("units", [1, 5, 300])
@pytest.mark.parametrize("count", [1, 7, 32])
def test_both_give_the_same_products(units, count):
    generator = torch.Generator().manual_seed(0)
    weights, rows, delta = (
        torch.randn(shape, generator=generator) for shape in ((units, 4096), (count, 4096), (units, count))
    )
    exact = (weights.double() @ rows.double().T, delta.double() @ rows.double())
    for products in (BY_BLAS, BY_ONEDNN):
        out = torch.full((units, count), torch.nan)
        products.outputs(weights, rows, out)
        made = products.gradient(delta, rows, torch.full((units, 4096), torch.nan))
        for found, expected in ((out, exact[0]), (made, exact[1])):
            torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-3)
            assert found.is_contiguous()


@needs_onednn
@pytest.mark.parametrize(
    ("capability", "vendor", "faster"),
    [("AVX512", "AuthenticAMD", True), ("AVX512", "GenuineIntel", False), ("AVX2", "AuthenticAMD", False)],
)
def test_the_processor_says_which_is_taken(processor, capability, vendor, faster):
    processor(capability, vendor)
    assert wide_products.wide_products(torch.float32) is (BY_ONEDNN if faster else BY_BLAS)
    assert wide_products.wide_products(torch.float64) is BY_BLAS


def test_a_system_that_does_not_tell_its_processor_takes_torch_s_own(processor):
    processor("AVX512", None)
    assert wide_products.wide_products(torch.float32) is BY_BLAS


@needs_onednn
@pytest.mark.parametrize(
    "settings", [{"optimizer": "adam"}, {"momentum": 0.9, "l2": 0.1}, {"optimizer": "adamw", "weight_decay": 0.1}]
)
def test_networks_train_alike_by_both(settings, monkeypatch):
    generator = torch.Generator().manual_seed(1)
    X = torch.randn((70, WIDE), generator=generator).numpy()
    y = torch.randint(3, (70,), generator=generator).numpy()
    data = TrialData(X, y, X[:20], y[:20], 3)
    trials = [Trial(hidden=(9,), learning_rate=0.001, epochs=2, seed=seed, **settings) for seed in (0, 1)]
    found = []
    for products in (BY_BLAS, BY_ONEDNN):
        monkeypatch.setattr(torch_program, "wide_products", lambda dtype, products=products: products)
        found.append(train_many(trials, data))
    for one, other in zip(*found, strict=True):
        losses, others = ([epoch["train_loss"] for epoch in each.history] for each in (one, other))
        assert losses == pytest.approx(others, rel=1e-3)
        assert losses[0] > losses[-1]
