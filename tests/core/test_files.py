"""Files that are there whole or not at all."""

from pathlib import Path

import pytest

from napari_smoothsal.core.files import replaced_at_once


def test_two_who_write_one_file_do_not_meet(tmp_path: Path) -> None:
    """Both may have the same process number, in containers that share a folder."""
    file = tmp_path / "state.json"
    with replaced_at_once(file) as one:
        one.write_text("one")
        with replaced_at_once(file) as two:
            assert one != two
            two.write_text("two")
        assert file.read_text() == "two" and one.read_text() == "one"
    assert file.read_text() == "one" and list(tmp_path.iterdir()) == [file]


def test_what_fails_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    file.write_text("old")
    with pytest.raises(KeyError), replaced_at_once(file) as part:
        part.write_text("half")
        raise KeyError
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]
