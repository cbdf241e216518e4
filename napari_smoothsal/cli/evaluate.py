"""``smoothsal evaluate``: how good the maps of a run are, or the classes of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from napari_smoothsal.cli.app import DONE, command, complain
from napari_smoothsal.cli.evaluate_igos import evaluate_igos
from napari_smoothsal.cli.evaluate_paper import USED, PaperChoice, evaluate_paper
from napari_smoothsal.cli.flags import settings_flags, settings_from
from napari_smoothsal.cli.run import failures
from napari_smoothsal.cli.specs import COMBINED, explained, run_settings, specs_from
from napari_smoothsal.core.errors import SettingError
from napari_smoothsal.core.perturbation import Perturbation
from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling

if TYPE_CHECKING:
    import pandas as pd

    from napari_smoothsal.runs import Run
    from napari_smoothsal.slides.outlines import Outlines

MODEL = "demo-classifier"


class Classes(NamedTuple):
    """Which outlines are nuclei of the explained class, and which the others; see `nuclei_of`."""

    nuclei_class: str | None
    other_classes: tuple[str, ...]


@command("evaluate", after="the same command begins anew; tables are written as they are done")
@settings_flags(SaliencySpec, Tiling, Compute, Perturbation, repeated=COMBINED)
def evaluate(
    store: Annotated[
        Path | None,
        typer.Argument(help="A store with maps. Without one, --layer computes it into --out."),
    ] = None,
    localisation: Annotated[
        bool,
        typer.Option("--localisation", help="Are the maps on the right nuclei? Needs outlines."),
    ] = False,
    dice: Annotated[
        bool,
        typer.Option(
            "--dice",
            help="Do the model's classes agree with masks? Needs --data and --masks.",
        ),
    ] = False,
    table: Annotated[
        str | None,
        typer.Option(
            help="A table of iGOS++: igos1, igos2, igos3, igos4, igos6, igos7; igos12 is its "
            "Figure 12. Needs --model and --data, a folder of images, in sub-folders by class or "
            "not."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of images at the model's resolution: with --masks, or with one sub-folder "
            "per class, or with --labels."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="CSV with columns `file` and `label`, in place of sub-folders; a label is a class "
            "name or index."
        ),
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(help="A label and the model's class that it means, as label=class."),
    ] = None,
    resize: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Resize labelled images until their shorter side has so many px, then cut tiles "
            "from the middle; for images without a resolution.",
        ),
    ] = None,
    map_tiles: Annotated[
        int,
        typer.Option(min=1, help="Maps are made of so many tiles, drawn by chance, at most."),
    ] = 500,
    faithfulness_tiles: Annotated[
        int,
        typer.Option(
            min=0, help="Insertion and deletion are measured on so many of them; 0: not at all."
        ),
    ] = 0,
    blocks: Annotated[
        bool,
        typer.Option("--blocks/--no-blocks", help="Total variation at every block as well."),
    ] = True,
    figures: Annotated[
        int,
        typer.Option(min=0, help="Maps of so many tiles are drawn side by side; 0: of none."),
    ] = 0,
    surrogate: Annotated[
        Path | None,
        typer.Option(help="Surrogate of the model. Unset: the one beside the model."),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Folder of masks with the images' base names; pixels are class indices, 255 is "
            "left out."
        ),
    ] = None,
    nuclei: Annotated[
        Path | None,
        typer.Option(
            help="GeoJSON of nuclei with their classes, in level-0 px, e.g. from QuPath. Unset: "
            "the truth of the sample slide, on the sample slide."
        ),
    ] = None,
    nuclei_class: Annotated[
        str | None,
        typer.Option(help="Class of the explained nuclei. Unset: the class the target names."),
    ] = None,
    other_class: Annotated[
        list[str] | None,
        typer.Option(help="A class of the other nuclei. May be given several times."),
    ] = None,
    blur_control: Annotated[
        bool,
        typer.Option(
            "--blur-control",
            help="With --localisation: beside each --denoising the original's map, blurred until "
            "it is as smooth.",
        ),
    ] = False,
    rim_um: Annotated[
        float, typer.Option(help="A rim reaches so many um to both sides of an outline.")
    ] = 1.0,
    out: Annotated[
        Path, typer.Option(help="Folder for table, picture and a store that is computed.")
    ] = Path("evaluation"),
    slide: Annotated[
        Path | None, typer.Option(help="Slide to explain. Unset: the shipped sample slide.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help=f"A built-in name or a model folder. [default: {MODEL}]")
    ] = None,
    mpp: Annotated[
        float | None, typer.Option(help="Micrometres per pixel of level 0, if the file is wrong.")
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="X,Y,W,H in level-0 px; unset: the whole slide.")
    ] = None,
    *,
    given: dict[str, Any],
) -> None:
    """Measure maps: a store's, a slide's that is explained first, or those of labelled images.

    With --model and --data alone it is the evaluation of Smooth Deep Saliency: accuracy,
    prediction difference and total variation of every denoising, as tables beside the paper's. Of
    a model that decides per pixel, --masks are needed as well.

    --localisation writes localisation.csv, one row per map, and localisation.png; --dice
    writes dice.csv, one row per class. Both print their table.
    """
    if table is not None:
        others: dict[str, Any] = {"STORE": store, "slide": slide, "region": region}
        others |= {"nuclei": nuclei, "nuclei_class": nuclei_class, "masks": masks}
        others |= {"localisation": localisation or None, "dice": dice or None}
        others |= {"other_class": other_class or None, "blur_control": blur_control or None}
        others |= {"faithfulness_tiles": faithfulness_tiles or None, "figures": figures or None}
        others |= {"surrogate": surrogate}
        evaluate_igos(
            *(table, model, data, labels, rename, resize, mpp, map_tiles, out),
            given=given,
            others=others,
        )
        return
    if localisation and dice:
        raise SettingError("choose one evaluation: --localisation or --dice")
    if not (localisation or dice):
        if model is None or data is None:
            raise SettingError(
                "choose what to evaluate: --localisation or --dice, or give --model and --data for "
                "the tables of Smooth Deep Saliency"
            )
        others = {"slide": slide, "region": region, "nuclei": nuclei}
        others["nuclei_class"] = nuclei_class
        others |= {"other_class": other_class or None, "blur_control": blur_control or None}
        others |= {name: v for name, v in given.items() if name not in USED}
        unused = ["STORE"] * (store is not None)
        unused += [f"--{name.replace('_', '-')}" for name, v in others.items() if v is not None]
        if unused:
            raise SettingError(
                f"{unused[0]} has no use in the evaluation of labelled images; leave it away"
            )
        choice = PaperChoice(
            model=model,
            surrogate=surrogate,
            data=data,
            labels=labels,
            renamed=tuple(rename or ()),
            mpp=mpp,
            map_tiles=map_tiles,
            faithfulness_tiles=faithfulness_tiles,
            blocks=blocks,
            out=out,
            figures=figures,
            masks=masks,
            resize=resize,
        )
        evaluate_paper(choice, given)
        return
    if dice:
        if model is None or data is None or masks is None:
            raise SettingError("--dice needs --model, --data and --masks")
        of_maps = {"slide": slide, "mpp": mpp, "region": region, "nuclei": nuclei}
        of_maps |= {"resize": resize}
        of_maps |= {name: v for name, v in given.items() if name not in Compute.model_fields}
        unused = ["STORE"] * (store is not None)
        unused += [f"--{name.replace('_', '-')}" for name, v in of_maps.items() if v is not None]
        if unused:
            raise SettingError(f"{unused[0]} has no use beside --dice; leave one of the two away")
        _dice(model, data, masks, settings_from(Compute, given), out)
        return
    if resize is not None:
        raise SettingError(f"--resize {resize} has no use beside --localisation; leave it away")
    if data is not None or masks is not None:
        raise SettingError("--data and --masks belong to --dice, not to --localisation")
    computing = {"slide": slide, "model": model, "mpp": mpp, "region": region, **given}
    computing["blur_control"] = blur_control or None
    chosen = [name for name, value in computing.items() if value is not None]
    if store is not None and chosen:
        raise SettingError(
            f"a store has its maps already, so --{chosen[0].replace('_', '-')} has no use beside "
            "it; leave one of the two away"
        )
    from napari_smoothsal.evaluation import localisation as localised
    from napari_smoothsal.evaluation.localised_pairs import compared_localisation
    from napari_smoothsal.runs import open_run
    from napari_smoothsal.slides.outlines import read_outlines

    outlines = read_outlines(nuclei) if nuclei is not None else None
    classes = Classes(nuclei_class, tuple(other_class or ()))
    if store is not None:
        run = open_run(store)
        if run.status != "complete":
            complain("warning", f"{store} is {run.status!r}; what is there is measured")
    else:
        if "layer" not in given:
            raise SettingError(
                "give a store, or at least one --layer to compute maps at (`smoothsal layers "
                "MODEL` lists them)"
            )
        specs = [*specs_from(given), *(_controls(given) if blur_control else [])]
        run = _computed(slide, model or MODEL, mpp, region, given, specs, out, outlines, classes)
    if outlines is None:
        outlines = _sample_outlines(run.provenance["slide"]["fingerprint"])
    frame = localised(run, outlines, rim_um=rim_um, **classes._asdict())
    _write(frame, out)
    compared = compared_localisation(run, outlines, **classes._asdict())
    if len(compared):
        compared.to_csv(out / "localisation_compared.csv", index=False, float_format="%.6g")
        typer.echo(f"pairs:   {out / 'localisation_compared.csv'}")
    raise typer.Exit(DONE if store is not None else failures(run))


def _computed(
    slide: Path | None,
    model: str,
    mpp: float | None,
    region: str | None,
    given: dict[str, Any],
    specs: list[SaliencySpec],
    out: Path,
    outlines: Outlines | None,
    classes: Classes,
) -> Run:
    settings = run_settings(given, region)
    from napari_smoothsal.evaluation.nuclei import nuclei_of
    from napari_smoothsal.models import load_model, resolve_target
    from napari_smoothsal.runs.layout import SUFFIX
    from napari_smoothsal.slides import open_slide
    from napari_smoothsal.slides.sample import sample_slide_path

    loaded = load_model(model)
    with sample_slide_path() as sample, open_slide(slide or sample, mpp=mpp) as opened:
        # All that can be wrong with the outlines is said before the maps are computed.
        if outlines is None:
            outlines = _sample_outlines(opened.fingerprint)
        outlines.check_on_slide((opened.width, opened.height))
        target = resolve_target(loaded.card, specs[0].target, "slide").label
        nuclei_of(outlines, target, opened.require_mpp(), **classes._asdict())
        return explained(opened, loaded, specs, out / (opened.name + SUFFIX), settings)


def _controls(given: dict[str, Any]) -> list[SaliencySpec]:
    """For each denoising the original's map, blurred until it is as smooth."""
    if "denoising_option" in given:
        raise SettingError(
            "--blur-control matches denoisings as they are without options; leave "
            "--denoising-option away"
        )
    names = [n for n in given.get("denoising", []) if n not in ("original", "gaussian_blur")]
    blurs = [{"denoising": ["gaussian_blur"], "denoising_option": [f"match={n}"]} for n in names]
    return [spec for blur in blurs for spec in specs_from(given | blur)]


