"""What the engine process does with a request. Runs without napari, Qt or a second process."""

from __future__ import annotations

import base64
import contextlib
import io
import time
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache, partial

from PIL import Image

from napari_smoothsal.attribution import Networks
from napari_smoothsal.models import Model, load_model
from napari_smoothsal.runs import (
    Progress,
    Run,
    RunPlan,
    estimate_run,
    explain_slide,
    open_run,
    refine_region,
)
from napari_smoothsal.runs.layout import FINISHED
from napari_smoothsal.runs.slide_check import check_slide
from napari_smoothsal.runs.tile_states import tile_states
from napari_smoothsal.slides import Slide, open_slide
from napari_smoothsal.viewer.asked import (
    Calibrate,
    Compare,
    Describe,
    DescribeFills,
    DescribeModel,
    Estimate,
    Explain,
    FindHotspots,
    Measure,
    Predict,
    Save,
    SaveColumns,
    ShowInput,
    SlideFile,
    Trust,
    TryChange,
)
from napari_smoothsal.viewer.engine_comparing import columns_saved, compared
from napari_smoothsal.viewer.engine_describing import described, model_described
from napari_smoothsal.viewer.engine_hotspots import hotspots_found
from napari_smoothsal.viewer.engine_input import model_input
from napari_smoothsal.viewer.engine_measuring import measured, predicted
from napari_smoothsal.viewer.engine_reading import reading_of
from napari_smoothsal.viewer.engine_saving import saved
from napari_smoothsal.viewer.engine_trust import OwnLimits, calibrated, tell_trust
from napari_smoothsal.viewer.engine_what_if import KeptView, fills_described, tell_change
from napari_smoothsal.viewer.first_limits import FirstLimits
from napari_smoothsal.viewer.map_picture import MapPicture, class_picture_of, pictures_of
from napari_smoothsal.viewer.packed_states import packed
from napari_smoothsal.viewer.tile_rows import tile_rows
from napari_smoothsal.viewer.told import (
    Answer,
    Estimated,
    Finished,
    Grown,
    Progressed,
    Stopped,
    TissueFound,
)
from napari_smoothsal.viewer.view_size import check_view
from napari_smoothsal.viewer.window_array import slide_of_pixels

Send = Callable[[Answer], None]

GROWN_EVERY_S = 1.0
LONG_S = 5.0
"""A view that takes longer says how long it will."""
MOST_MODELS = 4
"""That are kept: as many as are compared."""
MOST_NETWORKS = 4
"""That are kept from one view to the next: each layer has one or two, by number format."""


