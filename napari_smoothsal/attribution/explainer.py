"""Explainer: a network made ready once, then batches of tiles in and raw maps out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from napari_smoothsal.attribution.base import (
    ImageMethod,
    LayerMethod,
    MaskMethod,
    PerturbationMethod,
)
from napari_smoothsal.attribution.batch_maps import BatchMaps
from napari_smoothsal.attribution.device import Device, resolve_device
from napari_smoothsal.attribution.explanation import Explanation
from napari_smoothsal.attribution.map_plan import MapPlan, left_out, map_plans
from napari_smoothsal.attribution.memory import RowLimit
from napari_smoothsal.attribution.network import Network, Networks
from napari_smoothsal.attribution.noise import Place
from napari_smoothsal.attribution.perturbation import PerturbedTile
from napari_smoothsal.attribution.plan_checks import check_plan
from napari_smoothsal.attribution.precision import narrow_suffices
from napari_smoothsal.attribution.rescale import Reference
from napari_smoothsal.attribution.walk import Walk, walk_of
from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.specs import Compute, SaliencySpec
from napari_smoothsal.denoise import convolutions_of, displacement_of, no_surrogate
from napari_smoothsal.models import LayerInfo, Model
from napari_smoothsal.models.targets import Scope, Target

_UNKNOWN = 0
"""Rows of a pass, before the size of a tile is known."""


class Explainer:
    """A model, specs and compute settings, checked against each other and ready to run.

    Parameters
    ----------
    model
        Explained; it is copied, never changed.
    specs
        Maps to compute. Those that differ only in layer, method, target or reduction share their
        forward passes, those of one target their backward passes too.
    compute
        Device, precision, batch size.
    scope
        What ``target=None`` means; see `resolve_target`.
    warn
        Say where a denoising has nothing to do.
    networks
        Those of another explainer of this model, in the same thread; None: its own.

    Attributes
    ----------
    compute
        As given.
    asked
        The specs, also where it only decides.
    networks
        All that were made of the model.
    network
        That takes the noise samples.
    plans
        Maps that are computed: those of the specs, and those that some of them match.
    displacements
        How far each spec's map lies beside what it shows, and whether its placement is to take
        that back.
    wide_network
        That decides, and steps in where the other one's format overflows: fp32 where that is
        bf16, else the same.
    rows
        How many rows, tiles x samples, a pass may hold.
    fallbacks
        What had to be computed otherwise than asked for, in words: memory that ran out, numbers
        that overflowed.
    unnormalised
        Tiles so far without stain that could be normalised; told once.

    Raises
    ------
    SmoothsalError
        If a layer, method, denoising, target, option or device does not exist.
    """

    def __init__(
        self,
        model: Model,
        specs: Sequence[SaliencySpec],
        compute: Compute,
        scope: Scope,
        *,
        warn: bool = True,
        networks: Networks | None = None,
    ) -> None:
        self.model = model
        self.plans = map_plans(model, specs, scope)
        own = self.plans[: len(specs)]
        self.specs = [plan.spec for plan in own]
        self.asked = tuple(self.specs)
        if warn:
            for given, used in zip(specs, self.specs, strict=True):
                _warn_of_what_is_left_out(given, used)
        self.layers: list[LayerInfo] = [plan.layer for plan in own]
        self.methods = [plan.method for plan in own]
        self.targets: list[Target] = [plan.target for plan in own]
        self.walks: dict[Walk, list[int]] = {}
        for index, plan in enumerate(self.plans):
            check_plan(plan)
            self._check_unit(plan)
            self._check_surrogate(plan, "denoising" if index < len(specs) else "match")
            walk = walk_of(model, plan, self._convolutions_of(plan))
            self.walks.setdefault(walk, []).append(index)
            if warn:
                self._warn_if_nothing_to_do(plan, walk.jitter is None)
        self.displacements = [
            displacement_of(
                model,
                plan.layer,
                plan.denoising,
                plan.denoising_options,
                below=None if plan.target.unit is None else plan.target.unit[0],
                moves=isinstance(plan.method, LayerMethod) and plan.method.moves,
            )
            for plan in own
        ]
        self.convolutions = {
            walk: list(
                dict.fromkeys(c for i in members for c in self._convolutions_of(self.plans[i]))
            )
            for walk, members in self.walks.items()
        }
        self.references: dict[tuple[object, ...], Reference] = {}
        self.device: Device = resolve_device(compute)
        self.networks = networks or Networks(model)
        if compute.precision == "auto" and narrow_suffices(
            self.networks, model, self.specs, self.device, scope
        ):
            self.device = replace(self.device, precision="bf16")
        self.compute = compute
        looked_at = {spec.layer for spec in self.specs}
        looked_at |= {target.unit[0] for target in self.targets if target.unit is not None}
        self._looked_at = looked_at
        self.network = self.networks.get(self.device, looked_at)
        self.wide_network = self.network
        if self.device.inside is not None:
            self.wide_network = self.networks.get(replace(self.device, precision="fp32"), looked_at)
        self.fallbacks: list[str] = []
        self.unnormalised, self._warn = 0, warn
        self.rows = RowLimit(_UNKNOWN, self._fall_back)

    def predicting(self) -> Explainer:
        """The same networks, which only decide."""
        other = copy.copy(self)
        other.specs, other.plans, other.layers, other.methods, other.targets = [], [], [], [], []
        other.walks, other.displacements = {}, []
        other.convolutions, other.references = {}, {}
        other.fallbacks = []
        other.rows = RowLimit(self.rows.limit, other._fall_back)
        return other

    def begin(
        self,
        images: torch.Tensor,
        places: Sequence[Place],
        baselines: torch.Tensor | None = None,
        margin: int = 0,
    ) -> Explanation:
        """Start explaining a batch; its maps grow with every `Explanation.step`.

        Parameters
        ----------
        images
            (B, C, H, W), uint8 0..255 or floating 0..1, at the model's resolution.
        places
            What the noise of each tile derives from; see `add_noise`.
        baselines
            (B or 1, C, H, W), as the images, for methods whose baseline is ``"custom"``.
        margin
            How many px around the tiles the images show; jitter sees beyond the tile's border
            (`margin`), where they are missing by reflection.
        """
        if self.rows.limit == _UNKNOWN:
            self.batch_size(int(max(images.shape[2:])) - 2 * margin)
        images = self.entered(images, margin)
        if baselines is not None:
            baselines = self.entered(baselines)
        return Explanation(self, self.network, images, places, baselines, margin)

    def entered(self, images: torch.Tensor, margin: int = 0) -> torch.Tensor:
        """Images as everything behind sees them: brought to the card's stain, if it has one.

        It is done here and nowhere behind, so that baselines and whatever changes a tile start
        from the colours that the network sees.
        """
        entered, as_they_were = self.model.stain_normalised(images, margin)
        if as_they_were and self._warn and not self.unnormalised:
            warn_caller(
                f"{as_they_were} tile(s) show too little stain to be normalised, the first of "
                f"perhaps more: model {self.model.card.name!r} sees them as they are"
            )
        self.unnormalised += as_they_were
        return entered

    @property
    def margin(self) -> int:
        """Px around a tile that jitter looks at."""
        return max((w.jitter.margin for w in self.walks if w.jitter is not None), default=0)

    def explain(
        self,
        images: torch.Tensor,
        places: Sequence[Place],
        stop: Callable[[], bool] | None = None,
        baselines: torch.Tensor | None = None,
        margin: int = 0,
    ) -> BatchMaps:
        """Maps of one batch.

        Parameters
        ----------
        images, places, baselines, margin
            See `begin`.
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
        return self.finish(self.begin(images, places, baselines, margin), stop)

    def finish(self, explanation: Explanation, stop: Callable[[], bool] | None = None) -> BatchMaps:
        """Draw the samples that an explanation still wants; see `explain`."""
        while not explanation.finished:
            explanation.step(stop=stop)
        result = explanation.result()
        overflown = ~result.finite & torch.isfinite(result.decision.logits).all(1)
        if explanation.network is self.wide_network or not overflown.any():
            return result
        self._fall_back(
            f"{int(overflown.sum())} tile(s) overflow in {self.device.precision}; their batch is "
            "computed in fp32"
        )
        return self.finish(explanation.again(self.wide_network), stop)

    def batch_size(self, tile_px: int) -> int:
        """Tiles per batch; ``"auto"`` is resolved from the size of the network's feature maps.

        So many rows a pass holds from now on: tiles, or samples of fewer tiles.
        """
        self.rows.limit = self.device.batch_size(self.compute, self.bytes_per_row(tile_px))
        return self.rows.limit

    def bytes_per_row(self, tile_px: int) -> int:
        """What the feature maps of one tile take in a pass: forward, their gradients, and the
        running mean beside them."""
        per_value = 8 if self.device.precision == "fp64" else 4
        return int(3 * per_value * self.model.values_per_px * tile_px * tile_px)

    def check_tiles(self, tile_px: int) -> None:
        """Refuse what cannot be done to tiles of a size, before anything is written.

        Raises
        ------
        SettingError
            If pieces, cells or superpixels are larger than a tile, or a mask is finer.
        """
        plans = [p for p in self.plans if isinstance(p.method, ImageMethod)]
        if not plans:
            return
        card = self.model.card
        colours = torch.rand(
            1, len(card.mean), tile_px, tile_px, generator=torch.Generator().manual_seed(0)
        ).to(self.network.mean)
        tile = PerturbedTile(
            self.network.normalised(colours)[0],
            colours[0],
            self.network.normalised,
            card.input_mpp,
            seed=0,
        )
        for plan in plans:
            if isinstance(plan.method, PerturbationMethod):
                plan.method.perturb(tile, plan.method_options)
            if isinstance(plan.method, MaskMethod):
                plan.method.optimise(tile, plan.method_options)

    def altered(self, walk: Walk, network: Network) -> Network:
        """The network of a walk, of the device and format of another one.

        Another where convolutions are replaced; what is attached to them is attached for the time
        of a pass.
        """
        if not walk.denoising.replaces or not walk.changed:
            return network
        return self.networks.get(network.device, self._looked_at, walk.changed)

    def idle_denoising(self, plan: MapPlan) -> bool:
        """Whether a plan's denoising has nothing to do, so that its map is the original's."""
        changes = plan.denoising.attach is not None or plan.denoising.replaces
        return changes and not self._convolutions_of(plan)

    def _fall_back(self, what: str) -> None:
        self.fallbacks.append(what)
        warn_caller(what)

    def _convolutions_of(self, plan: MapPlan) -> tuple[str, ...]:
        return convolutions_of(self.model, plan.layer, plan.denoising, plan.denoising_options)

    def _check_surrogate(self, plan: MapPlan, asked_as: str) -> None:
        if plan.denoising.replaces and self.model.surrogate is None:
            raise SettingError(no_surrogate(self.model, asked_as))

    def _check_unit(self, plan: MapPlan) -> None:
        spec, target = plan.spec, plan.target
        if target.unit is None:
            return
        if isinstance(plan.method, MaskMethod):
            raise SettingError(
                f"target = {target.label!r}: method {plan.method.name!r} weighs a class's "
                "probability or score against the size of its mask, and a hidden unit has none; "
                "choose a class"
            )
        name, channel = target.unit
        layer = self.model.layer(name)
        if channel >= layer.channels:
            raise SettingError(
                f"target = {target.label!r}: layer {name!r} has channels 0 to {layer.channels - 1}"
            )
        if self.model.reach(spec.layer, name) is None:
            raise SettingError(
                f"target = {target.label!r}: layer {name!r} does not depend on layer "
                f"{spec.layer!r}, so there is nothing to explain; choose a unit above it"
            )

    def _warn_if_nothing_to_do(self, plan: MapPlan, no_jitter: bool) -> None:
        spec = plan.spec
        where = f"layer {spec.layer!r} of model {self.model.card.name!r}"
        # Of the default nobody expects anything at a layer that has nothing to denoise.
        if "denoising" in spec.model_fields_set and self.idle_denoising(plan):
            below = len(self.model.strided_convolutions)
            there = f"all {below} of the model lie below it" if below else "the model has none"
            warn_caller(
                f"no strided convolution lies above {where}: denoising {spec.denoising!r} has "
                "nothing to do there and its map equals the original's (looked for: modules "
                f"nn.Conv2d with a stride above 1, of which {there}; poolings, slicing and the "
                "patches of transformers are no such)"
            )
        if spec.jitter and no_jitter:
            warn_caller(
                f"nothing above {where} has a coarser stride than it: jitter has nothing to do "
                "there"
            )


def _warn_of_what_is_left_out(given: SaliencySpec, used: SaliencySpec) -> None:
    if words := left_out(given, used):
        warn_caller(f"method {given.method!r} has no use for {', '.join(words)}: left out")
