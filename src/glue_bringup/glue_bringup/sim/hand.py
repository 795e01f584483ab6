"""The two fingers: franky-sim's force law, without its arrays, for the synchronous twin."""

from __future__ import annotations

from typing import Any

FINGER_SPEED_M_S = 0.05
FORCE_N = 70.0
_STIFFNESS_N_M = 1000.0
_DAMPING_NS_M = 50.0
MAX_WIDTH_M = 0.08


class Hand:
    """Pulls both fingers to half the asked width, each at up to 0.05 m/s and 70 N, as franky-sim does.

    Args:
        model: Compiled MuJoCo model with franky-sim's robot 0.
        data: Its state.
    """

    def __init__(self, model: Any, data: Any) -> None:
        # Views into MuJoCo's memory, which stays in its place: this runs at 1 kHz.
        self._positions, self._velocities, self._forces = data.qpos, data.qvel, data.qfrc_applied
        joints = [model.joint(f"robot0_finger_joint{k}") for k in (1, 2)]
        self._qpos = [int(j.qposadr[0]) for j in joints]
        self._dof = [int(j.dofadr[0]) for j in joints]
        self.goal_m = MAX_WIDTH_M

    def place(self, width_m: float) -> None:
        """Put the fingers there at rest."""
        self.goal_m = width_m
        for address in self._qpos:
            self._positions[address] = width_m / 2

    def apply(self) -> None:
        """Set this step's finger forces."""
        for position, dof in zip(self._qpos, self._dof, strict=True):
            velocity = float(self._velocities[dof])
            force = (
                _STIFFNESS_N_M * (self.goal_m / 2 - float(self._positions[position]))
                - _DAMPING_NS_M * velocity
            )
            if abs(velocity) > FINGER_SPEED_M_S and force * velocity > 0.0:
                force = -_DAMPING_NS_M * velocity
            self._forces[dof] = min(max(force, -FORCE_N), FORCE_N)

    def width_m(self) -> float:
        """Return the opening between the finger tips."""
        return float(self._positions[self._qpos[0]] + self._positions[self._qpos[1]])
