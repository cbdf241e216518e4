"""What ends a command becomes one line and an exit code, never a traceback."""

import errno
import io
import sys

import pytest
import typer
from typer.testing import CliRunner

from napari_smoothsal.cli.app import command, complain
from napari_smoothsal.core.errors import SettingError


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (SettingError("layer = 'x'"), 2, "error: layer = 'x'"),
        (OSError(errno.ENOSPC, "No space left", "a"), 2, "error: No space left: a"),
        (
            MemoryError("Unable to allocate 3. GiB"),
            2,
            "error: memory ran out (Unable to allocate 3. GiB); with more of it free, do it again",
        ),
        (MemoryError(), 2, "error: memory ran out; with more of it free, do it again"),
        (KeyboardInterrupt(), 130, "interrupted: do it again"),
    ],
)
def test_an_error_is_one_line(error: BaseException, code: int, line: str) -> None:
    group = typer.Typer()

    @command("fail", after="do it again", of=group)
    def fail() -> None:
        raise error

    result = CliRunner().invoke(group)
    assert result.exit_code == code and result.output == f"{line}\n"


def test_what_is_said_goes_through_a_bar_that_is_drawn(monkeypatch, capfd) -> None:
    class Bar(io.TextIOWrapper):
        """As a bar stands in for the terminal: its buffer is the terminal's own."""

        def __init__(self) -> None:
            super().__init__(sys.__stderr__.buffer)
            self.heard = ""

        def write(self, text: str) -> int:
            self.heard += text
            return len(text)

    monkeypatch.setattr(sys, "stderr", bar := Bar())
    complain("warning", "looks odd")
    bar.detach()
    assert bar.heard == "warning: looks odd\n"
    assert capfd.readouterr().err == ""
