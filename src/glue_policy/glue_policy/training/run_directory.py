"""The folder of one training run: what it is about, where it stands, and what it has made.

```
run.yaml          settings, architecture and training set; a run of others is refused
state.pt          weights, their average, optimiser, step: what the next part goes on from
checkpoint/       the averaged weights so far, as `glue eval --policy` takes them
best/             those that did best, with evaluation.json, if the run is evaluated
metrics.csv       loss, learning rate, speed
evaluations.csv   success rates
loss.png          both as a picture, left by `glue train` at its end
tensorboard/      event files, if asked for
```
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml

from glue_perception.config import from_mapping, read_yaml, to_mapping
from glue_perception.errors import CheckpointError, ConfigError
from glue_policy.checkpoint import save_policy
from glue_policy.policies.base import Policy
from glue_policy.training.config import TrainConfig
from glue_policy.training.files import replaced_when_complete

STATE_FILE = "state.pt"
RUN_FILE = "run.yaml"
CHECKPOINT_DIRECTORY = "checkpoint"


class RunDirectory:
    """Reads and writes a run's folder; each file is replaced only when its successor is complete.

    Args:
        path: Of the folder, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def checkpoint(self) -> Path:
        """Where the averaged weights are."""
        return self.path / CHECKPOINT_DIRECTORY

    def claim(self, config: TrainConfig, policy: Policy, data: dict[str, Any]) -> None:
        """Begin a run here, or make sure that it is the one that is here already.

        Args:
            config: Settings; those of `CHANGEABLE` may differ from the earlier part's.
            policy: Its name and architecture count.
            data: What it learns from: the training set's fingerprint, the checkpoint that it starts with.

        Raises:
            ConfigError: another run is here; the message names what differs.
            CheckpointError: the folder cannot be written.
        """
        path = self.path / RUN_FILE
        new = {
            "train": to_mapping(config),
            "policy": {policy.name: to_mapping(policy.config)},
            "data": data,
        }
        if path.exists():
            self._compare(path, new)
        with replaced_when_complete(path) as partial:
            partial.write_text(yaml.safe_dump(new, sort_keys=False), encoding="utf-8")

    def save_state(self, state: dict[str, Any]) -> None:
        """Write what the next part of the run needs: tensors and plain values.

        Raises:
            CheckpointError: it cannot be written; the earlier one stays.
        """
        with replaced_when_complete(self.path / STATE_FILE) as partial:
            torch.save(state, partial)

    def save_checkpoint(self, policy: Policy, facts: dict[str, Any]) -> None:
        """Write the policy as it is, with its provenance.

        Raises:
            CheckpointError: it cannot be written.
        """
        save_policy(self.checkpoint, policy, facts)

    def load_state(self, device: torch.device) -> dict[str, Any] | None:
        """Return the saved state, None if there is none.

        Raises:
            CheckpointError: it is damaged.
        """
        path = self.path / STATE_FILE
        if not path.exists():
            return None
        try:
            state = torch.load(path, map_location=device, weights_only=True)
        except Exception as error:  # torch.load raises many kinds on damaged files
            raise self.bad_state(error) from error
        if not isinstance(state, dict):
            raise self.bad_state(TypeError("it holds no mapping"))
        return state

    def bad_state(self, error: Exception) -> CheckpointError:
        """Return the error to raise for a state that cannot be used."""
        return CheckpointError(
            f"cannot resume from {self.path / STATE_FILE} ({error}); delete it to train anew"
        )

    def _compare(self, path: Path, new: dict[str, Any]) -> None:
        old = read_yaml(path)
        try:
            earlier = from_mapping(TrainConfig, old["train"], str(path)).lasting()
            wanted = from_mapping(TrainConfig, new["train"], "settings").lasting()
            different = {
                "settings": _differences(earlier, wanted),
                "architecture": _differences(old["policy"], new["policy"]),
                "training data": _differences(old["data"], new["data"]),
            }
        except (KeyError, AttributeError) as error:
            raise ConfigError(
                f"{path} was not written by this version ({error} is missing); give another --out"
            ) from error
        for what, differences in different.items():
            if differences:
                raise ConfigError(
                    f"{self.path} holds a run with other {what}: {'; '.join(differences)}. "
                    "Give another --out, or delete it"
                )


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return a phrase for each key that differs, going into sections."""
    found = []
    for key in [*old, *(k for k in new if k not in old)]:
        before, now = old.get(key), new.get(key)
        if before == now:
            continue
        if isinstance(before, dict) and isinstance(now, dict):
            found += [f"{key}.{phrase}" for phrase in _differences(before, now)]
        else:
            found.append(f"{key} was {_short(before)}, now {_short(now)}")
    return found


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 40 else text[:37] + "..."
