"""Training of a policy on demonstrations: seeded, resumable bit for bit on a CPU, and on record.

Everything random in step k is seeded by (seed, k), so a resumed run needs no generator's state.

A run's directory holds `run.yaml` (the resolved configuration), `metrics.csv`, `state.pt` (to resume) and
`checkpoint/` (what `glue sim --policy` takes). Under `max_minutes` the learning rate follows the clock, so two such
runs are alike but not equal.
"""

from __future__ import annotations

import copy
import csv
import math
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from tqdm import tqdm

from glue_perception.config import from_mapping, read_yaml, to_mapping
from glue_perception.errors import CheckpointError, ConfigError
from glue_perception.provenance import provenance
from glue_policy.checkpoint import save_policy
from glue_policy.data.augmentation import augment
from glue_policy.data.dataset import ChunkDataset
from glue_policy.nets.vit import clip_weights_directory
from glue_policy.policies.glue.configuration_glue import Encoder, GlueConfig
from glue_policy.policies.glue.modeling_glue import GluePolicy
from glue_policy.training.allocator import keep_freed_memory
from glue_policy.training.config import TrainConfig
from glue_policy.training.ema import WeightAverage
from glue_policy.training.interrupt import DeferredInterrupt

STATE_FILE = "state.pt"
RUN_FILE = "run.yaml"
METRICS_FILE = "metrics.csv"
CHECKPOINT_DIRECTORY = "checkpoint"
LOG_EVERY_STEPS = 20


