"""Records what a policy did: the same bags as demonstrations, audited too, but no finding makes one unfit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from glue_bringup.recording.audit import Finding, Severity
from glue_bringup.recording.demonstration_recorder import DemonstrationRecorder


class RolloutRecorder(DemonstrationRecorder):
    """A recorder of evaluations: whether the task was done is what counts, however bad the record."""

    def judge(self, findings: Sequence[Finding]) -> tuple[Finding, ...]:
        """Return the findings as warnings, without that nobody demonstrated anything."""
        return tuple(replace(f, severity=Severity.WARN) for f in findings if f.check != "no_actions")
