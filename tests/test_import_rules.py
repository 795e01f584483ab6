"""The walls of the house: who may import what. Function-level imports count."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {name: ROOT / "src" / name / name for name in ("glue_perception", "glue_policy", "glue_bringup")}
FORBIDDEN_PACKAGES = {
    "glue_perception": {"glue_policy", "glue_bringup"},
    "glue_policy": {"glue_bringup"},
    "glue_bringup": set(),
}
ROS = {
    "rclpy",
    "glue_msgs",
    "sensor_msgs",
    "geometry_msgs",
    "nav_msgs",
    "std_msgs",
    "std_srvs",
    "builtin_interfaces",
    "launch",
    "launch_ros",
    "rcl_interfaces",
    "diagnostic_msgs",
    "rosidl_runtime_py",
    "ament_index_python",
}
NETWORK_PLACES = (
    "nets/",
    "policies/",
    "data/",
    "training/",
    "checkpoint.py",
    "runner.py",
    "traced.py",
    "engines/",
    "benchmark/",
    "detectors/",
    "segmenters/",
    "features/",
    "trackers/",
)
VENDOR = {
    "franky": {"glue_bringup/arm/franky_arm.py", "glue_bringup/gripper/franky_gripper.py"},
    "mujoco": {"glue_bringup/sim/"},
    "franky_sim": {"glue_bringup/sim/"},
    "pinocchio": {"glue_bringup/arm/kinematics.py"},
    "coal": {"glue_bringup/arm/kinematics.py"},
    "ruckig": {"glue_bringup/safety/motion_limiter.py"},
    "pyrealsense2": {"glue_perception/cameras/realsense.py"},
    "pyspacemouse": {"glue_bringup/teleop/"},
    "mcap": {"glue_perception/bags/"},
    "rosbags": {"glue_perception/bags/"},
    "cotracker": {"glue_perception/trackers/"},
    "groundingdino": {"glue_perception/detectors/"},
    "segment_anything": {"glue_perception/segmenters/"},
    "tensorboardX": {"glue_policy/training/metrics.py"},
    "lerobot": {"glue_policy/benchmark/lerobot_step.py"},
    "matplotlib": {"glue_bringup/experiment/", "glue_bringup/recording/episode_sheet.py"},
    "openvino": {"glue_policy/engines/openvino_graph.py"},
    "open_clip": {"glue_perception/features/", "glue_policy/nets/"},
    "h5py": {"glue_policy/data/interchange/robomimic.py"},
    "zarr": {"glue_policy/data/interchange/diffusion_policy.py"},
    "pyarrow": {"glue_policy/data/interchange/"},
    "av": {"glue_policy/data/interchange/video_frames.py"},
}
IMPORTING_CALLS = {"importlib.import_module", "import_package"}
NUMPY_AT_MOST = [
    "glue_perception/types.py",
    "glue_perception/errors.py",
    "glue_perception/config.py",
    "glue_perception/geometry.py",
    "glue_perception/timing.py",
    "glue_bringup/safety/",
    "glue_bringup/arm/limits.py",
]
LIGHT = {"numpy", "jaxtyping", "yaml", "ruckig", "glue_perception", "glue_bringup"}


def source_files() -> list[Path]:
    return sorted(f for folder in PACKAGES.values() for f in folder.rglob("*.py"))


def relative(file: Path) -> str:
    return file.relative_to(ROOT / "src").as_posix().split("/", 1)[1]


def imported(file: Path) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: write absolute imports"
            modules.add(node.module or "")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in IMPORTING_CALLS:
            modules.update(str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant))
    return modules


def roots(file: Path) -> set[str]:
    return {module.split(".")[0] for module in imported(file)}


@pytest.fixture(scope="module", params=source_files(), ids=relative)
def file(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_packages_form_a_line(file: Path) -> None:
    wrong = roots(file) & FORBIDDEN_PACKAGES[relative(file).split("/")[0]]
    assert not wrong, f"{relative(file)} imports {wrong}"


def test_ros_only_in_nodes_and_conversions(file: Path) -> None:
    if relative(file).startswith("glue_bringup/nodes/") or file.name == "ros_conversions.py":
        assert "torch" not in roots(file), "a node is a shell and holds no network"
        return
    assert not roots(file) & ROS


def test_torch_only_where_networks_live(file: Path) -> None:
    if "torch" in roots(file):
        inside = relative(file).split("/", 1)[1]
        assert inside.startswith(NETWORK_PLACES), f"{relative(file)} imports torch"


def test_vendor_packages_have_one_home(file: Path) -> None:
    for vendor in roots(file) & set(VENDOR):
        assert relative(file).startswith(tuple(VENDOR[vendor])), f"{relative(file)} imports {vendor}"


def test_waist_and_safety_are_light(file: Path) -> None:
    if relative(file).startswith(tuple(NUMPY_AT_MOST)):
        import sys

        heavy = roots(file) - LIGHT - set(sys.stdlib_module_names)
        assert not heavy, f"{relative(file)} imports {heavy}"


def test_no_dangerous_calls(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in {"eval", "exec", "pickle.load", "pickle.loads", "yaml.load"}, (
                f"{relative(file)}: {name}"
            )
            if name == "torch.load":
                assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)
    assert "pickle" not in roots(file)
