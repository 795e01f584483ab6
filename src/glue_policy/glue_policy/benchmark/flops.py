"""Floating-point operations of a step, counted by torch over the plain policy: two per multiplication and addition.

Matrix products, convolutions and attention are counted, as is usual; norms, activations and softmax are not. For the
paper preset: 35.1 GFLOP per ViT-B/16 image of 197 tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from glue_policy.engines.quartered import QUARTERS, FusedCondition, GlobalTokens
from glue_policy.nets.fusion import quarters
from glue_policy.policies.base import Batch, Policy
from glue_policy.policies.glue.modeling_glue import GluePolicy

Part = Callable[[], Tensor]


def parts_of(policy: Policy, observation: Batch, noise: Tensor, num_inference_steps: int) -> dict[str, Part]:
    """Return the parts of a plain step by name, each to be called on its own.

    Of GLUE `global encoder`, `local encoder` (all four quarters), `fusion` and `head`; of another policy `encoder`
    and `head`. Names are those of `PolicyEngine.parts`.
    """
    with torch.no_grad():
        condition = policy.encode(observation)

    def head() -> Tensor:
        return policy.sample(condition, noise, num_inference_steps)

    if not isinstance(policy, GluePolicy):
        return {"encoder": lambda: policy.encode(observation), "head": head}
    image = observation["image"]
    tokens_of, fuse = GlobalTokens(policy), FusedCondition(policy)
    with torch.no_grad():
        tokens = tokens_of(image)
        cut = quarters(policy.normalise_image(image.float()))
    others = [observation[key] for key in ("row_col", "xy", "visible", "joint_position")]
    patch2 = torch.zeros(1, others[0].shape[1], tokens.shape[-1])
    return {
        "global encoder": lambda: tokens_of(image),
        "local encoder": lambda: policy.local_encoder(cut),
        "fusion": lambda: fuse(tokens, patch2, *others),
        "head": head,
    }


def gflop_of(parts: dict[str, Part]) -> dict[str, float]:
    """Return the operations of each part in 10^9."""
    return {name: round(_count(part) / 1e9, 4) for name, part in parts.items()}


def executed_gflop(gflop: dict[str, float], encoded_quarters: int | None) -> float:
    """Return the operations of a step in which only some quarters were encoded, in 10^9."""
    if encoded_quarters is None:
        return sum(gflop.values())
    return sum(gflop.values()) - gflop["local encoder"] * (1.0 - encoded_quarters / QUARTERS)


def _count(part: Part) -> int:
    # The processor's own attention is not among those that the counter knows.
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    counter = FlopCounterMode(display=False, custom_mapping={attention: _attention_flops})
    with counter, torch.no_grad():
        part()
    return int(counter.get_total_flops())


def _attention_flops(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]
