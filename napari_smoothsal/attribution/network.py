"""A model's network made ready for many passes: frozen, folded, on its device."""

from __future__ import annotations

import copy
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType

import torch
from torch import nn

from napari_smoothsal.attribution.capture import captured
from napari_smoothsal.attribution.device import Device
from napari_smoothsal.core.errors import ModelError, SettingError
from napari_smoothsal.models import LayerInfo, Model
from napari_smoothsal.models.fitting import cropped_to_tile, padded_to_fit
from napari_smoothsal.models.folding import fold_batch_norms


class Network:
    """A frozen copy of a model's network; the model stays as it is.

    Parameters
    ----------
    model
        Whose network.
    device
        Where it runs, and in which number format.
    keep
        Layers whose outputs must stay what they are: no BatchNorm is folded into them.
    replaced
        Convolutions in whose place the paths of the model's surrogate are put, before any
        BatchNorm is folded: into their second convolutions, then.

    Attributes
    ----------
    module
        The copy.
    folded
        Number of BatchNorms that were folded into convolutions.
    """

    def __init__(
        self, model: Model, device: Device, keep: Collection[str], replaced: Sequence[str] = ()
    ) -> None:
        self.model = model
        self.device = device
        # Channels last is the layout that convolutions are fastest in, on CPUs and GPUs.
        module = copy.deepcopy(model.module)
        for name in replaced:
            assert model.surrogate is not None
            module.set_submodule(name, copy.deepcopy(model.surrogate.paths[name]))
        self.module: nn.Module = (
            module.to(device.device, device.dtype)
            .eval()
            .requires_grad_(False)
            .to(memory_format=torch.channels_last)
        )
        image = torch.zeros(1, len(model.card.mean), model.probe_px, model.probe_px)
        # Noise, so that the check sees every channel alive; in the format of the mean and std.
        image.normal_(generator=torch.Generator().manual_seed(0))
        self.folded = fold_batch_norms(self.module, image.to(device.device, device.dtype), keep)
        if device.inside is not None:
            _cast(self.module, device.inside)
        self._overwrites = False
        self._overwrites = self._check(image)
        self._cuts: dict[str, bool] = {}
        shape = (1, -1, 1, 1)
        like = {"dtype": device.dtype, "device": device.device}
        self._mean = torch.tensor(model.card.mean, **like).reshape(shape)  # type: ignore[arg-type]
        self._std = torch.tensor(model.card.std, **like).reshape(shape)  # type: ignore[arg-type]

    def _check(self, image: torch.Tensor) -> bool:
        """Whether the network writes into the images that it is given."""
        image = image.to(self.device.device, self.device.inside or self.device.dtype)
        before = image._version
        try:
            with torch.no_grad():
                self.output(image)
        except RuntimeError as error:
            raise SettingError(
                f"precision = {self.device.precision!r}: model {self.model.card.name!r} "
                f"does not run in it ({error}); choose fp32"
            ) from error
        return image._version > before

    @property
    def mean(self) -> torch.Tensor:
        """(1, C, 1, 1) the card's mean, on the device."""
        return self._mean

    def unit_range(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) uint8 or floats, on the device, as floats 0..1."""
        scale = 255.0 if images.dtype == torch.uint8 else 1.0
        if self.device.device.type == "cuda" and images.device.type == "cpu":
            # From locked memory the device fetches bytes by itself.
            images = images.contiguous().pin_memory()
        there = images.to(self.device.device, non_blocking=True)
        return there.to(self.device.dtype) / scale

    def normalised(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) uint8 or floats 0..1, normalised by the card."""
        normalised = (self.unit_range(images) - self._mean) / self._std
        return normalised.contiguous(memory_format=torch.channels_last)

    def output(self, images: torch.Tensor, rows: int | None = None) -> torch.Tensor:
        """The network's output (B, classes, H, W) of the normalised images' own pixels.

        ``rows`` is B where a hook puts another number of rows in the images' place.
        """
        if self.device.inside is not None:
            images = images.to(self.device.inside)
        if self._overwrites:
            images = images.clone()  # others look at them, too
        output = self.module(padded_to_fit(images, self.model.unit))
        output = self.model.readout.read(output, rows or len(images)).to(self.device.dtype)
        dense = self.model.output
        if dense is None:
            return output
        return cropped_to_tile(output, dense.stride, dense.centre, images.shape[2:])

    def captured(
        self,
        layers: Sequence[str],
        disturbed: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = MappingProxyType({}),
    ) -> AbstractContextManager[dict[str, torch.Tensor]]:
        """The maps of layers while a block runs the network; see `captured`."""
        infos = {name: self.model.layer(name) for name in layers if name != "input"}
        return captured(self.module, layers, disturbed, infos)

    def is_cut_by(self, layer: str) -> bool:
        """Whether the score depends on the image by way of a layer's output alone.

        What lies above the layer can then be run for other outputs than the image's. Seen by
        trying: with three times as many rows at the layer, a skip that goes past it would not fit.
        """
        if layer not in self._cuts:
            shape = (2, len(self.model.card.mean), self.model.probe_px, self.model.probe_px)
            images = torch.zeros(shape, dtype=self.device.dtype, device=self.device.device)
            tripled = {layer: lambda output: output.repeat(3, 1, 1, 1)}
            try:
                with torch.no_grad(), self.captured([layer], tripled):
                    self.output(images, rows=6)
            except (RuntimeError, ModelError):
                self._cuts[layer] = False
            else:
                self._cuts[layer] = True
        return self._cuts[layer]

    def on_the_tile(
        self, maps: torch.Tensor, layer: LayerInfo, tile: tuple[int, int]
    ) -> torch.Tensor:
        """A layer's maps without what belongs to the padding of a tile (height, width)."""
        if all(side % self.model.unit == 0 for side in tile):
            return maps  # nothing was padded
        return cropped_to_tile(maps, layer.stride, layer.centre, torch.Size(tile))


