"""A simulated robot at protocol level, in a process of its own: prints its address, runs until it is killed.

A line on its standard input injects a fault: `fault INDEX` ends the motion by a reflex with that libfranka error,
`reject` refuses the next motion, `stuck` refuses to recover, `well` takes all back.
"""

import os
import select
import sys
import time
from typing import Any

from franky_sim import SimulationServer
from franky_sim.franka_robot_protocol import (
    AutomaticErrorRecoveryCommand,
    AutomaticErrorRecoveryStatus,
    BaseCommand,
    MoveStatus,
    RobotCommand,
    RobotMode,
)
from franky_sim.franka_robot_server import FrankaRobotServer
from franky_sim.mujoco_simulator import MujocoSimulator

ERRORS = 41


class FaultyServer(FrankaRobotServer):
    """Franky-sim's robot, which knows no faults, with faults."""

    fault: int | None = None
    rejecting = False
    stuck = False

    def inject(self, words: list[str]) -> None:
        if words[0] == "fault":
            self.fault = int(words[1])
            motion = self.current_motion_id
            self.stop_motion(send_preemption_signal=False)
            self.send_state()  # the errors come with the state, well before the reply, as from a robot
            time.sleep(0.02)
            self.send_state()
            if motion:
                BaseCommand.send_response(
                    self._tcp_socket, RobotCommand.kMove, motion, MoveStatus.kReflexAborted
                )
                self.reset_current_motion_id()
        self.rejecting = words[0] == "reject"
        self.stuck = words[0] == "stuck"
        if words[0] == "well":
            self.fault = None

    def start_motion(self, *args: Any) -> None:
        if self.rejecting:
            raise RuntimeError("rejected on purpose")
        super().start_motion(*args)

    @property
    def robot_state(self) -> Any:
        state = super().robot_state
        if self.fault is None:
            return state
        errors = tuple(i == self.fault for i in range(ERRORS))
        return state.replace(robot_mode=RobotMode.kReflex, errors=errors, reflex_reason=errors)


def recover(command: AutomaticErrorRecoveryCommand, server: FaultyServer) -> None:
    if server.stuck:
        command.reply(AutomaticErrorRecoveryStatus.kManualErrorRecoveryRequiredRejected)
        return
    server.fault = None
    server.send_state()
    command.reply(AutomaticErrorRecoveryStatus.kSuccess)


def main() -> None:
    AutomaticErrorRecoveryCommand.handle = recover
    addresses = sys.argv[1:]
    with MujocoSimulator() as simulator:
        simulator.add_robot()
        with SimulationServer(simulator, *([addresses] if addresses else [])) as server:
            robot = server.robot_servers[0]
            robot.__class__ = FaultyServer
            print(robot.hostname, flush=True)
            due_s = time.perf_counter()
            step = 0
            while True:
                server.run_once(realtime=False)
                step += 1
                if step % 10 == 0 and select.select([sys.stdin], [], [], 0.0)[0]:
                    # Not by readline, whose buffer would hide a second line from select.
                    for line in os.read(sys.stdin.fileno(), 1000).decode().splitlines():
                        robot.inject(line.split())
                due_s = max(due_s + 0.001, time.perf_counter() - 0.05)
                time.sleep(max(0.0, due_s - time.perf_counter()))


if __name__ == "__main__":
    main()
