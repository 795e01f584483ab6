"""Teleoperation: from raw reports to chunks, and everything that may be wrong with a handle and its cable."""

import importlib.util
import itertools
import os
import struct
import time

import numpy as np
import pytest
from demonstrations import DOWN, frame, patches

from glue_bringup.arm.limits import RobotModel, limits_for
from glue_bringup.safety.config import SafetyConfig, WorkspaceBox
from glue_bringup.safety.supervisor import SafetySupervisor, SupervisorMode
from glue_bringup.teleop import spacemouse
from glue_bringup.teleop.config import Deadman, Rotation, TeleopConfig
from glue_bringup.teleop.device import DeviceReading
from glue_bringup.teleop.keyboard import Keyboard
from glue_bringup.teleop.motion import TeleopMotion, TeleopState
from glue_bringup.teleop.operator import OperatorCommand, TerminalOperator
from glue_bringup.teleop.source import TeleopSource
from glue_perception.config import load_config
from glue_perception.errors import ConfigError, HardwareError, MissingDependencyError
from glue_perception.geometry import make_transform, matrix_from_rotation_6d, rotation_vector
from glue_perception.timing import NS_PER_S, ManualClock
from glue_perception.types import Observation, RobotState

DT_NS = 100_000_000
FREE = TeleopConfig(deadman=Deadman.NONE, stuck_after_s=1000.0)
needs_package = pytest.mark.skipif(
    importlib.util.find_spec("pyspacemouse") is None, reason=f"pyspacemouse is missing: {spacemouse.INSTALL}"
)


class Hid:
    """The USB end of a SpaceMouse: gives the raw reports that were put into it."""

    product_string = manufacturer_string = serial_number = "test"
    release_number = 1

    def __init__(self) -> None:
        self.reports: list[bytes] = []
        self.unplugged = False

    def read(self, size: int) -> bytearray:
        if self.unplugged:
            raise OSError("Failed to read from HID device: -1")
        return bytearray(self.reports.pop(0)) if self.reports else bytearray()

    def open(self) -> None: ...

    def close(self) -> None: ...

    def translate(self, x: int, y: int, z: int) -> None:
        self.reports.append(struct.pack("<Bhhh", 1, x, y, z))

    def rotate(self, x: int, y: int, z: int) -> None:
        self.reports.append(struct.pack("<Bhhh", 2, x, y, z))

    def buttons(self, bits: int) -> None:
        self.reports.append(struct.pack("<BBxxxxx", 3, bits))


def compact(hid: Hid):
    import pyspacemouse

    spec = pyspacemouse.get_device_specs()["SpaceMouseCompact"]
    return pyspacemouse.SpaceMouseDevice(
        pyspacemouse.apply_axis_convention(spec, pyspacemouse.AxisConvention.ROS), hid
    )


@pytest.fixture
def clock():
    return ManualClock(1_700_000_000_000_000_000)


@pytest.fixture
def mouse(clock):
    hid = Hid()
    device = spacemouse.SpaceMouse(compact(hid), clock)
    yield hid, device
    device.close()


# Raw reports: HID's x is to the right, y towards the user, z down (USB HID usage tables, 4.2); full scale is 350.
@needs_package
@pytest.mark.parametrize(
    ("report", "values", "axis", "sign"),
    [
        ("translate", (0, -350, 0), 0, 1),
        ("translate", (-350, 0, 0), 1, 1),
        ("translate", (0, 0, -350), 2, 1),
        ("translate", (0, 350, 0), 0, -1),
        ("rotate", (0, 0, -350), 5, 1),
        ("rotate", (350, 0, 0), 4, -1),
        ("rotate", (0, 350, 0), 3, -1),
    ],
)
def test_raw_reports_become_axes_of_the_base_frame(mouse, report, values, axis, sign):
    hid, device = mouse
    getattr(hid, report)(*values)
    device.poll()
    expected = np.zeros(6)
    expected[axis] = sign
    assert np.allclose(device.read().axes, expected)


