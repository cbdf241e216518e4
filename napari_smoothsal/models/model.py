"""Model: a network with its card. What is explained, before any method or layer is chosen."""

from __future__ import annotations

import hashlib
from functools import cached_property

import torch
from torch import nn

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError, UnknownNameError
from napari_smoothsal.models.layers import LayerInfo, layers_of
from napari_smoothsal.models.tracing import Trace, trace


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

    Raises
    ------
    ModelError
        Where the module is scripted: hidden layers of TorchScript cannot be reached.
    """

    def __init__(self, module: nn.Module, card: ModelCard) -> None:
        if isinstance(module, torch.jit.ScriptModule):
            raise ModelError(
                f"model {card.name!r} is TorchScript, whose hidden layers cannot be reached; "
                "build the eager network and load its weights instead"
            )
        self.module = module
        self.card = card
        self._traces: dict[int, Trace] = {}

    def __repr__(self) -> str:
        return f"Model({self.card.name!r}, {type(self.module).__name__})"

    @property
    def single_logit(self) -> bool:
        """Whether one logit stands for its one class against everything else."""
        return len(self.card.class_names) == 1

    def layers(self) -> list[LayerInfo]:
        """Layers at which a map can be computed: ``input`` first, then in order of execution."""
        return layers_of(self._trace)

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
        if self._trace.calls[name] > 1:
            raise ModelError(
                f"layer {name!r} of model {self.card.name!r} runs {self._trace.calls[name]} times "
                "in one pass, so its name does not say which output is meant; choose a module "
                "around it"
            )
        if name in dict(self.module.named_modules()) and name:
            raise ModelError(
                f"layer {name!r} of model {self.card.name!r} makes no feature map with a place "
                "on the image; `smoothsal layers` lists those that do"
            )
        raise UnknownNameError(f"layer of model {self.card.name!r}", name, layers)

    @property
    def _trace(self) -> Trace:
        return self._trace_at(self.card.input_size)

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
        """(h, w) of a layer's map for a square tile."""
        for traced in self._trace_at(tile_px).layers:
            if traced.name == layer:
                return (traced.shape[2], traced.shape[3])
        raise ModelError(
            f"layer {layer!r} of model {self.card.name!r} has no feature map for tiles of "
            f"{tile_px} px; give larger tiles"
        )
