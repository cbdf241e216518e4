"""Files of weights in every format give the same tensors, owned by the process; damage is told."""

import random
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from napari_smoothsal.core.errors import ModelError, SmoothsalError
from napari_smoothsal.models.weights import (
    inside,
    prefix_of,
    read_weights,
    sha256_of,
    state_dict_in,
)
from napari_smoothsal.models.weights.state_dict import below

Writer = Callable[[Any, Path], None]


def write_zip(content: Any, path: Path) -> None:
    torch.save(content, path)


def write_legacy(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


WRITERS: dict[str, Writer] = {"safetensors": save_file, "zip": write_zip, "legacy": write_legacy}
TORCH = {name: WRITERS[name] for name in ("zip", "legacy")}


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    return {
        k: torch.rand(v.shape, generator=generator).to(v) for k, v in network.state_dict().items()
    }


def same(found: dict[str, Any], expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        torch.equal(found[k], v) and found[k].dtype == v.dtype for k, v in expected.items()
    )


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "Gewichte (größte).bin"])
def test_the_content_says_what_a_file_is(writer: str, name: str, state, tmp_path: Path) -> None:
    WRITERS[writer](state, tmp_path / name)
    assert same(read_weights(tmp_path / name), state)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_may_change_once_it_is_read(writer: str, state, tmp_path: Path) -> None:
    path = tmp_path / "w"
    WRITERS[writer](state, path)
    size = path.stat().st_size
    found = read_weights(path)
    with path.open("r+b") as handle:  # the same file, as a mapping would see it
        handle.write(bytes(size))
        handle.truncate(0)
    assert same(found, state)


@pytest.mark.parametrize("writer", TORCH)
def test_a_checkpoint_with_all_that_trainings_keep(writer: str, state, tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.rand(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5, 5])
    checkpoint = {
        "state_dict": OrderedDict((f"module.{k}", v) for k, v in state.items()),
        "optimizer": optimizer.state_dict(),
        "schedule": scheduler.state_dict(),
        "epoch": 3,
        "prec1": np.float64(0.75),
        "flags": np.bool_(True),
        "count": np.int32(7),
        "milestones": Counter([1, 1]),
        "arch": "resnet",
        "size": torch.Size([3, 4]),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "names": {"a"},
        "parameter": nn.Parameter(torch.ones(2)),
        "none": None,
        "empty": torch.zeros(0, 3),
    }
    WRITERS[writer](checkpoint, tmp_path / "c.pt")
    found = read_weights(tmp_path / "c.pt")
    for name in ("epoch", "prec1", "flags", "count", "milestones", "size", "device", "names"):
        assert found[name] == checkpoint[name], name
    assert same(state_dict_in(found, "c"), state)
    assert np.dtype not in torch.serialization.get_safe_globals()


@pytest.mark.parametrize("writer", TORCH)
def test_shared_tensors_and_views_stay_what_they_are(writer: str, tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    content = {
        "a": whole,
        "tied": whole,
        "row": whole[1],
        "turned": whole.t(),
        "half": whole.half(),
    }
    WRITERS[writer](content, tmp_path / "v.pt")
    found = read_weights(tmp_path / "v.pt")
    assert same(found, content)
    assert found["a"].data_ptr() == found["tied"].data_ptr()
    assert found["turned"].stride() == (1, 4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64])
