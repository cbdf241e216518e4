"""Do maps find out a network that cheats, and what it looks at?

    python benchmarks/shortcut.py --out benchmarks/results/shortcut.json

Six small networks learned tumour, six a shortcut that went with the label
(`sample_data.shortcuts`). All are asked about the same 120 tiles, on which artefacts are as
frequent with tumour as without, so that nothing but the maps can tell the networks apart.
`evaluation.culprit` names what each map follows, from map, tile and class alone. Control: the
score in the place of the map, the same all over a tile. Then the same on tiles where every
artefact is on each tile of tumour and on no other, so that only the place in the tile can tell.
What was named is taken out of all tiles, the network is trained again and tested, as Table 5 of
iGOS++ has it.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from machine import machine

import napari_smoothsal as ss
from napari_smoothsal.core.perturbation import Perturbation
from napari_smoothsal.evaluation.artefacts import ARTEFACTS, found_in
from napari_smoothsal.evaluation.culprit import CELL_PX, NONE, blame, culprit, map_cells, shares_of
from napari_smoothsal.evaluation.insertion_deletion import Pieces, curves
from napari_smoothsal.evaluation.ranking import auroc
from napari_smoothsal.sample_data.shortcuts import (
    SIDE,
    Learned,
    Network,
    Tissue,
    all_learned,
    audited_tiles,
    confounded_tiles,
    model_of,
    tissue,
)
from napari_smoothsal.sample_data.training import TEST_SEED

AUDITED = 120
TILES = (0, 640), (TEST_SEED, 200), (TEST_SEED + 200, AUDITED)
"""First seed and number: to learn from, to test on, to explain."""

FIRST_SEED, CLEAN_SEED = 1, 11
TARGET = "tumour-normal"
SCORE = "the score alone"
DENOISINGS = ("original", "backward_hook", "forward_hook", "centred_hook")
CHOSEN = ("grad_cam", "layer4", "original")
SHOWN = ("deeplift", "input", "centred_hook")
COMPUTE = ss.Compute(device="cpu", precision="fp32")
TOP = (0, 6, 12, 24)
FOLLOWED = 20


class Asked(NamedTuple):
    """Maps of one kind, of so many of the tiles."""

    method: str
    layer: str
    denoising: str = "original"
    samples: int = 0
    tiles: int = AUDITED
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def spec(self) -> ss.SaliencySpec:
        return ss.SaliencySpec(
            layer=self.layer,
            method=self.method,
            denoising=self.denoising,
            samples=self.samples,
            target=TARGET,
            method_options=dict(self.options),
        )


def kinds(quick: bool) -> list[Asked]:
    """All kinds of maps that are compared."""
    if quick:
        return [
            Asked(*CHOSEN),
            Asked(*SHOWN),
            Asked("deeplift", "input"),
            Asked("deeplift", "layer1", "centred_hook"),
            Asked("integrated_gradients", "layer1"),
            Asked("gradient", "layer1", "centred_hook"),
            Asked("guided_backprop", "input"),
        ]
    return [
        *(Asked("gradient", "layer1", d, 8) for d in DENOISINGS),
        *(Asked("activation_x_gradient", "layer1", d) for d in DENOISINGS),
        *(Asked("deeplift", layer, d) for layer in ("input", "layer1") for d in DENOISINGS),
        *(Asked("integrated_gradients", "layer1", d) for d in ("original", "centred_hook")),
        *(Asked("grad_cam", "layer3", d) for d in ("original", "centred_hook")),
        Asked("grad_cam", "layer4"),
        Asked("guided_backprop", "input"),
        Asked("lrp_epsilon", "input"),
        Asked("occlusion", "input"),
        Asked("rise", "input", tiles=60, options=(("masks", 300),)),
        Asked("igos_plus_plus", "input", tiles=24, options=(("mask_px", 24), ("iterations", 4))),
    ]


Tables = dict[Network, dict[str, tuple[pd.DataFrame, float]]]
"""Of each network, by kind of map: its blame, and seconds."""


class Audit:
    """Tiles that every network is asked about."""

    def __init__(self, of: Tissue, images: torch.Tensor) -> None:
        self.tumour, self.images = of.tumour, images
        found = found_in(self.images)
        self.shows = found.any((2, 3))
        self.shares = shares_of(found, SIDE // CELL_PX)

    def blamed(self, maps: np.ndarray) -> pd.DataFrame:
        """Of maps of the first tiles."""
        some = slice(len(maps))
        return blame(maps, self.shares[some], self.tumour[some].tolist())

    def tables(
        self, model: ss.Model, asked: list[Asked]
    ) -> Iterator[tuple[str, pd.DataFrame, float]]:
        """Name, blame and seconds of each kind of map, and of the score."""
        for kind in asked:
            started = time.perf_counter()
            images = self.images[: kind.tiles]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                maps = map_cells(model, images, kind.spec, COMPUTE)
            took = time.perf_counter() - started
            yield f"{kind.method}, {kind.layer}, {kind.denoising}", self.blamed(maps), took
        scores = self.scores(model, self.images)
        cells = SIDE // CELL_PX
        flat = np.broadcast_to(scores[:, None, None], (len(scores), cells, cells))
        yield SCORE, self.blamed(flat), 0.0

    @staticmethod
    def scores(model: ss.Model, images: torch.Tensor) -> np.ndarray:
        spec = ss.SaliencySpec(layer="layer4", method="activation", samples=0)
        logits = ss.explain_tiles(model, images, spec, COMPUTE).logits.double().numpy()
        return logits[:, 1] - logits[:, 0]


def audited_by_all(
    audit: Audit, nets: Mapping[Network, Learned], asked: list[Asked]
) -> tuple[Tables, pd.DataFrame]:
    """What each network is blamed for by each kind of map, and how well the kinds do."""
    tables: Tables = {}
    for network, net in nets.items():
        model = model_of(network, net.weights)
        tables[network] = {name: (table, s) for name, table, s in audit.tables(model, asked)}
        print(network.name, {k: culprit(t) for k, (t, _) in tables[network].items()}, flush=True)
    best = ranked(tables)
    print(best.round(2).to_string(), flush=True)
    return tables, best


def ranked(tables: Tables) -> pd.DataFrame:
    """How well each kind of map tells who cheats, and by what; the best first."""
    rows = []
    for kind in next(iter(tables.values())):
        most = {n: float(own[kind][0]["t"].max()) for n, own in tables.items()}
        first = {n: str(own[kind][0].iloc[0]["artefact"]) for n, own in tables.items()}
        cheats = [n for n in tables if n.shortcut]
        clean = [n for n in tables if not n.shortcut]
        rows.append(
            {
                "map": kind,
                "auroc": separation([most[n] for n in cheats], [most[n] for n in clean]),
                "named_first": sum(first[n] == n.shortcut for n in cheats),
                "named": sum(culprit(tables[n][kind][0]) == n.shortcut for n in cheats),
                "clean_named_none": sum(culprit(tables[n][kind][0]) == NONE for n in clean),
                "least_t_of_cheats": min(most[n] for n in cheats),
                "most_t_of_clean": max(most[n] for n in clean),
                "missed": ", ".join(str(n.shortcut) for n in cheats if first[n] != n.shortcut),
                "seconds": float(np.median([own[kind][1] for own in tables.values()])),
            }
        )
    order = ["named_first", "auroc", "clean_named_none"]
    return pd.DataFrame(rows).sort_values(order, ascending=False, kind="stable")


def separation(positive: list[float], negative: list[float]) -> float:
    """AUROC."""
    values = np.unique([*positive, *negative])
    weights = [
        (values[:, None] == np.asarray(v)).sum(1).astype(float) for v in (positive, negative)
    ]
    return float(auroc(*weights))


def confidences(model: ss.Model, audit: Audit, shortcut: str) -> dict[str, dict[str, float]]:
    """Mean probability of tumour with only the top n % of a map's cells, and without them.

    Of tiles that show the shortcut and are called tumour; what is not shown is blurred.
    """
    shows = audit.shows[:, list(ARTEFACTS).index(shortcut)]
    called = audit.scores(model, audit.images) > 0
    chosen = np.flatnonzero(shows & called)[:FOLLOWED]
    how = Perturbation(cells=SIDE // CELL_PX, steps=50, deletion="blurred", insertion="blurred")
    spec = Asked(*SHOWN).spec
    maps = map_cells(model, audit.images[chosen], spec, COMPUTE)
    generator = torch.Generator().manual_seed(0)
    mean = torch.tensor(model.card.mean)
    rows: dict[str, list[torch.Tensor]] = {}

    def predict(images: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(torch.from_numpy(audit.scores(model, images.clamp(0, 1))))

    for image, cells in zip(audit.images[chosen], maps, strict=True):
        pieces = Pieces.of(image.float() / 255, mean, how)
        orders = {
            "map": torch.from_numpy(cells),
            "random": torch.rand(cells.shape, generator=generator),
        }
        for name, importance in orders.items():
            taken = curves(predict, pieces, importance, how)
            rows.setdefault(f"{name}, only", []).append(taken.insertion)
            rows.setdefault(f"{name}, without", []).append(taken.deletion)
    means = {name: torch.stack(parts).mean(0) for name, parts in rows.items()}
    table = {name: {f"{n} %": float(course[n // 2]) for n in TOP} for name, course in means.items()}
    return table | {"tiles": {"n": float(len(chosen))}}


def kept_tissue(work: Path | None, first_seed: int, count: int) -> Tissue:
    """Rendered tiles, those of an earlier call from where it kept them."""
    if work is None:
        return tissue(first_seed, count)
    work.mkdir(parents=True, exist_ok=True)
    place = work / f"tissue from {first_seed}.npz"
    if not place.exists():
        np.savez(place, **tissue(first_seed, count)._asdict())
    with np.load(place) as kept:
        return Tissue(**kept)


def _write(learned: Learned, file: Path) -> None:
    """As tensors and numbers alone, so that reading it can run no code."""
    weights = {name: torch.from_numpy(value) for name, value in learned.weights.items()}
    scores = {k: {m: float(v) for m, v in of.items()} for k, of in learned.scores.items()}
    torch.save((weights, scores), file)


def _read(file: Path) -> Learned:
    weights, scores = torch.load(file, weights_only=True)
    return Learned({name: value.numpy() for name, value in weights.items()}, scores)


def trained(
    of: Tissue, test: Tissue, work: Path | None, networks: Mapping[Network, str | None]
) -> dict[Network, Learned]:
    """Networks, those of an earlier call from where it kept them."""

    def place(network: Network, cleaned_of: str | None) -> Path:
        assert work is not None
        return work / f"{network.name}{f', without {cleaned_of}' if cleaned_of else ''}.pt"

    kept = {}
    if work:
        kept = {n: _read(place(n, c)) for n, c in networks.items() if place(n, c).exists()}
    new = all_learned(of, test, {n: c for n, c in networks.items() if n not in kept})
    for network, result in new.items():
        if work:
            _write(result, place(network, networks[network]))
    return {n: kept.get(n) or new[n] for n in networks}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true", help="few kinds of maps")
    parser.add_argument("--work", type=Path, help="folder that keeps tiles and networks")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    of, test, audited = (kept_tissue(arguments.work, *tiles) for tiles in TILES)
    audit = Audit(audited, audited_tiles(audited))
    confounded = Audit(audited, confounded_tiles(audited))
    cheats = [Network(name, FIRST_SEED + i) for i, name in enumerate(ARTEFACTS)]
    networks = [*cheats, *(Network(None, CLEAN_SEED + i) for i in range(len(cheats)))]
    nets = trained(of, test, arguments.work, dict.fromkeys(networks))
    report: dict[str, Any] = {"machine": machine(), "torch": torch.__version__}

    def kept(section: str, found: Any) -> None:
        report[section] = found
        report["minutes"] = round((time.perf_counter() - started) / 60, 1)
        print(f"{section}: {report['minutes']} minutes", flush=True)
        if arguments.out:
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps(report, indent=1) + "\n")

    kept("tested", {n.name: nets[n].scores for n in networks})
    found = audit.shows.sum(0).tolist()
    kept("artefacts_found_in_audited_tiles", dict(zip(ARTEFACTS, found, strict=True)))
    tables, best = audited_by_all(audit, nets, kinds(arguments.quick))
    kept("ranking", best.round(3).to_dict("records"))
    for name in (CHOSEN, SHOWN):
        key = ", ".join(name)
        blamed = {n.name: own[key][0].round(3).to_dict("records") for n, own in tables.items()}
        kept(f"blame by {key}", blamed)
    local = {n: net for n, net in nets.items() if not n.shortcut or ARTEFACTS[n.shortcut].local}
    _, best = audited_by_all(confounded, local, kinds(arguments.quick))
    kept("ranking, confounded", best.round(3).to_dict("records"))
    models = {str(n.shortcut): model_of(n, nets[n].weights) for n in cheats}
    kept("confidences", {name: confidences(m, audit, name) for name, m in models.items()})
    chosen = ", ".join(CHOSEN)
    named = {n: str(tables[n][chosen][0].iloc[0]["artefact"]) for n in cheats}
    again = trained(of, test, arguments.work, named)
    retrained = {n.name: {"without": named[n], "scores": r.scores} for n, r in again.items()}
    kept("trained again", retrained)


if __name__ == "__main__":
    main()
