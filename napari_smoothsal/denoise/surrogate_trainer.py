"""Trainer: steps, measurements, and the file from which a training goes on.

A path learns inside its convolution's hook and is done there, so that one path's activations are in
memory at a time.
"""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from napari_smoothsal.core.caller_warning import warn_caller
from napari_smoothsal.core.errors import ComputeError, ModelError
from napari_smoothsal.core.files import replaced_at_once
from napari_smoothsal.core.training import SurrogateTraining
from napari_smoothsal.denoise.least_squares import start_by_least_squares
from napari_smoothsal.models import Model
from napari_smoothsal.models.fitting import padded_to_fit
from napari_smoothsal.models.surrogate import Surrogate

_MOST_VALIDATION = 64
_TOO_MANY = 2
_WARM_UP = 50
_START_BATCHES = 4
_START_PX = 64 * 224 * 224
"""The fit sees its tiles in one pass: so much fits into memory."""


class TileSource(Protocol):
    """Tiles to train on, of the model's resolution."""

    def __len__(self) -> int: ...

    def draw(self, indices: Sequence[int], chance: random.Random | None) -> torch.Tensor:
        """(n, C, H, W) uint8; cut and turned by chance, or always the same where that is None."""

    @property
    def fingerprint(self) -> str:
        """Changes where the tiles do."""

    @property
    def groups(self) -> Sequence[int]:
        """Group of each tile. Tiles of one group are alike: they are held out together."""


@dataclass
class History:
    """What was measured along the way.

    Attributes
    ----------
    training
        (step, loss): the mean since the last entry.
    validation
        (step, loss) on held-out tiles.
    other_start
        (step, loss) on them of the surrogate that began otherwise.
    losses
        Of the best: loss on held-out tiles by path, and that of predicting each channel's mean.
    """

    training: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    other_start: list[tuple[int, float]] = field(default_factory=list)
    losses: dict[str, list[float]] = field(default_factory=dict)

    @property
    def best(self) -> tuple[int, float]:
        """Step and loss of the best surrogate."""
        return min(self.validation, key=lambda entry: entry[1])

    def asdict(self) -> dict[str, Any]:
        """For JSON."""
        return dict(vars(self))


class _Learner:
    """A surrogate and its optimiser."""

    def __init__(self, surrogate: Surrogate, rate: float, device: torch.device) -> None:
        self.surrogate = surrogate
        self.parameters: dict[str, nn.Parameter] = {}
        for name, path in surrogate.paths.items():
            path.to(device).requires_grad_(True)
            for key, value in path.named_parameters():
                self.parameters[f"{name}.{key}"] = value
        self.optimiser = torch.optim.Adam(self.parameters.values(), lr=rate)

    def state(self) -> dict[str, torch.Tensor]:
        state = dict(self.surrogate.state())
        for name, parameter in self.parameters.items():
            for key, value in self.optimiser.state[parameter].items():
                state[f"adam.{key}.{name}"] = value
        return state

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        self.surrogate.load_state({k: v for k, v in state.items() if not k.startswith("adam.")})
        for name, parameter in self.parameters.items():
            for key in ("step", "exp_avg", "exp_avg_sq"):
                if (value := state.get(f"adam.{key}.{name}")) is not None:
                    on = parameter.device if value.ndim else value.device
                    self.optimiser.state[parameter][key] = value.to(on)


