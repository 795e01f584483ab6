"""Run time: one observation in, one stamped action chunk out."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from glue_perception.errors import ConfigError
from glue_perception.geometry import matrix_from_rotation_6d, rotation_6d_from_matrix
from glue_perception.timing import LatencyRecorder
from glue_perception.types import ActionChunk, Observation
from glue_policy.data.image import policy_image, relative_xy
from glue_policy.policies.glue.modeling_glue import GluePolicy
from glue_policy.traced import TracedGlue


class PolicyRunner:
    """Runs a policy on observations.

    The noise is seeded by (seed, capture stamp), so a chunk is a function of its observation alone: a replay gives
    the same bits in any order. The first observation with a new number of key-patches takes a second longer, see
    `TracedGlue`; `warm_up` spends it beforehand. One thread.

    Args:
        policy: In evaluation mode.
        seed: Of the noise.
        dt_s: Time between actions.
        num_inference_steps: DDIM steps; None for the policy's own.
        torch_threads: Threads of the network; set for the thread that calls `infer`.
        latencies: Gets the durations of `encode` and `sample`.

    Raises:
        ConfigError: more DDIM steps than the policy was trained with, or fewer than one.
    """

    def __init__(
        self,
        policy: GluePolicy,
        seed: int,
        dt_s: float = 0.1,
        num_inference_steps: int | None = None,
        torch_threads: int = 1,
        latencies: LatencyRecorder | None = None,
    ) -> None:
        self._policy = policy.eval()
        self._torch_threads = torch_threads
        self._seed = seed
        self._dt_s = dt_s
        config = policy.config
        self._steps = config.num_inference_steps if num_inference_steps is None else num_inference_steps
        if not 1 <= self._steps <= config.num_train_timesteps:
            raise ConfigError(
                f"num_inference_steps must lie in 1..{config.num_train_timesteps} for this policy, "
                f"not {self._steps}"
            )
        self._graphs: dict[int, TracedGlue] = {}
        self.latencies = latencies if latencies is not None else LatencyRecorder()

    def warm_up(self, num_key_patches: int) -> None:
        """Get ready for observations with this many key-patches."""
        self._use_threads()
        self._graph(num_key_patches)

    @torch.inference_mode()
    def infer(self, observation: Observation) -> ActionChunk:
        """Return the chunk for an observation, stamped with its capture."""
        self._use_threads()
        frame, patches = observation.frame, observation.key_patches
        graph = self._graph(len(patches))
        with self.latencies.measure("encode"):
            image = policy_image(frame, self._policy.config.image_size_px)
            condition = graph.encode(
                torch.from_numpy(image.transpose(2, 0, 1).copy())[None],
                torch.from_numpy(patches.row_col.copy())[None],
                torch.from_numpy(relative_xy(patches, frame))[None],
                torch.from_numpy(patches.visible.copy())[None],
                torch.from_numpy(observation.robot_state.joint_position_rad.astype(np.float32))[None],
            )
        with self.latencies.measure("sample"):
            generator = torch.Generator().manual_seed(_noise_seed(self._seed, observation.stamp_ns))
            noise = self._policy.draw_noise(1, generator)
            action = graph.sample(condition, noise)[0].numpy().astype(np.float64)
        return ActionChunk(
            stamp_ns=observation.stamp_ns,
            dt_s=self._dt_s,
            position_m=action[:, :3],
            rotation_6d=rotation_6d_from_matrix(matrix_from_rotation_6d(action[:, 3:9])),
            gripper_width_m=action[:, 9],
        )

    def _use_threads(self) -> None:
        if torch.get_num_threads() != self._torch_threads:
            torch.set_num_threads(self._torch_threads)

    def _graph(self, num_key_patches: int) -> TracedGlue:
        if num_key_patches not in self._graphs:
            self._graphs[num_key_patches] = TracedGlue(self._policy, num_key_patches, self._steps)
        return self._graphs[num_key_patches]


def _noise_seed(seed: int, stamp_ns: int) -> int:
    digest = hashlib.sha256(f"{seed}:{stamp_ns}".encode()).digest()
    return int.from_bytes(digest[:7], "big")
