"""From a file of weights to a filled network, without running code and within the file's size.

`read_weights` says what a file holds, `state_dict_in` where in it the weights are, `filled` puts
them into a network. What a file claims is checked before anything is allocated for it.
"""

from napari_smoothsal.models.weights.filling import filled
from napari_smoothsal.models.weights.named_file import inside, sha256_of
from napari_smoothsal.models.weights.reading import read_weights
from napari_smoothsal.models.weights.sharded import read_sharded
from napari_smoothsal.models.weights.state_dict import prefix_of, state_dict_in, tensors_of

__all__ = [
    "filled",
    "inside",
    "prefix_of",
    "read_sharded",
    "read_weights",
    "sha256_of",
    "state_dict_in",
    "tensors_of",
]