class Trainer:
    """A surrogate that learns, beside one of the other start."""

    def __init__(
        self,
        model: Model,
        source: TileSource,
        options: SurrogateTraining,
        classes: Sequence[int] | None,
        device: torch.device,
    ) -> None:
        self._model, self._source, self._options = model, source, options
        self._device = device
        self._network = copy.deepcopy(model.module).float().to(device).eval().requires_grad_(False)
        shape = (1, -1, 1, 1)
        self._mean = torch.tensor(model.card.mean, device=device).reshape(shape)
        self._std = torch.tensor(model.card.std, device=device).reshape(shape)
        self._groups, self.held_out = _split(source.groups, classes, options)
        self.history = History()
        self.done = 0
        self._running: list[float] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            random_start = Surrogate.untrained(model)
        for path in random_start.paths.values():
            path.float()
        self.best, self.start = copy.deepcopy(random_start), copy.deepcopy(random_start)
        self._learner = _Learner(copy.deepcopy(random_start), options.rate, device)
        self._other = _Learner(random_start, options.rate, device)

    @property
    def finished(self) -> bool:
        if self.done >= self._options.steps:
            return True
        if not self.history.validation:
            return False
        since = self.history.validation[-1][0] - self.history.best[0]
        return since >= self._options.patience * self._options.validate_every

    @property
    def _compares(self) -> bool:
        return self.done < self._options.compare_steps

    def begin(self) -> None:
        """First weights."""
        fitted = self._learner if self._options.start == "least_squares" else self._other
        if fitted is self._learner or self._options.compare_steps:
            rounds = self._options.start_rounds
            paths = fitted.surrogate.paths

            def fit(name: str, image: torch.Tensor, output: torch.Tensor) -> None:
                start_by_least_squares(paths[name], image, output, rounds)

            tiles = torch.cat([self._batch(-1 - i) for i in range(_START_BATCHES)])
            most = max(1, _START_PX // (tiles.shape[-2] * tiles.shape[-1]))
            self._run(tiles[:most], fit)
        self.start.load_state({k: v.cpu() for k, v in self._learner.surrogate.state().items()})
        self.validate()

    def step(self) -> None:
        """Learn from one batch."""
        rate = self._options.rate
        # A fitted start is close to where it goes: full steps at once would throw it away.
        rate *= min(1.0, (self.done + 1) / _WARM_UP)
        if self._options.schedule == "cosine":
            rate *= 0.5 * (1 + math.cos(math.pi * self.done / self._options.steps))
        learners = [self._learner, *([self._other] if self._compares else [])]
        losses = torch.zeros(len(learners))

        def learn(name: str, image: torch.Tensor, output: torch.Tensor) -> None:
            for i, learner in enumerate(learners):
                with torch.enable_grad():
                    made = learner.surrogate.paths[name](image)
                    loss = (made - output).abs().mean()
                loss.backward()
                losses[i] += float(loss.detach())

        self._run(self._batch(self.done), learn)
        if not bool(torch.isfinite(losses).all()):
            raise ComputeError(
                f"step {self.done}: the loss is {losses.tolist()}; look at the tiles, or lower "
                f"--rate ({self._options.rate}) and choose a new --out. The last checkpoint is kept"
            )
        for learner in learners:
            for group in learner.optimiser.param_groups:
                group["lr"] = rate
            learner.optimiser.step()
            learner.optimiser.zero_grad(set_to_none=True)
        self.done += 1
        self._running.append(float(losses[0]))

    def validate(self) -> None:
        """Measure on the held-out tiles, and keep the best."""
        losses = self._measured(self._learner.surrogate)
        total = sum(loss for loss, _ in losses.values())
        history = self.history
        if self._running:
            history.training.append((self.done, sum(self._running) / len(self._running)))
            self._running.clear()
        if not history.validation or total < history.best[1]:
            self.best.load_state({k: v.cpu() for k, v in self._learner.surrogate.state().items()})
            history.losses = {name: list(pair) for name, pair in losses.items()}
        history.validation.append((self.done, total))
        if self.done <= self._options.compare_steps and self._options.compare_steps:
            others = self._measured(self._other.surrogate)
            history.other_start.append((self.done, sum(loss for loss, _ in others.values())))

    def _measured(self, surrogate: Surrogate) -> dict[str, tuple[float, float]]:
        """By path: its loss, and that of always saying the mean of each channel."""
        sums: dict[str, list[float]] = {}

        def measure(name: str, image: torch.Tensor, output: torch.Tensor) -> None:
            loss = (surrogate.paths[name](image) - output).abs().mean()
            naive = (output - output.mean((0, 2, 3), keepdim=True)).abs().mean()
            entry = sums.setdefault(name, [0.0, 0.0])
            entry[0] += float(loss) * len(image)
            entry[1] += float(naive) * len(image)

        size = self._options.batch_tiles
        for start in range(0, len(self.held_out), size):
            self._run(self._source.draw(self.held_out[start : start + size], None), measure)
        n = len(self.held_out)
        return {name: (loss / n, naive / n) for name, (loss, naive) in sums.items()}

    def _batch(self, step: int) -> torch.Tensor:
        # Of the step alone: a training that is gone on with sees the same batches.
        chance = random.Random(f"{self._options.seed} {step}")
        size = self._options.batch_tiles
        groups = [self._groups[(step * size + i) % len(self._groups)] for i in range(size)]
        chosen = [chance.choice(group) for group in groups]
        return self._source.draw(chosen, chance)

    @torch.no_grad()
    def _run(
        self, tiles: torch.Tensor, seen: Callable[[str, torch.Tensor, torch.Tensor], None]
    ) -> None:
        tiles = self._model.stain_normalised(tiles).images
        images = (tiles.to(self._device).float() / 255 - self._mean) / self._std
        with _listening(self._network, list(self._learner.surrogate.paths), seen):
            self._network(padded_to_fit(images, self._model.unit))

    def save(self, path: Path, identity: Mapping[str, Any]) -> None:
        """Everything that the next step depends on."""
        parts = {"learner": self._learner.state(), "best": self.best.state()}
        parts["start"] = self.start.state()
        if self._compares:
            parts["other"] = self._other.state()
        tensors = {
            f"{part}.{name}": value.detach().cpu().contiguous().clone()
            for part, state in parts.items()
            for name, value in state.items()
        }
        about = {
            "identity": json.dumps(identity, sort_keys=True),
            "done": str(self.done),
            "history": json.dumps(self.history.asdict()),
            "running": json.dumps(self._running),
        }
        with replaced_at_once(path) as part_file:
            save_file(tensors, part_file, metadata=about)

    def load(self, path: Path, identity: Mapping[str, Any]) -> None:
        """Go on from there."""
        try:
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            known = json.loads(about["identity"])
            done, history = int(about["done"]), json.loads(about["history"])
            running = json.loads(about["running"])
        except (SafetensorError, KeyError, ValueError) as error:
            raise ModelError(
                f"{path.name!r} is no checkpoint that can be read; remove it to begin anew"
            ) from error
        differing = [key for key, value in identity.items() if known.get(key) != value]
        if differing:
            if differing == ["options"]:
                differing = [
                    f"{name} was {known['options'].get(name)}, is {value}"
                    for name, value in identity["options"].items()
                    if known["options"].get(name) != value
                ]
            raise ModelError(
                f"{path.name!r} is of another training (different: {', '.join(differing)}); remove "
                "it or choose another --out"
            )
        self._learner.load(_part(tensors, "learner"))
        self.best.load_state(_part(tensors, "best"))
        self.start.load_state(_part(tensors, "start"))
        if others := _part(tensors, "other"):
            self._other.load(others)
        self.done, self._running = done, running
        for key in ("training", "validation", "other_start"):
            setattr(self.history, key, [(int(at), float(loss)) for at, loss in history[key]])
        self.history.losses = history["losses"]


def _part(tensors: Mapping[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {
        key.removeprefix(f"{name}."): value
        for key, value in tensors.items()
        if key.startswith(f"{name}.")
    }


def _split(
    groups: Sequence[int], classes: Sequence[int] | None, options: SurrogateTraining
) -> tuple[list[list[int]], list[int]]:
    """Tiles to train on by class, and those held out: whole groups, if there are several."""
    count = len(groups)
    parts = _by_key(groups) if len(set(groups)) > 1 else [[i] for i in range(count)]
    random.Random(f"{options.seed} held out").shuffle(parts)
    wanted = min(max(1, round(options.validation * count)), _MOST_VALIDATION)
    held_out: list[int] = []
    for part in parts:
        # A group that is much more than is wanted is for training, unless there is no other.
        if len(held_out) < wanted and len(held_out) + len(part) <= _TOO_MANY * wanted:
            held_out += part
    if not held_out:
        smallest = min(parts, key=len)
        held_out = smallest if 2 * len(smallest) <= count else smallest[:wanted]
    held_out = sorted(held_out)
    rest = sorted(set(range(count)) - set(held_out))
    if classes is None:
        return [rest], held_out
    by_class = _by_key([classes[index] for index in rest])
    if len(by_class) == 1:
        warn_caller(
            f"all {len(rest)} tiles are predicted as one class, which is all that the surrogate "
            "sees; give tiles of the others as well"
        )
    return [[rest[i] for i in members] for members in by_class], held_out


def _by_key(keys: Sequence[int]) -> list[list[int]]:
    """Places of each key, in the order of the keys."""
    places: dict[int, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    return [places[key] for key in sorted(places)]


@contextmanager
def _listening(
    network: nn.Module,
    names: Sequence[str],
    seen: Callable[[str, torch.Tensor, torch.Tensor], None],
) -> Iterator[None]:
    def hook(name: str) -> Any:
        return lambda _module, inputs, output: seen(name, inputs[0], output)

    handles = [network.get_submodule(n).register_forward_hook(hook(n)) for n in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
