"""Every method, over a slide: stitched, resumable, refined and named like the others."""

from pathlib import Path

import numpy as np
import pytest
import torch
from networks import every_model
from small_runs import ALL, assert_same_bits, explained
from unets import small_segmenter

from napari_smoothsal import Compute, SaliencySpec, Tiling
from napari_smoothsal.attribution import METHODS
from napari_smoothsal.attribution.base import ImageMethod, PerturbationMethod, options_of
from napari_smoothsal.attribution.perturbation import PerturbedTile
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.models import Model
from napari_smoothsal.render.words import legend, map_title
from napari_smoothsal.runs.estimate import estimate_run
from napari_smoothsal.runs.refine import refine_region
from napari_smoothsal.slides import ArraySlide

FREE: dict[str, object] = {"mask_px": 8, "iterations": 2, "sparsity": 0.0, "smoothness": 0.0}
"""Of a mask that nothing holds: a random network's probability is hardly worth one."""
# Few iterations suffice to see that they run, and not for the area.
pytestmark = pytest.mark.filterwarnings("ignore:.*have the area asked for")

QUICK: dict[str, dict[str, object]] = {
    "integrated_gradients": {"steps": 3},
    "gradient_shap": {"baseline": "white", "draws": 2},
    "rise": {"masks": 24},
    "occlusion": {"size_px": 32, "stride_px": 32},
    "lime": {"samples": 24, "size_px": 24},
    "kernel_shap": {"samples": 24, "size_px": 24},
    "shapley_sampling": {"permutations": 2, "size_px": 32},
    "igos": FREE | {"steps": 2},
    "igos_plus": FREE | {"steps": 2},
    "igos_plus_plus": FREE | {"steps": 2},
    "meaningful_perturbation": FREE,
    "extremal_perturbation": {"mask_px": 8, "iterations": 2},
}
"""Enough to see that they run."""
REGION = (20, 20, 90, 90)


def spec_of(method: str, **fields: object) -> SaliencySpec:
    at_the_image = isinstance(METHODS[method], ImageMethod)
    return SaliencySpec(
        layer="input" if at_the_image else "layer2",
        method=method,
        method_options=QUICK.get(method, {}),
        samples=2,
        target=0,
        **fields,
    )


@pytest.fixture(scope="module")
def resnet() -> Model:
    return every_model()["resnet"]


@pytest.mark.parametrize("method", METHODS)
def test_a_slide_is_explained_by_every_method(
    method: str, resnet: Model, noisy: ArraySlide, tmp_path: Path
) -> None:
    run = explained(noisy, resnet, tmp_path / "a.zarr", [spec_of(method)], region=REGION)
    (run_map,) = run.maps.values()
    values = np.asarray(run_map.levels[0])
    assert np.isfinite(values).mean() > 0.5 and np.nanmax(np.abs(values)) > 0
    assert run_map.spec.method == method
    uses = METHODS[method].uses_gradients
    assert run_map.spec.denoising == ("centred_hook" if uses else "original")


@pytest.mark.parametrize(
    "method", ["rise", "occlusion", "gradient_shap", "lrp_epsilon", "igos_plus_plus"]
)
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    method: str, resnet: Model, noisy: ArraySlide, tmp_path: Path
) -> None:
    calls = iter(range(10_000))
    settings = {"compute": Compute(batch_size=3), "region": REGION}
    whole = explained(noisy, resnet, tmp_path / "b.zarr", [spec_of(method)], **settings)
    path = tmp_path / "c.zarr"
    explained(noisy, resnet, path, [spec_of(method)], stop=lambda: next(calls) > 5, **settings)
    again = explained(noisy, resnet, path, [spec_of(method)], **settings)
    assert_same_bits(whole, again)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:masks of some tiles hide nearly all")
def test_a_segmenter_is_explained_by_every_method(
    method: str, noisy: ArraySlide, tmp_path: Path
) -> None:
    spec = spec_of(method)
    if spec.layer != "input":
        spec = spec.model_copy(update={"layer": "stem"})
    run = explained(noisy, small_segmenter(), tmp_path / "a.zarr", [spec], region=REGION)
    (run_map,) = run.maps.values()
    assert np.isfinite(np.asarray(run_map.levels[0])).mean() > 0.5


@pytest.mark.parametrize("method", ["rise", "occlusion", "integrated_gradients", "igos_plus_plus"])
def test_a_region_is_refined_and_ends_as_it_would_at_once(
    method: str, resnet: Model, noisy: ArraySlide, tmp_path: Path
) -> None:
    rounds = []
    spec, region = spec_of(method), REGION
    run = refine_region(
        noisy, resnet, [spec], tmp_path / "rounds", region=region, tiling=ALL,
        on_round=lambda run, _done: rounds.append(run.path),
    )  # fmt: skip
    assert run is not None
    at_once = explained(noisy, resnet, tmp_path / "a.zarr", [spec], region=region)
    for one, two in zip(run.maps.values(), at_once.maps.values(), strict=True):
        a, b = np.asarray(one.levels[0]), np.asarray(two.levels[0])
        assert np.allclose(a, b, rtol=1e-3, atol=1e-5 * float(np.nanmax(np.abs(b))), equal_nan=True)


