"""Every fault of the table: a hold in time, no step, no limit exceeded, and the line that tells why."""

import pytest

from glue_bringup.arm.limits import FR3, PANDA
from glue_bringup.faults.bench import SafetyBench
from glue_bringup.faults.motion_audit import violations
from glue_bringup.faults.table import FAULTS, MAX_HOLD_DELAY_S, FaultKind
from glue_bringup.safety.state_machine import SupervisorMode


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_holds_in_time_within_all_limits(fault):
    limits = FR3 if FAULTS.index(fault) % 2 else PANDA
    bench = SafetyBench(limits)
    assert bench.run(0.5).mode is SupervisorMode.ACTIVE
    fault.inject(bench)
    begun_s = None
    for k in range(60):
        command = bench.tick()
        if command.mode is not SupervisorMode.ACTIVE and begun_s is None:
            begun_s = (k + 1) * 0.01
            assert command.reason == fault.reason
            assert command.line
    if fault.reason is None:
        assert begun_s is None
    else:
        assert begun_s is not None, "no hold began"
        assert begun_s <= MAX_HOLD_DELAY_S + 1e-9
    poses = [c.T_base_ee for c in bench.commands]
    assert violations([poses[0]] * 3 + poses, bench.joints_rad, 0.01, limits, bench.config) == []
    assert all(0.0 <= c.gripper_width_m <= bench.config.gripper_max_width_m for c in bench.commands)


def test_the_table_names_each_fault_once_and_every_kind():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert {fault.kind for fault in FAULTS} == set(FaultKind)
