"""Model: a network with its card. What is explained, before any method or layer is chosen."""

from __future__ import annotations

import copy
import hashlib
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_smoothsal.core.calibration import Calibration
from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError, UnknownNameError
from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.models.fitting import fitting_size, kept_pixels
from napari_smoothsal.models.halo import energy_radius
from napari_smoothsal.models.layers import LayerInfo, layers_of
from napari_smoothsal.models.reach import Reach
from napari_smoothsal.models.readout import Readout
from napari_smoothsal.models.surrogate import Surrogate
from napari_smoothsal.models.tracing import Trace, trace

OUTPUT = "(output)"
"""Name of the dense output where it stands beside layers; no module can be called so."""

_CLASSIFIER_HALO_PX = 16
_CLASSIFIER_OVERLAP = 0.25
_DENSE_OVERLAP = 0.0625
_CLASSIFIER_MIN_TISSUE = 0.1
_HALO_PROBE_PX = 1536
_HALO_STEP_PX = 16
_PROBE_PX = 256
_COMMON_UNIT = 64
"""A multiple of the coarsest stride of the usual encoders."""


class Model:
    """A network and its card.

    Parameters
    ----------
    module
        Any eager ``torch.nn.Module`` that takes normalised images (B, C, H, W) and returns
        logits: (B, classes), or (B, classes, H, W) for segmentation; one column for a
        single-logit model. It is never changed: explaining works on a copy.
    card
        What the network is; see `ModelCard`.
    surrogate
        Trained paths for ``denoising="bilinear_surrogate"``; None where there are none.
    normal_tissue
        uint8 (n, input_size, input_size, 3), tiles of normal tissue, against which the colours of
        maps are fixed; None where there are none.
    calibrations
        Limits below which maps show nothing; see `calibrate`.

    Raises
    ------
    ModelError
        Where the module is scripted: hidden layers of TorchScript cannot be reached.
    """

    def __init__(
        self,
        module: nn.Module,
        card: ModelCard,
        surrogate: Surrogate | None = None,
        normal_tissue: NDArray[np.uint8] | None = None,
        calibrations: tuple[Calibration, ...] = (),
    ) -> None:
        if isinstance(module, torch.jit.ScriptModule):
            raise ModelError(
                f"model {card.name!r} is TorchScript, whose hidden layers cannot be reached; "
                "build the eager network and load its weights instead"
            )
        self.module = module
        self.card = card
        self.surrogate = surrogate
        self.normal_tissue = normal_tissue
        self.calibrations = calibrations
        self._traces: dict[int, Trace] = {}
        self._radii: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"Model({self.card.name!r}, {type(self.module).__name__})"

    @cached_property
    def readout(self) -> Readout:
        """What the network's outputs mean."""
        return Readout(self.card)

    @cached_property
    def unit(self) -> int:
        """Sides of tiles are padded to a multiple of this many px.

        1 for one decision per tile; else the network's coarsest stride, so that what its decoder
        doubles meets what its encoder halved.
        """
        if not self.readout.dense:
            return 1
        # Large enough for a bottleneck of several pixels: a map of one has no stride.
        size = max(self.card.input_size, 2 * _COMMON_UNIT)
        try:
            traced = self._trace_at(size)
        except ModelError:
            traced = self._trace_at(fitting_size(size, _COMMON_UNIT))
        # A pooling to so many pixels divides tiles of any size.
        fixed = [layer.geometry for layer in traced.layers if not layer.geometry.relative]
        return max(round(s) for geometry in fixed for s in geometry.stride)

    @cached_property
    def output(self) -> LayerInfo | None:
        """The dense output as a layer; None for one decision per tile.

        Its pixels cover the tile evenly, whatever the paths that lead there: so are the masks
        laid over it that such networks are trained on.
        """
        if not self.readout.dense:
            return None
        side, shape = self._trace.layers[0].shape[2], self._trace.output_shape or ()
        if len(shape) != 4 or side % shape[2] or side % shape[3]:
            raise ModelError(
                f"model {self.card.name!r} is for segmentation, but its output for a tile of "
                f"{side} px has the shape {shape}; (1, classes, height, width) is expected, with "
                "sides that divide the tile's"
            )
        stride = (side / shape[2], side / shape[3])
        centre = ((stride[0] - 1) / 2, (stride[1] - 1) / 2)
        return LayerInfo(OUTPUT, shape[1], stride, centre, 0.0, ())

    def halo(self, tile_px: int) -> int:
        """Rim of a tile, in px, that is computed but not to be trusted.

        The border of a tile falsifies what lies near it. For one decision per pixel: the radius
        that holds 99 % of the energy of an output pixel's gradient, but no more than a quarter
        of the tile. For one decision per tile, which is of the tile as a whole: 16 px.
        """
        if not self.readout.dense:
            return min(_CLASSIFIER_HALO_PX, tile_px // 8)
        side = fitting_size(min(tile_px, _HALO_PROBE_PX), self.unit)
        reach = fitting_size(max(1, self._radius(side)), _HALO_STEP_PX)
        return min(reach, tile_px // 4)

    @property
    def probe_px(self) -> int:
        """Side of a tile to try the network out on: a model that decides per pixel takes any."""
        side = min(self.card.input_size, _PROBE_PX) if self.readout.dense else self.card.input_size
        return fitting_size(side, self.unit)

    @property
    def overlap(self) -> float:
        """Share of a tile's kept part over which neighbours are blended.

        One decision per tile: each map explains another decision. One per pixel: beyond the halo
        tiles agree, nearly.
        """
        return _DENSE_OVERLAP if self.readout.dense else _CLASSIFIER_OVERLAP

    @property
    def shares_noise(self) -> bool:
        """Whether overlapping tiles get the same noise samples.

        One decision per pixel does not depend on the cut into tiles, and its noise must not. A
        decision per tile is another one in each tile anyway.
        """
        return self.readout.dense

    @property
    def min_tissue(self) -> float:
        """Smallest share of tissue for which a tile is looked at.

        A tile that is nearly all glass misleads a decision about the tile. One per pixel is as
        good on a small piece of tissue as anywhere, and its large tiles would lose many.
        """
        return 0.0 if self.readout.dense else _CLASSIFIER_MIN_TISSUE

    def _radius(self, side: int) -> int:
        if side not in self._radii:
            network = copy.deepcopy(self.module).cpu().float().eval().requires_grad_(False)
            shape = torch.Size((1, len(self.card.mean), side, side))
            with torch.enable_grad():
                self._radii[side] = energy_radius(network, shape)
        return self._radii[side]

    def layers(self) -> list[LayerInfo]:
        """Layers at which a map can be computed: ``input`` first, then in order of execution."""
        return list(self._infos.values())

    @cached_property
    def _infos(self) -> dict[str, LayerInfo]:
        return {info.name: info for info in layers_of(self._trace)}

    def layer(self, name: str) -> LayerInfo:
        """One layer by its name.

        Raises
        ------
        UnknownNameError
            If there is no such layer, with the nearest names.
        ModelError
            If the module exists and makes no feature map, or runs several times in a pass.
        """
        layers = self._infos
        if name in layers:
            return layers[name]
        if self._trace.calls[name] > 1:
            raise ModelError(
                f"layer {name!r} of model {self.card.name!r} runs {self._trace.calls[name]} times "
                "in one pass, so its name does not say which output is meant; choose a module "
                "around it"
            )
        if any(traced.name == name for traced in self._trace.layers):
            raise ModelError(
                f"the output of model {self.card.name!r} does not depend on the map of layer "
                f"{name!r}: it is a dead branch, or only the class token is looked at above it; "
                "choose a layer below it"
            )
        if name in dict(self.module.named_modules()) and name:
            raise ModelError(
                f"layer {name!r} of model {self.card.name!r} makes no feature map with a place "
                "on the image; `smoothsal layers` lists those that do"
            )
        raise UnknownNameError(f"layer of model {self.card.name!r}", name, layers)

    def reach(self, lower: str, upper: str | None = None) -> Reach | None:
        """What lies between a module and a layer above it, or the network's output.

        None where the upper one does not depend on the lower one.
        """
        if upper is None:
            return self._trace.reaches_output.get(lower)
        traced = next(layer for layer in self._trace.layers if layer.name == upper)
        return traced.ancestry.get(lower)

    def phases(self, layer: str) -> tuple[int, int]:
        """How many layer px (y, x) the coarsest feature map above a layer steps.

        Moving the image by so many changes nothing but the place; by fewer, which of the layer's
        pixels fall between the steps above it.
        """
        (fine,) = (t for t in self._trace.layers if t.name == layer)
        above = [
            t.geometry.stride
            for t in self._trace.layers
            if layer in t.ancestry and not t.geometry.relative
        ]
        steps = [max([fine.geometry.stride, *above], key=lambda s: s[a])[a] for a in (0, 1)]
        own = fine.geometry.stride
        return (max(1, round(steps[0] / own[0])), max(1, round(steps[1] / own[1])))

    def calibration_of(
        self, spec: SaliencySpec, target: str, tile_px: int | None = None
    ) -> Calibration | None:
        """The limits of a map, where they were measured.

        Parameters
        ----------
        spec
            Settled, as it is computed.
        target
            Its target in words.
        tile_px
            Side of its tiles; None: the model's input size.
        """
        return self._closest_calibration(spec, target, tile_px)[0]

    def uncalibrated_for(
        self, spec: SaliencySpec, target: str, tile_px: int | None = None
    ) -> list[str]:
        """In what a map without limits differs from the one most like it that has some."""
        return self._closest_calibration(spec, target, tile_px)[1]

    def _closest_calibration(
        self, spec: SaliencySpec, target: str, tile_px: int | None
    ) -> tuple[Calibration | None, list[str]]:
        """The limits of a map, or in what it differs from the one most like it."""
        surrogate = self.surrogate.sha256 if self.surrogate else None
        side = tile_px or self.card.input_size
        found = [
            (one, one.differs_from(spec, target, surrogate, side)) for one in self.calibrations
        ]
        one, differing = min(found, key=lambda pair: len(pair[1]), default=(None, []))
        return (None, differing) if differing else (one, [])

    @property
    def executed(self) -> tuple[str, ...]:
        """Names of all modules that run in a pass, in the order in which they are done."""
        return tuple(self._trace.calls)

    @property
    def strided_convolutions(self) -> tuple[str, ...]:
        """Names of all strided convolutions, in order of execution."""
        return tuple(self._trace.strided)

    @property
    def _trace(self) -> Trace:
        return self._trace_at(fitting_size(self.card.input_size, self.unit))

    def _trace_at(self, size: int) -> Trace:
        if size not in self._traces:
            like = next(self.module.parameters(), torch.zeros(0))
            image = torch.zeros(
                1, len(self.card.mean), size, size, device=like.device, dtype=like.dtype
            )
            self._traces[size] = trace(self.module, image)
        return self._traces[size]

    @cached_property
    def parameters_sha256(self) -> str:
        """Hash over the names, shapes and bytes of all parameters and buffers."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.module.state_dict().items()):
            if isinstance(tensor, torch.Tensor):
                value = tensor.detach().cpu().contiguous()
                digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
                digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def map_size(self, layer: str, tile_px: int) -> tuple[int, int]:
        """(h, w) of a layer's map, or of the `output`, for a square tile."""
        side = fitting_size(tile_px, self.unit)
        if self.output is not None and layer == OUTPUT:
            stride, centre = self.output.stride, self.output.centre
            shape = tuple(round(side / s) for s in stride)
        else:
            traced = next((t for t in self._trace_at(side).layers if t.name == layer), None)
            if traced is None:
                raise ModelError(
                    f"layer {layer!r} of model {self.card.name!r} has no feature map for tiles "
                    f"of {tile_px} px; give larger tiles"
                )
            shape = traced.shape[2:]
            stride, centre = traced.geometry.stride, traced.geometry.centre
        if side == tile_px:
            return (shape[0], shape[1])
        return (
            kept_pixels(shape[0], stride[0], centre[0], tile_px),
            kept_pixels(shape[1], stride[1], centre[1], tile_px),
        )
