"""Packed attention on CPU: what a completion sees in its prompt and what it sees in itself, merged by log-sum-exp.

PyTorch's flash kernel for CPU, called by its own name because `scaled_dot_product_attention` doesn't give the
log-sum-exp. A softmax over two sets of keys is the average of the softmaxes over each, weighted by their normalisers;
and the kernel's backward over one set of keys gives that set's share when it is handed the merged output and the merged
log-sum-exp, since it uses them for nothing but the probabilities and their product with the output's gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from museg.policy.attention import PackedLayout

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


class MergedAttention(torch.autograd.Function):
    """Attention by a `PackedLayout`, heads `[1, H, S, D]` in, rows `[1, S, H, D]` out.

    Two calls a group, the prompt's causal one and that of all its completions' queries against the prompt; and one for
    all completions of the pack on themselves, padded on the right, where causality hides the padding.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        layout: PackedLayout,
        scaling: float | None,
    ) -> torch.Tensor:
        q, k, v = _rows(query), _rows(key), _rows(value)
        out, lse = torch.empty_like(q), q.new_empty(q.shape[:2], dtype=torch.float32)
        padded = _attend(*(_pad(rows, layout) for rows in (q, k, v)), causal=True, scaling=scaling)
        own_out, own_lse = (_unpad(batch, layout) for batch in padded)
        for prompt, completions, own in _parts(layout):
            keys, values = k[None, prompt], v[None, prompt]
            of_prompt = _attend(q[None, prompt], keys, values, causal=True, scaling=scaling)
            out[prompt], lse[prompt] = of_prompt[0][0], of_prompt[1][0]
            seen_out, seen_lse = _attend(q[None, completions], keys, values, causal=False, scaling=scaling)
            share = torch.sigmoid(seen_lse[0] - own_lse[own])
            torch.lerp(own_out[own], seen_out[0], share.unsqueeze(-1).to(out.dtype), out=out[completions])
            torch.logaddexp(seen_lse[0], own_lse[own], out=lse[completions])
        ctx.save_for_backward(query, key, value, out, lse)
        ctx.layout, ctx.scaling = layout, scaling
        return out.unsqueeze(0)

    @staticmethod
    def backward(ctx: Any, grad_out: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None, None]:
        query, key, value, out, lse = ctx.saved_tensors
        layout, scaling = ctx.layout, ctx.scaling
        rows = (grad_out[0], _rows(query), _rows(key), _rows(value), out, lse)
        grads = tuple(torch.empty_like(of) for of in rows[1:4])
        padded = [_pad(of, layout) for of in rows]
        # Padding repeats a token, whose gradient must not count again.
        padded[0].masked_fill_(layout.is_padding[:, :, None, None], 0.0)
        own_grads = [_unpad(batch, layout) for batch in _attend_backward(padded, causal=True, scaling=scaling)]
        for prompt, completions, own in _parts(layout):
            of_prompt = _attend_backward([of[None, prompt] for of in rows], causal=True, scaling=scaling)
            asking = [of[None, prompt if of is rows[2] or of is rows[3] else completions] for of in rows]
            seen = _attend_backward(asking, causal=False, scaling=scaling)
            grads[0][prompt] = of_prompt[0][0]
            torch.add(seen[0][0], own_grads[0][own], out=grads[0][completions])
            for grad, of_itself, of_completions, of_own in zip(
                grads[1:], of_prompt[1:], seen[1:], own_grads[1:], strict=True
            ):
                torch.add(of_itself[0], of_completions[0], out=grad[prompt])
                grad[completions] = of_own[own]
        grad_q, grad_k, grad_v = (grad.transpose(0, 1).unsqueeze(0) for grad in grads)
        return grad_q, grad_k, grad_v, None, None


def _rows(heads: torch.Tensor) -> torch.Tensor:
    """`[1, H, S, D]` as `[S, H, D]`, without a copy."""
    return heads[0].transpose(0, 1)


def _pad(rows: torch.Tensor, layout: PackedLayout) -> torch.Tensor:
    """The completions' rows `[R, C, …]` of all `[S, …]`."""
    return rows.index_select(0, layout.padded_rows.flatten()).unflatten(0, layout.padded_rows.shape)


def _unpad(batch: torch.Tensor, layout: PackedLayout) -> torch.Tensor:
    """The completions' rows `[N, …]` without padding."""
    return batch.flatten(0, 1).index_select(0, layout.slots)


def _parts(layout: PackedLayout) -> Iterator[tuple[slice, slice, slice]]:
    """Per group its prompt's and its completions' place in the sequence, and the latter's among all completions'."""
    done = 0
    for span in layout.spans:
        own = slice(done, done + span.num_completion_tokens)
        yield slice(span.start, span.prompt_end), slice(span.prompt_end, span.end), own
        done = own.stop


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, causal: bool, scaling: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Output `[B, L, H, D]` and log-sum-exp `[B, L, H]` of `[B, L, H, D]`."""
    heads = (of.transpose(1, 2) for of in (query, key, value))
    out, lse = _flash(*heads, 0.0, causal, scale=scaling)
    return out.transpose(1, 2), lse.transpose(1, 2)


def _attend_backward(
    rows: list[torch.Tensor], *, causal: bool, scaling: float | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of query, key and value, `[B, L, H, D]`, from the output's, the three, the output and its `lse`."""
    heads = (of.transpose(1, 2) for of in rows)
    grad_q, grad_k, grad_v = _flash_backward(*heads, 0.0, causal, scale=scaling)
    return grad_q.transpose(1, 2), grad_k.transpose(1, 2), grad_v.transpose(1, 2)
