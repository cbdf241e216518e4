"""Model: a network with its card. What is explained, before any method or layer is chosen."""

from __future__ import annotations

import copy
import hashlib
import math
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_smoothsal.core.calibration import Calibration, closest_calibration
from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError, UnknownNameError
from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.models.fitting import fitting_size, kept_pixels
from napari_smoothsal.models.halo import energy_radius
from napari_smoothsal.models.layers import LayerInfo, layers_of
from napari_smoothsal.models.logits import Logits, logits_of
from napari_smoothsal.models.reach import Reach
from napari_smoothsal.models.readout import Readout
from napari_smoothsal.models.scripted import ScriptedNetwork, trace_of_outputs
from napari_smoothsal.models.stain_normalisation import Normalised, StainNormaliser
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
_SCRIPTED_VALUES_PER_PX = 600.0
"""A ResNet-50's; what a program makes cannot be seen."""


class Model:
    """A network and its card.

    Parameters
    ----------
    module
        Any eager ``torch.nn.Module`` that takes normalised images (B, C, H, W) and returns
        logits: (B, classes), or (B, classes, H, W) for segmentation; one column for a
        single-logit model. A softmax or sigmoid at its end is left out; see `logits_of`. It is
        never changed: explaining works on a copy.
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
        Where the module, or a part of it, is scripted: hidden layers of TorchScript cannot be
        reached. `load_torchscript` loads it for predictions alone.
    """

    def __init__(
        self,
        module: nn.Module,
        card: ModelCard,
        surrogate: Surrogate | None = None,
        normal_tissue: NDArray[np.uint8] | None = None,
        calibrations: tuple[Calibration, ...] = (),
    ) -> None:
        scripted = any(isinstance(part, torch.jit.ScriptModule) for part in module.modules())
        if scripted and not isinstance(module, ScriptedNetwork):
            raise ModelError(_of_torchscript(card.name))
        self._given = module
        self.card = card
        self.surrogate = surrogate
        self.normal_tissue = normal_tissue
        self.calibrations = calibrations
        self._normaliser: StainNormaliser | None = None
        if card.stain_normalisation is not None:
            self._normaliser = StainNormaliser(card.stain_normalisation)
        self._traces: dict[int, Trace] = {}
        self._radii: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"Model({self.card.name!r}, {type(self._given).__name__})"

    @property
    def module(self) -> nn.Module:
        """The network, returning logits: the one that was given where it does so by itself.

        Else one of the same children, parameters and names, without the head; found by a pass or
        two over probe tiles when it is first asked for.

        Raises
        ------
        ModelError
            If no logits can be had of it; see `logits_of`.
        """
        return self._logits.module

    @cached_property
    def _logits(self) -> Logits:
        return logits_of(self._given, self.card)

    def with_network(self, module: nn.Module, surrogate: Surrogate | None) -> Model:
        """This model with a changed copy of its `module`, whose output is read as before.

        Parameters
        ----------
        module
            Of the same layers; nothing is looked for at its end anew.
        surrogate
            In place of this model's.
        """
        other = Model(module, self.card, surrogate, self.normal_tissue)
        other._logits = replace(self._logits, module=module)
        return other

    @property
    def removed_head(self) -> str | None:
        """Function that was taken off the network's end to have logits, e.g. ``"softmax"``."""
        return self._logits.removed

    @property
    def adaptations(self) -> tuple[str, ...]:
        """What was done to the network's outputs, or found of them, in words."""
        return self._logits.said

    @property
    def predicts_only(self) -> bool:
        """Whether it is TorchScript, which has predictions and no layers to explain."""
        return isinstance(self._given, ScriptedNetwork)

    @cached_property
    def readout(self) -> Readout:
        """What the network's outputs mean."""
        return Readout(self.card)

    def stain_normalised(self, images: torch.Tensor, margin: int = 0) -> Normalised:
        """Images (n, C, H, W) as the card's stain normalisation leaves them; without one as given.

        This is what comes first: explaining does it itself, and so nobody else must but who
        hands images to the network by other ways. See `StainNormaliser`, and `behind_stain` for
        whoever goes on changing them.
        """
        if self._normaliser is None:
            return Normalised(images, 0)
        return self._normaliser(images, margin)

    @cached_property
    def behind_stain(self) -> Model:
        """The same model for images that are normalised already; itself where it does not do that.

        Who changes an image and asks about it again wants this one: normalised anew, a tile with
        a part covered would have other colours all over.
        """
        if self._normaliser is None:
            return self
        behind = copy.copy(self)
        behind.card = self.card.model_copy(update={"stain_normalisation": None})
        behind._normaliser = None
        if self.normal_tissue is not None:
            tiles = torch.from_numpy(self.normal_tissue).permute(0, 3, 1, 2)
            normal = self.stain_normalised(tiles).images.permute(0, 2, 3, 1)
            behind.normal_tissue = np.ascontiguousarray(normal.numpy())
        return behind

    @cached_property
    def unit(self) -> int:
        """Sides of tiles are padded to a multiple of this many px.

        1 for one decision per tile; else the network's coarsest stride, so that what its decoder
        doubles meets what its encoder halved.
        """
        if not self.readout.dense:
            return 1
        if self.predicts_only:
            # Its strides cannot be seen; what it takes is made of this, and usually enough.
            return math.gcd(self.card.input_size, _COMMON_UNIT)
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
        """Layers at which a map can be computed: ``input`` first, then in order of execution.

        Raises
        ------
        ModelError
            If it is TorchScript.
        """
        if self.predicts_only:
            raise ModelError(_of_torchscript(self.card.name))
        return list(self._infos.values())

    @cached_property
    def _infos(self) -> dict[str, LayerInfo]:
        """Layers by name, but for a head that was left out."""
        found = layers_of(self._trace)
        return {one.name: one for one in found if one.name != self._logits.no_layer}

    @property
    def values_per_px(self) -> float:
        """Values of all feature maps for each px of a tile: what a pass needs memory for."""
        if self.predicts_only:
            return _SCRIPTED_VALUES_PER_PX
        return sum(info.channels / (info.stride[0] * info.stride[1]) for info in self.layers())

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
        if name == self._logits.no_layer:
            raise ModelError(
                f"layer {name!r} of model {self.card.name!r} is the {self.removed_head} at its end,"
                " which is left out; choose the layer before it"
            )
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
        surrogate = self.surrogate.sha256 if self.surrogate else None
        side = tile_px or self.card.input_size
        return closest_calibration(self.calibrations, spec, target, surrogate, side)

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
            if isinstance(module := self.module, ScriptedNetwork):
                self._traces[size] = trace_of_outputs(module, image)
            else:
                self._traces[size] = trace(module, image)
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


def _of_torchscript(name: str) -> str:
    return (
        f"model {name!r} is TorchScript, whose hidden layers cannot be reached; build the eager "
        "network and load its weights (the state dict of the same training run, or that of the "
        "program: torch.jit.load(file).state_dict()). For predictions alone: "
        "load_model(path, torchscript=True), smoothsal run --predict-only --torchscript"
    )
