"""What the noise samples of a walk see: windows of the tiles, with noise, and what is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from napari_smoothsal.attribution.batch import Batch
from napari_smoothsal.attribution.noise import Place, add_noise
from napari_smoothsal.attribution.walk import Walk
from napari_smoothsal.models.readout import Question

Sample = tuple[int, int]
"""A tile of the batch and a noise sample."""
Disturb = Callable[[torch.Tensor], torch.Tensor]


class SampleImages:
    """The images of samples, made where they are asked for."""

    def __init__(self, batch: Batch, walk: Walk) -> None:
        self._batch = batch
        self._walk = walk

    def images(self, samples: Sequence[Sample]) -> torch.Tensor:
        """(n, C, H, W) normalised, with noise where it is added to the input."""
        return self._noisy(self._windows(samples), samples, at_layer=None)

    def disturbed(self, samples: Sequence[Sample]) -> dict[str, Disturb]:
        """By layer, what adds the samples' noise to its output (n, C, h, w); see `captured`."""
        layer = self._walk.disturbed_layer
        if layer is None:
            return {}
        stride = self._batch.explainer.model.layer(layer).stride
        return {layer: lambda output: self._noisy(output, samples, at_layer=stride)}

    def question(self, question: Question, samples: Sequence[Sample]) -> Question:
        """A question about the tiles as one about the windows that the samples show."""
        question = question.rows(torch.tensor([tile for tile, _ in samples]))
        output = self._batch.explainer.model.output
        if self._walk.jitter is None or output is None:
            return question
        stride = output.stride
        shifts = [self._walk.jitter.shift_px(sample) for _, sample in samples]
        return question.shifted([(round(y / stride[0]), round(x / stride[1])) for y, x in shifts])

    def place(self, sample: Sample) -> Place:
        """What the noise of a sample derives from: of tiles on a grid, its window's origin."""
        tile, number = sample
        place, jitter = self._batch.places[tile], self._walk.jitter
        if jitter is None or len(place) != 2 or not self._batch.explainer.model.shares_noise:
            return place
        y, x = jitter.shift_px(number)
        return (place[0] + y, place[1] + x)

    def _windows(self, samples: Sequence[Sample]) -> Sequence[torch.Tensor] | torch.Tensor:
        """Each sample's normalised image, shifted where the walk jitters."""
        batch, jitter = self._batch, self._walk.jitter
        tiles = tuple(tile for tile, _ in samples)
        if jitter is None:
            if tiles == tuple(range(len(batch))):
                return batch.images
            return [batch.images[tile] for tile in tiles]
        margin, (height, width) = batch.explainer.margin, batch.images.shape[2:]
        shifts = [jitter.shift_px(number) for _, number in samples]
        return [
            batch.wide_images[tile, :, margin + y : margin + y + height, margin + x :][..., :width]
            for tile, (y, x) in zip(tiles, shifts, strict=True)
        ]

    def _noisy(
        self,
        values: Sequence[torch.Tensor] | torch.Tensor,
        samples: Sequence[Sample],
        at_layer: tuple[float, float] | None,
    ) -> torch.Tensor:
        """One value per sample, with noise where the walk has it at this place.

        ``at_layer`` is the stride of the layer that they are the output of.
        """
        walk = self._walk
        unmoved = walk.sigma == 0 or walk.samples == 0
        if unmoved or (walk.disturbed_layer is None) != (at_layer is None):
            return values if isinstance(values, torch.Tensor) else torch.stack(list(values))
        shared = self._batch.explainer.model.shares_noise
        places = [self.place(sample) for sample in samples]
        numbers = [number for _, number in samples]
        sigma: float | torch.Tensor = walk.sigma
        if at_layer is not None:
            assert isinstance(values, torch.Tensor)
            sigma = walk.sigma * values.flatten(1).std(1)
            if shared:
                places = [_on_layer(place, at_layer) for place in places]
        return add_noise(values, places, sigma, walk.seed, numbers, shared=shared)


def _on_layer(place: Place, stride: tuple[float, float]) -> Place:
    if len(place) != 2:
        return place
    return (round(place[0] / stride[0]), round(place[1] / stride[1]))
