"""`keys_node`: the operator's keys, read in a terminal of its own, since launched nodes have none."""

from __future__ import annotations

import sys

from std_msgs.msg import String

from glue_bringup.nodes import names, qos
from glue_bringup.nodes.lifecycle import ShellNode, run_node
from glue_bringup.teleop import keyboard, operator
from glue_bringup.teleop.operator import TerminalOperator

QUIT = "q"


class KeysNode(ShellNode):
    """Sends every key as it comes; q ends it. Start it in a terminal: `python -m glue_bringup.nodes keys_node`."""

    def __init__(self) -> None:
        super().__init__("keys_node")

    def configure(self) -> None:
        """Take the terminal; ConfigError if there is none."""
        self._keys = self.create_publisher(String, names.KEYS, qos.ANSWER)
        self.resources.enter_context(TerminalOperator(self._send))
        print(f"{operator.HELP}\nwith teleop:=keyboard also: {keyboard.HELP}", flush=True)

    def _send(self, key: str) -> bool:
        self._keys.publish(String(data=key))
        if key == QUIT:
            self.end(0)
        return True


def main() -> int:
    """Run the node."""
    return run_node(KeysNode)


if __name__ == "__main__":
    sys.exit(main())
