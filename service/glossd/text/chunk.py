"""Packs consecutive texts into windows, for summaries of articles longer than a model's window. Knows no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def pack(texts: Sequence[str], *, count: Callable[[str], int], limit: int) -> list[range]:
    """Consecutive ranges of indices that cover ``texts``, as few and as even as a single pass allows.

    The summed ``count`` of each range is at most ``limit``; a text that alone exceeds it stands in a range of its own.
    ``count`` is called once for each text. The windows are balanced: three windows' worth never ends in two full
    windows and one sentence. Raises ``ValueError`` for a limit below 1.
    """
    if limit < 1:
        raise ValueError(f"limit is {limit}; at least 1 is needed")
    sizes = [count(text) for text in texts]
    fewest = len(_greedy(sizes, limit))
    if fewest < 2:
        return _greedy(sizes, limit)
    low, high = -(-sum(sizes) // fewest), limit
    # the smallest target size that still needs no more windows gives the most even ones
    while low < high:
        middle = (low + high) // 2
        if len(_greedy(sizes, middle)) <= fewest:
            high = middle
        else:
            low = middle + 1
    return _greedy(sizes, min(high, limit))


def _greedy(sizes: Sequence[int], limit: int) -> list[range]:
    windows: list[range] = []
    start, filled = 0, 0
    for index, size in enumerate(sizes):
        if index > start and filled + size > limit:
            windows.append(range(start, index))
            start, filled = index, 0
        filled += size
    if start < len(sizes):
        windows.append(range(start, len(sizes)))
    return windows
