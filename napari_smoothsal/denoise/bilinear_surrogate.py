"""``bilinear_surrogate``: the paper's third denoising, trained paths for strided convolutions."""

from napari_smoothsal.denoise.base import DENOISINGS, Denoising, ScopedOptions

BILINEAR_SURROGATE = DENOISINGS.register(
    Denoising(
        name="bilinear_surrogate",
        title="Trained smooth paths in place of the strided convolutions (Herdt et al.): needs a "
        "surrogate; explains a network that predicts nearly the same",
        options=ScopedOptions,
        changes_network=True,
        replaces=True,
    )
)
"""Source: Herdt et al., Smooth Deep Saliency, section 3.3; see `models.surrogate`.

A path's reduction is centred half a pixel beside the convolution that it stands in for. Its kernels
are trained to say the same at the same places, which takes that back: nothing is displaced.
"""
