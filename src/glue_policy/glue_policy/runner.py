"""Run time: one observation in, one stamped action chunk out."""

from __future__ import annotations

import copy
import hashlib

import numpy as np
import torch
from jaxtyping import Float

from glue_perception.errors import ConfigError
from glue_perception.geometry import matrix_from_rotation_6d, rotation_6d_from_matrix
from glue_perception.timing import LatencyRecorder
from glue_perception.types import ActionChunk, Observation
from glue_policy.chunk_seams import ChunkSeams, Draw, SeamConfig, SeamMode
from glue_policy.data.image import policy_image, relative_xy
from glue_policy.data.point_cloud import frame_points
from glue_policy.engines import build_engine
from glue_policy.engines.base import PolicyEngine
from glue_policy.engines.config import EngineConfig
from glue_policy.engines.step_budget import measure, steps_within
from glue_policy.nets.ddim import Guide
from glue_policy.policies.base import ACTION_DIM, KEY_PATCH_KEYS, Batch, Policy
from glue_policy.policies.dp3.configuration_dp3 import Dp3Config


class PolicyRunner:
    """Runs a policy on observations.

    The noise is seeded by (seed, capture stamp), so with hard seams a chunk is a function of its observation alone:
    a replay gives the same bits in any order. With other seams it also depends on the chunks before, and with
    `inpaint` on how many actions were frozen, which the chunk says. The first observation with a new number of
    key-patches takes seconds longer, for the engine to be built; `warm_up` spends them beforehand. One thread.

    Args:
        policy: In evaluation mode.
        seed: Of the noise.
        dt_s: Time between actions.
        num_inference_steps: Denoising steps; None for the policy's own number. See `Policy.inference_steps`.
        torch_threads: Threads of the network; set for the thread that calls `infer`.
        latencies: Gets the durations of `encode` and `sample`.
        T_base_camera: Pose of the camera's optical frame in the base frame; only a policy that needs points (dp3)
            uses it.
        engine: What computes the policy; None for the recorded graphs.
        seams: How a chunk goes on from the one before; None for hard.

    Attributes:
        num_inference_steps: As asked for, or fewer if the engine has a budget and was built.
        latencies: As given.

    Raises:
        ConfigError: a number of steps or a seam that the policy cannot take, or a policy that needs the camera's pose
            without it.
    """

    def __init__(
        self,
        policy: Policy,
        seed: int,
        dt_s: float = 0.1,
        num_inference_steps: int | None = None,
        torch_threads: int = 1,
        latencies: LatencyRecorder | None = None,
        T_base_camera: Float[np.ndarray, "4 4"] | None = None,
        engine: EngineConfig | None = None,
        seams: SeamConfig | None = None,
    ) -> None:
        self._policy = policy.eval()
        self._torch_threads = torch_threads
        self._seed = seed
        self._dt_s = dt_s
        self.num_inference_steps = policy.inference_steps(num_inference_steps)
        self._T_base_camera = T_base_camera
        if "points" in policy.needs and T_base_camera is None:
            raise ConfigError(
                f"policy {policy.name} needs the camera's pose in the base frame; calibrate it and give T_base_camera"
            )
        self._engine_config = engine if engine is not None else EngineConfig()
        self._engines: dict[int, PolicyEngine] = {}
        self._seam_config = seams if seams is not None else SeamConfig()
        if self._seam_config.mode is SeamMode.INPAINT and not policy.takes_guide:
            raise ConfigError(
                f"policy {policy.name} cannot go on from a known chunk, which seam 'inpaint' needs; choose "
                "'ensemble' or 'hard'"
            )
        self._seams = ChunkSeams(self._seam_config, policy.config.horizon, dt_s)
        self.latencies = latencies if latencies is not None else LatencyRecorder()

    def with_seed(self, seed: int, latencies: LatencyRecorder) -> PolicyRunner:
        """Return a runner with the noise of another seed, which shares this one's recorded graphs."""
        other = copy.copy(self)
        other._seed, other.latencies = seed, latencies
        other._seams = ChunkSeams(self._seam_config, self._policy.config.horizon, self._dt_s)
        return other

    def warm_up(self, num_key_patches: int) -> None:
        """Begin an episode of observations with this many key-patches: forget earlier chunks, build the engine."""
        self._use_threads()
        engine = self._engine(num_key_patches)
        self._seams.reset()
        if self._seam_config.mode is SeamMode.INPAINT:
            condition = torch.zeros(1, self._policy.condition_dim)
            noise = torch.zeros(1, self._policy.config.horizon, ACTION_DIM)
            engine.sample(condition, noise, Guide(noise, noise[..., :1]))

    def note_in_force(self, stamp_ns: int, now_ns: int) -> None:
        """Say that the chunk of the observation at `stamp_ns` has taken over now. Any thread."""
        self._seams.note_in_force(stamp_ns, now_ns)

    def note_held(self, now_ns: int) -> None:
        """Say that the arm does not do now what the chunks say; see `ChunkSeams.note_held`. Any thread."""
        self._seams.note_held(now_ns)

    @torch.inference_mode()
    def infer(self, observation: Observation, frozen: int | None = None) -> ActionChunk:
        """Return the chunk for an observation, stamped with its capture.

        Args:
            observation: Of one instant.
            frozen: To repeat a recorded episode: `ActionChunk.frozen` of the record. None works it out.

        Raises:
            InvalidValueError: the policy needs points and the frame has no depth, or none in the workspace.
        """
        self._use_threads()
        engine = self._engine(len(observation.key_patches))
        with self.latencies.measure("encode"):
            condition = engine.encode(self.batch(observation))
        with self.latencies.measure("sample"):
            generator = torch.Generator().manual_seed(_noise_seed(self._seed, observation.stamp_ns))
            noise = self._policy.draw_noise(1, generator)
            draw = self._seams.draw(observation.stamp_ns, frozen)
            sampled = engine.sample(condition, noise, None if draw is None else _guide(draw))
            action = self._seams.join(observation.stamp_ns, sampled[0].numpy().astype(np.float64))
        return ActionChunk(
            stamp_ns=observation.stamp_ns,
            dt_s=self._dt_s,
            position_m=action[:, :3],
            rotation_6d=rotation_6d_from_matrix(matrix_from_rotation_6d(action[:, 3:9])),
            gripper_width_m=action[:, 9],
            frozen=0 if draw is None else draw.frozen,
        )

    def _use_threads(self) -> None:
        if torch.get_num_threads() != self._torch_threads:
            torch.set_num_threads(self._torch_threads)

    def batch(self, observation: Observation) -> Batch:
        """Return what the policy needs of an observation, as a batch of one."""
        frame, patches = observation.frame, observation.key_patches
        needs = self._policy.needs
        values: dict[str, np.ndarray] = {}
        if "image" in needs:
            image = policy_image(frame, self._policy.image_size_px)
            values["image"] = image.transpose(2, 0, 1).copy()
        if needs >= KEY_PATCH_KEYS:
            values["row_col"], values["visible"] = patches.row_col.copy(), patches.visible.copy()
            values["xy"] = relative_xy(patches, frame)
        if "joint_position" in needs:
            values["joint_position"] = observation.robot_state.joint_position_rad.astype(np.float32)
        if isinstance(self._policy.config, Dp3Config):
            values["points"] = frame_points(frame, self._T_base_camera, self._policy.config.cloud)
        return {name: torch.from_numpy(value)[None] for name, value in values.items()}

    def _engine(self, num_key_patches: int) -> PolicyEngine:
        if not self._policy.needs >= KEY_PATCH_KEYS:
            num_key_patches = 0
        if num_key_patches not in self._engines:
            with torch.inference_mode(False), torch.no_grad():
                self._engines[num_key_patches] = self._build(num_key_patches)
        return self._engines[num_key_patches]

    def _build(self, num_key_patches: int) -> PolicyEngine:
        def build() -> PolicyEngine:
            return build_engine(
                self._engine_config,
                self._policy,
                num_key_patches,
                self.num_inference_steps,
                self._torch_threads,
            )

        engine, budget_ms = build(), self._engine_config.budget_ms
        if budget_ms is None:
            return engine
        durations_ms = measure(engine, self._policy, num_key_patches)
        fitting = steps_within(budget_ms, self.num_inference_steps, *durations_ms)
        if fitting == self.num_inference_steps:
            return engine
        self.num_inference_steps = fitting
        return build()


def _guide(draw: Draw) -> Guide:
    action, weight = torch.from_numpy(draw.action), torch.from_numpy(draw.weight)
    return Guide(action.float()[None], weight.float()[None, :, None])


def _noise_seed(seed: int, stamp_ns: int) -> int:
    digest = hashlib.sha256(f"{seed}:{stamp_ns}".encode()).digest()
    return int.from_bytes(digest[:7], "big")
