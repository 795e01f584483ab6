"""The GLUE policy: encoders, fusion, U-Net, diffusion."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

from glue_policy.nets.ddim import DdimSampler
from glue_policy.nets.fusion import (
    LOCAL_DIM,
    FusedEncoding,
    GlobalLocalFusion,
    assemble_grid,
    quarters,
    select_cells,
)
from glue_policy.nets.unet1d import ConditionalUnet1d
from glue_policy.nets.vit import (
    ClipVit,
    FrozenClip,
    ImageNormalisation,
    RandomPatchFeatures,
    SmallVit,
)
from glue_policy.policies.base import ACTION_DIM, Batch, Policy
from glue_policy.policies.glue.configuration_glue import Encoder, GlueConfig
from glue_policy.policies.normalisation import action_normaliser, joint_normaliser

NOISE_DRAWS = 4
"""Noise and step draws per encoded observation in training. The encoder is most of a step's cost and the loss of one
draw is mostly noise, so several draws per encoding learn more for the same time."""

JOINTS = 7


class GluePolicy(Policy):
    """GLUE as in the paper's section III-C, with Diffusion Policy's action head.

    Args:
        config: Architecture.
        clip_weights: Pretrained weights of CLIP's ViT-B/16 for both encoders, see `clip_weights_directory`; None for
            random ones. The small encoders take none.
    """

    def __init__(self, config: GlueConfig, clip_weights: Path | None = None) -> None:
        super().__init__()
        self.config = config
        self.normalise_image = ImageNormalisation()
        if config.encoder is Encoder.CLIP:
            self.global_encoder: ClipVit | SmallVit = ClipVit(clip_weights)
            self.local_encoder: FrozenClip | RandomPatchFeatures = FrozenClip(clip_weights)
        else:
            self.global_encoder = SmallVit(config.encoder_dim, config.encoder_depth, config.encoder_heads)
            self.local_encoder = RandomPatchFeatures(config.encoder_dim)
        self.fusion = GlobalLocalFusion(
            config.encoder_dim, config.fusion_heads, config.occlusion, config.local_position
        )
        self.unet = ConditionalUnet1d(ACTION_DIM, self.condition_dim, config.channels, config.step_dim)
        self.diffusion = DdimSampler(config.num_train_timesteps)
        self.action_range = action_normaliser()
        self.joint_range = joint_normaliser()

    @property
    def condition_dim(self) -> int:
        """Width of W: distilled local feature, CLS, joint state; 1031 in the paper preset."""
        return LOCAL_DIM + self.config.encoder_dim + JOINTS

    def fit_ranges(self, action: Float[Tensor, "t 10"], joint_position: Float[Tensor, "t 7"]) -> None:
        """Take the normalisation from the demonstrations."""
        self.action_range.fit(action)
        self.joint_range.fit(joint_position)

    def encode(
        self,
        image: UInt8[Tensor, "b 3 s s"] | Float[Tensor, "b 3 s s"],
        row_col: Int[Tensor, "b n 2"],
        xy: Float[Tensor, "b n 2"],
        visible: Bool[Tensor, "b n"],
        joint_position: Float[Tensor, "b 7"],
    ) -> FusedEncoding:
        """Return the condition vector and the attention of observations (physical units)."""
        normal = self.normalise_image(image.float())
        half = functional.avg_pool2d(normal, 2)
        tokens = self.global_encoder(half)
        with torch.no_grad():
            grid = assemble_grid(self.local_encoder(quarters(normal)))
        patch2 = select_cells(grid, row_col, visible)
        joints = self.joint_range.normalise(joint_position)
        encoding: FusedEncoding = self.fusion(tokens, patch2, row_col, xy, visible, joints)
        return encoding

    def loss(self, batch: Batch, generator: torch.Generator | None = None) -> Float[Tensor, ""]:
        """Return the mean squared error of the predicted noise over valid actions (paper, eq. 5)."""
        encoding = self.encode(
            batch["image"], batch["row_col"], batch["xy"], batch["visible"], batch["joint_position"]
        )
        condition = encoding.condition.float().repeat_interleave(NOISE_DRAWS, dim=0)
        clean = self.action_range.normalise(batch["action"]).repeat_interleave(NOISE_DRAWS, dim=0)
        noise = torch.randn(clean.shape, generator=generator).to(clean.device)
        step = torch.randint(self.diffusion.num_train_timesteps, (len(clean),), generator=generator)
        step = step.to(clean.device)
        predicted = self.unet(self.diffusion.add_noise(clean, noise, step), step, condition)
        valid = batch["action_valid"].repeat_interleave(NOISE_DRAWS, dim=0).unsqueeze(-1).float()
        squared = (predicted.float() - noise).square() * valid
        loss: Tensor = squared.sum() / (valid.sum() * ACTION_DIM).clamp_min(1.0)
        return loss

    def draw_noise(self, count: int, generator: torch.Generator) -> Float[Tensor, "b horizon 10"]:
        """Return the noise that sampling starts from."""
        return torch.randn(count, self.config.horizon, ACTION_DIM, generator=generator)

    def sample(
        self, condition: Float[Tensor, "b w"], noise: Float[Tensor, "b horizon 10"], num_inference_steps: int
    ) -> Float[Tensor, "b horizon 10"]:
        """Return action chunks in physical units for condition vectors."""
        chunk = self.diffusion.sample(
            lambda noisy, step: self.unet(noisy, step, condition), noise, num_inference_steps
        )
        return self.action_range.restore(chunk)

    @torch.no_grad()
    def predict(
        self,
        image: UInt8[Tensor, "b 3 s s"],
        row_col: Int[Tensor, "b n 2"],
        xy: Float[Tensor, "b n 2"],
        visible: Bool[Tensor, "b n"],
        joint_position: Float[Tensor, "b 7"],
        generator: torch.Generator,
    ) -> Float[Tensor, "b horizon 10"]:
        """Return action chunks in physical units, sampled with `generator`."""
        condition = self.encode(image, row_col, xy, visible, joint_position).condition
        noise = self.draw_noise(len(condition), generator).to(condition.device)
        return self.sample(condition, noise, self.config.num_inference_steps)
