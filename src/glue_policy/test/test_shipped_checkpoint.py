"""The shipped checkpoint gives what it gave before the policies had a common contract."""

from pathlib import Path

import numpy as np
import pytest
import torch
from disc_demonstrations import disc_observation, random_batch

from glue_policy.checkpoint import find_checkpoint, load_policy
from glue_policy.policies.base import Policy
from glue_policy.runner import PolicyRunner

RECORDED = Path(__file__).parent / "data" / "push_button_tiny_chunks.npz"
"""Made before the contract: `chunks` [4 16 10] of the runner, `predicted` [2 16 10] of the policy itself, and the
processor and torch that made them: on another, the last bits of float32 may differ."""


def machine() -> str:
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{model[:1]} {torch.backends.cpu.get_cpu_capability()} {torch.__version__}"


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(RECORDED) as file:
        return dict(file)


@pytest.fixture(scope="module")
def shipped() -> Policy:
    return load_policy(find_checkpoint("push_button_tiny"), name="glue")


def check(found: np.ndarray, expected: np.ndarray, made_on: str) -> None:
    if machine() == made_on:
        assert found.tobytes() == expected.tobytes()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_chunks_of_the_runner(shipped: Policy, recorded: dict[str, np.ndarray]) -> None:
    runner = PolicyRunner(shipped, seed=3)
    chunks = [runner.infer(disc_observation(seed, 1000 + seed)) for seed in range(4)]
    found = [np.hstack([c.position_m, c.rotation_6d, c.gripper_width_m[:, None]]) for c in chunks]
    check(np.stack(found), recorded["chunks"], str(recorded["machine"]))


def test_chunks_of_the_policy(shipped: Policy, recorded: dict[str, np.ndarray]) -> None:
    observation = {k: v for k, v in random_batch(2, 224, 16).items() if k in shipped.needs}
    found = shipped.predict(observation, torch.Generator().manual_seed(1)).numpy()
    check(found, recorded["predicted"], str(recorded["machine"]))
