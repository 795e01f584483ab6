"""`glue calibrate`: measure what depends on one's own set-up."""

from __future__ import annotations

import argparse
import contextlib
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glue_bringup.calibration.latency import LatencyReport
    from glue_bringup.task_config import TaskConfig


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command `calibrate`."""
    parser = subparsers.add_parser("calibrate", help="measure latencies of robot, camera and gripper")
    actions = parser.add_subparsers(
        title="calibrations", dest="calibration", metavar="WHAT", required=True, parser_class=type(parser)
    )
    latency = actions.add_parser(
        "latency",
        help="latency of camera, arm and gripper",
        description="Swing the tool sideways by 3 cm and open and close the hand, and measure what is late. "
        "Without --robot-ip in the real-time twin. On a robot: 4 cm of free space on both sides of the tool, nothing "
        "between the fingers, the camera seeing the arm, a hand on the activation device.",
    )
    latency.add_argument("--task", default="push_button", metavar="T", help="default: push_button")
    latency.add_argument("--robot-ip", metavar="IP", help="a real robot; default: the twin")
    latency.add_argument(
        "--camera", default="realsense", metavar="SOURCE", help="a robot's; default: realsense"
    )
    latency.add_argument("--sync", action="store_true", help="in the synchronous twin instead")
    latency.add_argument("--repeats", type=int, default=3, metavar="N", help="default: 3")
    latency.add_argument("--output", type=Path, required=True, metavar="FILE", help="YAML file to write")
    latency.set_defaults(run=run_latency)


def run_latency(args: argparse.Namespace) -> int:
    """Measure, print, write; returns the exit code.

    Raises:
        ConfigError: no such task, options that do not go together, or a file that cannot be written.
        HardwareError: robot, gripper or camera fails.
    """
    from glue_bringup.task_config import load_task
    from glue_perception.errors import ConfigError

    if args.sync and args.robot_ip:
        raise ConfigError("--sync is the twin; leave out --robot-ip, or --sync")
    if not args.output.parent.is_dir():
        raise ConfigError(f"the folder of --output {args.output} does not exist; make it first")
    task = load_task(args.task)
    with ExitStack() as stack:
        if args.sync:
            report, host = _in_sync_twin(task, args.repeats, stack), "synchronous twin"
        elif args.robot_ip:
            report, host = _on_robot(task, args, stack), f"{task.robot.model.value} at {args.robot_ip}"
        else:
            report, host = _in_protocol_twin(task, args.repeats, stack)
    _write(args.output, report, host)
    _print(report, host, args.output)
    return 0


def _in_sync_twin(task: TaskConfig, repeats: int, stack: ExitStack) -> LatencyReport:
    from glue_bringup.calibration.latency import measure_latencies
    from glue_bringup.calibration.rig import InjectedDelays, SyncRig
    from glue_bringup.sim.sync_twin import SyncTwin

    twin = stack.enter_context(SyncTwin(task.task, 0, task.camera, task.gains))
    return measure_latencies(SyncRig(twin, InjectedDelays(), task.camera.rate_hz), repeats, on_step=_say)


def _in_protocol_twin(task: TaskConfig, repeats: int, stack: ExitStack) -> tuple[LatencyReport, str]:
    from glue_bringup.arm.limits import RobotModel
    from glue_bringup.sim.protocol_twin import ProtocolTwin

    twin = stack.enter_context(ProtocolTwin(task.task, 0, task.camera))
    report = _measure(task, twin.robot_ip, RobotModel.FR3, twin.camera, repeats, stack)
    # A twin that runs slow looks late: the figures are this machine's, not the arm's.
    return report, f"real-time twin at {twin.status().real_time_factor:.2f} of real time"


def _on_robot(task: TaskConfig, args: argparse.Namespace, stack: ExitStack) -> LatencyReport:
    from glue_perception.cameras.sources import open_camera

    camera = open_camera(args.camera)
    stack.callback(camera.close)
    return _measure(task, args.robot_ip, task.robot.model, camera, args.repeats, stack)


def _measure(
    task: TaskConfig, address: str, model: object, camera: object, repeats: int, stack: ExitStack
) -> LatencyReport:
    from typing import cast

    from glue_bringup.arm.franky_arm import FrankyArm
    from glue_bringup.arm.limits import RobotModel
    from glue_bringup.calibration.latency import measure_latencies
    from glue_bringup.calibration.rig import RealtimeRig
    from glue_bringup.gripper.franky_gripper import FrankyGripper
    from glue_perception.cameras.base import Camera

    # Debouncing is our own doing and no latency of the hand's.
    gripper = FrankyGripper(address, replace(task.robot.gripper, debounce_s=0.0))
    stack.callback(gripper.stop)
    arm = FrankyArm(task.robot.arm_config(address, cast(RobotModel, model)), task.gains, gripper.width_m)
    stack.callback(arm.close)
    arm.start()
    rig = RealtimeRig(arm, gripper, cast(Camera, camera))
    stack.callback(rig.stop)
    return measure_latencies(rig, repeats, on_step=_say)


def _say(step: str) -> None:
    print(f"measuring {step}", flush=True)


def _write(path: Path, report: LatencyReport, host: str) -> None:
    import yaml

    from glue_perception.config import to_mapping
    from glue_perception.errors import ConfigError

    content = {
        "latencies": to_mapping(report.config()),
        "measured": {
            "host": host,
            "spread_s": {name: round(s.half_range_s, 4) for name, s in report.measured.items()},
            "values_s": {name: [round(v, 4) for v in s.values_s] for name, s in report.measured.items()},
            "skipped": report.skipped,
        },
    }
    note = (
        "# Written by 'glue calibrate latency'; in a task's YAML: 'latencies: THIS_FILE'. All in seconds.\n"
    )
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(note + yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise ConfigError(f"cannot write --output {path}: {error}") from error


def _print(report: LatencyReport, host: str, output: Path) -> None:
    print(f"latencies in the {host}" if "twin" in host else f"latencies of the {host}")
    for name, spread in report.measured.items():
        title = name.removesuffix("_s").replace("_", " ")
        print(
            f"  {title:18} {spread.median_s * 1e3:6.1f} ms  +- {spread.half_range_s * 1e3:.1f} ms "
            f"(half the range of {len(spread.values_s)})"
        )
    for name, reason in report.skipped.items():
        print(f"  {name:18} not measured: {reason}")
    print(f"written to {output}")
