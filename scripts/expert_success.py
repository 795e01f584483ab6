"""Count how often a task's scripted expert succeeds in the synchronous twin, quickly: no camera, no perception.

The expert needs neither. Source of actions, safety supervisor, control step and the delay from capture to chunk are
those of `glue sim TASK --sync --policy expert`, on a clock without the camera's.

Example: python scripts/expert_success.py fold_towel --episodes 100 --noise-m 0.006
"""

from __future__ import annotations

import argparse
from types import SimpleNamespace
from typing import Any

from glue_bringup.arm.limits import RobotModel
from glue_bringup.loop.action_source import ExpertSource
from glue_bringup.loop.control_step import ControlStep
from glue_bringup.loop.guarded_supervisor import guarded_supervisor
from glue_bringup.sim.experts import get_expert
from glue_bringup.sim.sync_twin import SyncTwin
from glue_bringup.task_config import TaskConfig, load_task
from glue_perception.timing import NS_PER_S
from glue_policy.evaluation.statistics import wilson_interval


def main() -> None:
    """Read the arguments, run the episodes, print a line for each and the total."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--noise-m", type=float, default=0.0)
    args = parser.parse_args()
    task = load_task(args.task)
    successes = 0
    with SyncTwin(task.task, args.seed, task.camera, task.gains) as twin:
        for seed in range(args.seed, args.seed + args.episodes):
            seconds = episode(task, twin, seed, args.noise_m)
            successes += seconds is not None
            print(f"seed {seed}: {'failure' if seconds is None else f'{seconds:.2f} s'}", flush=True)
    low, high = wilson_interval(successes, args.episodes)
    print(f"{successes} of {args.episodes} ({100 * low:.0f} to {100 * high:.0f} %, 95 % Wilson)")


def episode(task: TaskConfig, twin: SyncTwin, seed: int, noise_m: float) -> float | None:
    """Run one episode; return when it succeeded, or None."""
    period_ns = round(NS_PER_S / task.policy.rate_hz)
    tick_ns = round(NS_PER_S / task.control_rate_hz)
    delay_ns = round(task.policy.sync_latency_s * NS_PER_S)
    twin.reset(seed)
    source = ExpertSource(get_expert(task.task), lambda: twin.truth, period_ns / NS_PER_S, noise_m, seed)
    supervisor = guarded_supervisor(task.safety, RobotModel.FR3)
    control = ControlStep(supervisor, twin.arm, twin.gripper, None)
    twin.arm.start()
    supervisor.reset(twin.clock.now_ns(), twin.arm.state())
    source.reset(_observation(twin))
    waiting: list[tuple[int, Any]] = []
    while (now_ns := twin.clock.now_ns()) < task.max_duration_s * NS_PER_S:
        seen = _observation(twin)
        supervisor.note_frame(now_ns)
        supervisor.note_key_patches(seen)
        if now_ns % period_ns == 0:
            waiting.append((now_ns + delay_ns, source.decide(seen).chunk))
        while waiting and waiting[0][0] <= now_ns:
            supervisor.submit(waiting.pop(0)[1], now_ns)
        control.tick(now_ns, seen.robot_state)
        twin.advance(tick_ns)
        if twin.is_success():
            return twin.clock.now_ns() / NS_PER_S
    return None


def _observation(twin: SyncTwin) -> Any:
    """Return what expert and watchdogs read of an observation, without a picture."""
    return SimpleNamespace(stamp_ns=twin.clock.now_ns(), robot_state=twin.arm.state(), tracked_share=1.0)


if __name__ == "__main__":
    main()
