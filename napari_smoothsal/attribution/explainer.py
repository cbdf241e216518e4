"""Explainer: a network made ready once, then batches of tiles in and raw maps out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from napari_smoothsal.attribution.base import METHODS, options_of
from napari_smoothsal.attribution.capture import captured
from napari_smoothsal.attribution.device import Device, resolve_device
from napari_smoothsal.attribution.noise import Place, add_noise
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.denoise import DENOISINGS, denoised
from napari_smoothsal.denoise import options_of as denoising_options_of
from napari_smoothsal.models import Decision, LayerInfo, Model
from napari_smoothsal.models.exact import exact
from napari_smoothsal.models.fitting import cropped_to_tile, padded_to_fit
from napari_smoothsal.models.targets import Scope, Target, resolve_target


@dataclass(frozen=True)
class SpecMaps:
    """One spec's maps of one batch, on the CPU.

    Attributes
    ----------
    maps
        (B, C, h, w) float32, signed.
    target
        (B,) class explained; of a difference, the first.
    standard_error
        (B,) relative standard error of the mean over noise samples; NaN without noise.
    explained_px
        (B,) number of output pixels whose scores the explained scalar sums: 1 for one decision
        per tile; 0 where the class is predicted nowhere in the tile, whose map is zero.
    """

    maps: torch.Tensor
    target: torch.Tensor
    standard_error: torch.Tensor
    explained_px: torch.Tensor


@dataclass(frozen=True)
class BatchMaps:
    """Everything computed for one batch, on the CPU.

    Attributes
    ----------
    specs
        One `SpecMaps` per spec, in the order of the specs.
    decision
        What one noise-free pass says. Under denoisings that leave the forward pass alone it is
        the original model's.
    """

    specs: list[SpecMaps]
    decision: Decision

    @property
    def finite(self) -> torch.Tensor:
        """(B,) bool: whether a tile's logits and all of its maps are finite numbers."""
        good = torch.isfinite(self.decision.logits).all(1)
        for spec in self.specs:
            good &= torch.isfinite(spec.maps).flatten(1).all(1)
        return good


class Stopped(Exception):  # noqa: N818 - a wish that was granted, no error
    """A batch was given up because ``stop`` answered True."""


@dataclass(frozen=True)
class _Pass:
    """Specs that share every forward and backward pass: equal but for layer and method."""

    denoising: str
    denoising_options: tuple[tuple[str, object], ...]
    samples: int
    sigma: float
    seed: int
    target: Target


