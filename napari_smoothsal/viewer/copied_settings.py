"""What the dock shows as Python and as a command, to be pasted into a script."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any

from napari_smoothsal.core.settings import Settings
from napari_smoothsal.core.specs import Compute, SaliencySpec, Tiling
from napari_smoothsal.viewer.choice import Chosen
from napari_smoothsal.viewer.field_of_view import Region
from napari_smoothsal.viewer.slide_source import source_of
from napari_smoothsal.viewer.which_tiles import WhichTiles

OPTION_FLAGS = {"denoising_options": "--denoising-option", "method_options": "--method-option"}


@dataclass(frozen=True)
class Setting:
    """What is explained, and how.

    Attributes
    ----------
    slide, out
        Paths, or names that stand for them.
    mpp
        Given by the user; None where the slide says it.
    model
        Built-in name or folder.
    spec
        How.
    tiling, compute
        What differs from their defaults is copied, too.
    region
        (x, y, w, h) in level-0 px; None: the slide.
    model_mpp
        Given by the user; None where the model's card says it.
    which
        Of the tiles are explained.
    """

    slide: str
    out: str
    mpp: float | None
    model: str
    spec: SaliencySpec
    tiling: Tiling = field(default_factory=Tiling)
    compute: Compute = field(default_factory=Compute)
    region: Region | None = None
    model_mpp: float | None = None
    which: WhichTiles = field(default_factory=WhichTiles)


def setting_of(chosen: Chosen) -> Setting:
    """What a dock is set to, over the whole slide."""
    slide = chosen.slide
    source = source_of(slide.layer)
    path = str(source.path) if source is not None else "slide.svs"
    given = None if source is not None and source.mpp == slide.mpp else slide.mpp[0]
    return Setting(
        path,
        "maps.smoothsal.zarr",
        given,
        chosen.model.model,
        chosen.spec,
        chosen.tiling,
        chosen.compute,
        model_mpp=chosen.model.given_mpp,
        which=chosen.which,
    )


def as_python(setting: Setting) -> str:
    """A script that computes the same map."""
    fields = _changed(setting.spec)
    spec = ", ".join(f"{name}={value!r}" for name, value in fields.items())
    mpp = f", mpp={setting.mpp!r}" if setting.mpp is not None else ""
    card = f', card={{"input_mpp": {setting.model_mpp!r}}}' if setting.model_mpp is not None else ""
    more = f", region={setting.region!r}" if setting.region is not None else ""
    for name, settings in (("tiling", setting.tiling), ("compute", setting.compute)):
        if told := _changed(settings):
            inside = ", ".join(f"{key}={value!r}" for key, value in told.items())
            more += f", {name}=ss.{type(settings).__name__}({inside})"
    more += "".join(f", {name}={value!r}" for name, value in setting.which.given().items())
    return "\n".join(
        (
            "import napari_smoothsal as ss",
            "",
            f"model = ss.load_model({setting.model!r}{card})",
            f"spec = ss.SaliencySpec({spec})",
            f"with ss.open_slide({setting.slide!r}{mpp}) as slide:",
            f"    run = ss.explain_slide(slide, model, [spec], out={setting.out!r}{more})",
            "",
        )
    )


def as_command(setting: Setting) -> str:
    """A command that computes the same map."""
    words = ["smoothsal", "run", setting.slide, "--model", setting.model]
    if setting.model_mpp is not None:
        words += ["--card", f"input_mpp={setting.model_mpp!r}"]
    changed = _changed(setting.spec) | _changed(setting.tiling) | _changed(setting.compute)
    for name, value in changed.items():
        if name in OPTION_FLAGS:
            for option, chosen in value.items():
                words += [OPTION_FLAGS[name], f"{option}={chosen}"]
        elif value is True:
            words.append(_flag(name))
        else:
            words += [_flag(name), str(value)]
    if setting.mpp is not None:
        words += ["--mpp", f"{setting.mpp:g}"]
    if setting.region is not None:
        words += ["--region", ",".join(map(str, setting.region))]
    for name, value in setting.which.given().items():
        words += [_flag(name), str(value)]
    return shlex.join([*words, "--out", setting.out])


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _changed(spec: Settings) -> dict[str, Any]:
    """What differs from the defaults; of a spec, layer, denoising and method in any case."""
    always = {"layer", "denoising", "method", "target"}
    return {
        name: getattr(spec, name)
        for name, field in type(spec).model_fields.items()
        if name != "schema_version"
        and (
            (name in always and getattr(spec, name) is not None)
            or getattr(spec, name) != field.get_default(call_default_factory=True)
        )
    }