@needs_package
def test_buttons_are_counted_between_readings_and_reports_are_never_left_behind(mouse, clock):
    hid, device = mouse
    for bits in (2, 0, 2, 0, 3, 1):
        hid.buttons(bits)
        hid.translate(0, -100, 0)
    device.poll()
    reading = device.read()
    assert not hid.reports
    assert (reading.pressed, reading.presses) == ((True, False), (1, 3))
    assert reading.axes[0] == pytest.approx(100 / 350)


@needs_package
def test_an_unplugged_mouse_is_an_error_until_it_is_back(clock):
    hid, other = Hid(), Hid()
    devices = [compact(other)]
    device = spacemouse.SpaceMouse(compact(hid), clock, reopen=devices.pop)
    hid.translate(0, -350, 0)
    device.poll()
    hid.unplugged = True
    device.poll()
    with pytest.raises(HardwareError, match=r"gone.*cable"):
        device.read()
    device.poll()
    assert not np.any(device.read().axes), "what it said before it was lost is forgotten"
    other.translate(0, 350, 0)
    device.poll()
    assert device.read().axes[0] == pytest.approx(-1.0)


@needs_package
def test_without_a_mouse_the_error_says_what_to_do():
    with pytest.raises((HardwareError, MissingDependencyError), match=r"cable|libhidapi"):
        spacemouse.open_spacemouse()


@pytest.mark.skipif(importlib.util.find_spec("pyspacemouse") is not None, reason="pyspacemouse is installed")
def test_without_the_package_the_error_names_the_command():
    with pytest.raises(MissingDependencyError, match=r"pip install 'pyspacemouse.*libhidapi"):
        spacemouse.open_spacemouse()


def reading(t_ns, axes=(0, 0, 0, 0, 0, 0), pressed=(True, False), presses=(0, 0)):
    return DeviceReading(t_ns, np.array(axes, dtype=np.float64), pressed, presses)


def centred(config=FREE):
    motion = TeleopMotion(config)
    motion.update(reading(0, pressed=(False, False)), 0)
    return motion


def test_dead_band_and_scale():
    motion = centred()
    assert motion.update(reading(1, (0.08, -0.08, 0.05, 0, 0, 0)), 1).state is TeleopState.AT_REST
    full = motion.update(reading(2, (1.0, -1.2, 0, 0, 0, 1.0)), 2)
    assert np.allclose(full.linear_m_s, [0.15, -0.15, 0])
    assert np.allclose(full.angular_rad_s, [0, 0, 0.6])
    half = motion.update(reading(3, (0.54, 0, 0, 0, 0, 0)), 3)
    assert np.allclose(half.linear_m_s, [0.075, 0, 0])


def test_rotation_off():
    config = TeleopConfig(deadman=Deadman.NONE, rotation=Rotation.OFF)
    motion = centred(config)
    assert motion.update(reading(1, (0, 0, 0, 1, 1, 1)), 1).state is TeleopState.AT_REST
    assert not np.any(motion.update(reading(2, (1, 0, 0, 1, 1, 1)), 2).angular_rad_s)


def test_nothing_moves_without_the_deadman():
    motion = centred(TeleopConfig())
    push = (1.0, 0, 0, 0, 0, 0)
    released = motion.update(reading(1, push, pressed=(False, False)), 1)
    assert released.state is TeleopState.DEADMAN
    assert not np.any(released.linear_m_s)
    assert motion.update(reading(2, push), 2).state is TeleopState.MOVING
    assert motion.update(reading(3, push, pressed=()), 3).state is TeleopState.DEADMAN


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 30.0])
def test_impossible_values_hold_until_the_handle_is_centred(bad):
    motion = centred()
    for axis in range(6):
        axes = np.zeros(6)
        axes[axis] = bad
        assert motion.update(reading(axis, axes), axis).state is TeleopState.BAD_VALUE
    assert motion.update(reading(9, (1, 0, 0, 0, 0, 0)), 9).state is TeleopState.NOT_CENTRED
    assert motion.update(reading(10), 10).state is TeleopState.AT_REST
    assert motion.update(reading(11, (1, 0, 0, 0, 0, 0)), 11).state is TeleopState.MOVING
    assert motion.update(DeviceReading(12, np.zeros(3)), 12).state is TeleopState.BAD_VALUE


