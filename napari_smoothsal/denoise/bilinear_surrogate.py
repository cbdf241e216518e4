"""``bilinear_surrogate``: the paper's third denoising, trained paths for strided convolutions."""

from napari_smoothsal.denoise.base import DENOISINGS, Denoising, ScopedOptions
from napari_smoothsal.models import Model

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


def no_surrogate(model: Model, asked_as: str) -> str:
    """Why a model without a surrogate cannot be denoised by one, and what to do.

    Parameters
    ----------
    model
        The model.
    asked_as
        Field or flag that the surrogate was asked by.
    """
    name = model.card.name
    if not model.strided_convolutions:
        return (
            f"{asked_as} = 'bilinear_surrogate': model {name!r} has no strided convolution "
            "(nn.Conv2d with a stride above 1) that a surrogate could stand in for; choose "
            "'original'"
        )
    return (
        f"{asked_as} = 'bilinear_surrogate': model {name!r} has no surrogate; train one with "
        "`smoothsal train-surrogate`, or give it (--surrogate, load_model(..., surrogate=...))"
    )
