"""``guided_backprop`` and ``deconvnet``: gradients that ReLUs pass on only where they are positive.

They show what excites the features behind a decision, in fine detail; much of it is the image's
own edges, whatever the decision is (Nie et al. 2018; Adebayo et al. 2018).
"""

from __future__ import annotations

from typing import Any

import torch

from napari_smoothsal.attribution.base import METHODS, LayerMethod
from napari_smoothsal.attribution.functions import Elementwise, Function, out_of_place
from napari_smoothsal.attribution.interception import Interception
from napari_smoothsal.attribution.methods.gradient import gradient_itself
from napari_smoothsal.core.errors import ModelError


class _Rectification(Interception):
    """Gives ReLUs, and those with an upper limit (ReLU6), their rule.

    Parameters
    ----------
    guided
        Whether a ReLU passes on what its own gradient passes on, and of that what is positive;
        else whatever is positive.
    """

    def __init__(self, method: str, *, guided: bool) -> None:
        super().__init__(method)
        self._guided = guided

    def bent(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        f, x, in_place = out_of_place(function, args, kwargs)
        if not _rectifies(f):
            raise ModelError(
                f"method {self.method!r} is a rule for ReLU (and ReLU6), and the model applies "
                f"{f.name!r} above the layer; choose 'gradient' or 'lrp_epsilon', or a layer "
                "above it"
            )
        return _Rectified.apply(x, f, self._guided, in_place)


def _rectifies(f: Elementwise) -> bool:
    """Whether a function is ReLU, perhaps with an upper limit, under whichever name."""
    if f.name not in {"relu", "relu6", "hardtanh", "clamp", "clamp_min"}:
        return False
    return f.apply(torch.tensor([-2.0, -1.0, 0.0, 1.0])).tolist() == [0, 0, 0, 1]


class _Rectified(torch.autograd.Function):
    """f(x), whose gradient is rectified."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, f: Elementwise, guided: bool, in_place: bool
    ) -> torch.Tensor:
        y = f.apply(x)
        if guided:
            # Where an upper limit holds y, no change of x is seen.
            ctx.save_for_backward(y if f.name == "relu" else y.where(x == y, 0))
        if in_place:
            ctx.mark_dirty(x)
            return x.copy_(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = gradients
        for seen in ctx.saved_tensors:
            gradient = torch.ops.aten.threshold_backward(gradient, seen, 0)
        return gradient.clamp(min=0), None, None, None


GUIDED_BACKPROP = METHODS.register(
    LayerMethod(
        name="guided_backprop",
        title="Guided backpropagation: what excites the features behind the decision",
        positive="excites",
        negative="inhibits",
        attribute=gradient_itself,
        backward=lambda _options, _box: _Rectification("guided_backprop", guided=True),
        moves=True,
    )
)
"""The gradient, where each ReLU passes on g (x > 0) (g > 0) (Springenberg et al. 2015)."""

DECONVNET = METHODS.register(
    LayerMethod(
        name="deconvnet",
        title="Deconvnet: the network run backwards, with a ReLU wherever it has one",
        positive="excites",
        negative="inhibits",
        attribute=gradient_itself,
        backward=lambda _options, _box: _Rectification("deconvnet", guided=False),
        moves=True,
    )
)
"""The gradient, where each ReLU passes on g (g > 0) (Zeiler and Fergus 2014)."""
