"""ScriptedNetwork: a TorchScript program behind the face of a network, for predictions alone.

Its layers cannot be hooked, its functions not be intercepted, so that a softmax at its end is not
left out but undone: what it returns is told from its values on probe tiles.
"""

from __future__ import annotations

import torch
from torch import nn

from napari_smoothsal.core.errors import ModelError
from napari_smoothsal.models.geometry import Geometry
from napari_smoothsal.models.output_kind import OutputKind
from napari_smoothsal.models.outputs import Place
from napari_smoothsal.models.tracing import Trace, TracedLayer

_UNDOING = {"softmax": "its logarithm", "sigmoid": "its inverse"}


class ScriptedNetwork(nn.Module):
    """A TorchScript module that returns logits.

    Parameters
    ----------
    script
        From `torch.jit.load`.
    place
        Of what is read among its outputs.
    kind
        What that is.
    sha256
        Of its file, as 64 hexadecimal digits: a frozen program holds its weights as constants,
        which are in no state dict.

    Attributes
    ----------
    undone
        Name of the function that is undone; None: none.
    said
        In words, a sentence for each thing that is done to the outputs.
    """

    file_sha256: torch.Tensor

    def __init__(
        self, script: torch.jit.ScriptModule, place: Place, kind: OutputKind, sha256: str
    ) -> None:
        super().__init__()
        # A copy of parameters that want gradients would be computed from them, as torch sees it.
        for parameter in script.parameters():
            parameter.requires_grad_(False)
        self.script = script
        self.place = place
        self.kind = kind
        self.undone: str | None = kind if kind in _UNDOING else None
        self.said: tuple[str, ...] = (place.said,) if place.said else ()
        if self.undone is not None:
            self.said = (
                *self.said,
                f"its outputs are probabilities ({kind}, by the probe tiles), of which logits are "
                f"made by {_UNDOING[kind]}",
            )
        digest = torch.tensor(list(bytes.fromhex(sha256)), dtype=torch.uint8)
        self.register_buffer("file_sha256", digest)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, C, H, W) to logits, of a softmax up to a constant."""
        output: torch.Tensor = self.place.of(self.script(images))
        if self.undone is None:
            return output
        least = torch.finfo(output.dtype)
        if self.undone == "softmax":
            return output.clamp_min(least.tiny).log()
        return torch.logit(output, eps=least.eps)


def trace_of_outputs(network: ScriptedNetwork, image: torch.Tensor) -> Trace:
    """What a traced pass can tell of a program: its input and the shape of its output.

    Raises
    ------
    ModelError
        If the pass itself fails.
    """
    shape = tuple(image.shape)
    try:
        with torch.no_grad():
            output = network(image)
    except Exception as error:  # a program may assert or index whatever it likes
        raise ModelError(f"the model failed on an input of shape {shape}: {error}") from error
    layers = [TracedLayer("input", shape, Geometry())]
    return Trace(layers=layers, output_shape=tuple(output.shape))
