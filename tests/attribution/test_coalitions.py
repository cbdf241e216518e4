"""LIME, KernelSHAP and Shapley sampling: additive scores, every coalition there is, and Captum."""

import itertools
import math
import warnings

import pytest
import torch
from captum._utils.models.model import Model as Interpretable
from captum.attr import KernelShap, Lime, ShapleyValueSampling
from networks import every_model
from perturbing import masks_of, perturbation_of, perturbed, score_of, scored, tile_of
from unets import small_segmenter

from napari_smoothsal.attribution import explain_tiles
from napari_smoothsal.attribution.perturbation import Perturbation, PerturbedTile
from napari_smoothsal.attribution.segments import superpixels
from napari_smoothsal.core.errors import SmoothsalError
from napari_smoothsal.core.specs import Compute, SaliencySpec

MODELS = {**every_model(), "u_net": small_segmenter()}
SHAPLEY = ("kernel_shap", "shapley_sampling")
EVERY = ("lime", *SHAPLEY)


def colours(side: int = 48) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    rough = torch.rand(1, 3, 6, 6, generator=generator, dtype=torch.float64)
    return torch.nn.functional.interpolate(rough, (side, side), mode="bicubic").clamp(0, 1)[0]


def linear(shape: torch.Size):
    """Weights and the score that they make."""
    weights = torch.randn(shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return weights, lambda images: (images * weights).flatten(1).sum(1) + 3.0


def labels_of(tile: PerturbedTile, size_px: int) -> torch.Tensor:
    return superpixels(tile.colours, size_px)


def per_superpixel(values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(P,) sums over each superpixel's pixels."""
    return torch.stack([values[..., labels == label].sum() for label in range(labels.max() + 1)])


def shares_of(perturbation: Perturbation, labels: torch.Tensor) -> torch.Tensor:
    found = perturbation.result()
    for label in range(int(labels.max()) + 1):
        assert found[0][labels == label].std(correction=0) <= 1e-12 * found.abs().max()
    return per_superpixel(found, labels)


def seen_of(name: str, tile: PerturbedTile, labels: torch.Tensor, **options) -> torch.Tensor:
    """(count, P) 0 or 1: which superpixels each image shows; whole ones alone."""
    masks = masks_of(name, tile, **options).flatten(1)
    first = [int((labels.flatten() == label).nonzero()[0]) for label in range(labels.max() + 1)]
    seen = masks[:, first].long()
    assert torch.equal(masks, seen[:, labels.flatten()].to(masks.dtype))
    return seen


def every_coalition(tile: PerturbedTile, labels: torch.Tensor, score) -> dict[tuple, float]:
    players = int(labels.max()) + 1
    coalitions = list(itertools.product((0, 1), repeat=players))
    masks = torch.tensor(coalitions, dtype=tile.image.dtype)[:, labels]
    scores = torch.cat([score(tile.image * mask[:, None]) for mask in masks.split(64)])
    return dict(zip(coalitions, scores.tolist(), strict=True))


def shapley_values(values: dict[tuple, float]) -> torch.Tensor:
    """By the definition: sum over S without j of |S|! (P - |S| - 1)! / P! (v(S + j) - v(S))."""
    players = len(next(iter(values)))
    found = torch.zeros(players, dtype=torch.float64)
    for seen, value in values.items():
        size = sum(seen)
        weight = math.factorial(size) * math.factorial(players - size - 1) if size < players else 0
        for j in range(players):
            if not seen[j]:
                more = (*seen[:j], 1, *seen[j + 1 :])
                found[j] += weight / math.factorial(players) * (values[more] - value)
    return found


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lime", {"samples": 60, "ridge": 0.0}),
        ("lime", {"samples": 60, "ridge": 0.0, "distance": "euclidean"}),
        ("kernel_shap", {"samples": 80}),
        ("shapley_sampling", {"permutations": 1}),
    ],
)
def test_of_a_sum_over_superpixels_each_gets_its_term(name: str, options) -> None:
    tile = perturbed(colours(), seed=2, mean=0.5)
    weights, score = linear(tile.image.shape)
    labels = labels_of(tile, 12)
    expected = per_superpixel(weights * tile.image, labels)
    found = scored(perturbation_of(name, tile, size_px=12, **options), score, batch=7)
    assert torch.allclose(shares_of(found, labels), expected, rtol=1e-9, atol=1e-9)
    if name != "shapley_sampling":
        assert found.relative_standard_error() < 1e-6


