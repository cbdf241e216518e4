"""Number formats and memory: what is chosen, what gives way, and that it is told."""

import copy
import subprocess
import sys

import pytest
import torch
from networks import every_model, wrapped
from torch import nn
from unets import small_segmenter

from napari_smoothsal import Compute, SaliencySpec, explain_tiles, load_model
from napari_smoothsal.attribution import Explainer
from napari_smoothsal.attribution.device import resolve_device
from napari_smoothsal.attribution.memory import RowLimit
from napari_smoothsal.attribution.network import Network
from napari_smoothsal.attribution.precision import has_fast_bf16
from napari_smoothsal.core.errors import ComputeError, ModelError, SettingError

FP64 = Compute(precision="fp64", device="cpu")
FAST_BF16 = has_fast_bf16(torch.device("cpu"))


def tiles(n: int, size: int = 64) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(n))


@pytest.mark.parametrize("make", [lambda: every_model()["resnet"], small_segmenter])
@pytest.mark.parametrize("method", ["gradient", "deeplift"])
def test_bf16_is_close_and_decides_in_full_precision(make, method: str) -> None:
    model = make()
    layer = "layer2" if "layer2" in {x.name for x in model.layers()} else "stem"
    spec = SaliencySpec(layer=layer, method=method, denoising="original", samples=4)
    images = tiles(3)
    wide = explain_tiles(model, images, spec, Compute(precision="fp32"))
    narrow = explain_tiles(model, images, spec, Compute(precision="bf16"))
    error = (narrow.maps - wide.maps).norm() / wide.maps.norm()
    assert 0 < error < 0.1
    assert torch.equal(narrow.logits, wide.logits)


@pytest.mark.skipif(not FAST_BF16, reason="needs a processor that multiplies bf16 in hardware")
def test_auto_takes_bf16_only_where_noise_hides_its_error() -> None:
    model = load_model("demo-classifier")
    for method in ("gradient", "activation_x_gradient", "deeplift"):
        spec = SaliencySpec(layer="layer1", method=method)
        assert Explainer(model, [spec], Compute(), "tiles").device.precision == "bf16"
    exact = SaliencySpec(layer="layer1", samples=0)
    assert Explainer(model, [exact], Compute(), "tiles").device.precision == "fp32"
    calm = SaliencySpec(layer="layer1", sigma=1e-4)
    assert Explainer(model, [calm], Compute(), "tiles").device.precision == "fp32"


def test_without_the_hardware_auto_is_fp32(monkeypatch) -> None:
    monkeypatch.setattr("napari_smoothsal.attribution.precision.has_fast_bf16", lambda _d: False)
    spec = SaliencySpec(layer="layer1")
    explainer = Explainer(every_model()["resnet"], [spec], Compute(), "tiles")
    assert explainer.device.precision == "fp32"


class Huge(nn.Module):
    """Passes through numbers that float32 still holds and bfloat16 does not."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.head = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.low(x).tanh()
        y = (y * 0 + 3.4e38) / 3.4e38 * y
        return self.head(y).mean((2, 3))


def test_what_overflows_in_bf16_is_computed_in_fp32_and_told() -> None:
    model = wrapped(Huge(), "a", "b")
    spec = SaliencySpec(layer="low", denoising="original", samples=2)
    explainer = Explainer(model, [spec], Compute(precision="bf16"), "tiles")
    images = tiles(2, 32)
    with pytest.warns(UserWarning, match=r"2 tile\(s\) overflow in bf16"):
        ours = explainer.explain(images, [(0,), (1,)])
    assert len(explainer.fallbacks) == 1
    wide = explain_tiles(model, images, spec, Compute(precision="fp32"))
    assert torch.equal(ours.specs[0].maps, wide.maps)


class MixedFormats(nn.Module):
    """Makes a float32 tensor of its own on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.low(x) * torch.ones(1, 4, 1, 1)).mean((2, 3))


def test_a_network_that_does_not_run_in_bf16() -> None:
    model = wrapped(MixedFormats(), "a", "b")
    spec = SaliencySpec(layer="low", denoising="original", samples=4)
    with pytest.raises(SettingError, match="choose fp32"):
        explain_tiles(model, tiles(1, 32), spec, Compute(precision="bf16"))
    assert explain_tiles(model, tiles(1, 32), spec).maps.isfinite().all()


def test_a_row_limit_halves_until_it_fits() -> None:
    told = []
    limit = RowLimit(8, told.append)

    def run(part):
        if len(part) > 2:
            raise MemoryError("no")
        return sum(part)

    results = list(limit.parts(range(10), run))
    assert [list(part) for part, _ in results] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert limit.limit == 2 and len(told) == 2 and "going on with 2" in told[-1]
    with pytest.raises(ComputeError, match="smaller tiles"):
        list(limit.parts([1, 2], lambda part: (_ for _ in ()).throw(MemoryError("no"))))
    with pytest.raises(RuntimeError, match="something else"):
        list(limit.parts([1], lambda part: (_ for _ in ()).throw(RuntimeError("something else"))))


def _fails_to_allocate() -> None:
    torch.empty(1 << 47, dtype=torch.uint8)  # more than a process can address


def _fails_in_onednn() -> None:
    raise RuntimeError("could not create a memory object")  # its words; nothing can be provoked


