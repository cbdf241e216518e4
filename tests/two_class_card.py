"""The card of small models of tests."""

from napari_smoothsal.core.card import ModelCard


def two_class_card(name: str) -> ModelCard:
    """Normal and tumour, on tiles of 64 px at 0.5 um/px."""
    return ModelCard(
        name=name,
        kind="classification",
        class_names=("normal", "tumour"),
        background="normal",
        default_target="tumour",
        input_size=64,
        input_mpp=0.5,
        mean=(0.7, 0.5, 0.6),
        std=(0.2, 0.2, 0.2),
    )
