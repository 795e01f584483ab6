"""package.xml, setup.py and CMakeLists.txt say what the code says: rosdep and colcon take them at their word."""

import ast
import re
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("glue_msgs", "glue_perception", "glue_policy", "glue_bringup")
PYTHON_PACKAGES = PACKAGES[1:]
IN_JAZZY = {
    "action_msgs",
    "ament_cmake",
    "ament_index_python",
    "builtin_interfaces",
    "diagnostic_msgs",
    "geometry_msgs",
    "launch",
    "launch_pytest",
    "launch_ros",
    "lifecycle_msgs",
    "nav_msgs",
    "rcl_interfaces",
    "rclpy",
    "ros2bag",
    "ros2launch",
    "rosbag2_interfaces",
    "rosbag2_py",
    "rosbag2_storage_mcap",
    "rosidl_default_generators",
    "rosidl_default_runtime",
    "rosidl_runtime_py",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
}
IN_ROSDEP = {
    "python3-numpy",
    "python3-opencv",
    "python3-pytest",
    "python3-pytest-timeout",
    "python3-rich",
    "python3-scipy",
    "python3-tqdm",
    "python3-yaml",
}
"""Both looked up in the repository ros/rosdistro, state of August 2026. Look up what you add."""


def manifest(package: str) -> ET.Element:
    return ET.parse(ROOT / "src" / package / "package.xml").getroot()  # noqa: S314 - our own file


def dependencies(package: str) -> set[str]:
    return {e.text or "" for e in manifest(package) if e.tag.endswith("depend")}


def imported(folder: Path) -> set[str]:
    """Names of the packages imported below a folder."""
    found: set[str] = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_rosdep_knows_every_key(package: str) -> None:
    unknown = dependencies(package) - IN_JAZZY - IN_ROSDEP - set(PACKAGES)
    assert not unknown, f"look up in ros/rosdistro: {unknown}"


@pytest.mark.parametrize("package", PYTHON_PACKAGES)
def test_what_is_imported_from_ros_is_declared(package: str) -> None:
    used = (imported(ROOT / "src" / package / package) | imported(ROOT / "src" / package / "launch")) & (
        IN_JAZZY | set(PACKAGES)
    )
    declared = dependencies(package)
    if package == "glue_bringup":  # by glue_policy
        declared |= dependencies("glue_policy")
    assert used - {package} <= declared


@pytest.mark.parametrize("package", PYTHON_PACKAGES)
def test_both_manifests_agree(package: str) -> None:
    project = tomllib.loads((ROOT / "src" / package / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    said = manifest(package)
    assert said.findtext("version") == project["version"]
    assert said.findtext("description") == project["description"]


@pytest.mark.parametrize("package", PYTHON_PACKAGES)
def test_colcon_finds_pytest(package: str) -> None:
    """Without an extra of this name colcon runs unittest, which finds none of the tests."""
    extras = tomllib.loads((ROOT / "src" / package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert any(text.startswith("pytest>") for text in extras["optional-dependencies"]["test"])


@pytest.mark.parametrize("package", PACKAGES)
def test_the_maintainer_is_no_example(package: str) -> None:
    (maintainer,) = manifest(package).findall("maintainer")
    assert maintainer.text == "GLUE for Franka maintainers"
    assert "example" not in maintainer.attrib["email"]


def test_every_interface_is_built_and_every_dependency_found() -> None:
    folder = ROOT / "src/glue_msgs"
    text = (folder / "CMakeLists.txt").read_text(encoding="utf-8")
    files = {
        f.relative_to(folder).as_posix()
        for kind in ("msg", "srv", "action")
        for f in folder.glob(f"{kind}/*")
    }
    assert set(re.findall(r'"((?:msg|srv|action)/[^"]+)"', text)) == files
    (generated,) = re.findall(r"DEPENDENCIES ([^)]*)\)", text)
    wanted = {e.text for e in manifest("glue_msgs").findall("depend")}
    assert set(generated.split()) == wanted
    assert wanted <= set(re.findall(r"find_package\((\w+)", text))


@pytest.mark.parametrize("package", PYTHON_PACKAGES)
def test_what_setup_installs_exists(package: str) -> None:
    folder = ROOT / "src" / package
    text = (folder / "setup.py").read_text(encoding="utf-8")
    named = {
        word
        for words in re.findall(r'"share/[^"]*", \[([^\]]*)\]', text)
        for word in re.findall(r'"(.*?)"', words)
    }
    assert named >= {"package.xml", "pyproject.toml"}
    for name in named:
        assert (folder / name).is_file(), name