def _fails_on_a_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("fail", [_fails_to_allocate, _fails_in_onednn, _fails_on_a_gpu])
def test_where_memory_runs_out_the_rows_are_halved_and_nothing_is_lost(fail) -> None:
    class Hungry(nn.Module):
        def __init__(self, most: int) -> None:
            super().__init__()
            self.low, self.head, self.most = nn.Conv2d(3, 4, 3, 2), nn.Linear(4, 2), most

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if len(x) > self.most:
                fail()
            return self.head(self.low(x).relu().mean((2, 3)))

    torch.manual_seed(0)
    modest = wrapped(Hungry(most=99), "a", "b")
    hungry = wrapped(Hungry(most=3), "a", "b")
    hungry.module.load_state_dict(modest.module.state_dict())
    spec = SaliencySpec(layer="low", samples=13, denoising="original")
    images = tiles(2, 32)
    explainer = Explainer(hungry, [spec], FP64, "tiles")
    explainer.rows.limit = 16
    with pytest.warns(UserWarning, match="memory ran out"):
        ours = explainer.explain(images, [(0,), (1,)])
    assert explainer.rows.limit <= 3
    assert explainer.fallbacks and all("memory ran out" in x for x in explainer.fallbacks)
    expected = explain_tiles(modest, images, spec, FP64)
    assert ours.specs[0].samples.tolist() == [13, 13]
    torch.testing.assert_close(ours.specs[0].maps, expected.maps, rtol=1e-6, atol=0)


PEAK = """
import resource, sys, torch
import napari_smoothsal as ss
from napari_smoothsal.attribution import Explainer
budget = int(sys.argv[1]) << 20
model = ss.load_model("demo-classifier")
spec = ss.SaliencySpec(layer="input", samples=4, method=sys.argv[2], denoising="original")
images = torch.rand(64, 3, 224, 224)
def run(count, compute):
    explainer = Explainer(model, [spec], compute, "tiles")
    size = explainer.batch_size(224)
    explainer.explain(images[:count], [(i,) for i in range(count)])
    return size
run(1, ss.Compute(precision="fp32", batch_size=1))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
size = run(16, ss.Compute(precision="fp32", budget_bytes=budget))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(size, peak - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures peak memory as Linux does")
@pytest.mark.parametrize("method", ["gradient", pytest.param("deeplift", marks=pytest.mark.slow)])
def test_a_pass_stays_within_its_budget(method: str) -> None:
    sizes = []
    for budget in (100, 300):
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(budget), method],
            capture_output=True, text=True, timeout=250,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        size, used = map(int, done.stdout.split())
        assert used <= budget << 20
        sizes.append(size)
    assert 1 < sizes[0] < sizes[1]


def test_the_users_model_is_left_as_it_was_also_after_an_error() -> None:
    class Breaks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.low, self.norm, self.head = (
                nn.Conv2d(3, 4, 3, 2),
                nn.BatchNorm2d(4),
                nn.Linear(4, 2),
            )
            self.passes = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.passes += 1
            if x.std() > 1.5:  # noise, which no other pass has
                raise ValueError("broken")
            return self.head(self.norm(self.low(x)).mean((2, 3)))

    module = Breaks().train()
    model = wrapped(module, "a", "b")
    module.train()
    module.low.bias.requires_grad_(False)
    handle = module.norm.register_forward_hook(lambda *_: None)
    model.layers()
    before, passes = copy.deepcopy(module.state_dict()), module.passes
    flags = [p.requires_grad for p in module.parameters()]
    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
        for m in module.modules()
    ]
    for method in ("gradient", "deeplift"):
        spec = SaliencySpec(layer="low", method=method, sigma=5.0, denoising="original")
        with pytest.raises(ValueError, match="broken"):
            explain_tiles(model, tiles(1, 32), spec, FP64)
    assert module.training and module.norm.training and module.passes == passes
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert [p.requires_grad for p in module.parameters()] == flags
    assert hooks == [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
        for m in module.modules()
    ]
    assert "forward" not in vars(module.norm)
    handle.remove()


def test_infinite_logits_name_their_tile() -> None:
    class Explodes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.low, self.head = nn.Conv2d(3, 4, 3, 2), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.head(self.low(x).mean((2, 3)))
            return y / (x.mean((1, 2, 3)) < 0.5)[:, None]

    model = wrapped(Explodes(), "a", "b")
    images = torch.zeros(3, 3, 32, 32)
    images[1] = 1
    spec = SaliencySpec(layer="low", samples=2, denoising="original")
    with pytest.raises(ModelError, match="tile 1"):
        explain_tiles(model, images, spec)


def test_normalisations_stay_wide_in_a_narrow_network() -> None:
    """A running mean in bf16 is off by up to 0.4 %, of which a small variance makes a lot."""
    first = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1))
    model = wrapped(nn.Sequential(*first, nn.Flatten()), "a", "b")
    network = Network(model, resolve_device(Compute(device="cpu", precision="bf16")), ())
    norm, convolution = network.module[0], network.module[1]
    assert {p.dtype for p in (*norm.parameters(), norm.running_mean)} == {torch.float32}
    assert convolution.weight.dtype == torch.bfloat16
