"""Pixels on their way to a device while the batch before them is computed there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from napari_smoothsal.slides.reader import TileBatch

T = TypeVar("T")
Sent = tuple[TileBatch, torch.Tensor]


def sent(batches: Iterator[TileBatch], device: torch.device) -> Iterator[Sent]:
    """Batches of tiles, and their pixels where they are computed.

    Parameters
    ----------
    batches
        In order.
    device
        To a CUDA device bytes go from locked memory and by a stream of their own, a batch ahead:
        two batches are there at once, the one that is computed and the next. Of another device
        nothing is gained by that, and its pixels stay where they are.

    Yields
    ------
    tiles, pixels
        (B, 3, H, W) uint8, ready for the current stream.
    """
    if device.type != "cuda":
        for tiles in batches:
            yield tiles, _pixels(tiles)
        return
    copies = torch.cuda.Stream(device)

    def send(tiles: TileBatch) -> tuple[TileBatch, torch.Tensor, torch.cuda.Event]:
        locked = _pixels(tiles).contiguous().pin_memory()
        with torch.cuda.stream(copies):
            there = locked.to(device, non_blocking=True)
            return tiles, there, copies.record_event()

    for tiles, pixels, arrived in one_ahead(batches, send):
        computing = torch.cuda.current_stream(device)
        computing.wait_event(arrived)
        pixels.record_stream(computing)  # its memory is not given away before that has used it
        yield tiles, pixels


def one_ahead(batches: Iterator[TileBatch], send: Callable[[TileBatch], T]) -> Iterator[T]:
    """What a function makes of batches, each made by another thread while the one before is used.

    Parameters
    ----------
    batches
        Taken from by that thread alone.
    send
        The function.

    Yields
    ------
    T
        Of each batch, in order.
    """

    def following() -> list[T]:
        return [send(tiles) for tiles in [next(batches, None)] if tiles is not None]

    with ThreadPoolExecutor(1, "smoothsal-sender") as sender:
        coming = sender.submit(following)
        while made := coming.result():
            coming = sender.submit(following)
            yield made[0]


def _pixels(tiles: TileBatch) -> torch.Tensor:
    return torch.from_numpy(tiles.images).permute(0, 3, 1, 2)
