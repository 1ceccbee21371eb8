"""Which pieces of a document its summary is likely to hold."""

from __future__ import annotations

import numpy as np
import pytest
from glossd.text.features import pieces_of
from glossd.text.likely import PIECE_FEATURES, measure_pieces
from glossd.text.ranking import load_ranker


def test_pieces_are_stems_and_han_characters_without_stop_words() -> None:
    assert pieces_of("The councils of 27 欧盟 states") == ["counci", "27", "states", "欧", "盟"]


def test_pieces_are_measured_by_where_and_how_often_they_are_said() -> None:
    pieces = measure_pieces([["bridge", "boat"], ["boat", "boat"], [], ["rain"]], ["boat"])
    assert pieces.names == ("bridge", "boat", "rain")
    columns = dict(zip(PIECE_FEATURES, pieces.rows.T, strict=True))
    assert columns["title"].tolist() == [0, 1, 0]
    assert columns["said"] == pytest.approx(np.log1p([1, 3, 1]))
    assert columns["share"].tolist() == [0.25, 0.5, 0.25]
    assert columns["depth"].tolist() == [0, 0, 0.75]
    assert columns["twice"].tolist() == [0, 1, 0]


@pytest.mark.parametrize("unspaced", [False, True])
def test_what_the_headline_and_the_lead_say_is_likelier_than_what_is_said_late_and_once(unspaced: bool) -> None:
    pieces = measure_pieces([["bridge"], ["boat", "bridge"], ["harbor"], ["rain"]], ["bridge"])
    likely = pieces.likely(load_ranker().model_for(unspaced=unspaced, titled=True).pieces)
    assert 1.0 > likely["bridge"] > likely["rain"] > 0.0


def test_a_document_without_pieces_has_none_that_are_likely() -> None:
    pieces = measure_pieces([[], []], [])
    assert pieces.likely(np.zeros(len(PIECE_FEATURES) + 1)) == {}
