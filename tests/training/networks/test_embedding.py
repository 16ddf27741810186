from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("timm")

from tellapart.images import Fit
from tellapart.images.samples import Sample
from tellapart.sources import read
from tellapart.training import Recipe
from tellapart.training.networks.embedding import Embedder
from tellapart.training.networks.exporting import Served, export_backbone
from tellapart.training.networks.making import make_network
from tellapart.training.pixels import Decoded, decode

pytestmark = pytest.mark.filterwarnings("ignore")
SIDE_PX = 64


@pytest.fixture(scope="module")
def decoded(clean_sample: Sample) -> Decoded:
    table = read(clean_sample.root)
    return decode(table, Fit(SIDE_PX), table.classes, n_channels=3).sampled(10)  # the last batch of the graph's is not full


def served(recipe: Recipe, decoded: Decoded) -> Served:
    network = make_network(recipe, decoded.pixels, n_classes=3, levels=decoded.channel_statistics())
    return Served(network, mirrored=False).eval()


def test_the_graph_has_the_features_that_pytorch_has(decoded: Decoded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELLAPART_RUNTIME", "onnxruntime")  # in float32
    recipe = Recipe("resnet18", "none", size=SIDE_PX, precision="float32")
    network, said = served(recipe, decoded), list[tuple[str, int, int]]()
    by_graph = Embedder.of(network, recipe, decoded.fit)
    assert by_graph.runtime is not None
    found = by_graph(decoded, lambda *words: said.append(words))
    n = len(decoded.pixels)
    assert n % 4, "one batch must not be full"
    assert found.shape == (n, 512)
    np.testing.assert_allclose(found, replace(by_graph, runtime=None)(decoded), rtol=1e-3, atol=1e-4)
    assert said[-1] == ("embedding", n, n)
    written = export_backbone(network, decoded.fit, arch=recipe.arch, weights="none", folder=tmp_path)
    assert np.array_equal(Embedder.of(network, recipe, decoded.fit, graph=written.path)(decoded), found)


def test_networks_of_ours_answer_in_pytorch(decoded: Decoded) -> None:
    recipe = Recipe("tutorial_cnn", size=SIDE_PX)
    assert Embedder.of(served(recipe, decoded), recipe, decoded.fit).runtime is None