def test_a_handle_that_is_deflected_at_the_start_moves_nothing():
    motion = TeleopMotion(FREE)
    for k in range(5):
        assert motion.update(reading(k, (0, 0, 0.5, 0, 0, 0)), k).state is TeleopState.NOT_CENTRED
    held = TeleopMotion(TeleopConfig())
    assert held.update(reading(0), 0).state is TeleopState.NOT_CENTRED, "nor one whose deadman is held"


def test_one_stuck_axis_is_found_while_others_move():
    motion = centred(TeleopConfig(deadman=Deadman.NONE, stuck_after_s=1.0))
    rng = np.random.default_rng(0)
    states = []
    for k in range(1, 15):
        t_ns = k * DT_NS
        states.append(motion.update(reading(t_ns, (rng.uniform(0.2, 0.9), 0, 0.31, 0, 0, 0)), t_ns).state)
    assert states[0] is TeleopState.MOVING
    assert states[-1] in (TeleopState.STUCK, TeleopState.NOT_CENTRED)
    assert TeleopState.STUCK in states


def test_a_resting_handle_is_silent_by_nature_a_deflected_one_is_not():
    motion = centred()
    assert motion.update(reading(1), 3600 * NS_PER_S).state is TeleopState.AT_REST
    push = reading(10 * NS_PER_S, (1, 0, 0, 0, 0, 0))
    assert motion.update(push, 10 * NS_PER_S + DT_NS).state is TeleopState.MOVING
    assert motion.update(push, 10 * NS_PER_S + 4 * DT_NS).state is TeleopState.LOST
    assert motion.update(push, 9 * NS_PER_S).state is TeleopState.LOST, "a report from the future"


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("linear_speed_m_s", 2.0, "linear_speed_m_s must lie in 0..0.5"),
        ("dead_band", float("nan"), "dead_band must be finite"),
        ("stuck_after_s", 0.0, "stuck_after_s must be positive"),
        ("gripper_button", 0, "must differ"),
        ("closed_width_m", 0.09, "below open_width_m"),
    ],
)
def test_impossible_settings_are_refused(key, value, match):
    with pytest.raises(ConfigError, match=match):
        TeleopConfig(**{key: value})


