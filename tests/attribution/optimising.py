"""Models, tiles and plain passes for the tests of optimised masks."""

from __future__ import annotations

import torch
from networks import every_model
from torch import nn
from torch.nn import functional as F
from unets import small_segmenter

from napari_smoothsal import Compute, SaliencySpec
from napari_smoothsal.attribution import OptimisedMasks, optimise_masks
from napari_smoothsal.attribution.baselines import BASELINES
from napari_smoothsal.models import Model


class Sharpened(nn.Module):
    """Sure of class 0 on a tile, of another on what is blurred: random networks tell neither."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network = model.module.double()
        mean, std = normalisation(model)
        colours = tiles_of(model, 1)
        with torch.no_grad():
            seen, nothing = (
                self.network((x - mean) / std)
                for x in (colours, BASELINES["blurred"].make(colours, mean))
            )
            self.register_buffer(
                "middle", (seen + nothing).reshape(*seen.shape[:2], -1).mean(2) / 2
            )
            rise = (seen - nothing)[0, 0].mean()
        self.gain = float(6 / rise)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.network(x)
        logits = logits - self.middle.reshape(1, -1, *[1] * (logits.ndim - 2)).to(logits)
        return torch.cat([self.gain * logits[:, :1], logits[:, 1:]], dim=1)


FAMILY = ("igos", "igos_plus", "igos_plus_plus")
EXACT = Compute(precision="fp64", device="cpu")


def normalisation(model: Model) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(
        torch.tensor(v).double().reshape(1, 3, 1, 1) for v in (model.card.mean, model.card.std)
    )


def tiles_of(model: Model, count: int = 2, seed: int = 0) -> torch.Tensor:
    side = model.card.input_size
    generator = torch.Generator().manual_seed(seed)
    rough = torch.rand(count, 3, side // 8, side // 8, generator=generator).double()
    return F.interpolate(rough, (side, side), mode="bicubic").clamp(0, 1)


def optimised(
    model: Model, images: torch.Tensor, method: str, compute: Compute = EXACT, seed: int = 0,
    target: int | str = 0, **options: object,
) -> OptimisedMasks:  # fmt: skip
    spec = SaliencySpec(
        layer="input", method=method, method_options=options, target=target, seed=seed
    )
    return optimise_masks(model, images, spec, compute)


MODELS = {
    name: Model(Sharpened(model).eval(), model.card)
    for name, model in {**every_model(), "u_net": small_segmenter()}.items()
}


class OneImage:
    """What equations need, one image at a time."""

    def __init__(self, model: Model, colours: torch.Tensor, place: int) -> None:
        self.mean, self.std = normalisation(model)
        self.network, self.place = model.module.double().eval(), place
        self.colours = colours
        self.image = (colours - self.mean) / self.std
        blurred = BASELINES["blurred"].make(colours, self.mean)
        self.blurred = (blurred - self.mean) / self.std

    def probability(self, image: torch.Tensor) -> torch.Tensor:
        """Of class 0."""
        logits = self.network(image)
        if logits.ndim == 4 and logits.shape[2:] != (1, 1):
            chosen = self.pixels(logits)
            return (logits.softmax(1)[:, 0] * chosen).sum() / max(1, int(chosen.sum()))
        logits = logits.flatten(1)
        return torch.sigmoid(logits[0, 0]) if logits.shape[1] == 1 else logits.softmax(1)[0, 0]

    def pixels(self, logits: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return self.network(self.image).argmax(1) == 0

    def up(self, mask: torch.Tensor) -> torch.Tensor:
        size = self.image.shape[2:]
        return nn.UpsamplingBilinear2d(size=size)(mask[None, None])[0, 0]
