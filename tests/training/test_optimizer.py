"""The optimizer on flat vectors against PyTorch's own."""

from __future__ import annotations

import torch

from training.optimizer import Optimizer, OptimizerSettings, State, orthogonalize
from training.parameters import EMBEDDING, Layout, Shape

SHAPE = Shape(40, 30, 32, 64, 1, 1, 1)


def run(workers: int, steps: int = 3) -> tuple[Layout, State, torch.Tensor]:
    layout = Layout(SHAPE)
    generator = torch.Generator().manual_seed(1)
    state = State.start(torch.randn(layout.size, generator=generator))
    live = state.master.to(torch.bfloat16)
    settings = OptimizerSettings(iterations=5, decay=0.1)
    optimizers = [Optimizer(layout, state, settings, worker=i, workers=workers) for i in range(workers)]
    for number in range(1, steps + 1):
        gradients = torch.randn(layout.size, generator=generator)[None]
        for optimizer in optimizers:
            optimizer.step(gradients, live, factor=1.0, number=number)
    return layout, state, live


def test_two_workers_update_every_slot_as_one_does() -> None:
    _, one, live_one = run(1)
    _, two, live_two = run(2)
    assert torch.allclose(one.master, two.master, atol=2e-4)
    assert torch.equal(live_two, two.master.to(torch.bfloat16))
    assert torch.equal(live_one, one.master.to(torch.bfloat16))


def test_matrices_follow_torch_muon_and_the_embedding_follows_adam() -> None:
    layout, state, _ = run(1)
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(layout.size, generator=generator)
    name = "model.encoder.layers.0.fc1.weight"
    matrix = layout.view(start, name).clone().requires_grad_()
    embedding = layout.view(start, EMBEDDING).clone().requires_grad_()
    muon = torch.optim.Muon([matrix], lr=3e-3, momentum=0.95, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.Adam([embedding], lr=1.5e-3, betas=(0.9, 0.98), eps=1e-9)
    for _ in range(3):
        gradient = torch.randn(layout.size, generator=generator)
        matrix.grad = layout.view(gradient, name).clone()
        embedding.grad = layout.view(gradient, EMBEDDING).clone()
        embedding.grad[-1] = 0.0
        muon.step()
        adam.step()
    assert torch.allclose(layout.view(state.master, name), matrix, atol=2e-4)
    assert torch.allclose(layout.view(state.master, EMBEDDING), embedding, atol=1e-5)


def test_orthogonalized_matrices_have_singular_values_near_one() -> None:
    stack = torch.randn(3, 48, 16, generator=torch.Generator().manual_seed(2))
    values = torch.linalg.svdvals(orthogonalize(stack, 5).float())
    assert values.min() > 0.5
    assert values.max() < 1.5
