"""Runs a task on a Franka: ros2 launch glue_bringup real.launch.py task:=push_button robot_ip:=172.16.0.2."""

from launch import LaunchDescription

from glue_bringup.nodes.launch_graph import arguments, graph
from glue_bringup.nodes.launch_robot import ROBOT_ARGUMENTS, robot_shells, stock_camera
from glue_bringup.nodes.launch_task import TASK_ARGUMENTS, task_shells
from glue_bringup.nodes.launch_viewers import viewers


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *arguments((*ROBOT_ARGUMENTS, *TASK_ARGUMENTS), run="false"),
            viewers(),
            stock_camera(),
            graph(*robot_shells(), *task_shells(simulated="$use_fake_hardware")),
        ]
    )
