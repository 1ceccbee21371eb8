"""The training forward, its gradient, and its equality with `transformers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import MarianMTModel, MarianTokenizer

from training.batches import make_batch
from training.export import FORBIDDEN_BIAS, marian_model, write_model
from training.network import UNLABELLED, Batch, Network
from training.parameters import EMBEDDING, OUTPUT_BIAS, Layout, Shape, initial_parameters
from training.store import UNALIGNED, read_epoch
from training.vocabulary import load_vocabulary

SHAPE = Shape(50, 30, 32, 48, 2, 2, 2)


def random_batch() -> Batch:
    generator = torch.Generator().manual_seed(4)
    labels = torch.randint(0, 30, (3, 6), generator=generator)
    labels[1, 4:] = UNLABELLED
    inputs = torch.full((3, 6), 49)
    inputs[:, 1:] = labels[:, :-1].clamp_min(0)
    alignment = torch.randint(0, 5, (3, 6), generator=generator)
    alignment[0, 0] = UNALIGNED
    alignment[labels == UNLABELLED] = UNALIGNED
    return Batch(torch.randint(2, 49, (3, 5), generator=generator), inputs, labels, alignment)


def random_parameters(layout: Layout) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    flat = initial_parameters(layout, generator)
    return flat + 0.05 * torch.randn(layout.size, generator=generator)


def test_logits_equal_those_of_transformers() -> None:
    layout = Layout(SHAPE)
    flat = random_parameters(layout)
    batch = random_batch()
    model = marian_model(SHAPE, flat)
    with torch.inference_mode():
        expected = model(input_ids=batch.source, decoder_input_ids=batch.inputs).logits
        found = Network(layout, flat).logits(batch)
    assert torch.allclose(found, expected[..., : SHAPE.target_vocabulary], atol=2e-4)
    assert expected[..., SHAPE.target_vocabulary :].max() < FORBIDDEN_BIAS / 2


def test_gradient_in_closed_form_equals_autograd() -> None:
    layout = Layout(SHAPE)
    flat = random_parameters(layout)
    batch = random_batch()
    network, found = Network(layout, flat), torch.zeros(layout.size)
    loss, _ = network.accumulate(batch, found, scale=1.0, smoothing=0.1, guidance=0.0)
    network.collect(found)
    model = marian_model(SHAPE, flat)
    bias = layout.view(flat, OUTPUT_BIAS).clone().requires_grad_()
    scores = model(input_ids=batch.source, decoder_input_ids=batch.inputs).logits[..., : SHAPE.target_vocabulary]
    scores = (scores - layout.view(flat, OUTPUT_BIAS) + bias).flatten(0, 1)
    reference = torch.nn.functional.cross_entropy(
        scores, batch.labels.flatten(), ignore_index=UNLABELLED, label_smoothing=0.1, reduction="sum"
    )
    reference.backward()
    plain = torch.nn.functional.cross_entropy(
        scores.detach(), batch.labels.flatten(), ignore_index=UNLABELLED, reduction="sum"
    )
    assert abs(loss - float(plain)) < 1e-2
    assert bias.grad is not None
    assert torch.allclose(layout.view(found, OUTPUT_BIAS), bias.grad, atol=1e-4)
    gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    assert torch.allclose(layout.view(found, EMBEDDING)[:-1], gradients[EMBEDDING][:-1], atol=1e-3)
    checked = [name for name in layout.slots if name in gradients]
    assert len(checked) > 50
    for name in checked:
        if name != EMBEDDING:
            assert torch.allclose(layout.view(found, name), gradients[name], atol=1e-3), name


def test_guidance_draws_attention_to_the_aligned_piece() -> None:
    layout = Layout(SHAPE)
    flat = random_parameters(layout)
    batch = random_batch()
    losses = []
    for _ in range(30):
        network, gradient = Network(layout, flat), torch.zeros(layout.size)
        losses.append(network.accumulate(batch, gradient, scale=1.0, smoothing=0.0, guidance=1.0)[1])
        network.collect(gradient)
        flat -= 0.02 * gradient
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
def test_an_exported_directory_loads_and_reads_text_as_the_training_did(prepared: Path, tmp_path: Path) -> None:
    vocabulary = load_vocabulary(prepared / "vocabulary")
    shape = Shape(vocabulary.size, vocabulary.target_size, 32, 48, 2, 1, 1)
    flat = random_parameters(Layout(shape)).half().float()
    write_model(tmp_path, shape, flat, prepared / "vocabulary")
    tokenizer, model = MarianTokenizer.from_pretrained(tmp_path), MarianMTModel.from_pretrained(tmp_path)
    text = "John Kerry arrived in Moscow on May 7, 2013, ⟦0⟧ said."
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    assert ids[0].tolist() == vocabulary.encode_source([text])[0].tolist()
    assert len(tokenizer) == vocabulary.size == model.config.vocab_size
    chinese = "⟦0⟧说，约翰·克里抵达Moscow龘：“是”。"
    target = vocabulary.encode_target([chinese])[0]
    assert tokenizer.decode(target.tolist(), skip_special_tokens=True) == chinese
    assert int(target.max()) < vocabulary.target_size
    epoch = read_epoch(prepared / "epochs" / "general-00.npz")
    batch = make_batch(epoch, np.array([0]), vocabulary.pad)
    with torch.inference_mode():
        expected = model.float()(input_ids=batch.source, decoder_input_ids=batch.inputs).logits
        found = Network(Layout(shape), flat).logits(batch)
    assert torch.allclose(found, expected[..., : shape.target_vocabulary], atol=2e-3)
    untyped: Any = model
    output = untyped.generate(ids, max_length=12, num_beams=4)
    assert int(output[0, 1:].max()) < vocabulary.target_size
