"""``smoothsal evaluate --localisation``: are a store's or a slide's maps on the right nuclei?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from napari_smoothsal.cli.app import DONE, complain
from napari_smoothsal.cli.chosen_model import ChosenModel, model_flags
from napari_smoothsal.cli.evaluate_options import OUT, Mpp, OptionalModel, Out, Store, Surrogate
from napari_smoothsal.cli.evaluation_mode import Fields, Mode
from napari_smoothsal.cli.run_told import failures
from napari_smoothsal.cli.specs import explained, run_settings, specs_from
from napari_smoothsal.core.errors import SettingError
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


@model_flags(MODEL, optional=True)
def evaluate_localisation(
    store: Store | None = None,
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
        bool | None,
        typer.Option(
            "--blur-control",
            help="With --localisation: beside each --denoising the original's map, blurred until "
            "it is as smooth.",
        ),
    ] = None,
    rim_um: Annotated[
        float, typer.Option(help="A rim reaches so many um to both sides of an outline.")
    ] = 1.0,
    out: Out = OUT,
    slide: Annotated[
        Path | None, typer.Option(help="Slide to explain. Unset: the shipped sample slide.")
    ] = None,
    model: OptionalModel = None,
    surrogate: Surrogate | None = None,
    mpp: Mpp | None = None,
    region: Annotated[
        str | None, typer.Option(help="X,Y,W,H in level-0 px; unset: the whole slide.")
    ] = None,
    *,
    given: dict[str, Any],
) -> None:
    """Measure, print and write."""
    computing: dict[str, Any] = {"slide": slide, "model": model, "surrogate": surrogate, "mpp": mpp}
    computing |= {"region": region, **given}
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
        model = model or ChosenModel(MODEL)
        run = _computed(slide, model, surrogate, mpp, region, given, specs, out, outlines, classes)
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
    model: ChosenModel,
    surrogate: Path | None,
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
    from napari_smoothsal.models import resolve_target
    from napari_smoothsal.runs.layout import SUFFIX
    from napari_smoothsal.slides import open_slide
    from napari_smoothsal.slides.sample import sample_slide_path

    loaded = model.load(surrogate)
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


LOCALISATION = Mode(
    name="localisation",
    title="Are the maps on the right nuclei? Needs outlines.",
    run=evaluate_localisation,
    settings=(Fields(SaliencySpec), Fields(Tiling), Fields(Compute)),
    refusal="beside --localisation; leave it away",
)
