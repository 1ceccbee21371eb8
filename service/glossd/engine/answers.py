"""What an engine answers with, and the answers that it remembers for the next who asks the same. No tensors."""

from __future__ import annotations

import time
from collections import OrderedDict

from glossd.decoding.search import Hypothesis
from glossd.engine.sequence import Sequence
from glossd.types import Generation, GenerationParams

Key = tuple[tuple[int, ...], GenerationParams]
"""What makes two requests identical: the source tokens and how they are decoded."""


def generation_of(sequence: Sequence, hypothesis: Hypothesis) -> Generation:
    """The answer to a sequence that ends now."""
    return Generation(
        token_ids=hypothesis.token_ids,
        score=hypothesis.score,
        finish_reason=hypothesis.finish_reason,
        queue_ns=sequence.admitted_ns - sequence.arrival_ns,
        compute_ns=time.monotonic_ns() - sequence.admitted_ns,
        encode_ns=sequence.encoded_ns - sequence.admitted_ns,
    )


class Recent:
    """The last ``entries`` answers, the longest unused goes first. Its owner locks."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._answers: OrderedDict[Key, Generation] = OrderedDict()

    def get(self, key: Key) -> Generation | None:
        """The answer, if it is remembered."""
        answer = self._answers.get(key)
        if answer is not None:
            self._answers.move_to_end(key)
        return answer

    def put(self, key: Key, answer: Generation) -> None:
        """Remember one."""
        if self._entries:
            self._answers[key] = answer
            if len(self._answers) > self._entries:
                self._answers.popitem(last=False)

    def clear(self) -> None:
        """Forget them all."""
        self._answers.clear()
