"""Declared parameters: typed, described, range-checked, read once when a node is configured."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from glue_perception.config import suggest
from glue_perception.errors import ConfigError


def _declare(node: Node, name: str, default: Any, descriptor: ParameterDescriptor) -> Any:
    descriptor.read_only = True
    try:
        return node.declare_parameter(name, default, descriptor).value
    except InvalidParameterTypeException as error:
        raise ConfigError(
            f"parameter {name} must be a {type(default).__name__}, e.g. {default!r} ({error})"
        ) from error
    except InvalidParameterValueException as error:
        raise ConfigError(f"parameter {name}: {error}") from error


def text(node: Node, name: str, default: str, description: str) -> str:
    """Declare a string and return its value."""
    return str(_declare(node, name, default, ParameterDescriptor(description=description)))


def choice(node: Node, name: str, default: str, choices: Collection[str], description: str) -> str:
    """Declare a string that is one of `choices` and return its value; ConfigError if it is none of them."""
    constraints = f"one of {', '.join(choices)}"
    descriptor = ParameterDescriptor(description=description, additional_constraints=constraints)
    value = str(_declare(node, name, default, descriptor))
    if value not in choices:
        raise ConfigError(f"parameter {name} must be {constraints}, not {value!r}.{suggest(value, choices)}")
    return value


def switch(node: Node, name: str, default: bool, description: str) -> bool:
    """Declare a boolean and return its value."""
    return bool(_declare(node, name, default, ParameterDescriptor(description=description)))


def integer(node: Node, name: str, default: int, low: int, high: int, description: str) -> int:
    """Declare an integer in low..high and return its value; ConfigError if it lies outside."""
    limits = IntegerRange(from_value=low, to_value=high, step=1)
    descriptor = ParameterDescriptor(description=description, integer_range=[limits])
    return int(_declare(node, name, default, descriptor))


def number(node: Node, name: str, default: float, low: float, high: float, description: str) -> float:
    """Declare a floating-point number in low..high and return its value; ConfigError if it lies outside."""
    limits = FloatingPointRange(from_value=low, to_value=high, step=0.0)
    descriptor = ParameterDescriptor(description=description, floating_point_range=[limits])
    return float(_declare(node, name, default, descriptor))
