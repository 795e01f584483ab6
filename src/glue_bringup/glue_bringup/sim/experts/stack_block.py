"""The scripted expert that stacks the blocks."""

from __future__ import annotations

import numpy as np

from glue_bringup.sim.experts.pick_and_place import Job, PickAndPlaceExpert, repeated
from glue_bringup.sim.tasks.stack_block import BLUE_HALF_M, WHITE_HALF_M, StackBlockLayout

CARRY_M = 0.15
TOLERANCE_M = 0.010


class StackBlockExpert(PickAndPlaceExpert):
    """Grasps the white block by two opposite faces and puts it on the middle of the blue one."""

    def job(self, truth: StackBlockLayout) -> Job:
        """Return what is to be carried where, for the truth of this instant."""
        white, blue = truth.T_base_white, truth.T_base_blue
        up = int(np.argmax(np.abs(white[2, :3])))
        seat = BLUE_HALF_M[2] + WHITE_HALF_M[up]
        axis = white[:3, (up + 1) % 3]
        across = WHITE_HALF_M[0] if up == 2 else min(WHITE_HALF_M)
        return Job(
            object_m=white[:3, 3],
            place_m=blue[:3, 3] + np.array([0.0, 0.0, seat]),
            yaws_rad=repeated(float(np.arctan2(axis[1], axis[0])), np.pi / 2),
            width_m=2 * across,
            carry_m=CARRY_M,
            tolerance_m=TOLERANCE_M,
        )
