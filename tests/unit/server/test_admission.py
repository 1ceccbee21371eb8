"""Permits: as many articles as allowed, the rest is refused at once, and everything held is given back."""

from __future__ import annotations

import pytest
from glossd.errors import OverloadedError
from glossd.server.admission import Permits


def test_the_last_place_is_given_and_the_next_is_refused() -> None:
    permits = Permits(3)
    with permits.hold(2), permits.hold():
        with pytest.raises(OverloadedError, match="3 articles are in flight; the limit is 3") as caught, permits.hold():
            pass
        assert caught.value.retry_after_seconds > 0
    assert permits.in_flight == 0


def test_a_call_larger_than_the_limit_is_let_in_alone() -> None:
    permits = Permits(3)
    with permits.hold(64):
        assert permits.in_flight == 64
    with permits.hold(1), pytest.raises(OverloadedError), permits.hold(64):
        pass


def test_places_are_given_back_when_the_work_fails() -> None:
    permits = Permits(1)
    with pytest.raises(ValueError, match="x"), permits.hold():
        raise ValueError("x")
    assert permits.in_flight == 0
