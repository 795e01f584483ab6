"""The Cartesian impedance law that franky's tracker runs at 1 kHz, for a MuJoCo model stepped in this process."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from glue_bringup.arm.impedance_gains import ImpedanceGains

TCP_OFFSET_M = 0.1034
"""From the hand's flange to the tool centre point along the hand's z, Franka's default."""


class ImpedanceLaw:
    """Joint torques that pull the tool centre point to a pose as a spring with critical damping does.

    tau = J^T (K e - D J dq) + N (k (q_home - q) - d dq), then rate limit, then gravity and Coriolis. K acts on the
    position error and on the vector part of the error quaternion, both clipped; N projects into the null space
    of J. It reads the kinematics that the last `mj_step` left in the data, which are one step old: that is the
    millisecond which a command spends on the robot's network.

    Args:
        model: Compiled MuJoCo model with franky-sim's robot 0.
        data: Its state, read at each `torque`.
        gains: Stiffness and limits.
    """

    def __init__(self, model: Any, data: Any, gains: ImpedanceGains) -> None:
        import mujoco

        self._mj_jac = mujoco.mj_jac
        self._factor, self._solve = mujoco.mju_cholFactor, mujoco.mju_cholSolve
        self._model, self._data, self._gains = model, data, gains
        joints = [model.joint(f"robot0_fr3_joint{k}") for k in range(1, 8)]
        self._qpos = slice(int(joints[0].qposadr[0]), int(joints[0].qposadr[0]) + 7)
        self._dof = slice(int(joints[0].dofadr[0]), int(joints[0].dofadr[0]) + 7)
        self._hand = int(model.body("robot0_hand").id)
        self._full_jacobian = np.zeros((6, model.nv))
        self._jacobian = self._full_jacobian[:, self._dof]
        self._jacp, self._jacr = self._full_jacobian[:3], self._full_jacobian[3:]
        # Views into MuJoCo's memory, which stays in its place: this runs at 1 kHz.
        self._rotation = data.xmat[self._hand].reshape(3, 3)
        self._flange = data.xpos[self._hand]
        self._q, self._dq = data.qpos[self._qpos], data.qvel[self._dof]
        self._bias = data.qfrc_bias[self._dof]
        self._cholesky = np.zeros((6, 6))
        self._null_wrench = np.zeros(6)
        self._stiffness = np.repeat([gains.translational_stiffness_n_m, gains.rotational_stiffness_nm], 3)
        self._damping = 2.0 * np.sqrt(self._stiffness)
        self._clip = np.repeat([gains.translational_error_clip_m, gains.rotational_error_clip], 3)
        self._least = -self._clip
        self._home = np.array(gains.posture_rad)
        self._posture_damping = 2.0 * math.sqrt(gains.posture_stiffness_nm_rad)
        self._error = np.zeros(6)
        self._last = np.zeros(7)
        self._target = np.eye(4)

    def reset(self, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        """Begin without torque, with this target."""
        self._last = np.zeros(7)
        self.set_target(T_base_ee)

    def set_target(self, T_base_ee: Float[np.ndarray, "4 4"]) -> None:
        """Set the pose to pull to, base frame, metres."""
        self._target = np.array(T_base_ee, dtype=float)

    def torque(self) -> Float[np.ndarray, "7"]:
        """Return the torques [Nm] of this millisecond, gravity and Coriolis included."""
        gains, jacobian, dq = self._gains, self._jacobian, self._dq
        rotation = self._rotation
        tcp = self._flange + TCP_OFFSET_M * rotation[:, 2]
        self._mj_jac(self._model, self._data, self._jacp, self._jacr, tcp, self._hand)
        error = self._error
        error[:3] = self._target[:3, 3] - tcp
        error[3:] = _quaternion_error(self._target[:3, :3], rotation)
        np.minimum(np.maximum(error, self._least, out=error), self._clip, out=error)
        wrench = self._stiffness * error - self._damping * (jacobian @ dq)
        if gains.posture_stiffness_nm_rad > 0.0:
            pull = gains.posture_stiffness_nm_rad * (self._home - self._q) - self._posture_damping * dq
            # The part of the pull that would move the tool, taken away again: J^T (J J^T)^-1 J pull.
            np.matmul(jacobian, jacobian.T, out=self._cholesky)
            self._factor(self._cholesky, 0.0)
            self._solve(self._null_wrench, self._cholesky, jacobian @ pull)
            tau = jacobian.T @ (wrench - self._null_wrench) + pull
        else:
            tau = jacobian.T @ wrench
        step = gains.max_torque_step_nm
        self._last = np.minimum(np.maximum(tau, self._last - step), self._last + step)
        torque: np.ndarray = self._last + self._bias
        return torque


def _quaternion_error(
    target: Float[np.ndarray, "3 3"], actual: Float[np.ndarray, "3 3"]
) -> tuple[float, float, float]:
    """Return the vector part of the quaternion of `target actual^T`, scalar part positive."""
    r = (target @ actual.T).tolist()
    scale = 0.5 / math.sqrt(max(1.0 + r[0][0] + r[1][1] + r[2][2], 1e-9))
    return scale * (r[2][1] - r[1][2]), scale * (r[0][2] - r[2][0]), scale * (r[1][0] - r[0][1])
