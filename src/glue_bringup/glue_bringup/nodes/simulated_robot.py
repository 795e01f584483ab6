"""How `arm_node` finds the simulated robot."""

from __future__ import annotations

import time

import rclpy
from rclpy.node import Node
from std_msgs.msg import String

from glue_bringup.nodes import names, qos
from glue_perception.errors import HardwareError

SIMULATED = "simulated"
"""The `robot_ip` that means: whichever robot `sim_node` announces."""

TIMEOUT_S = 300.0
"""As patient as whoever asks for the episode: where a launch's processes all start at once on a busy computer, the
imports alone may take a minute. If sim_node fails, the launch ends before."""


def simulated_robot_ip(node: Node, timeout_s: float = TIMEOUT_S) -> str:
    """Return the address that `sim_node` announces.

    Uses a node and an executor of its own: the asking node may already be in an executor.

    Raises:
        HardwareError: nobody announces one.
    """
    found: list[str] = []
    node.get_logger().info("waiting for sim_node to announce its robot")
    asker = Node(f"{node.get_name()}_asks", context=node.context, use_global_arguments=False)
    try:
        asker.create_subscription(
            String, names.SIM_ROBOT_IP, lambda message: found.append(message.data), qos.KEPT
        )
        executor = rclpy.executors.SingleThreadedExecutor(context=node.context)
        executor.add_node(asker)
        deadline = time.monotonic() + timeout_s
        while not found and time.monotonic() < deadline and node.context.ok():
            executor.spin_once(timeout_sec=0.2)
        executor.shutdown()
    finally:
        asker.destroy_node()
    if not found:
        raise HardwareError(
            f"no simulated robot was announced on {names.SIM_ROBOT_IP} within {timeout_s:g} s; start sim_node, "
            "or give robot_ip"
        )
    return found[-1]
