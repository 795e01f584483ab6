"""A square cloth for the twin: MuJoCo's flex for its elasticity, its layers, the pinch that holds it, its looks."""

from __future__ import annotations

from glue_bringup.sim.tasks.cloth.cloth import Cloth
from glue_bringup.sim.tasks.cloth.config import ClothConfig, PinchConfig
from glue_bringup.sim.tasks.cloth.mjcf import add_cloth

__all__ = ["Cloth", "ClothConfig", "PinchConfig", "add_cloth"]