def test_an_estimate_waits_for_no_whole_tile(resnet: Model, noisy: ArraySlide) -> None:
    """Of RISE with masks for hours it is told from the first seconds."""
    import time

    few, many = (
        SaliencySpec(layer="input", method="rise", method_options={"masks": count})
        for count in (200, 20_000)
    )
    tiling = Tiling(tissue="all", tile_px=64)
    began = time.monotonic()
    long = estimate_run(noisy, resnet, [many], tiling=tiling).seconds
    short = estimate_run(noisy, resnet, [few], tiling=tiling).seconds
    assert short is not None and long is not None
    assert time.monotonic() - began < long / 2
    assert 10 < long / short < 1000


def test_a_mask_finer_than_a_tile_is_refused_before_anything_is_written(
    resnet: Model, noisy: ArraySlide, tmp_path: Path
) -> None:
    spec = SaliencySpec(layer="input", method="igos", method_options={"mask_px": 300})
    with pytest.raises(SettingError, match="mask_px = 300"):
        explained(noisy, resnet, tmp_path / "a.zarr", [spec], region=REGION)
    assert list(tmp_path.iterdir()) == []


def test_activations_say_nothing_of_the_target(
    resnet: Model, noisy: ArraySlide, tmp_path: Path
) -> None:
    run = explained(noisy, resnet, tmp_path / "a.zarr", [spec_of("activation")], region=REGION)
    (run_map,) = run.maps.values()
    assert legend(run_map) == ("is active", "is below zero")


@pytest.mark.parametrize("method", ["kernel_shap", "occlusion", "lime"])
def test_pieces_larger_than_a_tile_are_refused_before_anything_is_written(
    method: str, resnet: Model, noisy: ArraySlide, tmp_path: Path
) -> None:
    spec = SaliencySpec(layer="input", method=method, method_options={"size_px": 300})
    with pytest.raises(SettingError, match="300"):
        explained(noisy, resnet, tmp_path / "a.zarr", [spec], region=REGION)
    assert list(tmp_path.iterdir()) == []


def test_images_of_one_s_own_are_no_baseline_of_a_slide(
    resnet: Model, noisy: ArraySlide, tmp_path: Path
) -> None:
    spec = SaliencySpec(
        layer="layer2", method="deeplift", method_options={"baseline": "custom"}, samples=0
    )
    with pytest.raises(SettingError, match=r"'custom'.*explain_tiles.*another baseline"):
        explained(noisy, resnet, tmp_path / "a.zarr", [spec], region=REGION)
    assert list(tmp_path.iterdir()) == []


def test_an_option_without_use_is_said_and_not_in_the_title(
    resnet: Model, noisy: ArraySlide, tmp_path: Path
) -> None:
    given = {"pieces": "superpixel", "size_px": 24, "stride_px": 60}
    spec = SaliencySpec(layer="input", method="occlusion", method_options=given, samples=0)
    with pytest.warns(UserWarning, match="'occlusion' has no use for stride_px = 60: left out"):
        run = explained(noisy, resnet, tmp_path / "a.zarr", [spec], region=REGION)
    (run_map,) = run.maps.values()
    assert run_map.spec.method_options == {"pieces": "superpixel", "size_px": 24}
    assert "stride" not in map_title(run_map) and "superpixel" in map_title(run_map)


@pytest.mark.parametrize(
    "given", [{}, {"size_um": 5.0}, *({"pieces": p} for p in ("circle", "superpixel", "nucleus"))]
)
def test_what_is_said_to_have_no_use_changes_nothing_and_the_rest_does(given: dict) -> None:
    colours = torch.rand(3, 96, 96, generator=torch.Generator().manual_seed(0))
    tile = PerturbedTile(colours, colours, lambda images: images, 0.5, seed=0)
    method = METHODS["occlusion"]
    assert isinstance(method, PerturbationMethod)

    def covered(**more: object) -> tuple[int, float]:
        way = method.perturb(tile, options_of(method, given | more))
        images = way.images(range(way.count))
        return way.count, float(images.double().square().sum())

    for option, value in {"size_px": 20, "size_um": 7.0, "stride_px": 3}.items():
        if option not in given:
            idle = option in method.idle(options_of(method, given))
            assert (covered() == covered(**{option: value})) == idle