class Trainer:
    """One training run in one directory.

    Args:
        config: Optimisation.
        dataset: Demonstrations.
        directory: Of the run. If it holds a state of the same configuration, the run goes on from there.
        record: What else belongs into the provenance, e.g. the data's directory and the command.

    Raises:
        ConfigError: the directory holds a run of another configuration.
    """

    def __init__(
        self, config: TrainConfig, dataset: ChunkDataset, directory: Path, record: dict[str, Any]
    ) -> None:
        keep_freed_memory()
        torch.set_num_threads(config.torch_threads)
        torch.manual_seed(config.seed)
        self._config = config
        self._dataset = dataset
        self._directory = directory
        self._record = record
        policy_config = GlueConfig.preset(config.preset)
        weights = clip_weights_directory() if policy_config.encoder is Encoder.CLIP else None
        self._policy = GluePolicy(policy_config, weights)
        self._policy.fit_ranges(dataset.actions, dataset.joint_positions)
        self._average = WeightAverage(self._policy, config.ema_decay)
        self._optimiser = torch.optim.AdamW(
            [p for p in self._policy.parameters() if p.requires_grad],
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
        )
        self.step = 0
        self._minutes = 0.0
        self._recent: list[float] = []
        self._loss: float | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self._check_same_run()
        self._resume()

    def run(self) -> Path:
        """Train to the last step or the time limit and return the checkpoint's directory.

        Raises:
            KeyboardInterrupt: after Ctrl-C or SIGTERM, with the step finished and the state saved; the same command
                goes on from there.
            CheckpointError: the loss or its gradient is not finite; what was saved before stays as it is.
        """
        begin = last_save = time.monotonic()
        earlier_minutes = self._minutes
        bar = tqdm(total=self._config.steps, initial=self.step, unit="step", dynamic_ncols=True, desc="train")
        with bar, DeferredInterrupt() as interrupt:
            while self.step < self._config.steps and not self._out_of_time() and not interrupt.requested:
                self._recent.append(self._train_step())
                self.step += 1
                self._minutes = earlier_minutes + (time.monotonic() - begin) / 60.0
                bar.update()
                if self.step % LOG_EVERY_STEPS == 0 or self.step == self._config.steps:
                    self._log(bar)
                if time.monotonic() - last_save > self._config.checkpoint_every_s:
                    self._save()
                    last_save = time.monotonic()
            self._save()
        return self._directory / CHECKPOINT_DIRECTORY

    def _train_step(self) -> float:
        config, rng = self._config, np.random.default_rng([self._config.seed, self.step])
        index = torch.from_numpy(rng.integers(len(self._dataset), size=config.batch_size))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        for group in self._optimiser.param_groups:
            group["lr"] = config.learning_rate * self._schedule()
        batch = augment(self._dataset.batch(index), generator)
        self._policy.train()
        with self._precision():
            loss = self._policy.loss(batch, generator)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._policy.parameters(), config.gradient_clip)
        value = float(loss.detach())
        if not (math.isfinite(value) and math.isfinite(float(norm))):
            raise CheckpointError(
                f"step {self.step} gave loss {value} with a gradient of norm {float(norm)}; "
                "lower learning_rate and train anew"
            )
        self._optimiser.step()
        self._average.update(self._policy, self.step)
        return value

    def _precision(self) -> AbstractContextManager[Any]:
        if self._config.bfloat16:
            return torch.autocast("cpu", dtype=torch.bfloat16)
        return nullcontext()

    def _schedule(self) -> float:
        config = self._config
        if self.step < config.warmup_steps:
            return (self.step + 1) / config.warmup_steps
        progress = (self.step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
        if config.max_minutes is not None:
            progress = min(1.0, max(progress, self._minutes / config.max_minutes))
        return 0.5 * (1.0 + math.cos(math.pi * progress))

    def _out_of_time(self) -> bool:
        limit = self._config.max_minutes
        return limit is not None and self._minutes >= limit

    def _log(self, bar: tqdm[Any]) -> None:
        self._loss = loss = sum(self._recent) / len(self._recent)
        self._recent.clear()
        bar.set_postfix(loss=f"{loss:.4f}")
        path = self._directory / METRICS_FILE
        is_new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(["step", "minutes", "loss", "learning_rate"])
            rate = self._config.learning_rate * self._schedule()
            writer.writerow([self.step, f"{self._minutes:.3f}", f"{loss:.6f}", f"{rate:.3e}"])

    def _save(self) -> None:
        state = {
            "step": self.step,
            "minutes": self._minutes,
            "policy": self._policy.state_dict(),
            "average": self._average.values,
            "optimiser": self._optimiser.state_dict(),
        }
        partial = self._directory / (STATE_FILE + ".partial")
        torch.save(state, partial)
        partial.replace(self._directory / STATE_FILE)
        averaged = copy.deepcopy(self._policy)
        self._average.copy_to(averaged)
        facts = {
            **self._record,
            "train_config": to_mapping(self._config),
            "steps_done": self.step,
            "minutes": round(self._minutes, 2),
            "loss": self._loss,
            "observations": len(self._dataset),
            **provenance(),
        }
        save_policy(self._directory / CHECKPOINT_DIRECTORY, averaged, facts)

    def _check_same_run(self) -> None:
        path = self._directory / RUN_FILE
        if path.exists():
            old = from_mapping(TrainConfig, read_yaml(path), str(path))
            # Only these may change between the parts of one run.
            same = {"max_minutes": None, "torch_threads": 1, "checkpoint_every_s": 1.0}
            if to_mapping(old) | same != to_mapping(self._config) | same:
                raise ConfigError(
                    f"{self._directory} holds a run with other settings (see {path}); "
                    "give another --out, or delete it"
                )
        path.write_text(yaml.safe_dump(to_mapping(self._config), sort_keys=False), encoding="utf-8")

    def _resume(self) -> None:
        path = self._directory / STATE_FILE
        if not path.exists():
            return
        try:
            state = torch.load(path, weights_only=True)
            self.step, self._minutes = int(state["step"]), float(state["minutes"])
            self._policy.load_state_dict(state["policy"])
            self._average.values = state["average"]
            self._optimiser.load_state_dict(state["optimiser"])
        except Exception as error:  # torch.load raises many kinds on damaged files
            raise CheckpointError(f"cannot resume from {path} ({error}); delete it to train anew") from error
        self._drop_later_metrics()

    def _drop_later_metrics(self) -> None:
        """Forget what was logged after the state was saved: those steps are run again."""
        path = self._directory / METRICS_FILE
        if path.exists():
            head, *rows = path.read_text(encoding="utf-8").splitlines()
            kept = [row for row in rows if int(row.split(",")[0]) <= self.step]
            path.write_text("\n".join([head, *kept]) + "\n", encoding="utf-8")
