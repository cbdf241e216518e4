"""FirstLimits: what full colour means where a model brings no normal tissue."""

from __future__ import annotations

from napari_smoothsal.render.limits import ColourLimit, colour_limit
from napari_smoothsal.runs import Run, RunMap


class FirstLimits:
    """The limit of the first map is that of all later ones with the same model and settings.

    So a colour means in one view what it means in the next, for as long as the engine lives.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, ColourLimit]] = {}

    def limit_of(self, run: Run, request: str, run_map: RunMap) -> ColourLimit:
        """Limit of a map.

        Parameters
        ----------
        run, run_map
            The map and its run.
        request
            What tells one explanation from another: while the first one grows, so does its limit.
        """
        own = colour_limit(run_map)
        if own.of == "normal tissue":
            return own
        weights = run.provenance["model"]["parameters_sha256"]
        settings = f"{weights} {run_map.spec.model_dump_json()}"
        first, limit = self._known.get(settings, (request, own))
        if first == request:
            limit = ColourLimit(own.value, "first map")
            self._known[settings] = (request, limit)
        return limit
