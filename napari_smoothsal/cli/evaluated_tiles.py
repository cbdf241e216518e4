"""What ``smoothsal evaluate --model --data`` measures: tiles with labels, or with masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pandas as pd

from napari_smoothsal.cli.specs import AS_THEY_ARE, image_scale, tell_resolution
from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute
from napari_smoothsal.evaluation import paper, paper_masks
from napari_smoothsal.evaluation.overlap import IGNORED
from napari_smoothsal.evaluation.prediction_difference import IN_SIGHT
from napari_smoothsal.models import Model
from napari_smoothsal.slides.folder_tiles import mirrored_told
from napari_smoothsal.slides.labelled_folder import LabelledFolder
from napari_smoothsal.slides.masked_folder import MaskedFolder

if TYPE_CHECKING:
    from napari_smoothsal.cli.evaluate_igos import IgosChoice
    from napari_smoothsal.cli.evaluate_paper import PaperChoice

_LISTED = 12
"""So many classes are counted one by one."""


class Predicted(NamedTuple):
    """What the networks say of the tiles.

    Attributes
    ----------
    frame
        See `paper.predictions`.
    accuracy
        Table 2.
    words
        What the tiles are and what the tables are of, for the report.
    """

    frame: pd.DataFrame
    accuracy: pd.DataFrame
    words: list[str]


class Evaluated(Protocol):
    """The tiles of an evaluation."""

    @property
    def explained(self) -> paper.Labelled:
        """Those that have a class to explain."""

    def predictions(self, compute: Compute, told: paper.Told) -> Predicted:
        """What the model and its changed versions say."""


def evaluated_tiles(model: Model, choice: PaperChoice, tile_px: int | None) -> Evaluated:
    """The tiles that were chosen.

    Raises
    ------
    SettingError
        If the model does not decide of what is known, or a flag has no use with such tiles.
    """
    name = model.card.name
    if choice.masks is None:
        if model.readout.dense:
            raise SettingError(
                f"model {name!r} decides per pixel; give --masks FOLDER with a mask for each image "
                "of --data"
            )
        return WithLabels(model, choice)
    if not model.readout.dense:
        raise SettingError(
            f"model {name!r} decides once per tile, and --masks are for models that decide per "
            "pixel; give --data with one sub-folder per class, or --labels"
        )
    if choice.faithfulness_tiles:
        raise SettingError(
            f"--faithfulness-tiles {choice.faithfulness_tiles}: insertion and deletion follow one "
            f"decision per tile, and model {name!r} decides per pixel; leave it away"
        )
    unused: dict[str, object] = {"--labels": choice.labels, "--rename": choice.renamed or None}
    unused |= {"--mpp": choice.mpp, "--resize": choice.resize}
    for flag, value in unused.items():
        if value is not None:
            raise SettingError(
                f"{flag} has no use beside --masks: images and masks are taken as they are, at the "
                "model's resolution; leave it away"
            )
    return WithMasks(model, choice, tile_px)


class WithLabels:
    """One class per tile."""

    def __init__(self, model: Model, choice: PaperChoice) -> None:
        self._model = model
        self.explained = labelled_folder(model, choice)
        if len(set(self.explained.labels)) == 1:
            only = model.readout.outcomes[self.explained.labels[0]]
            warn_caller(
                f"all {len(self.explained)} tiles are {only!r}: accuracy says nothing of the "
                "other classes"
            )
        self._resized = choice.resize

    def predictions(self, compute: Compute, told: paper.Told) -> Predicted:
        """Of tiles."""
        frame = paper.predictions(self._model, self.explained, compute, told)
        return Predicted(frame, paper.accuracy_table(frame), self._words())

    def _words(self) -> list[str]:
        tiles, outcomes = self.explained, self._model.readout.outcomes
        side = self._model.card.input_size
        said = [f"{len(tiles)} labelled tiles ({_counted(tiles.labels, outcomes)})."]
        resized = (
            f"resized to {self._resized} px at their shorter side and " if self._resized else ""
        )
        said.append(f"Images are {resized}cut to {side} px, from their middle.")
        if tiles.completed:
            said.append(mirrored_told(tiles.completed))
            warn_caller(said[-1])
        return said


class WithMasks:
    """One class per pixel."""

    def __init__(self, model: Model, choice: PaperChoice, tile_px: int | None) -> None:
        assert choice.masks is not None
        tell_resolution(model, AS_THEY_ARE)
        self._model = model
        self._tiles = MaskedFolder(
            choice.data,
            choice.masks,
            tile_px or model.card.input_size,
            model.unit,
            exact=tile_px is not None,
        )
        self.explained = paper_masks.ByMainClass(model, self._tiles)

    def predictions(self, compute: Compute, told: paper.Told) -> Predicted:
        """Of pixels."""
        found = paper_masks.predictions(self._model, self._tiles, compute, told)
        return Predicted(found.frame, found.accuracy_table(), self._words(found.frame))

    def _words(self, frame: pd.DataFrame) -> list[str]:
        tiles, explained, readout = self._tiles, self.explained, self._model.readout
        usual = self._model.card.input_size
        size = "" if tiles.side == usual else f" (the model's own tiles have {usual} px)"
        background = "" if readout.background is None else f" other than {readout.background!r}"
        left_out = ""
        if explained.left_out:
            left_out = (
                f" Tiles without such a class: {explained.left_out}; they count in Table 2 alone."
            )
        original = frame[frame["denoising"] == "original"]
        unseen = int(((original["label"] >= 0) & original["difference_all"].isna()).sum())
        return [
            f"{len(tiles)} tiles of {tiles.side} px{size} with masks: all whole ones of "
            f"{tiles.image_count} images, from their middle. A tile's main class is the most "
            f"frequent of its mask{background} "
            f"({_counted(explained.labels, readout.outcomes)}).{left_out}",
            f"Table 2 is of pixels, without those that the masks mark {IGNORED}: accuracy_pct is "
            "the share that is right, as the mean over tiles; pooled_pct that of all pixels "
            "together; mean_dice the mean over classes of Dice of all pixels.",
            "Table 3 is of the pixels to which the original model gives the tile's main class more "
            f"than {IN_SIGHT} (section 3.2 of the paper), as the mean over these pixels. "
            f"Tiles with a main class but no such pixel: {unseen}; they are left out.",
            "Maps explain the main class, its score summed over the pixels that the original model "
            "predicts as it. Tiles without such a pixel have no map.",
        ]


def labelled_folder(model: Model, choice: PaperChoice | IgosChoice) -> LabelledFolder:
    """Tiles with one class each, by sub-folder or table."""
    scale = image_scale(model, choice.mpp, choice.resize)
    outcomes = model.readout.outcomes
    renamed = {}
    if len(model.card.class_names) == 1:
        renamed = {"1": outcomes[0], "0": outcomes[1]}  # as in masks: 1 is the class
    for pair in choice.renamed:
        label, equals, name = pair.partition("=")
        if not equals:
            raise SettingError(f"--rename {pair!r} is not of the form label=class")
        renamed[label] = name
    return LabelledFolder(
        choice.data,
        outcomes,
        model.card.input_size,
        scale,
        shorter_side=choice.resize,
        labels=choice.labels,
        renamed=renamed,
        resampling=model.card.resampling,
    )


def _counted(labels: Sequence[int], outcomes: Sequence[str]) -> str:
    counts = Counter(labels)
    if len(outcomes) > _LISTED:
        least, most = min(counts.values()), max(counts.values())
        return f"{len(counts)} of {len(outcomes)} classes, {least} to {most} tiles each"
    return ", ".join(f"{counts[i]} {name}" for i, name in enumerate(outcomes) if counts[i])
