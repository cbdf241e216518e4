"""FirstLimits: what full colour means where a model brings no normal tissue."""

from __future__ import annotations

from napari_smoothsal.render.limits import ColourLimit, colour_limit
from napari_smoothsal.runs import Run, RunMap


class FirstLimits:
    """The limit of the first finished map is that of all later ones with the same settings.

    So a colour means in one view what it means in the next, for as long as the engine lives.
    """

    def __init__(self) -> None:
        self._known: dict[str, ColourLimit] = {}

    def limit_of(self, run: Run, run_map: RunMap) -> ColourLimit:
        """Limit of a map; before one is finished, each has its own."""
        own = colour_limit(run_map)
        return own if own.of == "normal tissue" else self._known.get(_settings(run, run_map), own)

    def remember(self, run: Run) -> None:
        """A run is finished; an empty map says nothing of how strong others will be."""
        for run_map in run.maps.values():
            own = colour_limit(run_map)
            if own.of != "normal tissue" and run_map.largest_magnitude() > 0:
                limit = ColourLimit(own.value, "first map")
                self._known.setdefault(_settings(run, run_map), limit)


def _settings(run: Run, run_map: RunMap) -> str:
    model = run.provenance["model"]
    # The same network at another resolution sees, and answers, something else.
    seen = f"{model['parameters_sha256']} {model['input_mpp']}"
    return f"{seen} {run_map.spec.model_dump_json()}"
