"""Fold BatchNorms into the convolutions before them: a pass over memory less for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

TOLERANCE = 1e-5
"""Largest change of a network's output, relative to its largest value, that rounding explains."""


def fold_batch_norms(network: nn.Module, image: torch.Tensor, keep: Collection[str]) -> int:
    """Fold what can be folded, in place; nothing where the output would change.

    A pair is folded where the BatchNorm is the only reader of the convolution's output and each
    runs once in a pass. Such a BatchNorm then hands its input on as it is.

    Parameters
    ----------
    network
        In eval mode, a copy that nobody else holds: its weights are changed.
    image
        (1, C, H, W), of the network's device and dtype, for the passes that find and check.
    keep
        Modules whose outputs are looked at and must stay what they are.

    Returns
    -------
    int
        Number of BatchNorms folded.
    """
    with torch.no_grad():
        found, before = _pairs(network, image)
        pairs = [(c, b) for c, b, name in found if name not in keep]
        if not pairs:
            return 0
        kept = [(c.weight, c.bias) for c, _ in pairs]
        for convolution, norm in pairs:
            _fold(convolution, norm)
        if _same(before, network(image)):
            return len(pairs)
        for (convolution, norm), (weight, bias) in zip(pairs, kept, strict=True):
            convolution.weight, convolution.bias = weight, bias
            del norm.forward
        return 0


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    # In double precision: a factor that is rounded once costs nothing, one of three does.
    scale = (variance.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    bias = -mean.double() if convolution.bias is None else convolution.bias.double() - mean.double()
    bias = bias * scale
    if norm.bias is not None:
        bias = bias + norm.bias.double()
    weight = convolution.weight
    folded = (weight.double() * scale[:, None, None, None]).to(weight.dtype)
    # New parameters, never written into the old ones: convolutions may share them.
    convolution.weight = nn.Parameter(
        folded.contiguous(memory_format=torch.channels_last), requires_grad=False
    )
    convolution.bias = nn.Parameter(bias.to(weight.dtype), requires_grad=False)
    norm.forward = _handed_on  # type: ignore[assignment,method-assign]


def _handed_on(values: torch.Tensor) -> torch.Tensor:
    return values


def _same(before: Any, after: Any) -> bool:
    for old, new in zip(tree_leaves(before), tree_leaves(after), strict=True):
        if isinstance(old, torch.Tensor):
            limit = TOLERANCE * float(old.abs().max())
            # Negated, so that NaN counts as different.
            if not float((new - old).abs().max()) <= limit:
                return False
    return True


def _pairs(
    network: nn.Module, image: torch.Tensor
) -> tuple[list[tuple[nn.Conv2d, nn.BatchNorm2d, str]], Any]:
    """Convolution, BatchNorm, the convolution's name; and what the network makes of the image."""
    reads = _Reads()
    calls: Counter[nn.Module] = Counter()
    made = WeakIdKeyDictionary()
    met: list[tuple[torch.Tensor, nn.Conv2d, nn.BatchNorm2d]] = []

    def on_convolution(module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        calls[module] += 1
        made[output] = module

    def on_norm(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        calls[module] += 1
        if isinstance(module, nn.BatchNorm2d) and inputs[0] in made:
            met.append((inputs[0], made[inputs[0]], module))

    names = {module: name for name, module in network.named_modules()}
    # Exact types, without hooks of the user's own: a subclass may do anything with its weights.
    convolutions = [m for m in names if type(m) is nn.Conv2d and _plain(m)]
    norms = [
        m for m in names if type(m) is nn.BatchNorm2d and m.running_mean is not None and _plain(m)
    ]
    handles = [m.register_forward_hook(on_convolution) for m in convolutions]
    handles += [m.register_forward_pre_hook(on_norm) for m in norms]
    try:
        with reads:
            output = network(image)
    finally:
        for handle in handles:
            handle.remove()
    pairs = [
        (convolution, norm, names[convolution])
        for made_map, convolution, norm in met
        if reads.count[made_map] == 1 and calls[convolution] == 1 and calls[norm] == 1
    ]
    return pairs, output


def _plain(module: nn.Module) -> bool:
    own = {"weight", "bias"} & module._parameters.keys()
    return len(own) == 2 and not (module._forward_hooks or module._forward_pre_hooks)


class _Reads(TorchDispatchMode):
    """Counts the operators that read each tensor."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = WeakIdKeyDictionary()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        for value in tree_leaves((args, kwargs)):
            if isinstance(value, torch.Tensor):
                self.count[value] = self.count.get(value, 0) + 1
        return func(*args, **kwargs)
