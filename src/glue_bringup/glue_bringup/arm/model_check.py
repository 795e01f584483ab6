"""Which robot it is that answers: from its own description, or from the version of its system."""

from __future__ import annotations

import re

from glue_bringup.arm.limits import RobotModel

FIRST_FR3_SERVER = 6
"""Server versions below are a Panda's (libfranka up to 0.9), from it on an FR3's (libfranka from 0.10). Source: the
compatibility table in the Franka Control Interface documentation."""


def model_of_server(version: int) -> RobotModel:
    """Return the model whose system has a server of this version."""
    return RobotModel.PANDA if version < FIRST_FR3_SERVER else RobotModel.FR3


def model_in(urdf: str | None) -> RobotModel | None:
    """Return the model that a robot says it is; None where it names one that is not known.

    Args:
        urdf: Its description; None where libfranka cannot ask for one: that is 0.9.x, which only a Panda accepts.
    """
    if urdf is None:
        return RobotModel.PANDA
    match = re.search(r'<robot\s[^>]*name="([^"]*)"', urdf)
    name = match.group(1).lower() if match else ""
    if name.startswith("fr3"):
        return RobotModel.FR3
    return RobotModel.PANDA if name.startswith(("panda", "fer")) else None
