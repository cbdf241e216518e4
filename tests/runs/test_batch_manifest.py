"""Manifests: every column is taken, and whatever cannot work is told with its line."""

from pathlib import Path

import pytest

from napari_smoothsal import SmoothsalError
from napari_smoothsal.runs.manifest import COLUMNS, ManifestRow, read_manifest


def manifest(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    file = folder / "slides.csv"
    file.write_text("\n".join(lines) + "\n", encoding=encoding)
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.svs", "b.svs", "mask.png"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "my_model").mkdir()
    return tmp_path


def test_every_column_is_read_and_paths_start_at_the_manifest(folder: Path) -> None:
    file = manifest(
        folder,
        "slide,mpp,region,mask,model",
        'a.svs,0.25,"10,20,300,400",mask.png,my_model',
        "",
        f"{folder / 'b.svs'},,,,demo-vgg",
        "s3://slides/c.svs,,,,",
    )
    a, b, c = read_manifest(file)
    assert a == ManifestRow(
        slide=str(folder / "a.svs"),
        mpp=0.25,
        region=(10, 20, 300, 400),
        mask=str(folder / "mask.png"),
        model=str(folder / "my_model"),
    )
    assert b == ManifestRow(slide=str(folder / "b.svs"), model="demo-vgg")
    assert c == ManifestRow(slide="s3://slides/c.svs")
    assert set(ManifestRow.model_json_schema()["properties"]) == {*COLUMNS, "schema_version"}


@pytest.mark.parametrize("mark", [";", "\t"])
def test_other_marks_between_columns_and_a_byte_order_mark(folder: Path, mark: str) -> None:
    lines = [f"slide{mark}region", f"a.svs{mark}1,2,3,4"]
    (row,) = read_manifest(manifest(folder, *lines, encoding="utf-8-sig"))
    assert row.region == (1, 2, 3, 4)


def test_a_region_may_begin_beside_the_slide(folder: Path) -> None:
    (row,) = read_manifest(manifest(folder, "slide,region", 'a.svs,"-10,-20,30,40"'))
    assert row.region == (-10, -20, 30, 40)


WRONG = [
    (["slide,mp", "a.svs,1"], "line 1: there is no column 'mp'"),
    (["mpp", "1"], "line 1: the header has no column 'slide'"),
    (["slide,slide", "a.svs,a.svs"], "line 1: name each column once"),
    (["slide,mpp", "a.svs,", "b.svs,0.25um"], "line 3: mpp = '0.25um': give a number"),
    (["slide,mpp", "a.svs,-1"], "line 2: mpp = '-1': give 0.01 or more"),
    (["slide,mpp", "a.svs,0.0000001"], "line 2: mpp = '0.0000001': give 0.01 or more"),
    (["slide,mpp", "a.svs,250"], "line 2: mpp = '250': give 100 or less"),
    (["slide,mpp", "a.svs,inf"], "line 2: mpp = 'inf': give a finite number"),
    (["slide,region", 'a.svs,"1,2,3"'], "line 2: region = '1,2,3': give \"x,y,w,h\""),
    (["slide,region", 'a.svs,"0,0,-5,0"'], "line 2: region = '0,0,-5,0': give a width and"),
    (["slide,region", 'a.svs,"9,9,5,0"'], "line 2: region = '9,9,5,0': give a width and"),
    (["slide,region", 'a.svs,"-5,0,5,9"'], "line 2: region = '-5,0,5,9': give a region that"),
    (["slide,region", "a.svs,1,2,3,4"], "line 2 has more cells than the header"),
    (["slide", "c.svs"], "line 2: slide 'c.svs' is not there"),
    (["slide,mask", "a.svs,no.png"], "line 2: mask 'no.png' is not there"),
    (["slide,mpp", "a.svs,", "", "b.svs,", "a.svs,"], "line 5 says the same as line 2"),
    (["slide,mpp", ",0.5"], "line 2: slide has to be given"),
    (["slide,model", "a.svs,demo-clasifier"], "line 2: no model or model folder named 'demo-cl"),
    (["slide,model", "a.svs,mask.png"], "line 2: 'mask.png' is a file, and a file of weights"),
    (["slide"], "lists no slide"),
    (["slide,mpp", '"a.svs,'], "mend its quotes"),
]


@pytest.mark.parametrize(("lines", "said"), WRONG)
def test_what_cannot_work_is_told_with_its_line(folder: Path, lines: list[str], said: str) -> None:
    with pytest.raises(SmoothsalError, match="manifest") as refused:
        read_manifest(manifest(folder, *lines))
    assert said in str(refused.value) and str(folder) not in str(refused.value)


def test_all_lines_are_told_at_once(folder: Path) -> None:
    lines = ["slide,mpp", *(f"no{i}.svs,x" for i in range(12)), "no.svs,"]
    with pytest.raises(SmoothsalError, match=r"line 2: .*line 3: .*; and 3 more"):
        read_manifest(manifest(folder, *lines))


def test_a_manifest_that_is_not_there_or_not_utf8(folder: Path) -> None:
    with pytest.raises(SmoothsalError, match=r"slides\.csv: there is no such file"):
        read_manifest(folder / "slides.csv")
    with pytest.raises(SmoothsalError, match="save it as CSV UTF-8"):
        read_manifest(manifest(folder, "slide", "Präparat.svs", encoding="latin-1"))