class Explainer:
    """A model, specs and compute settings, checked against each other and ready to run.

    Parameters
    ----------
    model
        Explained; it is copied, never changed.
    specs
        Maps to compute. Those that differ only in layer, method or reduction share their passes.
    compute
        Device, precision, batch size.
    scope
        What ``target=None`` means; see `resolve_target`.

    Raises
    ------
    SmoothsalError
        If a layer, method, denoising, target, option or device does not exist.
    """

    def __init__(
        self, model: Model, specs: Sequence[SaliencySpec], compute: Compute, scope: Scope
    ) -> None:
        self.model = model
        self.specs = list(specs)
        self.device: Device = resolve_device(compute)
        self.layers: list[LayerInfo] = [model.layer(spec.layer) for spec in specs]
        self.methods = [METHODS[spec.method] for spec in specs]
        self.targets = [
            resolve_target(
                model.card,
                spec.target,
                scope,
                options_of(method, spec.method_options).target_pixels,
            )
            for method, spec in zip(self.methods, specs, strict=True)
        ]
        self._passes: dict[_Pass, list[int]] = {}
        for index, spec in enumerate(specs):
            denoising_options_of(DENOISINGS[spec.denoising], spec.denoising_options)
            self._warn_if_nothing_to_denoise(spec, self.layers[index])
            noisy = spec.samples > 0 and spec.sigma > 0
            key = _Pass(
                spec.denoising,
                tuple(sorted(spec.denoising_options.items())),
                spec.samples if noisy else 0,
                spec.sigma if noisy else 0.0,
                spec.seed,
                self.targets[index],
            )
            self._passes.setdefault(key, []).append(index)
        self._network: nn.Module = self.device.prepared(model.module)
        shape = (1, -1, 1, 1)
        card = model.card
        self._mean = torch.tensor(card.mean, dtype=self.device.dtype).reshape(shape)
        self._std = torch.tensor(card.std, dtype=self.device.dtype).reshape(shape)
        self._mean = self._mean.to(self.device.device)
        self._std = self._std.to(self.device.device)

    def explain(
        self,
        images: torch.Tensor,
        places: Sequence[Place],
        stop: Callable[[], bool] | None = None,
    ) -> BatchMaps:
        """Maps of one batch.

        Parameters
        ----------
        images
            (B, C, H, W), uint8 0..255 or floating 0..1, at the model's resolution.
        places
            What the noise of each tile derives from; see `add_noise`.
        stop
            Asked before every pass: a large tile takes long.

        Returns
        -------
        BatchMaps
            A tile whose logits or maps are not finite keeps those values; see `finite`.

        Raises
        ------
        Stopped
            Once ``stop`` answers True.
        """
        with self.device.numerics():
            normalised = self._normalised(images)
            with torch.no_grad():
                decision = self.model.readout.decide(self._output(normalised))
            results: dict[int, SpecMaps] = {}
            for key, members in self._passes.items():
                results.update(self._run(key, members, normalised, places, decision, stop))
        return BatchMaps(
            specs=[results[index] for index in range(len(self.specs))],
            decision=decision.cpu(),
        )

    def _run(
        self,
        key: _Pass,
        members: list[int],
        images: torch.Tensor,
        places: Sequence[Place],
        decision: Decision,
        stop: Callable[[], bool] | None,
    ) -> dict[int, SpecMaps]:
        question = self.model.readout.ask(decision, key.target)
        layers = list(dict.fromkeys(self.specs[index].layer for index in members))
        denoising = DENOISINGS[key.denoising]
        options = denoising_options_of(denoising, dict(key.denoising_options))
        convolutions = list(
            dict.fromkeys(c for i in members for c in self.layers[i].strided_convs_above)
        )
        means = {index: _RunningMean() for index in members}
        # Where no tile of the batch has a pixel of the class, one pass gives the zeros their shape.
        samples = max(key.samples, 1) if question.explained_px.any() else 1
        for sample in range(samples):
            if stop is not None and stop():
                raise Stopped
            noisy = images
            if key.samples:
                noisy = add_noise(
                    images, places, key.sigma, key.seed, sample, shared=self.model.shares_noise
                )
            with (
                torch.enable_grad(),
                denoised(self._network, denoising, convolutions, options),
                captured(self._network, layers) as activations,
            ):
                scores = question.scores(self._output(noisy))
                gradients = torch.autograd.grad(
                    scores.sum(), [activations[layer] for layer in layers]
                )
            by_layer = dict(zip(layers, gradients, strict=True))
            with torch.no_grad():
                for index in members:
                    layer = self.specs[index].layer
                    attribution = self.methods[index].attribute(activations[layer], by_layer[layer])
                    means[index].add(self._on_the_tile(attribution, index, images))
        return {
            index: SpecMaps(
                maps=means[index].mean().float().cpu(),
                target=question.classes[:, 0].cpu().clone(),
                standard_error=means[index].relative_standard_error().cpu(),
                explained_px=question.explained_px.cpu(),
            )
            for index in members
        }

    def _normalised(self, images: torch.Tensor) -> torch.Tensor:
        images = images.to(self.device.device)
        scale = 255.0 if images.dtype == torch.uint8 else 1.0
        normalised = (images.to(self.device.dtype) / scale - self._mean) / self._std
        return normalised.contiguous(memory_format=torch.channels_last)

    def _output(self, images: torch.Tensor) -> torch.Tensor:
        """The network's output (B, classes, H, W) of the images' own pixels."""
        output = self._network(padded_to_fit(images, self.model.unit))
        output = self.model.readout.read(output, len(images))
        dense = self.model.output
        if dense is None:
            return output
        return cropped_to_tile(output, dense.stride, dense.centre, images.shape[2:])

    def _on_the_tile(self, maps: torch.Tensor, index: int, images: torch.Tensor) -> torch.Tensor:
        size = images.shape[2:]
        if all(side % self.model.unit == 0 for side in size):
            return maps  # nothing was padded
        layer = self.layers[index]
        return cropped_to_tile(maps, layer.stride, layer.centre, size)

    def batch_size(self, asked: int | Literal["auto"], tile_px: int) -> int:
        """Tiles per batch; ``"auto"`` is resolved from the size of the network's feature maps."""
        pixels = sum(
            info.channels / (info.stride[0] * info.stride[1]) for info in self.model.layers()
        )
        per_value = 8 if self.device.precision == "fp64" else 4
        # Forward maps, their gradients, and the running mean beside them.
        needed = int(3 * per_value * pixels * tile_px * tile_px)
        return self.device.batch_size(asked, needed)

    def _warn_if_nothing_to_denoise(self, spec: SaliencySpec, layer: LayerInfo) -> None:
        if spec.denoising != "original" and not layer.strided_convs_above:
            warnings.warn(
                f"no strided convolution lies above layer {spec.layer!r} of model "
                f"{self.model.card.name!r}: denoising {spec.denoising!r} has nothing to do there "
                "and its map equals the original's",
                stacklevel=3,
            )


class _RunningMean:
    """Mean of attributions over noise samples, and how certain it is."""

    def __init__(self) -> None:
        self._count = 0
        self._sum: torch.Tensor | None = None
        self._squares: torch.Tensor | None = None

    def add(self, maps: torch.Tensor) -> None:
        # Summed in at least float32: a bfloat16 sum stops growing after some hundred samples.
        maps = maps if maps.dtype == torch.float64 else maps.float()
        # Only the sum of squares over the whole map is kept: the standard error needs no more.
        squares = exact(maps).square().flatten(1).sum(1)
        if self._sum is None or self._squares is None:
            self._sum, self._squares = maps.clone(), squares
        else:
            self._sum += maps
            self._squares += squares
        self._count += 1

    def mean(self) -> torch.Tensor:
        assert self._sum is not None
        return self._sum / self._count

    def relative_standard_error(self) -> torch.Tensor:
        """(B,): root of the summed variance of the mean, over the norm of the mean."""
        assert self._squares is not None
        if self._count < 2:
            return torch.full_like(self._squares, torch.nan)
        norm = exact(self.mean()).square().flatten(1).sum(1)
        variance = (self._squares - self._count * norm).clamp(min=0) / (self._count - 1)
        return (variance / self._count).sqrt() / norm.sqrt()
