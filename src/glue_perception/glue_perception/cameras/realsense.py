"""A RealSense camera through its SDK's Python package; the one place that imports it."""

from __future__ import annotations

import importlib

from glue_perception.cameras.base import CountingCamera
from glue_perception.cameras.realsense_config import RealSenseConfig
from glue_perception.errors import HardwareError, MissingDependencyError

INSTALL = "pip install 'glue_perception[realsense]'"


def open_realsense(config: RealSenseConfig) -> CountingCamera:
    """Return the started camera.

    Raises:
        HardwareError: no camera is connected.
        MissingDependencyError: the package pyrealsense2 is not installed.
    """
    try:
        sdk = importlib.import_module("pyrealsense2")
    except ImportError as error:
        raise MissingDependencyError(f"a RealSense camera needs pyrealsense2 ({error}): {INSTALL}") from error
    if not len(sdk.context().query_devices()):
        raise HardwareError("no RealSense camera is connected; check its cable and that the port is USB 3")
    raise HardwareError("the RealSense stream is not there yet")
