"""What a cloth is made of, and when two fingers hold it."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float

from glue_perception.errors import ConfigError

STEP_S = 0.001
"""The twins' time step."""


@dataclass(frozen=True)
class ClothConfig:
    """Size and material of a square cloth.

    Attributes:
        name: Of the flex; the vertices' bodies are called `<name>_<index>`.
        size_m: Edge length.
        count: Vertices along an edge. Vertex `i * count + j` is the i-th along the cloth's x, the j-th along its y.
        mass_kg: Of the whole; twice a real microfibre towel's, for the explicit integration's sake.
        radius_m: Half the thickness with which it lies on the table and on itself.
        young_pa: Young's modulus. Times `thickness_m` it is the stretching stiffness, 60 N/m.
        thickness_m: Elastic thickness; its third power gives the bending stiffness, 5e-6 Nm.
        elastic_damping_s: Rayleigh damping of the elasticity.
        air_damping_ns_m: Of each vertex; a falling flap reaches 3 m/s.
        layer_stiffness_n_m: With which one layer carries the next, per pair of vertices.
        layer_friction_ns_m: Drag of one layer on the next, per pair of vertices.

    Raises:
        ConfigError: a number that is not positive, fewer than 3 vertices along an edge, or a cloth too stiff for its
            mass and the time step.
    """

    name: str = "towel"
    size_m: float = 0.25
    count: int = 11
    mass_kg: float = 0.04
    radius_m: float = 0.0015
    young_pa: float = 6e4
    thickness_m: float = 1e-3
    elastic_damping_s: float = 1e-4
    air_damping_ns_m: float = 1e-3
    layer_stiffness_n_m: float = 20.0
    layer_friction_ns_m: float = 0.02

    def __post_init__(self) -> None:
        _require_positive(self)
        if self.count < 3:
            raise ConfigError(f"cloth.count must be at least 3, not {self.count}")
        stiffness = self.young_pa * self.thickness_m
        # A vertex hangs on eight neighbours; explicit integration bears half of its mass over the step squared.
        limit = self.mass_kg / self.count**2 / (2.0 * STEP_S**2)
        if stiffness > limit:
            raise ConfigError(
                f"cloth.young_pa times thickness_m is {stiffness:g} N/m, too stiff for a vertex of "
                f"{self.mass_kg / self.count**2:.2g} kg; at most {limit:.3g} N/m"
            )

    @property
    def spacing_m(self) -> float:
        """Distance of neighbouring vertices."""
        return self.size_m / (self.count - 1)

    def grid_m(self) -> Float[np.ndarray, "v 2"]:
        """Return where the vertices lie in the cloth's own frame, the middle at the origin."""
        along = np.linspace(-0.5, 0.5, self.count) * self.size_m
        return np.stack(np.meshgrid(along, along, indexing="ij"), axis=-1).reshape(-1, 2)

    def corner(self, x_sign: int, y_sign: int) -> int:
        """Return the index of the corner in that quadrant of the cloth's frame."""
        last = self.count - 1
        return (last if x_sign > 0 else 0) * self.count + (last if y_sign > 0 else 0)


@dataclass(frozen=True)
class PinchConfig:
    """When two fingers hold cloth.

    Attributes:
        close_m: A pinch begins while the fingers close, at an opening under this,
        closing_m_s: and faster than this: fingers that are already shut do not pick up cloth.
        open_m: It ends at an opening over this.
        pad_half_m: Cloth must lie between the pads: this far to either side along the finger's width,
        beside_m: across the opening at most this far outside of it (closing fingers sweep that much in),
        above_m: between the top of the pads, this far above the tool centre point,
        below_m: and the finger tips, this far below it, with the cloth's thickness.
        stiffness_n_m: Of the spring from the held point of the cloth to its place between the pads.
        damping_ns_m: Of that spring.

    Raises:
        ConfigError: a number that is not positive, or a pinch that would end where it begins.
    """

    close_m: float = 0.008
    closing_m_s: float = 0.004
    open_m: float = 0.014
    pad_half_m: float = 0.0085
    beside_m: float = 0.003
    above_m: float = 0.009
    below_m: float = 0.012
    stiffness_n_m: float = 150.0
    damping_ns_m: float = 0.15

    def __post_init__(self) -> None:
        _require_positive(self)
        if not self.close_m < self.open_m:
            raise ConfigError(f"pinch.open_m must be above close_m {self.close_m:g}, not {self.open_m:g}")


def _require_positive(config: ClothConfig | PinchConfig) -> None:
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, int | float) and not value > 0:
            raise ConfigError(f"{type(config).__name__}.{field.name} must be positive, not {value}")
