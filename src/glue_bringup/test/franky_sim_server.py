"""A simulated robot at protocol level, in a process of its own: prints its address, runs until it is killed."""

import time

from franky_sim import SimulationServer
from franky_sim.mujoco_simulator import MujocoSimulator


def main() -> None:
    with MujocoSimulator() as simulator:
        robot = simulator.add_robot()
        with SimulationServer(simulator) as server:
            print(robot.hostname, flush=True)
            due_s = time.perf_counter()
            while True:
                server.run_once(realtime=False)
                due_s = max(due_s + 0.001, time.perf_counter() - 0.05)
                time.sleep(max(0.0, due_s - time.perf_counter()))


if __name__ == "__main__":
    main()
