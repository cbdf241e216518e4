"""Readout: what a network's output says, for one decision per tile and for one per pixel alike.

A classifier is read as a segmenter of a single pixel: its logits (B, classes) become
(B, classes, 1, 1). Everything after this file is then the same for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.exact import exact
from napari_smoothsal.models.targets import Target


@dataclass(frozen=True)
class Decision:
    """What a network decided for a batch, from one noise-free pass.

    Attributes
    ----------
    logits, probabilities
        (B, classes); means over a tile's pixels.
    predicted
        (B,) outcome of each tile: the majority class other than the background; the background
        where there is nothing else.
    labels
        (B, H, W) outcome of each pixel; (B, 1, 1) for one decision per tile.
    dense_probabilities
        (B, classes, H, W); None for one decision per tile.
    """

    logits: torch.Tensor
    probabilities: torch.Tensor
    predicted: torch.Tensor
    labels: torch.Tensor
    dense_probabilities: torch.Tensor | None

    def without_pixels(self) -> Decision:
        """Only what is said of whole tiles."""
        return replace(self, labels=self.labels[:, :0, :0], dense_probabilities=None)

    def cpu(self) -> Decision:
        """On the CPU, with floats in float32."""
        dense = self.dense_probabilities
        return Decision(
            logits=self.logits.float().cpu(),
            probabilities=self.probabilities.float().cpu(),
            predicted=self.predicted.cpu(),
            labels=self.labels.to(torch.int16).cpu(),  # one per pixel
            dense_probabilities=None if dense is None else dense.cpu(),
        )


@dataclass(frozen=True)
class Question:
    """The scalar of each tile that is explained: the score of a class, summed over pixels.

    Attributes
    ----------
    classes
        (B, 1) class indices, or (B, 2) for the difference of two; -1 of a hidden unit.
    pixels
        (B, H, W) bool: whose scores are summed.
    unit
        Layer and channel of the hidden unit whose mean activity is explained instead.
    """

    classes: torch.Tensor
    pixels: torch.Tensor
    unit: tuple[str, int] | None = None

    def rows(self, tiles: torch.Tensor) -> Question:
        """The question of some tiles, in their order."""
        if len(tiles) == len(self.classes) and bool((tiles.diff() == 1).all()):
            return self
        tiles = tiles.to(self.classes.device)
        return Question(self.classes[tiles], self.pixels[tiles], self.unit)

    def shifted(self, shifts: Sequence[tuple[int, int]]) -> Question:
        """The same question about images that show another window of the tile.

        Parameters
        ----------
        shifts
            B shifts (y, x) in output px of each window down and right. What the tile did not show
            is not asked about.
        """
        if self.pixels.shape[1:] == (1, 1) or not any(map(any, shifts)):
            return self
        pixels = torch.zeros_like(self.pixels)
        height, width = pixels.shape[1:]
        for row, (y, x) in enumerate(shifts):
            top, left = max(0, y), max(0, x)
            window = self.pixels[row, top : height + min(0, y), left : width + min(0, x)]
            to_y, to_x = max(0, -y), max(0, -x)
            pixels[row, to_y : to_y + window.shape[0], to_x : to_x + window.shape[1]] = window
        return replace(self, pixels=pixels)

    def mirrored(self, which: torch.Tensor) -> Question:
        """The same question about images of which some, (B,) bool, are mirrored left to right."""
        if self.pixels.shape[2] == 1 or not which.any():
            return self
        which = which.to(self.pixels.device)[:, None, None]
        return replace(self, pixels=torch.where(which, self.pixels.flip(-1), self.pixels))

    @property
    def explained_px(self) -> torch.Tensor:
        """(B,) number of pixels summed; 0 where the class is predicted nowhere in the tile, so
        that there is nothing to explain and the map is zero."""
        return self.pixels.sum((1, 2))

    def scores(
        self, output: torch.Tensor, activations: Mapping[str, torch.Tensor] = MappingProxyType({})
    ) -> torch.Tensor:
        """The scalars (B,) of an output (B, classes, H, W) from `Readout.read`.

        ``activations`` holds the output (B, C, h, w) of the hidden unit's layer by its name.
        """
        if self.unit is not None:
            layer, channel = self.unit
            return activations[layer][:, channel].mean((1, 2)).to(output.dtype)
        index = self.classes[:, :, None, None].expand(-1, -1, *output.shape[2:])
        chosen = output.gather(1, index)
        score = chosen[:, 0] - chosen[:, 1] if chosen.shape[1] == 2 else chosen[:, 0]
        return torch.where(self.pixels, score, 0).sum((1, 2))

    def probabilities(self, output: torch.Tensor) -> torch.Tensor:
        """(B,) of the class: the mean over the pixels asked about; 0 where there are none.

        A single logit stands against 0, and of a difference the classes stand against each other
        alone. A hidden unit has no probability.
        """
        assert self.unit is None
        index = self.classes[:, :, None, None].expand(-1, -1, *output.shape[2:])
        chosen = output.gather(1, index)
        if chosen.shape[1] == 2:
            each = torch.sigmoid(chosen[:, 0] - chosen[:, 1])
        elif output.shape[1] == 1:
            each = torch.sigmoid(chosen[:, 0])
        else:
            each = output.softmax(1).gather(1, index)[:, 0]
        return torch.where(self.pixels, each, 0).sum((1, 2)) / self.explained_px.clamp_min(1)


class Readout:
    """How the outputs of one model are read.

    Parameters
    ----------
    card
        Its kind, classes and background.
    """

    def __init__(self, card: ModelCard) -> None:
        self._card = card
        self._classes = len(card.class_names)
        self.dense = card.kind == "segmentation"
        self._background: int | None = None
        if self._classes == 1:
            self._background = 1  # the outcome that the one logit speaks against
        elif card.background is not None:
            self._background = card.class_names.index(card.background)

    @property
    def outcomes(self) -> tuple[str, ...]:
        """What a tile or pixel can be predicted as; a single logit stands against its
        background."""
        names = self._card.class_names
        if self._classes > 1:
            return names
        return (*names, self._card.background or f"not {names[0]}")

    @property
    def background(self) -> str | None:
        """The outcome that means: nothing of interest."""
        return None if self._background is None else self.outcomes[self._background]

    @property
    def background_index(self) -> int | None:
        """Its place among the outcomes."""
        return self._background

    def score_of(self, outcome: int) -> tuple[int, int]:
        """The class whose score speaks of an outcome, and whether for it (1) or against it (-1).

        Of a single logit there is one score, which speaks for one outcome and against the other.
        """
        return (outcome, 1) if self._classes > 1 else (0, 1 - 2 * outcome)

    def read(self, output: object, tiles: int) -> torch.Tensor:
        """Check a network's output and bring it to (B, classes, H, W); H = W = 1 for one
        decision per tile.

        Raises
        ------
        ModelError
            If it has another shape than the card says.
        """
        if isinstance(output, torch.Tensor):
            if not self.dense and tuple(output.shape) in self._flat_shapes(tiles):
                output = output.reshape(tiles, self._classes, 1, 1)
            shape = tuple(output.shape)
            right = len(shape) == 4 and shape[:2] == (tiles, self._classes)
            if right and (self.dense or shape[2:] == (1, 1)):
                return output
            got: object = shape
        else:
            got = type(output).__name__
        per_pixel, names = ", height, width" if self.dense else "", self._card.class_names
        raise ModelError(
            f"model {self._card.name!r} returned {got} for {tiles} tiles; its card says "
            f"{self._card.kind} into {self._classes} classes, so ({tiles}, "
            f"{self._classes}{per_pixel}) is expected. Its class_names are "
            f"{', '.join(names[:8])}: name as many as it has outputs"
        )

    def _flat_shapes(self, tiles: int) -> list[tuple[int, ...]]:
        """Shapes of one decision per tile: with what `squeeze` takes away of one class or tile."""
        shapes: list[tuple[int, ...]] = [(tiles, self._classes)]
        if self._classes == 1:
            shapes.append((tiles,))
        if tiles == 1:
            shapes.append((self._classes,))
        if self._classes == tiles == 1:
            shapes.append(())
        return shapes

    def decide(self, output: torch.Tensor) -> Decision:
        """What an output (B, classes, H, W) says of tiles and pixels."""
        # The mean of a million float32 probabilities would lose digits.
        logits = exact(output)
        if self._classes == 1:
            probabilities = torch.sigmoid(logits)
            labels = torch.where(probabilities[:, 0] >= 0.5, 0, 1)
        else:
            probabilities = torch.softmax(logits, dim=1)
            labels = output.argmax(1)
        counts = _counts(labels, len(self.outcomes))
        if self._background is not None:
            # Any pixel of another class outweighs all of the background.
            counts[:, self._background] = torch.where(
                counts.sum(1) == counts[:, self._background], 1, 0
            )
        return Decision(
            logits=logits.mean((2, 3)),
            probabilities=probabilities.mean((2, 3)),
            predicted=counts.argmax(1),
            labels=labels,
            dense_probabilities=probabilities.float() if self.dense else None,
        )

    def ask(self, decision: Decision, target: Target) -> Question:
        """What a target means for the tiles of a decision.

        Pixels are chosen by the noise-free decision, so that the explained scalar is the same
        function for every noise sample. Of a difference, the pixels of both classes count:
        ``a-b`` is then the negative of ``b-a``.
        """
        if target.unit is not None:
            none = torch.full_like(decision.predicted, -1)[:, None]
            return Question(none, torch.ones_like(none, dtype=torch.bool)[..., None], target.unit)
        if target.classes is not None:
            classes = torch.tensor([target.classes], device=decision.labels.device)
            classes = classes.expand(len(decision.labels), -1)
        elif self._classes == 1:
            classes = torch.zeros_like(decision.predicted)[:, None]
        else:
            classes = decision.predicted[:, None]
        if self.dense and target.pixels == "predicted":
            pixels = (decision.labels[:, None] == classes[:, :, None, None]).any(1)
        else:
            pixels = torch.ones_like(decision.labels, dtype=torch.bool)
        return Question(classes, pixels)


def _counts(labels: torch.Tensor, outcomes: int) -> torch.Tensor:
    """(B, outcomes): how many pixels of labels (B, H, W) have each."""
    tiles = torch.arange(len(labels), device=labels.device)[:, None, None]
    found = torch.bincount((labels + tiles * outcomes).flatten(), minlength=len(tiles) * outcomes)
    return found.reshape(len(labels), outcomes)
