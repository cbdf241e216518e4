"""``original``: the gradient as the network has it, checkerboard included."""

from napari_smoothsal.denoise.base import DENOISINGS, Denoising

ORIGINAL = DENOISINGS.register(
    Denoising(
        name="original",
        title="As the model has it: the gradient with its checkerboard noise",
    )
)
