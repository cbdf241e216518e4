"""Batches on their way to a device: in order, one ahead, and gone with whoever waited for them."""

import threading

import numpy as np
import pytest
import torch

from napari_smoothsal.runs.sending import one_ahead, sent
from napari_smoothsal.slides.reader import TileBatch


def tiles(count: int) -> list[TileBatch]:
    chance = np.random.default_rng(0)
    return [
        TileBatch(chance.integers(0, 256, (2, 8, 8, 3), np.uint8), (None, None))
        for _ in range(count)
    ]


def test_all_come_in_order_the_next_one_while_one_is_used() -> None:
    given, made = tiles(5), []
    begun = [threading.Event() for _ in given]

    def send(batch: TileBatch) -> int:
        number = next(i for i, one in enumerate(given) if one is batch)
        made.append((number, threading.current_thread().name))
        begun[number].set()
        return number

    used = []
    for number in one_ahead(iter(given), send):
        assert number == len(given) - 1 or begun[number + 1].wait(10)
        assert len(made) <= number + 2, "no more than one ahead"
        used.append(number)
    assert used == [0, 1, 2, 3, 4] == [number for number, _ in made]
    assert all("sender" in name for _, name in made)


def test_an_error_comes_where_its_batch_would() -> None:
    given = tiles(3)

    def send(batch: TileBatch) -> TileBatch:
        if batch is given[1]:
            raise ValueError("that one")
        return batch

    coming = one_ahead(iter(given), send)
    assert next(coming) is given[0]
    with pytest.raises(ValueError, match="that one"):
        next(coming)


def test_whoever_stops_early_leaves_no_thread() -> None:
    coming = one_ahead(iter(tiles(9)), lambda batch: batch)
    next(coming)
    coming.close()
    assert not [t for t in threading.enumerate() if "sender" in t.name]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_what_arrives_is_what_was_sent(device: str) -> None:
    given = tiles(4)
    arrived = [(batch, pixels.cpu()) for batch, pixels in sent(iter(given), torch.device(device))]
    assert [batch for batch, _ in arrived] == given
    for batch, pixels in arrived:
        assert pixels.dtype == torch.uint8
        assert (pixels.permute(0, 2, 3, 1).numpy() == batch.images).all()
