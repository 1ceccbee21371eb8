"""Packs consecutive texts into windows, for summaries of articles longer than a model's window. Knows no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def pack(texts: Sequence[str], *, count: Callable[[str], int], limit: int) -> list[range]:
    """Consecutive ranges of indices that cover ``texts``, as few and as even as a single pass allows.

    The summed ``count`` of each range is at most ``limit``; a text that alone exceeds it stands in a range of its own.
    ``count`` is called once for each text. The windows are balanced: three windows' worth never ends in two full
    windows and one sentence. Raises ``ValueError`` for a limit below 1.
    """
    return _even([count(text) for text in texts], limit)


def pack_parts(parts: Sequence[Sequence[str]], *, count: Callable[[str], int], limit: int) -> list[list[str]]:
    """The texts of consecutive parts in windows as :func:`pack` makes them, each a list.

    A window ends inside a part only where that part alone exceeds ``limit``.
    """
    units: list[Sequence[str]] = []
    sizes: list[int] = []
    for part in parts:
        own = [count(text) for text in part]
        whole = sum(own) <= limit
        units += [part] if whole else [[text] for text in part]
        sizes += [sum(own)] if whole else own
    return [[text for index in window for text in units[index]] for window in _even(sizes, limit)]


def _even(sizes: Sequence[int], limit: int) -> list[range]:
    if limit < 1:
        raise ValueError(f"limit is {limit}; at least 1 is needed")
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
