"""Layers of transformers: tokens that lie on a grid of patches, and those that are none."""

from __future__ import annotations

import pytest
import torch
from families import QUICK
from torch import nn

from napari_smoothsal.core.card import ModelCard
from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models import Model
from napari_smoothsal.models.layout import Layout


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        (Layout(), (2, 5, 3, 4)),
        (Layout("BHWC"), (2, 3, 4, 5)),
        (Layout("BNC"), (2, 12, 5)),
        (Layout("BNC", 2), (2, 14, 5)),
        (Layout("BCN", 1), (2, 5, 13)),
    ],
)
def test_a_map_goes_back_where_it_came_from(layout: Layout, shape: tuple[int, ...]) -> None:
    output = torch.rand(shape)
    values = layout.to_map(output, (3, 4))
    assert values.shape == (2, 5, 3, 4)
    assert torch.equal(layout.from_map(values, output), output)


def test_tokens_of_another_tile_are_refused() -> None:
    with pytest.raises(ModelError, match="12 patches were made of a tile that 4 x 4 patches"):
        Layout("BNC", 1).to_map(torch.rand(1, 13, 5), (4, 4))


@pytest.mark.parametrize(
    ("name", "prefix", "stride"), [("ViT, timm", 1, 16), ("DINOv2 with registers, timm", 5, 14)]
)
def test_tokens_are_maps_of_patches(name: str, prefix: int, stride: int) -> None:
    model = QUICK[name].model()
    block = model.layer("blocks.1")
    assert block.layout == Layout("BNC", prefix)
    assert block.stride == (stride, stride)
    assert block.centre == ((stride - 1) / 2,) * 2
    assert block.strided_convs_above == ()
    assert model.map_size("blocks.1", 224) == (224 // stride, 224 // stride)
    assert model.layer("input").strided_convs_above == ("patch_embed.proj",)
    # Before the first attention a patch has seen itself alone.
    assert model.layer("blocks.0.norm1").receptive_field == (stride, stride)


def test_a_layer_of_which_only_the_class_token_is_read_is_not_offered() -> None:
    model = QUICK["ViT, timm"].model()
    names = [info.name for info in model.layers()]
    assert "blocks.2" in names and "blocks.3.attn.qkv" in names
    assert not {"blocks.3", "blocks.3.mlp", "norm"} & set(names)
    with pytest.raises(ModelError, match="only the class token"):
        model.layer("blocks.3")
    # What is true of the gradient is what is said of the layer.
    outputs = {}
    for name in ("blocks.2", "blocks.3"):
        model.module.get_submodule(name).register_forward_hook(
            lambda _m, _i, output, name=name: outputs.update({name: output})
        )
    logits = model.module(torch.rand(1, 3, 224, 224))
    below, last = torch.autograd.grad(logits[0, 0], [outputs["blocks.2"], outputs["blocks.3"]])
    assert not last[:, 1:].any() and last[:, 0].any()
    assert below[:, 1:].any()


class Windowed(nn.Module):
    """Tokens whose mean decides, without any that is no patch."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.mixed, self.head = (
            nn.Conv2d(3, 8, 8, 8),
            nn.Linear(8, 8),
            nn.Linear(8, 2),
        )
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = self.mixed(self.patches(image).flatten(2).transpose(1, 2))
        return self.head((tokens + self.attention(tokens, tokens, tokens)[0]).mean(1))


def test_a_mean_over_patches_reads_all_of_them() -> None:
    card = ModelCard(
        name="m",
        kind="classification",
        class_names=("a", "b"),
        input_size=64,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
    )
    model = Model(Windowed().eval(), card)
    assert [info.name for info in model.layers()] == ["input", "patches", "mixed"]
    assert model.layer("mixed").layout == Layout("BNC")
