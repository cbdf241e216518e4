"""Maps of methods that walk from a baseline, and what they are compared with."""

import torch
from networks import every_model

from napari_smoothsal import Compute, SaliencySpec, explain_tiles
from napari_smoothsal.attribution import TileMaps
from napari_smoothsal.models import Model

FP64 = Compute(precision="fp64", device="cpu")
MODELS = every_model()


def tiles(n: int, size: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def normalised(model: Model, images: torch.Tensor) -> torch.Tensor:
    mean, std = (
        torch.tensor(v).double().reshape(1, 3, 1, 1) for v in (model.card.mean, model.card.std)
    )
    return (images.double() - mean) / std


def explained(model: Model, images: torch.Tensor, layer: str, method: str, **fields) -> TileMaps:
    fields = {"samples": 0, "denoising": "original", **fields}
    baselines = fields.pop("baselines", None)
    spec = SaliencySpec(layer=layer, method=method, **fields)
    return explain_tiles(model, images, spec, FP64, baselines=baselines)


def integrated(model: Model, images: torch.Tensor, layer: str, **options) -> TileMaps:
    return explained(model, images, layer, "integrated_gradients", method_options=options)


def agree(ours: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-6) -> None:
    scale = expected.abs().max()
    assert scale > 0
    assert (ours.double() - expected).abs().max() <= tolerance * scale


def above(model: Model, layer: str, images: torch.Tensor, put: torch.Tensor) -> torch.Tensor:
    """The network's output with a layer's output replaced: every row runs from the image on."""
    handle = model.module.get_submodule(layer).register_forward_hook(lambda *_: put.clone())
    try:
        return model.module(images)
    finally:
        handle.remove()


def output_of(model: Model, layer: str, images: torch.Tensor) -> torch.Tensor:
    seen = []
    handle = model.module.get_submodule(layer).register_forward_hook(
        lambda _m, _i, output: seen.append(output.clone())
    )
    with torch.no_grad():
        model.module(images)
    handle.remove()
    return seen[0]
