"""The scripted expert that puts the fruit in the plate."""

from __future__ import annotations

import numpy as np

from glue_bringup.sim.experts.pick_and_place import Job, PickAndPlaceExpert, repeated
from glue_bringup.sim.tasks.fruit_and_plate import MANGO_HALF_M
from glue_bringup.sim.tasks.place_fruit import PlaceFruitLayout

CARRY_M = 0.14
TOLERANCE_M = 0.020
SEAT_M = 0.007
"""Height of the plate's floor."""


class PlaceFruitExpert(PickAndPlaceExpert):
    """Grasps the mango across and puts it into the middle of the plate."""

    def job(self, truth: PlaceFruitLayout) -> Job:
        """Return what is to be carried where, for the truth of this instant."""
        fruit, plate = truth.T_base_fruit, truth.T_base_plate
        along = fruit[:3, 0]
        return Job(
            object_m=fruit[:3, 3],
            place_m=plate[:3, 3] + np.array([0.0, 0.0, SEAT_M + MANGO_HALF_M[2]]),
            yaws_rad=repeated(float(np.arctan2(along[1], along[0])), np.pi),
            width_m=2 * MANGO_HALF_M[1],
            carry_m=CARRY_M,
            tolerance_m=TOLERANCE_M,
        )
