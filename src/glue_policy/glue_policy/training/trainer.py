"""Training of a policy on demonstrations: seeded, resumable bit for bit on a CPU, and on record.

Everything random in step k is seeded by (seed, k) and the part of the batch, so a resumed run needs no generator's
state, and any number of processes that shares the parts evenly gives the same run. Under `max_minutes` the learning
rate follows the clock, so two such runs are alike but not equal.

What a run's directory holds: `run_directory.py`.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from glue_perception.config import to_mapping
from glue_perception.errors import CheckpointError, ConfigError
from glue_perception.provenance import provenance
from glue_policy.data.augmentation import augment
from glue_policy.data.dataset import ChunkDataset
from glue_policy.policies.base import Policy
from glue_policy.training.allocator import keep_freed_memory
from glue_policy.training.batches import Batches, Part
from glue_policy.training.config import TrainConfig
from glue_policy.training.distributed import Workers
from glue_policy.training.ema import WeightAverage
from glue_policy.training.evaluation import BestCheckpoint, Evaluate, Evaluation
from glue_policy.training.interrupt import DeferredInterrupt
from glue_policy.training.local_features import LocalFeatures
from glue_policy.training.metrics import MetricsLog
from glue_policy.training.precision import MixedPrecision
from glue_policy.training.run_directory import RunDirectory
from glue_policy.training.start import fit_ranges, start_digest

LOG_EVERY_STEPS = 20
SAVING_SHARE = 0.05
"""Saving takes at most this share of the time, however short `checkpoint_every_s` is."""


class Trainer:
    """One training run in one directory.

    Args:
        config: Optimisation.
        policy: What the run starts with, see `starting_policy`; it is trained in place.
        dataset: Demonstrations.
        directory: Of the run. If it holds a state of the same run, training goes on from there.
        record: What else belongs into the provenance, e.g. the data's directory and the command.
        evaluate: Tries a checkpoint out every `evaluate_every` steps; needed if that is not 0.
        workers: The processes of the run, entered; None for this one alone. All of them see the same directory.

    Attributes:
        step: Optimiser steps done.

    Raises:
        ConfigError: the directory holds another run, or settings that do not fit policy, machine or processes.
        CheckpointError: the directory cannot be written, or its state is damaged.
    """

    def __init__(
        self,
        config: TrainConfig,
        policy: Policy,
        dataset: ChunkDataset,
        directory: Path,
        record: dict[str, Any],
        evaluate: Evaluate | None = None,
        workers: Workers | None = None,
    ) -> None:
        if config.evaluate_every and evaluate is None:
            raise ConfigError("evaluate_every is set, but nothing was given to evaluate with")
        keep_freed_memory()
        torch.set_num_threads(config.torch_threads)
        self._config = config
        self._dataset = dataset
        self._record = record
        self._evaluate = evaluate if config.evaluate_every else None
        self._workers = workers if workers is not None else Workers(config.device)
        self._directory = RunDirectory(directory)
        self._precision = MixedPrecision(config.precision, self._workers.device)
        self._batches = Batches(dataset, config, self._workers, policy.needs)
        fit_ranges(policy, dataset, config)
        self._policy = policy.to(self._workers.device)
        self._average = WeightAverage(self._policy, config.ema_decay)
        self._optimiser = torch.optim.AdamW(
            [p for p in self._policy.parameters() if p.requires_grad],
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.step = 0
        self._minutes = 0.0
        self._loss: float | None = None
        self._saving_s = 0.0
        if self._workers.is_first:
            data = {"fingerprint": dataset.fingerprint, "init_from_sha256": start_digest(config)}
            self._directory.claim(config, self._policy, data)
        self._workers.wait()
        self._resume()
        self._best = BestCheckpoint(directory, self.step)
        self._local = None
        if config.local_variants:
            self._local = LocalFeatures(self._policy, dataset, config, self._precision, self._workers)

    def run(self) -> Path:
        """Train to the last step or the time limit and return the checkpoint's directory.

        Raises:
            KeyboardInterrupt: after Ctrl-C or SIGTERM in any of the processes, with the step finished and the state
                saved; the same command goes on from there. An evaluation ends after the episode under way.
            CheckpointError: the loss or its gradient is not finite, or the directory cannot be written; what was
                saved before stays as it is.
        """
        log = self._open_log()
        last_save = time.monotonic()
        try:
            with self._progress_bar() as bar, DeferredInterrupt() as interrupt:
                while not self._interrupted(interrupt):
                    if self._evaluation_is_due():
                        self._run_evaluation(interrupt, log)
                    elif self._is_finished():
                        break
                    else:
                        self._advance(bar, log)
                        if time.monotonic() - last_save > self._saving_interval_s():
                            self._save()
                            last_save = time.monotonic()
                self._save()
                # Whoever leaves early looks like a failure to what started the processes.
                self._workers.wait()
        finally:
            self._batches.close()
            if log is not None:
                log.close()
        return self._directory.checkpoint

    def _advance(self, bar: tqdm[Any], log: MetricsLog | None) -> None:
        begin = time.monotonic()
        loss, norm = self._train_step()
        self.step += 1
        seconds = time.monotonic() - begin
        self._minutes += seconds / 60.0
        bar.update()
        if log is None:
            return
        log.collect(loss, norm, seconds)
        if self.step % LOG_EVERY_STEPS == 0 or self._is_finished():
            self._loss = log.write(self.step, self._minutes, self._config.learning_rate * self._schedule())
            bar.set_postfix_str(f"loss={self._loss:.4f}{self._time_left()}")

    def _train_step(self) -> tuple[float, float | None]:
        """Return the batch's loss, and its gradient's norm unless float16's scaler left the step out."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._config.learning_rate * self._schedule()
        self._policy.train()
        self._optimiser.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self._workers.device)
        for part in self._batches.parts(self.step):
            total += self._part_loss(part)
        self._workers.sum_gradients(self._policy)
        loss = float(self._workers.sum(total))
        norm = self._precision.clip(self._policy, self._optimiser, self._config.gradient_clip)
        if not math.isfinite(loss) or (norm is not None and not math.isfinite(norm)):
            raise CheckpointError(
                f"step {self.step} gave loss {loss} with a gradient of norm {norm}; the state saved before is kept. "
                "Lower learning_rate, or take precision float32, and train anew"
            )
        self._precision.step(self._optimiser)
        self._average.update(self._policy, self.step)
        return loss, norm

    def _part_loss(self, part: Part) -> Tensor:
        """Add a part's gradient and return its share of the batch's loss."""
        generator = torch.Generator().manual_seed(part.seed)
        # For layers that take their random numbers from PyTorch itself, as dropout does.
        torch.manual_seed(part.seed)
        batch = part.batch
        if self._local is not None:
            batch = self._local.add(batch, part.row, generator)
        batch = augment(batch, generator, self._config.augmentation)
        with self._precision.autocast():
            loss = self._policy.loss(batch, generator)
        loss = loss / self._config.micro_batches
        self._precision.backward(loss)
        return loss.detach()

    def _schedule(self) -> float:
        config = self._config
        if self.step < config.warmup_steps:
            return (self.step + 1) / config.warmup_steps
        progress = (self.step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
        if config.max_minutes is not None:
            progress = max(progress, self._minutes / config.max_minutes)
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))

    def _is_finished(self) -> bool:
        limit = self._config.max_minutes
        return self.step >= self._config.steps or (limit is not None and self._minutes >= limit)

    def _interrupted(self, interrupt: DeferredInterrupt) -> bool:
        """Return whether any process was interrupted; they also agree on the clock, which ends a run."""
        requested, self._minutes = self._workers.largest(float(interrupt.requested), self._minutes)
        if requested:
            interrupt.request()
        return bool(requested)

    def _evaluation_is_due(self) -> bool:
        if self._evaluate is None or self.step == 0 or self._best.has(self.step):
            return False
        return self.step % self._config.evaluate_every == 0 or self._is_finished()

    def _run_evaluation(self, interrupt: DeferredInterrupt, log: MetricsLog | None) -> None:
        result = (-1.0, -1.0)
        if self._workers.is_first and self._evaluate is not None:
            self._save()
            found = self._evaluate(self._directory.checkpoint, self.step, lambda: interrupt.requested)
            # A policy's runner sets its own number of threads, which would change the training's bits.
            torch.set_num_threads(self._config.torch_threads)
            if found is not None:
                self._best.add(self.step, self._directory.checkpoint, found)
                result = (found.episodes, found.successes)
                tqdm.write(f"step {self.step}: {found.successes} of {found.episodes} episodes succeeded")
                if log is not None:
                    log.add_event("evaluation/success_rate", found.success_rate, self.step)
            elif not interrupt.requested:
                raise CheckpointError(f"the evaluation of step {self.step} gave no result")
        episodes, successes = (int(value) for value in self._workers.largest(*result))
        if episodes > 0:
            self._best.note(self.step, Evaluation(episodes, successes))

    def _save(self) -> None:
        if not self._workers.is_first:
            return
        begin = time.monotonic()
        state = {
            "step": self.step,
            "minutes": self._minutes,
            "loss": self._loss,
            "policy": self._policy.state_dict(),
            "average": self._average.values,
            "optimiser": self._optimiser.state_dict(),
            "precision": self._precision.state(),
        }
        facts = {
            **self._record,
            "train_config": to_mapping(self._config),
            "steps_done": self.step,
            "minutes": round(self._minutes, 2),
            "loss": self._loss,
            "observations": len(self._dataset),
            "training_set": self._dataset.fingerprint,
            "processes": self._workers.size,
            "device": self._workers.device_name,
            **provenance(),
        }
        self._directory.save_state(state)
        with self._average.applied(self._policy):
            self._directory.save_checkpoint(self._policy, facts)
        self._saving_s = time.monotonic() - begin

    def _saving_interval_s(self) -> float:
        return max(self._config.checkpoint_every_s, self._saving_s / SAVING_SHARE)

    def _resume(self) -> None:
        state = self._directory.load_state(self._workers.device)
        if state is not None:
            try:
                self.step, self._minutes = int(state["step"]), float(state["minutes"])
                self._loss = state["loss"]
                self._policy.load_state_dict(state["policy"])
                self._average.load(state["average"])
                self._optimiser.load_state_dict(state["optimiser"])
                self._precision.load(state["precision"])
            except (KeyError, ValueError, TypeError, RuntimeError) as error:
                raise self._directory.bad_state(error) from error
        if self._workers.largest(self.step)[0] != self._workers.largest(-self.step)[0] * -1:
            raise ConfigError(
                "the processes of this run do not see the same state; put --out where all machines read and write"
            )
        self._workers.copy_first(self._policy)

    def _open_log(self) -> MetricsLog | None:
        if not self._workers.is_first:
            return None
        return MetricsLog(self._directory.path, self.step, self._config.tensorboard)

    def _progress_bar(self) -> tqdm[Any]:
        return tqdm(
            total=self._config.steps,
            initial=self.step,
            unit="step",
            dynamic_ncols=True,
            desc="train",
            disable=not self._workers.is_first,
        )

    def _time_left(self) -> str:
        """Return what the time limit leaves, which the bar cannot know."""
        limit = self._config.max_minutes
        return "" if limit is None else f", at most {max(0.0, limit - self._minutes):.1f} min left"
