"""Stores say what was taken off a network, and nothing where nothing was."""

from pathlib import Path

import pytest
import zarr
from small_runs import SPECS, assert_same_bits, explained

from napari_smoothsal import Compute
from napari_smoothsal.core.errors import StoreError
from napari_smoothsal.models import Model
from napari_smoothsal.models.architectures import NarrowResNet18

HOW = {"compute": Compute(batch_size=3, device="cpu", precision="fp32"), "region": (0, 0, 150, 150)}


class Softmaxed(NarrowResNet18):
    def forward(self, x):
        return super().forward(x).softmax(1)


def test_a_store_names_what_was_removed(noisy, classifier, tmp_path: Path) -> None:
    network = Softmaxed(width=8)
    network.load_state_dict(classifier.module.state_dict())
    headed = Model(network.eval(), classifier.card)
    assert headed.parameters_sha256 == classifier.parameters_sha256
    one = explained(noisy, classifier, tmp_path / "bare.zarr", SPECS[:1], **HOW)
    two = explained(noisy, headed, tmp_path / "headed.zarr", SPECS[:1], **HOW)
    assert_same_bits(one, two)
    named = [
        zarr.open_group(run.path, mode="r").attrs["smoothsal"]["identity"]["model"]
        for run in (one, two)
    ]
    assert "removed_head" not in named[0] and named[1].pop("removed_head") == "softmax"
    assert named[0].pop("code_sha256") != named[1].pop("code_sha256")
    assert named[0] == named[1]
    with pytest.raises(StoreError, match="removed_head"):
        explained(noisy, headed, tmp_path / "bare.zarr", SPECS[:1], **HOW)
