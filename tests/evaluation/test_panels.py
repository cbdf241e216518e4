"""Which tiles are drawn, and that their maps are those of the label, laid where they belong."""

import numpy as np
import pytest
from networks import SingleLogit, every_model, wrapped
from noise_tiles import NoiseTiles

from napari_smoothsal import Compute, total_variation
from napari_smoothsal.attribution.tiles import explain_tiles
from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.evaluation.panels import chosen, panels
from napari_smoothsal.evaluation.paper import Wanted

COMPUTE = Compute(device="cpu", precision="fp32")


@pytest.mark.parametrize(
    ("labels", "how_many", "expected"),
    [
        ([0] * 4 + [1] * 4, 2, [2, 6]),
        ([0] * 4 + [1] * 4, 3, [1, 3, 6]),
        ([1, 0, 0, 0, 0], 4, [1, 3, 4, 0]),
        ([1, 0], 9, [1, 0]),
        ([1, 0], 0, []),
        ([], 2, []),
    ],
)
def test_as_many_tiles_of_each_class(labels: list[int], how_many: int, expected: list[int]) -> None:
    found = chosen(labels, how_many)
    assert found == expected and len(set(found)) == len(found)


def test_maps_are_of_the_label_and_lie_where_they_belong() -> None:
    model, tiles = every_model()["resnet"], NoiseTiles([1, 0, 1])
    wanted = Wanted(layers=("layer1", "layer2"), samples=2)
    found = panels(model, tiles, wanted, COMPUTE, 2)
    assert [(t.number, t.tile, t.method) for t in found] == [
        (1, "tile1", "gradient"),
        (1, "tile1", "deeplift"),
        (2, "tile2", "gradient"),
        (2, "tile2", "deeplift"),
    ]
    assert np.array_equal(found[2].picture, tiles.images([2])[0].permute(1, 2, 0).numpy())
    assert [(p.layer, p.denoising) for p in found[2].panels] == [
        (layer, denoising) for layer in wanted.layers for denoising in wanted.denoisings
    ]
    at = {(p.layer, p.denoising): p for p in found[2].panels}
    spec = SaliencySpec(
        layer="layer1", method="gradient", denoising="backward_hook", samples=2, target=1
    )
    alone = explain_tiles(model, tiles.images([0, 1, 2]), spec, COMPUTE)
    panel, info = at["layer1", "backward_hook"], model.layer("layer1")
    assert np.allclose(panel.values, alone.maps[2].sum(0), rtol=1e-3, atol=1e-7)
    assert panel.tv == pytest.approx(float(total_variation(alone.maps)[2]), rel=1e-3)
    assert panel.stride == info.stride
    assert any(panel.moved)
    assert panel.centre == tuple(c - m for c, m in zip(info.centre, panel.moved, strict=True))
    original = at["layer1", "original"]
    assert not any(original.moved) and original.centre == info.centre
    # Of a product of gradient and activation neither is laid back.
    assert not any(any(p.moved) for p in found[3].panels)


def test_what_the_model_gives_the_label_is_said() -> None:
    model, tiles = every_model()["resnet"], NoiseTiles([0, 1])
    given = explain_tiles(
        model, tiles.images([0, 1]), SaliencySpec(layer="layer1", samples=0), COMPUTE
    ).original_probabilities
    wanted = Wanted(layers=("layer1",), methods=("gradient",), samples=0)
    for row, tile in enumerate(panels(model, tiles, wanted, COMPUTE, 2)):
        name = model.readout.outcomes[row]
        assert f"gives {name} a probability of {given[row, row]:.2f}" in tile.said
        assert ("and predicts" in tile.said) == (int(given[row].argmax()) != row)


def test_of_a_single_logit_the_other_outcome_has_the_negative() -> None:
    model, tiles = wrapped(SingleLogit(), "tumour"), NoiseTiles([0, 1], 32)
    layer = model.layers()[1].name
    wanted = Wanted((layer,), ("gradient",), ("original",), samples=0)
    first, second = panels(model, tiles, wanted, COMPUTE, 2)
    spec = SaliencySpec(layer=layer, method="gradient", denoising="original", samples=0, target=0)
    alone = explain_tiles(model, tiles.images([0, 1]), spec, COMPUTE)
    assert np.allclose(first.panels[0].values, alone.maps[0].sum(0), atol=1e-7)
    assert np.allclose(second.panels[0].values, -alone.maps[1].sum(0), atol=1e-7)
    assert second.label == "not tumour"
    share = 1 - float(alone.original_probabilities[1, 0])
    assert f"gives not tumour a probability of {share:.2f}" in second.said
