"""What ends a command becomes one line and an exit code, never a traceback."""

import errno

import pytest
import typer
from typer.testing import CliRunner

from napari_smoothsal.cli.app import command
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
