"""Every fault of the table: a hold in time, no step, no limit exceeded, nothing lost, and the line that tells why."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glue_bringup.arm.limits import FR3, PANDA
from glue_bringup.faults.loop_faults import LOOP_FAULTS, run_in_loop
from glue_bringup.faults.motion_audit import motion_times_ns, steps
from glue_bringup.faults.network_faults import NETWORK_FAULTS
from glue_bringup.faults.protocol_faults import ProtocolRun
from glue_bringup.faults.report import run_on_bench
from glue_bringup.faults.table import FAULTS, Fault, FaultKind
from glue_bringup.safety.config import SafetyConfig
from glue_perception.geometry import make_transform

ROOT = Path(__file__).parents[3]
KINDS = {*(f.kind for f in FAULTS), *(f.kind for f in LOOP_FAULTS), FaultKind.NETWORK}
NAMES = [fault.name for fault in (*FAULTS, *LOOP_FAULTS, *NETWORK_FAULTS)]
ON_THE_TWIN = (
    "camera delivers nothing",
    "policy answers NaN",
    "chunk far outside the box",
    "robot state leaps by 0.2 m",
    "emergency stop",
)
"""Some of each sort; scripts/fault_table.py injects all of them there."""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_of_an_input(fault):
    row = run_on_bench(fault, FR3 if FAULTS.index(fault) % 2 else PANDA)
    assert row.broken == ()
    assert (row.held_ms is None) == (fault.reason is None)


@pytest.mark.parametrize("fault", LOOP_FAULTS, ids=lambda fault: fault.name)
def test_fault_of_a_thread_or_the_disk(fault, tmp_path):
    assert run_in_loop(fault, tmp_path / "bag").broken == ()


@pytest.fixture(scope="module")
def twin_run():
    """One twin and one driver for all; on a computer that may be busy with other tests."""
    with ProtocolRun() as run:
        yield run


@pytest.mark.render
@pytest.mark.parametrize("name", ON_THE_TWIN)
def test_fault_of_an_input_around_the_robots_driver(twin_run, name):
    fault = next(fault for fault in FAULTS if fault.name == name)
    row = twin_run.input_fault(fault)
    assert row.broken == ()
    assert (row.held_ms is None) == (fault.reason is None)


@pytest.mark.render
def test_fault_of_a_thread_around_the_robots_driver(twin_run, tmp_path):
    fault = next(fault for fault in LOOP_FAULTS if fault.name == "policy thread dies")
    assert twin_run.loop_fault(fault, tmp_path / "bag").broken == ()


@pytest.mark.render
@pytest.mark.parametrize("fault", NETWORK_FAULTS, ids=lambda fault: fault.name)
def test_fault_of_the_network(twin_run, fault):
    assert twin_run.network_fault(fault).broken == ()


@pytest.mark.render
def test_the_suite_sees_on_the_twin_what_is_not_met(twin_run):
    surprising = Fault(
        "a push", FaultKind.STATE, None, lambda bench: setattr(bench, "external_force_n", 60.0)
    )
    assert "held (external_force), though it had to be endured" in twin_run.input_fault(surprising).broken
    bench = twin_run.bench
    assert bench.audit() == []
    moved = bench.commands[40].T_base_ee.copy()
    moved[0, 3] += 0.01
    bench.commands[40] = replace(bench.commands[40], T_base_ee=moved)
    assert any("translation acceleration" in what for what in bench.audit())


def test_motion_goes_on_by_ticks_while_the_clock_is_behind():
    assert motion_times_ns([0, 10, 21, 5, 16, 27, 37]) == [0, 10, 21, 32, 43, 49, 59]


def test_a_jerk_is_seen_at_uneven_times():
    times_s = np.cumsum(np.random.default_rng(0).uniform(0.004, 0.02, 60))
    config, stamps_ns = SafetyConfig(), [round(t * 1e9) for t in times_s]
    bound = config.motion.translation_jerk_m_s3
    for share, exceeded in ((0.98, False), (1.05, True)):
        poses = [
            make_transform(np.eye(3), np.array([0.4, 0.0, 0.4 + x])) for x in share * bound * times_s**3 / 6
        ]
        seen = " ".join(steps(poses[:8], stamps_ns[:8], config))
        assert ("translation jerk" in seen) == exceeded


def test_the_suite_sees_a_fault_that_is_not_met():
    harmless = Fault("nothing happens", FaultKind.STATE, "stale_state", lambda bench: None)
    assert "no hold began" in run_on_bench(harmless, FR3).broken
    surprising = Fault(
        "a push", FaultKind.STATE, None, lambda bench: setattr(bench, "external_force_n", 60.0)
    )
    assert any("had to be endured" in what for what in run_on_bench(surprising, FR3).broken)


def test_the_table_names_each_fault_once_and_every_kind():
    assert len(set(NAMES)) == len(NAMES) >= 30
    assert set(FaultKind) == KINDS


def test_the_document_holds_every_fault():
    lines = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").splitlines()
    written = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")]
    assert sorted(written) == sorted([*NAMES, "fault"])
