"""Records what a policy did: the same bags as demonstrations, audited too, but no finding makes one unfit."""

from __future__ import annotations

from collections.abc import Sequence

from glue_bringup.recording.audit import Finding
from glue_bringup.recording.demonstration_recorder import DemonstrationRecorder


class RolloutRecorder(DemonstrationRecorder):
    """A recorder of evaluations: whether the task was done is what counts, however bad the record.

    Findings stay in the bag. Nobody demonstrates, so that the lack of demonstrated actions is none.
    """

    def refusals(self, findings: Sequence[Finding]) -> list[str]:
        """Return nothing: a rollout is not trained on."""
        return []
