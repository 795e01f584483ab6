"""The `robot` and `latencies` sections of a task's YAML."""

import pytest

from glue_bringup.arm.franky_config import Realtime
from glue_bringup.arm.limits import RobotModel
from glue_bringup.task_config import TaskConfig, load_task
from glue_perception.config import from_mapping, to_mapping
from glue_perception.errors import ConfigError

TASK = """
task: push_button
instruction: Press it.
queries: [red button]
policy: {checkpoint: push_button_tiny}
"""


def write(folder, text):
    (folder / "task.yaml").write_text(TASK + text, encoding="utf-8")
    return load_task(str(folder / "task.yaml"))


def test_the_robot_comes_from_yaml_and_goes_into_the_record(tmp_path):
    task = write(
        tmp_path,
        "robot: {model: fr3, robot_ip: 172.16.0.2, realtime: ignore, collision_force_n: 25, target_timeout_s: null, "
        "payload: {mass_kg: 0.3, center_of_mass_m: [0, 0, 0.1]}, gripper: {force_n: 35, grasp_width_m: 0.05}}\n"
        "gains: {translational_stiffness_n_m: 600}\n",
    )
    arm = task.robot.arm_config()
    assert (arm.robot_ip, arm.robot_model, arm.realtime) == ("172.16.0.2", RobotModel.FR3, Realtime.IGNORE)
    assert (arm.collision_force_n, arm.target_timeout_s, arm.payload.mass_kg) == (25.0, None, 0.3)
    assert task.robot.arm_config("10.0.0.1", RobotModel.PANDA).robot_ip == "10.0.0.1"
    assert (task.robot.gripper.force_n, task.gains.translational_stiffness_n_m) == (35.0, 600.0)
    assert from_mapping(TaskConfig, to_mapping(task), "record") == task


def test_without_an_address_the_message_says_where_to_put_it(tmp_path):
    with pytest.raises(ConfigError, match="--robot-ip"):
        write(tmp_path, "").robot.arm_config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("robot: {model: ur5}", "ur5"),
        ("robot: {colision_force_n: 3}", "Did you mean 'collision_force_n'"),
        ("robot: {payload: {mass_kg: 9}}", "0..3"),
        ("robot: {payload: {center_of_mass_m: [0, 0, 0.1]}}", "no mass_kg"),
        ("robot: {payload: {mass_kg: 1, inertia_kg_m2: [1, 2, 0, 0, 1, 0, 0, 0, 1]}}", "symmetric"),
        ("robot: {target_timeout_s: 0.01}", "target_timeout_s"),
        ("latencies: {arm_s: 3.0}", "arm_s"),
        ("latencies: nowhere.yaml", "nowhere.yaml"),
    ],
)
def test_impossible_settings_are_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        write(tmp_path, text)


def test_latencies_come_from_a_file_beside_the_task(tmp_path):
    (tmp_path / "measured.yaml").write_text(
        "latencies: {arm_s: 0.08, camera_stamp_s: 0.03}\nother: 1\n", encoding="utf-8"
    )
    latencies = write(tmp_path, "latencies: measured.yaml\n").latencies
    assert (latencies.arm_s, latencies.camera_stamp_s, latencies.gripper_s) == (0.08, 0.03, 0.0)
    (tmp_path / "measured.yaml").write_text("other: 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="no section 'latencies'"):
        write(tmp_path, "latencies: measured.yaml\n")


def test_executor_uses_the_latencies_if_asked_to(tmp_path):
    latencies = "latencies: {arm_s: 0.08, camera_stamp_s: 0.03%s}\n"
    assert write(tmp_path, latencies % "").safety.executor.lead_s == 0.0
    task = write(tmp_path, latencies % ", compensate: true")
    assert task.safety.executor.lead_s == pytest.approx(0.11)
    assert from_mapping(TaskConfig, to_mapping(task), "record") == task
