"""smoothsal card: questions with known answers, and a folder that loads."""

import json
from pathlib import Path

import jsonschema
import pytest
import timm
import torch
from click.testing import Result
from command_line import smoothsal
from PIL import Image
from tissue_pictures import tissue
from typer.testing import CliRunner

from napari_smoothsal import load_model
from napari_smoothsal.cli import registered
from napari_smoothsal.cli.card import ASKED, schema_text
from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.models.stain_normalisation import stain_target_of
from napari_smoothsal.slides.stain import stain_range_of


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("weights") / "w.pt"
    torch.save(timm.create_model("resnet18", num_classes=2).state_dict(), file)
    return f"timm:resnet18:{file}"


def answered(source: str, out: Path, answers: dict[str, str], *more: str) -> Result:
    typed = "".join(answers.get(name, "") + "\n" for name in ASKED)
    arguments = ["card", "new", source, "--out", str(out), *more]
    return CliRunner().invoke(registered(), arguments, input=typed)


def test_answers_become_a_card_and_the_folder_loads(source: str, tmp_path: Path) -> None:
    answers = {"name": "mine", "class_names": "benign, tumour", "input_mpp": "0.5"}
    answers |= {"default_target": "tumour", "licence": "CC-BY-4.0"}
    result = answered(source, tmp_path / "mine", answers)
    assert result.exit_code == 0, result.output
    model = load_model(tmp_path / "mine")
    card = model.card
    assert (card.name, card.class_names) == ("mine", ("benign", "tumour"))
    assert (card.default_target, card.input_mpp, card.licence) == ("tumour", 0.5, "CC-BY-4.0")
    assert card.weights_sha256 is not None
    assert "normalisation" in str(card.notes) and "names" not in str(card.notes)
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(model.module(image), load_model(source).module(image))


def test_an_answer_that_cannot_work_is_asked_again(source: str, tmp_path: Path) -> None:
    typed = "\nnormal\nnormal, tumour\n" + "\n" * (len(ASKED) - 2)
    arguments = ["card", "new", source, "--out", str(tmp_path / "mine")]
    result = CliRunner().invoke(registered(), arguments, input=typed)
    assert result.exit_code == 0 and "2 classes" in result.output
    assert load_model(tmp_path / "mine").card.class_names == ("normal", "tumour")
    assert "input_mpp" in result.stderr  # nobody said it


def test_nothing_is_asked_where_all_is_given(source: str, tmp_path: Path) -> None:
    result = smoothsal(
        *("card", "new", source, "--out", tmp_path / "mine", "--no-ask"),
        *("--card", "input_mpp=0.25", "--card", "name=quiet"),
    )
    assert result.exit_code == 0 and "[" not in result.output.replace(str(tmp_path), "")
    assert load_model(tmp_path / "mine").card.input_mpp == 0.25
    again = smoothsal("card", "new", source, "--out", tmp_path / "mine", "--no-ask")
    assert again.exit_code == 2 and "already" in again.output


def test_a_card_that_is_left_half_way_writes_nothing(source: str, tmp_path: Path) -> None:
    arguments = ["card", "new", source, "--out", str(tmp_path / "mine")]
    result = CliRunner().invoke(registered(), arguments, input="mine\n")
    assert result.exit_code == 2 and not (tmp_path / "mine").exists()
    assert "class_names" in result.stderr and "--no-ask" in result.stderr


def test_a_network_whose_output_is_no_decision_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd_networks.py").write_text(
        "import torch\n\ndef features():\n    return torch.nn.Conv2d(3, 2, 3, 2)\n"
    )
    monkeypatch.chdir(tmp_path)
    fields = {"kind": "classification", "class_names": "a,b", "input_size": 64}
    fields |= {"mean": "0,0,0", "std": "1,1,1"}
    given = [word for name, value in fields.items() for word in ("--card", f"{name}={value}")]
    new = ("card", "new", "--factory", "odd_networks:features", "--out", tmp_path / "mine")
    result = smoothsal(*new, "--no-ask", *given)
    assert result.exit_code == 2 and "returned (1, 2, 31, 31)" in result.output
    assert not (tmp_path / "mine").exists()


def test_the_published_schema_is_the_cards(source: str) -> None:
    root = Path(__file__).parents[2]
    assert (root / "docs" / "card.schema.json").read_text() == schema_text()
    assert smoothsal("card", "schema").stdout == schema_text()
    schema = json.loads(schema_text())
    for card in (root / "sample_data" / "models").glob("*/card.json"):
        jsonschema.validate(json.loads(card.read_text()), schema)
    shown = json.loads(smoothsal("card", "show", source).stdout)
    jsonschema.validate({"$schema": "../card.schema.json", **shown}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**shown, "input_size": 0}, schema)
    assert ModelCard(**shown) == load_model(source).card


def test_a_card_may_name_its_schema(source: str, tmp_path: Path) -> None:
    assert answered(source, tmp_path / "mine", {}).exit_code == 0
    path = tmp_path / "mine" / "card.json"
    path.write_text(json.dumps({"$schema": "x.json", **json.loads(path.read_text())}))
    assert load_model(tmp_path / "mine").card.name == "resnet18"


def test_stain_measured_on_pictures_is_what_other_commands_take(
    source: str, tmp_path: Path
) -> None:
    (tmp_path / "tiles").mkdir()
    for number in range(20):
        Image.fromarray(tissue(64, 11, number)).save(tmp_path / "tiles" / f"{number}.png")
    target = tmp_path / "tiles" / "2.png"
    printed = smoothsal("card", "stain", tmp_path / "tiles", "--target", target).stdout
    file = tmp_path / "stain.json"
    file.write_text(printed)
    told = json.loads(smoothsal("card", "show", source, "--card", file).stdout)
    picture = torch.from_numpy(tissue(64, 11, 2)).permute(2, 0, 1)
    card = ModelCard(**told)
    assert card.stain_normalisation == stain_target_of(picture, "macenko")
    assert card.stain_range == stain_range_of([tissue(64, 11, n) for n in range(20)])
    only = smoothsal("card", "stain", "--target", target, "--method", "reinhard").stdout
    assert list(json.loads(only)) == ["stain_normalisation"] and "lab_means" in only
    nothing = smoothsal("card", "stain")
    assert nothing.exit_code == 2 and "--target" in nothing.stderr
    few = smoothsal("card", "stain", target)
    assert few.exit_code == 2 and "1 tiles with tissue" in few.stderr
    for wrong, named in (
        ((file,), "stain.json"),
        ((tmp_path / "nowhere",), "nowhere"),
        (("--target", tmp_path / "tiles"), "tiles"),
        ((tmp_path / "tiles", "--method", "macenko"), "--target"),
    ):
        result = smoothsal("card", "stain", *wrong)
        assert result.exit_code == 2 and named in result.output + result.stderr


def test_classes_that_the_network_does_not_have_are_refused(source: str, tmp_path: Path) -> None:
    given = ("card", "new", source, "--no-ask", "--out", tmp_path / "mine")
    result = smoothsal(*given, "--card", "class_names=a,b,c")
    assert result.exit_code == 2 and "3 classes" in result.output
    assert not (tmp_path / "mine").exists()
    assert smoothsal(*given, "--card", "class_names=normal,tumour").exit_code == 0
    card = load_model(tmp_path / "mine").card
    assert card.class_names == ("normal", "tumour") and "names" not in str(card.notes)
