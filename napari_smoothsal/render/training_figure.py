"""A picture of how a surrogate learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Curve = Sequence[tuple[int, float]]

FEW = 10


def training_figure(
    curves: Mapping[str, Curve], losses: Mapping[str, Sequence[float]], path: Path
) -> None:
    """Draw losses by step, and what is left of each path's in the end.

    Parameters
    ----------
    curves
        (step, loss) by what they are of, in words.
    losses
        By path: the loss on held-out tiles, and that of saying each channel's mean.
    path
        PNG, PDF or SVG file.
    """
    figure = Figure(figsize=(12, 4.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    by_step, by_path = figure.subplots(1, 2, width_ratios=(3, 2))
    styles = (("#0072B2", "-"), ("#56B4E9", "-"), ("#D55E00", "--"))
    for (name, curve), (colour, style) in zip(curves.items(), styles, strict=False):
        if curve:
            steps, values = zip(*curve, strict=True)
            marker = "o" if len(curve) < FEW else ""  # a line through one point is invisible
            by_step.plot(
                steps, values, color=colour, ls=style, label=name, lw=1.5, marker=marker, ms=4
            )
    by_step.set(xlabel="step", ylabel="mean absolute error, all paths", yscale="log")
    by_step.grid(alpha=0.3, which="both")
    by_step.legend(frameon=False)
    names = list(losses)
    shares = [100 * loss / naive if naive > 0 else 0.0 for loss, naive in losses.values()]
    places = range(len(names))
    by_path.barh(places, shares, color="#0072B2")
    by_path.set_yticks(places, names, fontsize=8)
    by_path.invert_yaxis()
    by_path.set_xlabel("error left on held-out tiles, % of that of a constant per channel")
    by_path.grid(alpha=0.3, axis="x")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
