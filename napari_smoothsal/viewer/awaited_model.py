"""AwaitedModel: what there is to choose from, the model that is chosen, and what waits for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QObject

from napari_smoothsal.viewer.asked import Describe, DescribeModel
from napari_smoothsal.viewer.model_words import said_of
from napari_smoothsal.viewer.offered import Described, ModelDescribed
from napari_smoothsal.viewer.remembered import remembered
from napari_smoothsal.viewer.run_bar import RunBar
from napari_smoothsal.viewer.session import Session
from napari_smoothsal.viewer.slide_form import SlideForm
from napari_smoothsal.viewer.spec_form import SpecForm
from napari_smoothsal.viewer.told import Answer, Failed, Ready

NO_MODEL = "choose a model first"


class AwaitedModel(QObject):
    """Asks the engine what can be chosen, and fills it into a dock's forms.

    Parameters
    ----------
    session
        Its engine.
    slides, form, bar
        The dock's parts that are filled, and that say how things stand.
    """

    def __init__(
        self,
        session: Session,
        slides: SlideForm,
        form: SpecForm,
        bar: RunBar,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._engine = session.engine
        self._slides, self._form, self._bar = slides, form, bar
        self._model: ModelDescribed | None = None
        self._described = False
        self._asked = 0
        self._loading = False
        self._waiting: Callable[[], None] | None = None
        self._remembered = remembered()
        slides.models.restore(self._remembered.get("resolutions"))
        slides.models.chosen.connect(self._ask)
        slides.models.resolved.connect(self._on_resolution)

    @property
    def model(self) -> ModelDescribed | None:
        """The model that is chosen, as its card says; None while there is none."""
        return self._model

    @property
    def starting(self) -> bool:
        """Whether it is a matter of seconds until there is a model."""
        return self._model is None and (self._loading or not self._described)

    @property
    def waited_for(self) -> bool:
        """Whether something is to be done as soon as it is there."""
        return self._waiting is not None

    def begin(self) -> None:
        """Start the engine, or ask it at once."""
        self._bar.say("Starting the computing process ...")
        if self._engine.ready:
            self._describe()
        else:
            self._engine.start()

    def when_there(self, done: Callable[[], None]) -> None:
        """Do something as soon as there is a model."""
        self._waiting = done

    def call_off(self) -> bool:
        """Do nothing when there is a model; whether there was something to do."""
        there_was, self._waiting = self._waiting is not None, None
        return there_was

    def give_up(self) -> None:
        """There is no model to wait for."""
        self._loading = False
        if self.call_off():
            self._bar.end("")

    def hear(self, answer: Answer) -> bool:
        """Take an answer of the engine; whether it was about this."""
        if isinstance(answer, Ready):
            self._describe()
        elif isinstance(answer, Described):
            self._on_described(answer)
        elif isinstance(answer, ModelDescribed):
            if answer.id == self._asked:
                self._on_model(answer)
        elif isinstance(answer, Failed) and answer.id == self._asked:
            self.give_up()
            self._slides.models.fail(answer.message)
            self._bar.problem(answer.message)
        else:
            return False
        return True

    def _describe(self) -> None:
        self._engine.ask(lambda number: Describe(id=number))

    def _ask(self, model: str) -> None:
        self._model = None
        self._form.forget_model()
        if not self._described:
            return  # asked for once the denoisings are known: a form is filled as a whole
        self._loading = True
        if self._waiting is None:
            self._bar.say("Loading the model ...")
        self._asked = self._engine.ask(lambda number: DescribeModel(id=number, model=model))

    def _on_described(self, answer: Described) -> None:
        if not (self._described or self.waited_for):
            self._bar.say("Choose a model.")
        self._described = True
        self._form.describe(answer)
        asked, chosen = self._asked, self._slides.model
        self._slides.models.offer(answer.models, answer.formats)
        wanted = self._remembered.get("model")
        if chosen is None and wanted in answer.models:
            self._slides.model = wanted
        elif chosen is None and isinstance(wanted, str) and Path(wanted).is_dir():
            self._slides.add_model(wanted)
        if self._model is None and self._asked == asked and self._slides.model:
            self._ask(self._slides.model)
        if self._waiting is not None and not self.starting and self._model is None:
            self.give_up()
            self._bar.problem(NO_MODEL)

    def _on_model(self, answer: ModelDescribed) -> None:
        self._model, self._loading = answer, False
        self._form.describe_model(self._slides.models.describe(answer))
        kept, self._remembered = self._remembered, {}
        if kept.get("model") == answer.model and isinstance(kept.get("spec"), dict):
            self._form.restore(kept["spec"])
        self._bar.say(said_of(answer))
        if self._waiting is not None:
            ask, self._waiting = self._waiting, None
            self._bar.end("")
            ask()

    def _on_resolution(self) -> None:
        """Say of the layers how fine they are now, and let whoever follows them know."""
        if self._model is not None:
            self._form.describe_model(self._model.at(self._slides.models.asked_mpp))
