"""TracedNetwork: a network that returns logits, and its layers with their places on a tile."""

from __future__ import annotations

import hashlib
import math
from functools import cached_property

import torch
from torch import nn

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError, UnknownNameError
from napari_smoothsal.models.fitting import COMMON_UNIT, fitting_size, kept_pixels
from napari_smoothsal.models.layers import LayerInfo, layers_of
from napari_smoothsal.models.logits import Logits, logits_of
from napari_smoothsal.models.reach import Reach
from napari_smoothsal.models.readout import Readout
from napari_smoothsal.models.scripted import ScriptedNetwork, trace_of_outputs
from napari_smoothsal.models.tracing import Trace, trace

OUTPUT = "(output)"
"""Name of the dense output where it stands beside layers; no module can be called so."""

_SCRIPTED_VALUES_PER_PX = 600.0
"""A ResNet-50's; what a program makes cannot be seen."""


class TracedNetwork:
    """What is known of a network by running it: its output, its layers, what lies above them.

    Parameters
    ----------
    module, card
        See `Model`.

    Raises
    ------
    ModelError
        Where the module, or a part of it, is scripted.
    """

    def __init__(self, module: nn.Module, card: ModelCard) -> None:
        scripted = any(isinstance(part, torch.jit.ScriptModule) for part in module.modules())
        if scripted and not isinstance(module, ScriptedNetwork):
            raise ModelError(_of_torchscript(card.name))
        self._given = module
        self.card = card
        self._traces: dict[int, Trace] = {}

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
            return math.gcd(self.card.input_size, COMMON_UNIT)
        # Large enough for a bottleneck of several pixels: a map of one has no stride.
        size = max(self.card.input_size, 2 * COMMON_UNIT)
        try:
            traced = self._trace_at(size)
        except ModelError:
            traced = self._trace_at(fitting_size(size, COMMON_UNIT))
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
        layers = {info.name: info for info in self.layers()}
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