class Engine:
    """Answers requests; keeps the models and the slide it used last.

    Parameters
    ----------
    send
        Takes answers, in order.
    stopped
        Whether the request of an id is to end.
    """

    def __init__(self, send: Send, stopped: Callable[[int], bool]) -> None:
        self._send = send
        self._stopped = stopped
        self._model = lru_cache(maxsize=MOST_MODELS)(_loaded)
        self._networks: tuple[Model, Networks] | None = None
        self._slide: tuple[SlideFile, Slide] | None = None
        self._limits = FirstLimits()
        self._own_limits = OwnLimits()
        self._changed = KeptView()

    def describe(self, request: Describe) -> None:
        """Tell the models, denoisings and methods."""
        self._send(described(request))

    def describe_model(self, request: DescribeModel) -> None:
        """Tell a model's layers and classes."""
        # Whoever asks may have changed the folder since.
        self._model.cache_clear()
        self._send(model_described(request, self._model(request.model, None)))

    def explain(self, request: Explain) -> None:
        """Run a request and tell how it goes."""
        model = self._model_of(request)
        run: Run | None
        with contextlib.ExitStack() as stack, warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            slide = self._opened(request, stack)
            if request.view:
                run = self._refined(request, slide, model)
                # After its maps, which need not wait. Pixels of a napari layer are sent anew with
                # each view, and are what is looked at, not a slide.
                if run is not None and isinstance(request.slide, SlideFile):
                    check_slide(slide, model)
            else:
                run = explain_slide(
                    slide,
                    model,
                    [request.spec],
                    request.out,
                    region=request.region,
                    tiling=request.tiling,
                    compute=request.compute,
                    where=request.where,
                    top=request.top,
                    progress=_Growth(request, self._send, self._pictures).report,
                    stop=lambda: self._stopped(request.id),
                    on_plan=partial(self._tell_tissue, request.id, slide),
                )
        if run is None:
            self._send(Stopped(id=request.id))
            return
        if run.status in FINISHED:
            self._limits.remember(run)
        messages = [str(w.message) for w in told if issubclass(w.category, UserWarning)]
        self._send(
            Finished(
                id=request.id,
                status=run.status,
                pictures=self._pictures(run),
                classes=class_picture_of(run),
                reading=reading_of(run, model),
                tiles=tile_rows(run),
                states=packed(tile_states(run, next(iter(run.maps.values())))),
                warnings=tuple(dict.fromkeys(messages)),
            )
        )

    def estimate(self, request: Estimate) -> None:
        """Tell what an explanation would take."""
        asked = request.explain
        with contextlib.ExitStack() as stack:
            slide = self._opened(asked, stack)
            found = estimate_run(
                slide,
                self._model_of(asked),
                [asked.spec],
                region=asked.region,
                tiling=asked.tiling,
                compute=asked.compute,
                where=asked.where,
                top=asked.top,
                stop=lambda: self._stopped(request.id),
                on_plan=partial(self._tell_tissue, request.id, slide),
            )
            if self._stopped(request.id):
                self._send(Stopped(id=request.id))
                return
        self._send(
            Estimated(
                id=request.id,
                tiles=len(found.plan),
                explained=min(asked.top or len(found.plan), len(found.plan)),
                seconds=found.seconds,
                prediction_seconds=found.prediction_seconds,
                bytes=found.bytes,
                memory_bytes=found.memory_bytes,
            )
        )

    def measure(self, request: Measure) -> None:
        """Tell how rough maps are, batch by batch."""
        with self._quietly(request.explain) as slide:
            model = self._model_of(request.explain)
            for found in measured(request, slide, model, lambda: self._stopped(request.id)):
                self._send(Stopped(id=request.id) if found is None else found)

    def compare(self, request: Compare) -> None:
        """Tell the maps of a view in several ways, round by round."""
        with self._quietly(request.explain) as slide:
            stop = partial(self._stopped, request.id)
            models = [self._model(*source) for source in request.sources]
            if not compared(request, slide, models, stop, self._send, self._networks_of):
                self._send(Stopped(id=request.id))

    def save_columns(self, request: SaveColumns) -> None:
        """Write a figure of a comparison."""
        with self._quietly(request.explain) as slide:
            self._send(columns_saved(request, slide))

    def predict(self, request: Predict) -> None:
        """Tell what is predicted."""
        with self._quietly(request.explain) as slide:
            model = self._model_of(request.explain)
            found = predicted(request, slide, model, lambda: self._stopped(request.id))
            self._send(Stopped(id=request.id) if found is None else found)

    def judge(self, request: Trust | Calibrate) -> None:
        """Tell what a trust card says, part by part; or measure limits, and keep them."""
        with self._quietly(request.explain) as slide:
            about = (slide, self._model_of(request.explain), self._send)
            stop = partial(self._stopped, request.id)
            if isinstance(request, Trust):
                tell_trust(request, *about, stop)
            else:
                calibrated(request, *about, stop)

    def show_input(self, request: ShowInput) -> None:
        """Tell what the model gets of a tile."""
        with self._quietly(request.explain) as slide:
            model = self._model_of(request.explain)
            self._send(model_input(request, slide, model, self._networks_of(model)))

    def describe_fills(self, request: DescribeFills) -> None:
        """Tell what can stand in the place of what is removed."""
        self._send(fills_described(request))

    def try_change(self, request: TryChange) -> None:
        """Tell what comes of a change to a view."""
        with self._quietly(request.explain) as slide:
            model = self._model_of(request.explain)
            view = self._changed.of(request.explain, slide, model, self._networks_of(model))
            stop = partial(self._stopped, request.id)
            tell_change(request, view, self._limits, self._pictures, self._send, stop)

    def save(self, request: Save) -> None:
        """Keep what was explained."""
        with self._quietly(request.explain) as slide:
            self._send(saved(request, slide))

    def find_hotspots(self, request: FindHotspots) -> None:
        """Tell where a stored map is strong, or what it says of places."""
        self._send(hotspots_found(request))

    def _model_of(self, request: Explain) -> Model:
        return self._own_limits.given_to(self._model(request.model, request.model_mpp))

    @contextlib.contextmanager
    def _quietly(self, request: Explain) -> Iterator[Slide]:
        """The slide; what is warned of was told when it was explained."""
        with contextlib.ExitStack() as stack, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield self._opened(request, stack)

    def _tell_tissue(self, request_id: int, slide: Slide, plan: RunPlan) -> None:
        mpp = slide.require_mpp()
        down = plan.tissue.downsample
        picture = io.BytesIO()
        Image.fromarray(plan.tissue.mask).save(picture, format="PNG")
        self._send(
            TissueFound(
                id=request_id,
                share=plan.tissue.share,
                source=plan.tissue.source,
                mask_png=base64.b64encode(picture.getvalue()),
                scale_um=(down[0] * mpp[0], down[1] * mpp[1]),
                translate_um=((down[0] - 1) / 2 * mpp[0], (down[1] - 1) / 2 * mpp[1]),
            )
        )

    def _refined(self, request: Explain, slide: Slide, model: Model) -> Run | None:
        """Explain a view sample by sample, and tell every round."""
        assert request.region is not None, "a view is a region"
        tiles, began = 0, time.monotonic()

        def progressed(done: float) -> None:
            passed = max(time.monotonic() - began, 1e-3)
            self._send(
                Progressed(
                    id=request.id,
                    done=round(tiles * done),
                    total=tiles,
                    failed=0,
                    tiles_per_s=tiles * done / passed,
                    seconds_left=passed * (1 / done - 1) if done and passed > LONG_S else None,
                )
            )

        def planned(plan: RunPlan) -> None:
            nonlocal tiles
            tiles = len(plan)
            check_view(tiles, request.max_tiles)
            progressed(0.0)

        def grown(run: Run, done: float) -> None:
            reading = reading_of(run, model)
            pictures, classes = self._pictures(run), class_picture_of(run)
            self._send(Grown(id=request.id, pictures=pictures, classes=classes, reading=reading))
            if request.spec.samples != "auto":  # which may be done any time
                progressed(done)

        return refine_region(
            slide,
            model,
            [request.spec],
            request.out,
            region=request.region,
            tiling=request.tiling,
            compute=request.compute,
            stop=lambda: self._stopped(request.id),
            on_plan=planned,
            on_round=grown,
            networks=self._networks_of(model),
        )

    def _networks_of(self, model: Model) -> Networks:
        if self._networks is None or self._networks[0] is not model:
            self._networks = (model, Networks(model))
        self._networks[1].trim(MOST_NETWORKS)
        return self._networks[1]

    def _pictures(self, run: Run) -> tuple[MapPicture, ...]:
        return tuple(pictures_of(run, partial(self._limits.limit_of, run)))

    def _opened(self, request: Explain, stack: contextlib.ExitStack) -> Slide:
        if not isinstance(request.slide, SlideFile):
            return stack.enter_context(slide_of_pixels(request.slide))
        # One slide stays open: its decoded tiles serve the next view.
        if self._slide is None or self._slide[0] != request.slide:
            if self._slide is not None:
                self._slide[1].close()
                self._slide = None
            self._slide = (request.slide, open_slide(request.slide.path, request.slide.mpp))
        return self._slide[1]


def _loaded(source: str, mpp: float | None) -> Model:
    return load_model(source, card=None if mpp is None else {"input_mpp": mpp})


class _Growth:
    """Turns a run's progress into messages, and tells when its maps have grown."""

    def __init__(
        self,
        request: Explain,
        send: Send,
        pictures: Callable[[Run], tuple[MapPicture, ...]],
    ) -> None:
        self._request = request
        self._send = send
        self._pictures = pictures
        self._next = time.monotonic() + GROWN_EVERY_S
        self._known: dict[str, float] = {}

    def report(self, progress: Progress) -> None:
        self._send(
            Progressed(
                id=self._request.id,
                done=progress.done,
                total=progress.total,
                failed=progress.failed,
                tiles_per_s=progress.tiles_per_s,
                seconds_left=progress.seconds_left,
                stage=progress.stage,
            )
        )
        if time.monotonic() >= self._next:
            run = open_run(self._request.out)
            self._send(
                Grown(
                    id=self._request.id,
                    pictures=self._pictures(run),
                    classes=class_picture_of(run),
                )
            )
            self._next = time.monotonic() + GROWN_EVERY_S
