"""The soak of scripts/soak.py for half a minute of simulated time: it breaks nothing, and would say so."""

import random

from glue_bringup.faults import soak as soak_module
from glue_bringup.faults.soak import SoakReport, TwinBench, soak
from glue_bringup.faults.table import Fault, FaultKind
from glue_bringup.safety.state_machine import SupervisorMode
from glue_bringup.sim.sync_twin import SyncTwin
from glue_bringup.task_config import load_task


def test_half_a_minute_with_faults_breaks_nothing():
    report = soak(0.4, seed=5, tasks=["push_button"])
    assert report.broken == []
    assert report.model_s >= 24.0
    assert report.episodes.total() >= 2
    assert report.faults.total() >= 5
    assert len(report.memory_mb) == 4
    assert report.files[0] == report.files[1]


def test_a_missed_hold_and_a_stuck_arm_are_reported():
    task, report = load_task("push_button"), SoakReport()
    with SyncTwin(task.task, 0, task.camera, task.gains) as twin:
        bench = TwinBench(task, twin, 0)
        assert bench.run(0.5).mode is SupervisorMode.ACTIVE
        unseen = Fault("unseen", FaultKind.STATE, "stale_state", lambda bench: None)
        soak_module._fault(unseen, bench, random.Random(0), report, "here")
        locked = Fault("locked", FaultKind.OPERATOR, "x", lambda bench: bench.supervisor.operator_hold("x"))
        soak_module._fault(locked, bench, random.Random(0), report, "here")
    assert [line.split(": ")[1:3] for line in report.broken] == [
        ["unseen", "hold missed or late (None ticks)"],
        ["locked", "stuck, held by the operator"],
    ]