def _dice(model: str, data: Path, masks: Path, compute: Compute, out: Path) -> None:
    from rich.console import Console

    from napari_smoothsal.evaluation.overlap import overlap
    from napari_smoothsal.models import load_model
    from napari_smoothsal.render.tables import overlap_table
    from napari_smoothsal.slides.labelled import masked_tiles

    measured = overlap(load_model(model), masked_tiles(data, masks), compute)
    out.mkdir(parents=True, exist_ok=True)
    table = out / "dice.csv"
    measured.frame().to_csv(table, index=False)
    Console().print(overlap_table(measured))
    typer.echo(f"table:   {table}")


def _sample_outlines(fingerprint: str) -> Outlines:
    """The nuclei of the sample slide, for the sample slide."""
    from napari_smoothsal.slides import open_slide
    from napari_smoothsal.slides.outlines import read_outlines
    from napari_smoothsal.slides.sample import sample_outlines_path, sample_slide_path

    with sample_slide_path() as path, open_slide(path) as sample:
        if fingerprint != sample.fingerprint:
            raise SettingError(
                "only the sample slide's nuclei are known without a file; give those of this "
                "slide as --nuclei TRUTH.geojson"
            )
    with sample_outlines_path() as path:
        return read_outlines(path)


def _write(frame: pd.DataFrame, out: Path) -> None:
    from rich.console import Console

    from napari_smoothsal.render.localisation_figure import localisation_figure
    from napari_smoothsal.render.tables import localisation_tables

    out.mkdir(parents=True, exist_ok=True)
    table, picture = out / "localisation.csv", out / "localisation.png"
    frame.to_csv(table, index=False)
    # The blurs are many and alike; what they are for stands in the table of pairs.
    localisation_figure(frame[~frame["denoising"].str.contains("match=")], picture)
    for printed in localisation_tables(frame):
        Console().print(printed)
    typer.echo(f"table:   {table}")
    typer.echo(f"picture: {picture}")
