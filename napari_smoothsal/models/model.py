"""Model: a network with its card. What is explained, before any method or layer is chosen."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_smoothsal.core.calibration import Calibration, closest_calibration
from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.specs import SaliencySpec
from napari_smoothsal.models.fitting import fitting_size
from napari_smoothsal.models.halo import energy_radius
from napari_smoothsal.models.logits import evaluating, like_parameters
from napari_smoothsal.models.stain_normalisation import Normalised, StainNormaliser
from napari_smoothsal.models.surrogate import Surrogate
from napari_smoothsal.models.traced_network import TracedNetwork

_CLASSIFIER_HALO_PX = 16
_CLASSIFIER_OVERLAP = 0.25
_DENSE_OVERLAP = 0.0625
_CLASSIFIER_MIN_TISSUE = 0.1
_HALO_PROBE_PX = 1536
_HALO_STEP_PX = 16
_PROBE_PX = 256


class Model(TracedNetwork):
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
        super().__init__(module, card)
        self.surrogate = surrogate
        self.normal_tissue = normal_tissue
        self.calibrations = calibrations
        self._normaliser: StainNormaliser | None = None
        if card.stain_normalisation is not None:
            self._normaliser = StainNormaliser(card.stain_normalisation)
        self._radii: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"Model({self.card.name!r}, {type(self._given).__name__})"

    def maker(self) -> Callable[[], Model]:
        """What makes it anew in another process: pickled, it holds nothing that was found out."""
        return partial(
            Model,
            self._given,
            self.card,
            self.surrogate,
            self.normal_tissue,
            self.calibrations,
        )

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

    def check_output(self) -> None:
        """Make sure that it decides between as many classes as its card names, by a pass.

        Raises
        ------
        ModelError
            If it does not.
        """
        images = torch.zeros(1, len(self.card.mean), self.probe_px, self.probe_px)
        with evaluating(self.module), torch.no_grad():
            self.readout.read(self.module(like_parameters(images, self.module)), 1)

    def stain_normalised(
        self, images: torch.Tensor, margin: int = 0, measured: torch.Tensor | None = None
    ) -> Normalised:
        """Images (n, C, H, W) as the card's stain normalisation leaves them; without one as given.

        This is what comes first: explaining does it itself, and so nobody else must but who
        hands images to the network by other ways. See `StainNormaliser`, and `behind_stain` for
        whoever goes on changing them.
        """
        if self._normaliser is None:
            return Normalised(images, 0)
        return self._normaliser(images, margin, measured)

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