def test_a_ridge_shrinks() -> None:
    tile = perturbed(colours(), mean=0.5)
    _, score = linear(tile.image.shape)
    sizes = [
        float(scored(perturbation_of("lime", tile, ridge=ridge), score).result().norm())
        for ridge in (0.0, 1.0, 1000.0)
    ]
    assert sizes[0] > sizes[1] > 4 * sizes[2]


@pytest.mark.parametrize("name", SHAPLEY)
@pytest.mark.parametrize("network", MODELS)
def test_shapley_values_add_up_to_the_score_less_that_of_nothing(network: str, name: str) -> None:
    model = MODELS[network]
    tile, score = tile_of(model, model.card.input_size), score_of(model)
    rise = float(score(tile.image[None]) - score(torch.zeros_like(tile.image)[None]))
    options = {"samples": 20} if name == "kernel_shap" else {"permutations": 1}
    perturbation = perturbation_of(name, tile, size_px=tile.image.shape[1] // 4, **options)
    # From the second score on, whatever is known.
    for number in range(perturbation.count):
        perturbation.add([number], score(perturbation.images([number])))
        if number:
            assert float(perturbation.result().sum()) == pytest.approx(rise, rel=1e-9, abs=1e-12)
    assert perturbation.result().shape == (1, *tile.image.shape[1:])


@pytest.mark.parametrize(
    ("name", "options"),
    [("kernel_shap", {"samples": 4000}), ("shapley_sampling", {"permutations": 300})],
)
@pytest.mark.parametrize("network", ["resnet", "u_net"])
def test_they_come_near_the_definition(network: str, name: str, options) -> None:
    model = MODELS[network]
    tile, score = tile_of(model, 48, seed=1), score_of(model)
    labels = labels_of(tile, 16)
    assert 6 <= labels.max() + 1 <= 10
    values = every_coalition(tile, labels, score)
    exact = shapley_values(values)
    seen = seen_of(name, tile, labels, size_px=16, **options)
    perturbation = perturbation_of(name, tile, size_px=16, **options)
    known = torch.tensor([values[tuple(row)] for row in seen.tolist()], dtype=torch.float64)
    perturbation.add(range(len(known)), known)
    found = shares_of(perturbation, labels)
    area = torch.bincount(labels.flatten())
    missed = ((found - exact).square() / area).sum().sqrt() / (found.square() / area).sum().sqrt()
    assert missed < 2 * perturbation.relative_standard_error() < 0.1


class LeastSquares(Interpretable):
    """A weighted ridge with an intercept, as Captum takes it; solved from all samples at once."""

    def __init__(self, ridge: float = 0.0) -> None:
        self.ridge = ridge

    def fit(self, train_data, **_kwargs):
        ((seen, targets, weights),) = train_data
        seen, targets, weights = seen.double(), targets.double(), weights.double()
        rows = torch.cat([torch.ones(len(seen), 1), seen], 1) * weights.sqrt()[:, None]
        shrink = math.sqrt(self.ridge) * torch.eye(rows.shape[1], dtype=torch.float64)[1:]
        targets = torch.cat([targets * weights.sqrt(), torch.zeros(len(shrink))])
        self.found = torch.linalg.lstsq(torch.cat([rows, shrink]), targets[:, None]).solution

    def representation(self) -> torch.Tensor:
        return self.found[1:, 0]

    def __call__(self, x):
        raise NotImplementedError


def captums(explainer, tile: PerturbedTile, labels: torch.Tensor, **more) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = explainer.attribute(
            tile.image[None], baselines=0.0, feature_mask=labels[None, None], **more
        )
    return torch.stack([found[0, 0][labels == i][0] for i in range(labels.max() + 1)]).double()


@pytest.mark.parametrize("network", ["resnet", "single_logit", "u_net"])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_lime_equals_captums_with_the_same_samples(network: str, distance: str) -> None:
    model = MODELS[network]
    tile, score = tile_of(model, model.card.input_size, seed=1), score_of(model)
    size_px = tile.image.shape[1] // 4
    labels = labels_of(tile, size_px)
    options = {"size_px": size_px, "samples": 80, "distance": distance, "ridge": 0.5}
    seen = seen_of("lime", tile, labels, **options)
    assert seen[0].all() and 0.4 < seen[1:].double().mean() < 0.6

    def samples(*_args, **_kwargs):
        yield from seen[:, None]

    def similarity(_tile, _image, coalition, **_kwargs) -> float:
        on, one = coalition[0].double(), torch.ones(coalition.shape[1]).double()
        if distance == "cosine":
            cosine = torch.dot(on, one) / (on.norm() * one.norm()) if on.any() else 0.0
            return math.exp(-((1 - cosine) ** 2) / (2 * 0.25**2))
        return math.exp(-((on - one).square().mean()) / (2 * 0.25**2))

    oracle = Lime(score, LeastSquares(0.5), similarity, samples)
    expected = captums(oracle, tile, labels, n_samples=80)
    ours = scored(perturbation_of("lime", tile, **options), score)
    found = shares_of(ours, labels)
    assert found.std() > 0
    assert torch.allclose(found, expected, atol=2e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("network", ["resnet", "single_logit", "u_net"])
def test_kernel_shap_equals_captums_with_the_same_coalitions(network: str) -> None:
    model = MODELS[network]
    tile, score = tile_of(model, model.card.input_size, seed=1), score_of(model)
    options = {"size_px": tile.image.shape[1] // 4, "samples": 100}
    labels = labels_of(tile, options["size_px"])
    seen = seen_of("kernel_shap", tile, labels, **options)
    assert not seen[0].any() and seen[1].all()
    assert torch.equal(seen[2::2] + seen[3::2], torch.ones_like(seen[2::2]))

    def samples(*_args, **_kwargs):
        yield from seen[:, None]

    oracle = KernelShap(score)
    oracle.perturb_func, oracle.interpretable_model = samples, LeastSquares()
    # Captum holds the end points with weights of this size; ours are exact.
    expected = captums(oracle, tile, labels, n_samples=len(seen))
    found = shares_of(scored(perturbation_of("kernel_shap", tile, **options), score), labels)
    assert found.std() > 0
    assert torch.allclose(found, expected, atol=5e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("network", ["resnet", "single_logit", "u_net"])
def test_shapley_sampling_equals_captums_with_the_same_orders(network: str) -> None:
    model = MODELS[network]
    tile, score = tile_of(model, model.card.input_size, seed=1), score_of(model)
    options = {"size_px": tile.image.shape[1] // 4, "permutations": 6}
    labels = labels_of(tile, options["size_px"])
    players = int(labels.max()) + 1
    seen = seen_of("shapley_sampling", tile, labels, **options)[2:].unflatten(0, (6, -1))
    when = (1 - seen).sum(1)  # in how many images of an order each superpixel is still hidden
    orders = when.argsort(1)
    assert all(sorted(order) == list(range(players)) for order in orders.tolist())
    assert torch.equal(orders[1::2], orders[::2].flip(1))
    oracle = ShapleyValueSampling(score)
    oracle.permutation_generator = lambda _features, _samples: iter(orders.tolist())
    expected = captums(oracle, tile, labels, n_samples=6)
    found = shares_of(scored(perturbation_of("shapley_sampling", tile, **options), score), labels)
    assert found.std() > 0
    assert torch.allclose(found, expected, rtol=1e-6, atol=1e-6 * float(expected.abs().max()))


def test_coalitions_have_the_sizes_of_the_shapley_kernel() -> None:
    tile = perturbed(colours())
    labels = labels_of(tile, 16)
    players = int(labels.max()) + 1
    seen = seen_of("kernel_shap", tile, labels, size_px=16, samples=4000)[2:]
    sizes = torch.arange(1, players)
    expected = 1 / (sizes * (players - sizes)).double()
    expected /= expected.sum()
    found = torch.bincount(seen.sum(1), minlength=players)[1:].double() / len(seen)
    # Sizes come in pairs, which doubles the variance at most.
    assert ((found - expected).abs() < 5 * (2 * expected / len(seen)).sqrt()).all()
    # And each superpixel is in as many as any other: one of a pair has it.
    assert (seen.double().mean(0) == 0.5).all()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lime", {"samples": 300}),
        ("lime", {"samples": 500, "kernel_width": 0.1}),
        ("kernel_shap", {"samples": 500}),
        ("shapley_sampling", {"permutations": 12}),
    ],
)
@pytest.mark.slow
def test_its_standard_error_is_the_scatter_of_repetitions(name: str, options) -> None:
    model = MODELS["functional"]
    fixed, score = tile_of(model, 32, seed=1), score_of(model)
    maps, errors = [], []
    for seed in range(40):
        tile = PerturbedTile(fixed.image, fixed.colours, fixed.normalised, fixed.mpp, seed)
        found = scored(perturbation_of(name, tile, size_px=4, **options), score, 50)
        maps.append(found.result())
        errors.append(found.relative_standard_error() * float(found.result().norm()))
    scatter = float(torch.stack(maps).var(0).sum().sqrt())
    assert scatter == pytest.approx(sum(errors) / len(errors), rel=0.12)


@pytest.mark.parametrize(
    ("name", "adds_up"), [("lime", False), ("kernel_shap", True), ("shapley_sampling", True)]
)
def test_by_how_much_the_values_do_not_add_up_is_told(name: str, adds_up: bool) -> None:
    model = MODELS["functional"]
    tile, score = tile_of(model, 32, seed=1), score_of(model)
    found = scored(perturbation_of(name, tile, size_px=8), score, upto=70)
    delta = found.convergence_delta()
    if adds_up:
        hidden, seen = score(perturbation_of(name, tile, size_px=8).images(range(2))).tolist()
        assert delta < 1e-9 < abs(seen - hidden)
    else:
        assert math.isnan(delta)


@pytest.mark.parametrize("name", ["lime", "kernel_shap"])
def test_too_few_scores_for_a_fit_are_told(name: str) -> None:
    model = MODELS["functional"]
    images = colours(32)[None]
    few = SaliencySpec(
        layer="input",
        method=name,
        denoising="original",
        method_options={"size_px": 8, "samples": 10},
    )
    with pytest.warns(UserWarning, match=f"{name}.*raise samples"):
        found = explain_tiles(model, images, few, Compute(precision="fp64", device="cpu"))
    assert found.standard_error.isnan().all()
    enough = few.model_copy(update={"method_options": {"size_px": 8, "samples": 80}})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = explain_tiles(model, images, enough, Compute(precision="fp64", device="cpu"))
    assert found.standard_error.isfinite().all()


@pytest.mark.parametrize("name", EVERY)
def test_neither_batches_nor_precision_change_what_is_seen(name: str) -> None:
    tile = perturbed(colours().float(), seed=7)
    _, score = linear(tile.image.shape)
    maps = []
    for batch in (1, 5, 64):
        perturbation = perturbation_of(name, tile, size_px=16)
        maps.append(scored(perturbation, lambda x: score(x.double()), batch, upto=70).result())
    assert maps[0].dtype == torch.float32 and maps[0].shape == (1, 48, 48)
    for other in maps[1:]:
        assert torch.allclose(other, maps[0], rtol=1e-4, atol=1e-5 * float(maps[0].abs().max()))
    narrow = perturbation_of(name, tile, size_px=16).images(range(40))
    wide = PerturbedTile(
        tile.image.double(), tile.colours.double(), tile.normalised, tile.mpp, tile.seed
    )
    assert torch.equal(narrow, perturbation_of(name, wide, size_px=16).images(range(40)).float())
    elsewhere = perturbation_of(name, perturbed(tile.colours, seed=8), size_px=16)
    assert not torch.equal(narrow, elsewhere.images(range(40)))


@pytest.mark.parametrize("name", EVERY)
def test_there_is_a_map_from_the_first_score_on(name: str) -> None:
    tile = perturbed(colours())
    _, score = linear(tile.image.shape)
    found = scored(perturbation_of(name, tile), score, upto=1)
    assert torch.isfinite(found.result()).all() and math.isnan(found.relative_standard_error())


@pytest.mark.parametrize("name", EVERY)
def test_a_tile_that_is_one_superpixel(name: str) -> None:
    tile = perturbed(torch.full((3, 16, 16), 0.25, dtype=torch.float64))
    weights, score = linear(tile.image.shape)
    options = {"ridge": 0.0} if name == "lime" else {}
    found = scored(perturbation_of(name, tile, size_px=16, **options), score).result()
    assert float(found.sum()) == pytest.approx(float((weights * tile.image).sum()), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("lime", {"samples": 0}, "samples"),
        ("lime", {"kernel_width": 0.0}, "kernel_width"),
        ("lime", {"ridge": -1.0}, "ridge"),
        ("kernel_shap", {"samples": 0}, "samples"),
        ("shapley_sampling", {"permutations": 0}, "permutations"),
        ("lime", {"size_px": 0}, "size_px"),
        ("kernel_shap", {"size_px": 100}, "superpixels of 100 px"),
        ("lime", {"fill": "blak"}, "black"),
        ("shapley_sampling", {"fill": "inpainted"}, "choose another"),
    ],
)
def test_what_cannot_work_is_refused(name: str, options, words: str) -> None:
    with pytest.raises(SmoothsalError, match=words):
        perturbation_of(name, perturbed(colours()), **options)
