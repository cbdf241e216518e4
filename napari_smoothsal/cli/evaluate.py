"""``smoothsal evaluate``: how good the maps of a run are, or of a model, or a model's classes."""

from __future__ import annotations

from napari_smoothsal.cli.app import command
from napari_smoothsal.cli.evaluate_dice import DICE
from napari_smoothsal.cli.evaluate_faithfulness import FAITHFULNESS
from napari_smoothsal.cli.evaluate_igos import TABLE
from napari_smoothsal.cli.evaluate_localisation import LOCALISATION
from napari_smoothsal.cli.evaluate_paper import PAPER
from napari_smoothsal.cli.evaluate_sanity import SANITY
from napari_smoothsal.cli.evaluation_mode import modes_flags
from napari_smoothsal.cli.specs import COMBINED


@command("evaluate", after="the same command begins anew; tables are written as they are done")
@modes_flags((LOCALISATION, DICE, FAITHFULNESS, SANITY, TABLE, PAPER), repeated=COMBINED)
def evaluate() -> None:
    """Measure maps: a store's, a slide's that is explained first, or those of labelled images.

    With --model and --data alone it is the evaluation of Smooth Deep Saliency: accuracy,
    prediction difference and total variation of every denoising, as tables beside the paper's. Of
    a model that decides per pixel, --masks are needed as well.

    --localisation writes localisation.csv, one row per map, and localisation.png; --dice
    writes dice.csv, one row per class; --faithfulness writes faithfulness.csv, one row per map,
    and --sanity what is left of maps block by block, each with a picture; --table a table of
    iGOS++ or its figure. All print a table.
    """
