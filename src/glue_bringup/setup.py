"""For colcon alone: where ROS looks for a package's marker and manifest. All metadata is in pyproject.toml."""

from pathlib import Path

from setuptools import Distribution, setup


class ReadableDistribution(Distribution):
    """colcon reads the configuration back from its repr, which requires-python's own type does not survive."""

    def parse_config_files(self, *args, **kwargs):
        super().parse_config_files(*args, **kwargs)
        self.python_requires = self.metadata.python_requires = str(self.python_requires)


setup(
    distclass=ReadableDistribution,
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/glue_bringup"]),
        # With --symlink-install colcon builds among links to the files named here, so pyproject.toml is one of them.
        ("share/glue_bringup", ["package.xml", "pyproject.toml"]),
        ("share/glue_bringup/config", ["config/foxglove.json", "config/glue.rviz"]),
        ("share/glue_bringup/launch", sorted(map(str, Path("launch").glob("*.launch.py")))),
    ],
)
