"""A start for a surrogate's path: alternating least squares against the convolution's outputs.

A path is linear in the kernels of its first convolution while the second one is held, and the
other way round. Each half is solved by conjugate gradients, so that no matrix is ever formed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.func import functional_call

from napari_smoothsal.models.surrogate import SurrogatePath

_ITERATIONS = 12
"""Of conjugate gradients for each half: more are lost once the other half moves."""

Tensors = tuple[torch.Tensor, ...]


def start_by_least_squares(
    path: SurrogatePath, image: torch.Tensor, output: torch.Tensor, rounds: int
) -> None:
    """Fit a path to what its convolution made of images, in place.

    Parameters
    ----------
    path
        Its weights are replaced.
    image, output
        (B, in, H, W) what the convolution saw and (B, out, h, w) what it made of it.
    rounds
        How often each half is solved.
    """
    with torch.no_grad():
        # The reduction alone, to begin with: the second convolution hands on what it gets.
        for part in (path.before, path.after):
            part.weight.zero_()
            if part.bias is not None:
                part.bias.zero_()
        nn.init.dirac_(path.after.weight)
    for _ in range(rounds):
        for half in (path.before, path.after):
            _solve(path, half, image, output)


def _solve(path: SurrogatePath, half: nn.Conv2d, image: torch.Tensor, output: torch.Tensor) -> None:
    """Least squares in the weights of one half."""
    names = [name for name, p in path.named_parameters() if any(p is q for q in half.parameters())]
    found = [dict(path.named_parameters())[name].detach().clone() for name in names]
    if half is path.after:
        # What the second half sees is the same throughout.
        with torch.no_grad():
            image = path.reduced(image)

    def made(values: Sequence[torch.Tensor]) -> torch.Tensor:
        given = dict(zip(names, values, strict=True))
        if half is path.after:
            given = {name.removeprefix("after."): v for name, v in given.items()}
            result: torch.Tensor = functional_call(path.after, given, (image,))
            return result
        return functional_call(path, given, (image,))  # type: ignore[no-any-return]

    solved = conjugate_gradients(made, found, output, _ITERATIONS)
    with torch.no_grad():
        for name, value in zip(names, solved, strict=True):
            path.get_parameter(name).copy_(value)


def conjugate_gradients(
    made: Callable[[Sequence[torch.Tensor]], torch.Tensor],
    start: Sequence[torch.Tensor],
    wanted: torch.Tensor,
    iterations: int,
) -> list[torch.Tensor]:
    """Parameters of an affine function whose output is closest to what is wanted.

    CGLS (Hestenes and Stiefel 1952): every iteration brings it closer.
    """

    def back(residual: torch.Tensor, at: Sequence[torch.Tensor]) -> Tensors:
        leaves = [value.detach().requires_grad_() for value in at]
        with torch.enable_grad():
            return torch.autograd.grad(made(leaves), leaves, residual)

    with torch.no_grad():
        parameters = [value.clone() for value in start]
        nothing = made([torch.zeros_like(value) for value in start])
        residual = wanted - made(parameters)
        slope = back(residual, parameters)
        direction = [value.clone() for value in slope]
        steepness = _square(slope)
        first = steepness
        for _ in range(iterations):
            change = made(direction) - nothing
            size = _square([change])
            if not size > 0 or steepness <= 1e-12 * first:
                break
            step = steepness / size
            for value, way in zip(parameters, direction, strict=True):
                value.add_(way, alpha=float(step))
            residual.sub_(change, alpha=float(step))
            slope = back(residual, parameters)
            before, steepness = steepness, _square(slope)
            direction = [
                s + way * (steepness / before) for s, way in zip(slope, direction, strict=True)
            ]
    return parameters


def _square(values: Sequence[torch.Tensor]) -> float:
    return float(sum(value.double().square().sum() for value in values))