def _cast(module: nn.Module, dtype: torch.dtype) -> None:
    """To a narrow format, all but normalisations, whose small variances it would lose."""
    for child in module.modules():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            continue
        for tensor in (*child.parameters(recurse=False), *child.buffers(recurse=False)):
            if tensor.is_floating_point():
                tensor.data = tensor.data.to(dtype)


MOST_OUTPUTS = 512
"""Batches whose output is remembered."""


class Networks:
    """The networks that have been made of one model, for explainers of one thread to share.

    Making one takes as long as a dozen passes: it is copied, folded and checked.

    Parameters
    ----------
    model
        Whose networks; it must not change meanwhile.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._made: OrderedDict[tuple[Device, frozenset[str], tuple[str, ...]], Network] = (
            OrderedDict()
        )
        self._outputs: OrderedDict[object, torch.Tensor] = OrderedDict()

    def get(self, device: Device, keep: Collection[str], replaced: Sequence[str] = ()) -> Network:
        """The network with these properties; see `Network`."""
        key = (device, frozenset(keep), tuple(replaced))
        if key not in self._made:
            self._made[key] = Network(self._model, device, keep, replaced)
        self._made.move_to_end(key)
        return self._made[key]

    def output_of(
        self, images: torch.Tensor, margin: int, device: Device, make: Callable[[], torch.Tensor]
    ) -> torch.Tensor:
        """What the model makes of images, remembered: another setting asks about the same ones.

        Parameters
        ----------
        images, margin
            (B, C, H, W), and how many px around the tiles they show.
        device
            Of the network.
        make
            Computes it.
        """
        if images.dtype != torch.uint8 or self._model.readout.dense:
            return make()  # one output per pixel is too large to keep
        content = hashlib.sha256(images.cpu().contiguous().numpy().tobytes()).digest()
        key = (content, tuple(images.shape), margin, device)
        if key not in self._outputs:
            self._outputs[key] = make()
            while len(self._outputs) > MOST_OUTPUTS:
                self._outputs.popitem(last=False)
        return self._outputs[key]

    def trim(self, most: int) -> None:
        """Let go of all but those that were used last: each holds the weights once."""
        for key in list(self._made)[:-most]:
            del self._made[key]