def test_settings_come_from_yaml(tmp_path):
    file = tmp_path / "teleop.yaml"
    file.write_text("linear_speed_m_s: 0.1\nrotation: 'off'\ndeadman: none\n", encoding="utf-8")
    config = load_config(TeleopConfig, file)
    assert (config.linear_speed_m_s, config.rotation, config.deadman) == (0.1, Rotation.OFF, Deadman.NONE)
    file.write_text("linear_speed: 0.1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="linear_speed_m_s"):
        load_config(TeleopConfig, file)


class Handle:
    """An input device that a test moves."""

    name = "handle"

    def __init__(self, clock) -> None:
        self.clock, self.axes, self.presses, self.lost = clock, np.zeros(6), 0, False

    def read(self) -> DeviceReading:
        if self.lost:
            raise HardwareError("unplugged")
        return DeviceReading(self.clock.now_ns(), np.array(self.axes), (False, False), (0, self.presses))

    def close(self) -> None: ...


def observation(t_ns, T_base_ee, width_m=0.08):
    state = RobotState(t_ns, np.zeros(7), np.zeros(7), T_base_ee, width_m)
    return Observation(frame(0, t_ns), patches(0, t_ns), state)


START = make_transform(DOWN, np.array([0.5, 0.0, 0.3]))


class Arm:
    """A source under test with an arm that is where it was told to be one period ago."""

    def __init__(self, clock, device, config=FREE, box=None) -> None:
        self.clock, self.states = clock, []
        self.source = TeleopSource(
            device,
            config,
            box or WorkspaceBox(),
            0.1,
            lambda t, s: self.states.append(s),
            clock,
        )
        self.T = START
        self.source.reset(observation(clock.now_ns(), self.T))

    def step(self, follow=True):
        self.clock.advance_ns(DT_NS)
        decision = self.source.decide(observation(self.clock.now_ns(), self.T))
        if follow:
            chunk = decision.chunk
            self.T = make_transform(matrix_from_rotation_6d(chunk.rotation_6d[1]), chunk.position_m[1])
        return decision


def test_velocity_becomes_a_path_of_stamped_chunks_without_seams(clock):
    handle = Handle(clock)
    arm = Arm(clock, handle)
    decisions = [arm.step()]
    handle.axes = np.array([1.0, 0, 0, 0, 0, 1.0])
    decisions += [arm.step() for _ in range(10)]
    for before, after in itertools.pairwise(decisions):
        assert after.chunk.stamp_ns - before.chunk.stamp_ns == DT_NS
        assert np.array_equal(before.chunk.position_m[1], after.chunk.position_m[0])
        assert np.array_equal(before.chunk.rotation_6d[1], after.chunk.rotation_6d[0])
    for decision in decisions:
        assert len(decision.demonstrated) == 1
        assert decision.demonstrated.stamp_ns == decision.chunk.stamp_ns
        assert np.array_equal(decision.demonstrated.position_m[0], decision.chunk.position_m[0])
    assert arm.T[:3, 3] == pytest.approx([0.5 + 0.15, 0.0, 0.3])
    assert rotation_vector(arm.T[:3, :3] @ DOWN.T) == pytest.approx([0, 0, 0.6])


def test_the_gripper_button_toggles_once_per_press(clock):
    handle = Handle(clock)
    arm = Arm(clock, handle)
    widths = []
    for presses in (0, 1, 1, 2, 4, 5):
        handle.presses = presses
        widths.append(arm.step().chunk.gripper_width_m[-1])
    assert widths == [0.08, 0.0, 0.0, 0.08, 0.08, 0.0]


def test_a_lost_device_holds_the_target_and_coming_back_moves_nothing(clock):
    handle = Handle(clock)
    arm = Arm(clock, handle)
    arm.step()
    handle.axes[2] = -1.0
    arm.step()
    handle.lost = True
    held = [arm.step().chunk for _ in range(5)]
    assert all(np.array_equal(c.position_m, np.tile(held[0].position_m[0], (3, 1))) for c in held)
    handle.lost, handle.presses = False, 3  # pressed while it was away
    back = arm.step().chunk
    assert np.array_equal(back.position_m[1], held[0].position_m[0])
    assert back.gripper_width_m[-1] == 0.08
    assert arm.states == [
        TeleopState.AT_REST,
        TeleopState.MOVING,
        TeleopState.LOST,
        TeleopState.NOT_CENTRED,
    ]


def test_the_target_stays_in_the_workspace_and_near_a_blocked_arm(clock):
    handle = Handle(clock)
    arm = Arm(clock, handle, box=WorkspaceBox((0.3, -0.1, 0.2), (0.6, 0.1, 0.4)))
    arm.step()
    handle.axes = np.array([1.0, 1.0, -1.0, 0, 0, 0])
    for _ in range(40):
        decision = arm.step()
    assert decision.chunk.position_m[1] == pytest.approx([0.6, 0.1, 0.2])
    handle.axes[:3] = [-1.0, 0, 0]
    assert arm.step().chunk.position_m[1][0] == pytest.approx(0.585), "the way back begins at once"
    blocked = Arm(clock, handle)
    handle.axes[:] = 0
    blocked.step(follow=False)
    handle.axes[:] = [0, 0, 1.0, 0, 1.0, 0]
    for _ in range(30):
        decision = blocked.step(follow=False)
    assert np.linalg.norm(decision.chunk.position_m[1] - START[:3, 3]) <= 0.05 + 1e-9
    turned = rotation_vector(matrix_from_rotation_6d(decision.chunk.rotation_6d[1]) @ DOWN.T)
    assert np.linalg.norm(turned) <= 0.3 + 1e-9


@needs_package
def test_raw_reports_move_the_commanded_pose_through_the_supervisor(mouse, clock):
    """The whole way: bytes of the device, reading, chunk, supervisor, command; then the cable is pulled."""
    hid, device = mouse
    arm = Arm(clock, device)
    supervisor = SafetySupervisor(SafetyConfig(), limits_for(RobotModel.FR3))
    state = observation(clock.now_ns(), START).robot_state
    supervisor.reset(clock.now_ns(), state)
    T, path = START, []

    def period():
        nonlocal T
        now_ns = clock.now_ns()
        device.poll()
        seen = observation(now_ns, T)
        supervisor.note_frame(now_ns)
        supervisor.note_key_patches(seen.key_patches)
        supervisor.submit(arm.source.decide(seen).chunk, now_ns)
        for _ in range(10):
            now_ns = clock.now_ns()
            robot = RobotState(now_ns, np.zeros(7), np.zeros(7), T, 0.08)
            command = supervisor.step(now_ns, robot)
            T = command.T_base_ee
            path.append(T[:3, 3])
            clock.advance_ns(DT_NS // 10)
        return command

    period()
    for k in range(15):
        hid.translate(0, -340 - k % 3, 0)
        command = period()
    assert command.mode is SupervisorMode.ACTIVE
    assert T[0, 3] - 0.5 == pytest.approx(0.15 * 1.4, abs=0.04)
    assert T[1:3, 3] == pytest.approx([0.0, 0.3], abs=1e-6)
    hid.unplugged = True
    for _ in range(8):
        period()
    rest = T[:3, 3]
    for _ in range(5):
        period()
    assert np.allclose(T[:3, 3], rest, atol=1e-4), "the arm rests"
    steps_m = np.linalg.norm(np.diff(path, axis=0), axis=1)
    assert steps_m.max() <= 0.5 * 0.01 + 1e-9, "no step in the commanded pose"


def test_keys_move_for_as_long_as_they_repeat(clock):
    keyboard = Keyboard(clock)
    assert keyboard.feed("w")
    assert keyboard.feed("a")
    assert not keyboard.feed("y"), "not a key of the device"
    assert keyboard.read().axes.tolist() == [1, 1, 0, 0, 0, 0]
    clock.advance_ns(DT_NS)
    keyboard.feed("w")
    keyboard.feed("d")
    assert keyboard.read().axes.tolist() == [1, 0, 0, 0, 0, 0], "opposite keys cancel each other"
    clock.advance_ns(3 * DT_NS)
    assert not np.any(keyboard.read().axes)
    keyboard.feed("g")
    assert keyboard.read().presses == (0, 1)


def test_the_terminal_gives_commands_and_passes_motion_on(clock):
    keyboard = Keyboard(clock)
    operator_end, terminal = os.openpty()
    try:
        with TerminalOperator(keyboard.feed, terminal) as operator:
            os.write(operator_end, b"\nwwg yxn\x7fq")
            commands = [operator.take(5.0) for _ in range(6)]
            assert operator.take(0.0) is None
        assert commands == [
            OperatorCommand.START,
            OperatorCommand.STOP,
            OperatorCommand.SUCCESS,
            OperatorCommand.FAILURE,
            OperatorCommand.DISCARD,
            OperatorCommand.QUIT,
        ]
        assert keyboard.read().axes[0] == 1.0
    finally:
        os.close(operator_end)
        os.close(terminal)


def test_a_closed_terminal_quits(clock):
    operator_end, terminal = os.openpty()
    with pytest.raises(ConfigError, match="terminal"):
        TerminalOperator(fd=os.open(os.devnull, os.O_RDONLY))
    operator = TerminalOperator(fd=terminal)
    with operator:
        os.close(operator_end)
        end_s = time.monotonic() + 10
        while (command := operator.take(0.1)) is None and time.monotonic() < end_s:
            pass
    assert command is OperatorCommand.QUIT
    os.close(terminal)
