"""Press the red button with a closed gripper (paper, IV-B)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from glue_bringup.sim.tasks.free_bodies import FINGER_JOINTS, child_of

AREA_X_M = (0.38, 0.66)
AREA_Y_M = (-0.20, 0.20)
"""Where the button's centre may stand: 28 x 40 cm that the arm reaches with the hand pointing down."""

CAP_RADIUS_M = 0.03
CAP_HEIGHT_M = 0.018
HOUSING_HALF_M = (0.045, 0.045, 0.02)
TRAVEL_M = 0.010
PRESSED_SHARE = 0.6
CLOSED_GRIPPER_M = 0.010

SPRING_N_M = 800.0
PRELOAD_M = 0.008
"""The spring pushes with 6.4 N at rest and with 14.4 N at the stop."""

_BODY = "button"
_JOINT = "button_slide"
_CAP = "button_cap"
_FINGERS = ("robot0_left_finger", "robot0_right_finger")
_STREAM = 2


@dataclass(frozen=True, eq=False)
class PushButtonLayout:
    """Where the button stands.

    Attributes:
        cap_top_m: Middle of the cap's upper face when it is not pressed, base frame.
        yaw_rad: Turn of the housing about the vertical.
    """

    cap_top_m: Float[np.ndarray, "3"]
    yaw_rad: float


class PushButton:
    """A red spring-loaded cap on a light housing, anywhere on a part of the table, turned at random."""

    name: str = "push_button"
    queries: tuple[str, ...] = ("red button",)
    hold_s: float = 0.0
    object_geoms: ClassVar[dict[str, tuple[str, ...]]] = {
        "red button": (_CAP, "button_collar", "button_housing")
    }

    def __init__(self) -> None:
        self._places: _Places | None = None

    def sample_layout(self, seed: int) -> PushButtonLayout:
        """Return the layout of episode `seed`."""
        rng = np.random.default_rng([seed, _STREAM])
        x, y = rng.uniform(*AREA_X_M), rng.uniform(*AREA_Y_M)
        yaw = rng.uniform(-np.pi, np.pi)
        top = 2 * HOUSING_HALF_M[2] + CAP_HEIGHT_M
        return PushButtonLayout(np.array([x, y, top]), float(yaw))

    def add_to_scene(self, scene: ET.Element) -> None:
        """Append housing, collar and cap."""
        x, y, z = HOUSING_HALF_M
        body = ET.SubElement(child_of(scene, "worldbody"), "body", name=_BODY, pos="0.5 0 0")
        ET.SubElement(
            body,
            "geom",
            name="button_housing",
            type="box",
            size=f"{x} {y} {z}",
            pos=f"0 0 {z}",
            rgba="0.86 0.86 0.84 1",
            # Neither housing nor cap seeks contacts, so they ignore each other; both answer the fingers'.
            contype="0",
        )
        ET.SubElement(
            body,
            "geom",
            name="button_collar",
            type="cylinder",
            size=f"{CAP_RADIUS_M + 0.007} 0.003",
            pos=f"0 0 {2 * z}",
            rgba="0.25 0.25 0.27 1",
            contype="0",
            conaffinity="0",
        )
        cap = ET.SubElement(body, "body", name=_CAP, pos=f"0 0 {2 * z + CAP_HEIGHT_M / 2}")
        ET.SubElement(
            cap,
            "joint",
            name=_JOINT,
            type="slide",
            axis="0 0 1",
            range=f"{-TRAVEL_M} 0",
            limited="true",
            stiffness=f"{SPRING_N_M}",
            springref=f"{PRELOAD_M}",
            damping="12",
            armature="0.2",
            solreflimit="0.004 1",
        )
        ET.SubElement(
            cap,
            "geom",
            name=_CAP,
            type="cylinder",
            size=f"{CAP_RADIUS_M} {CAP_HEIGHT_M / 2}",
            mass="0.05",
            # Stiffer than the default, which would let the light cap swallow the finger tip by millimetres.
            solref="0.004 1",
            rgba="0.82 0.06 0.05 1",
            friction="0.9 0.005 0.0001",
            contype="0",
        )

    def apply_layout(self, model: Any, data: Any, layout: PushButtonLayout) -> None:
        """Put the housing in its place and the cap at rest."""
        body = model.body(_BODY)
        # The housing is static, so its place is part of the model; only kinematics depend on it.
        body.pos[:2] = layout.cap_top_m[:2]
        body.pos[2] = 0.0
        body.quat[:] = (np.cos(layout.yaw_rad / 2), 0.0, 0.0, np.sin(layout.yaw_rad / 2))
        data.joint(_JOINT).qpos[0] = 0.0
        data.joint(_JOINT).qvel[0] = 0.0

    def measure(self, model: Any, data: Any) -> Float[np.ndarray, "k"]:
        """Return nothing: the button stays where it stands."""
        return np.empty(0)

    def truth(self, layout: PushButtonLayout, measured: Float[np.ndarray, "k"]) -> PushButtonLayout:
        """Return the layout."""
        return layout

    def is_success(self, model: Any, data: Any) -> bool:
        """Return whether a finger of the closed gripper holds the cap below 60 % of its travel."""
        if self._places is None or self._places.model is not model:
            self._places = _Places(model)
        places = self._places
        if data.qpos[places.slide] > -PRESSED_SHARE * TRAVEL_M:
            return False
        if data.qpos[places.fingers[0]] + data.qpos[places.fingers[1]] >= CLOSED_GRIPPER_M:
            return False
        touching = data.contact.geom
        pairs = touching[(touching == places.cap).any(axis=1)]
        return bool(np.isin(model.geom_bodyid[pairs], places.finger_bodies).any())


class _Places:
    """Where a compiled model keeps what the test of success reads; looked up once, the test runs at 1 kHz."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.slide = int(model.joint(_JOINT).qposadr[0])
        self.fingers = [int(model.joint(name).qposadr[0]) for name in FINGER_JOINTS]
        self.finger_bodies = [int(model.body(name).id) for name in _FINGERS]
        self.cap = int(model.geom(_CAP).id)
