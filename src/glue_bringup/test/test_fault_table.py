"""Every fault of the table: a hold in time, no step, no limit exceeded, nothing lost, and the line that tells why."""

from pathlib import Path

import pytest

from glue_bringup.arm.limits import FR3, PANDA
from glue_bringup.faults.loop_faults import LOOP_FAULTS, run_in_loop
from glue_bringup.faults.network_faults import NETWORK_FAULTS, run_on_twin
from glue_bringup.faults.report import run_on_bench
from glue_bringup.faults.table import FAULTS, Fault, FaultKind

ROOT = Path(__file__).parents[3]
KINDS = {*(f.kind for f in FAULTS), *(f.kind for f in LOOP_FAULTS), FaultKind.NETWORK}
NAMES = [fault.name for fault in (*FAULTS, *LOOP_FAULTS, *NETWORK_FAULTS)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_of_an_input(fault):
    row = run_on_bench(fault, FR3 if FAULTS.index(fault) % 2 else PANDA)
    assert row.broken == ()
    assert (row.held_ms is None) == (fault.reason is None)


@pytest.mark.parametrize("fault", LOOP_FAULTS, ids=lambda fault: fault.name)
def test_fault_of_a_thread_or_the_disk(fault, tmp_path):
    assert run_in_loop(fault, tmp_path / "bag").broken == ()


@pytest.mark.render
@pytest.mark.parametrize("fault", NETWORK_FAULTS, ids=lambda fault: fault.name)
def test_fault_of_the_network(fault):
    assert run_on_twin(fault).broken == ()


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
