"""Latency calibration: delays between signals, and known delays in the synchronous twin found again."""

import numpy as np
import pytest

from glue_bringup.calibration.delay import Signal, delay_s, onset_s, picture_signal
from glue_bringup.calibration.latency import LatencyReport, Spread, measure_latencies
from glue_bringup.calibration.rig import InjectedDelays, SyncRig
from glue_bringup.cli.main import main
from glue_bringup.latency_config import LatencyConfig
from glue_bringup.sim.camera_config import CameraConfig
from glue_bringup.task_config import load_task
from glue_perception.errors import ConfigError, InvalidValueError

TIME_S = np.arange(0.0, 6.0, 0.01)
INJECTED = InjectedDelays(camera_stamp_s=0.035, camera_delivery_s=0.050, arm_s=0.080, gripper_s=0.120)


def motion(time_s):
    return np.sin(np.pi * time_s) + np.sin(1.6 * np.pi * time_s)


@pytest.mark.parametrize("delay", [-0.03, 0.0, 0.0123, 0.25])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_delay_is_found_in_a_bent_noisy_signal_at_another_rate(delay, sign):
    rng = np.random.default_rng(0)
    frames_s = np.arange(0.5, 5.0, 1.0 / 30.0)
    x = motion(frames_s - delay)
    effect = sign * (40.0 * x + 5.0 * x * x) + rng.normal(0.0, 1.0, len(x))
    assert delay_s(Signal(TIME_S, motion(TIME_S)), Signal(frames_s, effect)) == pytest.approx(
        delay, abs=0.004
    )


def test_noise_and_a_delay_out_of_range_are_refused():
    rng = np.random.default_rng(0)
    cause = Signal(TIME_S, motion(TIME_S))
    with pytest.raises(InvalidValueError, match="nothing"):
        delay_s(cause, Signal(TIME_S, rng.normal(size=len(TIME_S))))
    with pytest.raises(InvalidValueError, match="nothing"):
        delay_s(cause, Signal(TIME_S, np.ones(len(TIME_S))))
    with pytest.raises(InvalidValueError, match="outside"):
        delay_s(cause, Signal(TIME_S, motion(TIME_S - 0.3)), max_s=0.25)
    with pytest.raises(InvalidValueError, match="ascend"):
        Signal(TIME_S[::-1].copy(), TIME_S)


def test_the_onset_of_a_ramp():
    ramp = Signal(TIME_S, np.clip((TIME_S - 2.1) / 0.5, 0.0, 1.0))
    assert onset_s(ramp, 2.0, share=0.05) == pytest.approx(0.125, abs=0.006)
    with pytest.raises(InvalidValueError, match="does not move"):
        onset_s(Signal(TIME_S, np.zeros(len(TIME_S))), 2.0)


def test_a_moving_spot_becomes_a_signal_that_follows_it():
    columns = np.arange(48)
    where = 24.0 + 4.0 * motion(TIME_S[::3])
    pictures = np.exp(-(((columns[None] - where[:, None]) / 10.0) ** 2))
    assert abs(np.corrcoef(picture_signal(pictures), where)[0, 1]) > 0.95


@pytest.fixture(scope="module")
def camera() -> CameraConfig:
    return CameraConfig(width_px=160, height_px=120)


def measured(camera: CameraConfig, delays: InjectedDelays) -> LatencyReport:
    from glue_bringup.sim.sync_twin import SyncTwin

    with SyncTwin("push_button", 0, camera) as twin:
        return measure_latencies(SyncRig(twin, delays, camera.rate_hz), repeats=1, swing_s=3.0)


def test_known_delays_in_the_twin_are_found_again(camera):
    plain, late = measured(camera, InjectedDelays()), measured(camera, INJECTED)
    assert not plain.skipped
    assert not late.skipped
    found, natural = late.config(), plain.config()
    assert natural.camera_stamp_s == pytest.approx(0.0, abs=0.005)
    assert found.camera_stamp_s == pytest.approx(INJECTED.camera_stamp_s, abs=0.005)
    assert found.camera_delivery_s == pytest.approx(INJECTED.camera_delivery_s, abs=0.011)
    assert found.arm_s - natural.arm_s == pytest.approx(INJECTED.arm_s, abs=0.003)
    assert found.gripper_s - natural.gripper_s == pytest.approx(INJECTED.gripper_s, abs=0.011)
    assert 0.01 < natural.arm_s < 0.3, "an impedance loop lags by itself"


def test_the_command_writes_a_file_that_a_task_loads(tmp_path, capsys):
    output = tmp_path / "measured.yaml"
    task = tmp_path / "task.yaml"
    task.write_text(
        "task: push_button\ninstruction: x\nqueries: [red button]\npolicy: {checkpoint: push_button_tiny}\n"
        "camera: {width_px: 160, height_px: 120}\n",
        encoding="utf-8",
    )
    command = [
        "calibrate",
        "latency",
        "--sync",
        "--repeats",
        "1",
        "--task",
        str(task),
        "--output",
        str(output),
    ]
    assert main(command) == 0
    assert "+-" in capsys.readouterr().out
    task.write_text(task.read_text(encoding="utf-8") + "latencies: measured.yaml\n", encoding="utf-8")
    assert load_task(str(task)).latencies.arm_s > 0.01


def test_impossible_calls_are_refused(tmp_path, capsys):
    assert main(["calibrate", "latency", "--output", str(tmp_path / "no" / "x.yaml")]) == 2
    assert main(["calibrate", "latency", "--sync", "--robot-ip", "1.2.3.4", "--output", "x.yaml"]) == 2
    with pytest.raises(ConfigError, match="arm_s"):
        LatencyConfig(arm_s=-0.1)


def test_the_spread_is_half_the_range():
    spread = Spread((0.010, 0.030, 0.014))
    assert spread.median_s == 0.014
    assert spread.half_range_s == pytest.approx(0.010)
