"""The lean training forward: Marian's arithmetic on fused weights, without masks, caches or dropout. Loss included."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from training.kernel import add_norm, attention, bias_silu
from training.parameters import EMBEDDING, OUTPUT_BIAS, Layout
from training.store import UNALIGNED


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs whose sources have one length; targets are padded at their end with UNLABELLED labels."""

    source: torch.Tensor  # int64 [pairs, source pieces]
    inputs: torch.Tensor  # int64 [pairs, target pieces]: <pad>, then the target without its end
    labels: torch.Tensor  # int64 [pairs, target pieces], UNLABELLED where there is nothing to predict
    alignment: torch.Tensor  # int64 [pairs, target pieces], UNALIGNED where there is none


UNLABELLED = -100


def sinusoids(length: int, width: int) -> torch.Tensor:
    """Marian's positions: sines in the first half of the channels, cosines in the second, float32 [length, width]."""
    channel = torch.arange(width // 2, dtype=torch.float64) * 2 / width
    angle = torch.arange(length, dtype=torch.float64)[:, None] / torch.pow(10000.0, channel)[None, :]
    return torch.cat([angle.sin(), angle.cos()], dim=1).float()


class Network:
    """Forward passes over a flat parameter vector; gradients arrive in leaves that `collect_gradients` adds up."""

    def __init__(self, layout: Layout, flat: torch.Tensor, longest: int = 512) -> None:
        self.layout, self.flat, self.shape = layout, flat, layout.shape
        self.positions = sinusoids(longest, layout.shape.width).to(flat.dtype)
        self.embedding = layout.view(flat, EMBEDDING)
        self.bias = layout.view(flat, OUTPUT_BIAS)
        self._shares = torch.empty(0, layout.shape.target_vocabulary, dtype=flat.dtype)
        self._leaves: dict[str, tuple[torch.Tensor, int]] = {}
        for name in layout.slots:
            if name in (EMBEDDING, OUTPUT_BIAS) or ".k_proj" in name or ".v_proj" in name:
                continue
            self._leaf(name, 3 if ".q_proj" in name and ".self_attn." in name else 1)
            if ".encoder_attn.q_proj" in name:
                self._leaf(name.replace(".q_proj", ".k_proj"), 2)

    def _leaf(self, name: str, count: int) -> None:
        leaf = self.layout.fused(self.flat, name, count).detach().requires_grad_()
        self._leaves[name] = (leaf, self.layout.slots[name].offset)

    def _parameter(self, name: str) -> torch.Tensor:
        return self._leaves[name][0]

    def _product(self, states: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(states, self._parameter(f"{name}.weight"))

    def _add_norm(self, states: torch.Tensor, change: torch.Tensor, projection: str, norm: str) -> torch.Tensor:
        bias = self._parameter(f"{projection}.bias")
        return add_norm(states, change, bias, self._parameter(f"{norm}.weight"), self._parameter(f"{norm}.bias"))

    def _self_attention(self, states: torch.Tensor, layer: str, *, causal: bool) -> torch.Tensor:
        name = f"{layer}.self_attn"
        fused, bias = self._product(states, f"{name}.q_proj"), self._parameter(f"{name}.q_proj.bias")
        context, _ = attention(fused, bias, None, None, self.shape.heads, causal=causal)
        change = self._product(context, f"{name}.out_proj")
        return self._add_norm(states, change, f"{name}.out_proj", f"{name}_layer_norm")

    def _feed_forward(self, states: torch.Tensor, layer: str) -> torch.Tensor:
        inner = bias_silu(self._product(states, f"{layer}.fc1"), self._parameter(f"{layer}.fc1.bias"))
        return self._add_norm(states, self._product(inner, f"{layer}.fc2"), f"{layer}.fc2", f"{layer}.final_layer_norm")

    def encode(self, embedded: torch.Tensor) -> torch.Tensor:
        """Encoder states of embedded sources, [pairs, source pieces, width]."""
        states = embedded
        for i in range(self.shape.encoder_layers):
            layer = f"model.encoder.layers.{i}"
            states = self._feed_forward(self._self_attention(states, layer, causal=False), layer)
        return states

    def decode(
        self, embedded: torch.Tensor, memory: torch.Tensor, alignment: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Decoder states [pairs, target pieces, width] and, with `alignment`, the summed guidance loss of the last
        layer's cross-attention (negative log of the weight that half of its heads give the aligned position).
        """
        states, guidance = embedded, None
        last = self.shape.decoder_layers - 1
        for i in range(self.shape.decoder_layers):
            layer = f"model.decoder.layers.{i}"
            name = f"{layer}.encoder_attn"
            states = self._self_attention(states, layer, causal=True)
            context, weights = attention(
                self._product(states, f"{name}.q_proj"),
                self._parameter(f"{name}.q_proj.bias"),
                self._product(memory, f"{name}.k_proj"),
                self._parameter(f"{name}.k_proj.bias"),
                self.shape.heads,
                causal=False,
            )
            if alignment is not None and i == last:
                guidance = self._guidance(weights, alignment)
            change = self._product(context, f"{name}.out_proj")
            states = self._add_norm(states, change, f"{name}.out_proj", f"{name}_layer_norm")
            states = self._feed_forward(states, layer)
        return states, guidance

    def _guidance(self, weights: torch.Tensor, alignment: torch.Tensor) -> torch.Tensor:
        guided = max(1, self.shape.heads // 2)
        known = alignment != UNALIGNED
        wanted = torch.where(known, alignment, 0)[:, None, :, None].expand(-1, guided, -1, 1)
        chosen = weights[:, :guided].gather(3, wanted).squeeze(3).clamp_min(1e-6)
        return -(chosen.log() * known[:, None, :]).sum() / guided

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Scaled embeddings plus positions, detached: [rows, pieces, width]."""
        rows = self.embedding[ids] * math.sqrt(self.shape.width)
        return rows + self.positions[: ids.shape[1]]

    def logits(self, batch: Batch) -> torch.Tensor:
        """Scores over target pieces, [pairs, target pieces, target vocabulary]."""
        states, _ = self.decode(self.embed(batch.inputs), self.encode(self.embed(batch.source)))
        return states @ self.embedding[: self.shape.target_vocabulary].t() + self.bias

    def accumulate(
        self, batch: Batch, gradients: torch.Tensor, *, scale: float, smoothing: float, guidance: float
    ) -> tuple[float, float]:
        """Add `scale` times the gradient of the summed loss to `gradients` (float32, flat; the layers' part follows
        with `collect`) and return the summed negative log likelihood and the summed guidance loss.
        """
        source = self.embed(batch.source).requires_grad_()
        inputs = self.embed(batch.inputs).requires_grad_()
        states, guided = self.decode(inputs, self.encode(source), batch.alignment if guidance > 0 else None)
        loss, states_gradient = self._output_loss(states.detach(), batch.labels, gradients, scale, smoothing)
        if guided is None:
            states.backward(states_gradient)
        else:
            torch.autograd.backward([states, guided], [states_gradient, torch.tensor(guidance * scale)])
        factor = math.sqrt(self.shape.width)
        embedding = self.layout.view(gradients, EMBEDDING)
        for ids, embedded in ((batch.source, source), (batch.inputs, inputs)):
            assert embedded.grad is not None
            embedding.index_add_(0, ids.reshape(-1), embedded.grad.flatten(0, 1).float(), alpha=factor)
        return loss, 0.0 if guided is None else float(guided.detach())

    def clear(self, gradients: torch.Tensor) -> None:
        """Zero what `accumulate` adds to; the rest is overwritten by `collect`."""
        self.layout.view(gradients, EMBEDDING).zero_()
        self.layout.view(gradients, OUTPUT_BIAS).zero_()

    def collect(self, gradients: torch.Tensor) -> None:
        """Move what the layers' leaves have gathered since the last call into `gradients`."""
        for leaf, offset in self._leaves.values():
            part = gradients[offset : offset + leaf.numel()]
            part.copy_(leaf.grad.reshape(-1)) if leaf.grad is not None else part.zero_()
            leaf.grad = None

    @torch.no_grad()
    def _output_loss(
        self, states: torch.Tensor, labels: torch.Tensor, gradients: torch.Tensor, scale: float, smoothing: float
    ) -> tuple[float, torch.Tensor]:
        """Cross-entropy over target pieces with its gradient in closed form; softmax some rows at a time, in cache."""
        size = self.shape.target_vocabulary
        weight = self.embedding[:size]
        weight_gradient = self.layout.view(gradients, EMBEDDING)[:size]
        bias_gradient = self.layout.view(gradients, OUTPUT_BIAS)
        rows = (labels.reshape(-1) != UNLABELLED).nonzero().squeeze(1)
        result = torch.zeros(labels.numel(), self.shape.width, dtype=states.dtype)
        every, wanted = states.reshape(-1, self.shape.width)[rows], labels.reshape(-1)[rows]
        total, mean_row = 0.0, weight.float().mean(0).to(weight.dtype)
        shares = self._scratch(len(rows))
        for start in range(0, len(rows), 128):
            label = wanted[start : start + 128, None]
            share = shares[start : start + len(label)]
            torch.softmax(torch.addmm(self.bias, every[start : start + 128], weight.t()), dim=-1, out=share)
            total -= float(share.gather(1, label).float().clamp_min(1e-30).log().sum())
            share.scatter_add_(1, label, share.new_full(label.shape, smoothing - 1.0))
        result[rows] = (shares @ weight - smoothing * mean_row) * scale
        weight_gradient.add_(shares.t() @ every, alpha=scale)
        bias_gradient.add_(shares.sum(0, dtype=torch.float32), alpha=scale)
        bias_gradient.sub_(smoothing * scale * len(rows) / size)
        weight_gradient.sub_(every.float().sum(0) * (smoothing * scale / size))
        return total, result.view(states.shape)

    def _scratch(self, rows: int) -> torch.Tensor:
        if rows > len(self._shares):
            self._shares = torch.empty(rows, self.shape.target_vocabulary, dtype=self.flat.dtype)
        return self._shares[:rows]