@pytest.mark.parametrize("writer", WRITERS)
def test_types_of_numbers(writer: str, dtype: torch.dtype, tmp_path: Path) -> None:
    content = {"w": torch.arange(5).to(dtype)}
    WRITERS[writer](content, tmp_path / "w")
    assert same(read_weights(tmp_path / "w"), content)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_cut_anywhere_is_refused(writer: str, state, tmp_path: Path) -> None:
    path = tmp_path / "w"
    WRITERS[writer](state, path)
    content = path.read_bytes()
    for length in [*range(24), *range(24, len(content), 13), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(ModelError):
            read_weights(path)


@pytest.mark.parametrize("writer", WRITERS)
def test_damage_is_told_as_such_or_does_no_harm(writer: str, state, tmp_path: Path) -> None:
    path, generator = tmp_path / "w", random.Random(0)
    WRITERS[writer](state, path)
    content = path.read_bytes()
    for _ in range(300):
        damaged = bytearray(content)
        for at in (generator.randrange(len(content)) for _ in range(generator.randint(1, 4))):
            damaged[at] = generator.randrange(256)
        path.write_bytes(damaged)
        try:
            state_dict_in(read_weights(path), "damaged")
        except SmoothsalError as error:
            assert str(tmp_path) not in str(error)


@pytest.mark.parametrize(
    "nest",
    [
        lambda s: s,
        lambda s: {"model": s, "epoch": 1},
        lambda s: {"state_dict": s, "optimizer": {"state": {}}},
        lambda s: {"model": {"state_dict": s}},
        lambda s: {"generator": s, "step": 3},
        lambda s: {"model": s, "model_ema": s},
        lambda s: {"net": {f"module.{k}": v for k, v in s.items()}},
        lambda s: {f"_orig_mod.module.{k}": v for k, v in s.items()},
        lambda s: {"state_dict": {f"model.{k}": v for k, v in s.items()}, "hparams": {"lr": 1}},
    ],
)
def test_a_state_dict_is_found_where_trainings_put_it(nest, state) -> None:
    assert same(state_dict_in(nest(state), "m"), state)


def test_a_prefix_stays_unless_all_names_have_it(state) -> None:
    state = {f"module.{k}": v for k, v in state.items()} | {"head": torch.ones(1)}
    assert same(state_dict_in(state, "m"), state)


def test_the_network_in_a_training_module_is_found(state) -> None:
    within = {f"net.{k}": v for k, v in state.items()}
    beside = {"criterion.weight": torch.ones(2)}
    assert prefix_of(within | beside, state, "m") == "net."
    with pytest.warns(UserWarning, match=r"under 'net\.'; the rest .* 'criterion\.weight'$"):
        assert same(below(within | beside, "net.", "m"), state)
    assert same(below(within, "net.", "m"), state)  # nothing is left out, nothing is said
    counted = [*state, "bn.num_batches_tracked"]  # which older files lack
    assert prefix_of(within, counted, "m") == "net."
    assert prefix_of(state | within, state, "m") == ""
    _, *others = within
    assert prefix_of({name: within[name] for name in others}, state, "m") == ""
    with pytest.raises(ModelError, match=r"2 such networks, under 'net\.', 'ema\.'"):
        prefix_of(within | {f"ema.{k}": v for k, v in state.items()}, state, "m")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "nothing at all"),
        ({"epoch": 3}, "'epoch' \\(int\\)"),
        ({"state_dict": {"a": 1}}, "state_dict"),
        ({"a": {"w": torch.ones(1)}, "b": {"w": torch.ones(1)}}, "several"),
        ({1: torch.ones(1)}, "none"),
    ],
)
def test_what_holds_no_state_dict(content, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        state_dict_in(content, "model 'x'")


@pytest.mark.parametrize("name", ["model.safetensors", "weights/a b.pt", "größe.pt", "..a", "a..b"])
def test_a_named_file_lies_in_the_folder(name: str, tmp_path: Path) -> None:
    assert inside(tmp_path, name, "m") == tmp_path / name


@pytest.mark.parametrize(
    "name",
    [
        *("../../x", "..", ".", "", "a/../b", "a//b", "a/", "/etc/passwd", "./a", "~/../a"),
        *("C:\\x", "C:x", "a\\..\\b", "\\\\host\\share", "a\0b", "a\nb", "file:stream"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="model 'm': the file name"):
        inside(tmp_path, name, "model 'm'")


def test_a_link_in_the_folder_may_lead_out_of_it(tmp_path: Path, state) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "model").mkdir()
    save_file(state, tmp_path / "blobs" / "abc")
    try:
        (tmp_path / "model" / "w.safetensors").symlink_to(tmp_path / "blobs" / "abc")
    except OSError:
        pytest.skip("links need a permission on this system")
    path = inside(tmp_path / "model", "w.safetensors", "m")
    assert same(read_weights(path), state)
    assert sha256_of(path) == sha256_of(tmp_path / "blobs" / "abc")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no file of weights 'w"):
        read_weights(tmp_path / "w.pt")
    with pytest.raises(ModelError, match="there is no file"):
        read_weights(tmp_path)
