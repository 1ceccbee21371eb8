"""Where the decoder looked: for every family the same attention weights as ``transformers`` gives for the same pair."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from glossd.engine.engine import Engine
from glossd.models.alignment import AligningModel, look_at
from glossd.models.loading import LoadSettings, load_checkpoint
from glossd.types import AlignmentRequest

from tests.checkpoints import FAMILIES, make_checkpoint

SENTENCE = "The council met in the old town hall on Monday."


@pytest.mark.parametrize("family", FAMILIES)
def test_the_weights_are_those_of_transformers(family: str, tmp_path: Path) -> None:
    from transformers import AutoModelForSeq2SeqLM

    directory = make_checkpoint(family, tmp_path / family)
    reference = AutoModelForSeq2SeqLM.from_pretrained(
        directory, local_files_only=True, attn_implementation="eager"
    ).eval()
    checkpoint = load_checkpoint(str(directory), settings=LoadSettings(dtype="float32", device="cpu"))
    model = checkpoint.model
    assert isinstance(model, AligningModel)
    ids = checkpoint.tokenizer.encode(SENTENCE, source_language="en", target_language="zh-Hans")
    tokens = (model.info.decoder_start_token_id, *range(5, 17))
    pair = torch.tensor([ids]), torch.tensor([tokens])
    with torch.inference_mode():
        output = reference(input_ids=pair[0], decoder_input_ids=pair[1], output_attentions=True)
    weights = model.cross_weights(*pair)
    assert weights.shape == (model.info.layers, model.info.heads, len(tokens), len(ids))
    torch.testing.assert_close(weights, torch.cat(output.cross_attentions), atol=1e-5, rtol=1e-4)
    engine = Engine(model)
    try:
        aligned = engine.alignments.align(AlignmentRequest(ids, (*tokens[1:], 2), tokens[0])).result(60)
    finally:
        engine.close()
    torch.testing.assert_close(torch.tensor(aligned.weights), look_at(weights))
