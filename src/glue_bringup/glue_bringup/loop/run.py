"""Runs a list of seeded episodes with a progress bar and writes the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from glue_bringup.loop.episode import EpisodeResult
from glue_bringup.loop.session import Session
from glue_perception.errors import ConfigError


def run_episodes(
    session: Session,
    seeds: Sequence[int],
    record: Path | None,
    done: Iterable[EpisodeResult] = (),
    on_result: Callable[[EpisodeResult], None] = lambda result: None,
) -> list[EpisodeResult]:
    """Run the episodes of `seeds` that are not done yet and return the results in the order of `seeds`.

    Args:
        session: Entered already.
        seeds: One episode each.
        record: Directory that gets one bag per episode, named by its seed, or None.
        done: Results from an earlier, interrupted run.
        on_result: Called after each episode, e.g. to save it.
    """
    results = {result.seed: result for result in done}
    remaining = [seed for seed in seeds if seed not in results]
    with tqdm(
        total=len(seeds), initial=len(seeds) - len(remaining), unit="episode", dynamic_ncols=True
    ) as bar:
        for seed in remaining:
            bag = _free_path(record, seed) if record is not None else None
            result = session.run(seed, bag)
            results[seed] = replace(result, bag=str(bag)) if bag is not None else result
            on_result(results[seed])
            bar.update()
            bar.set_postfix(successes=sum(r.success for r in results.values()))
    return [results[seed] for seed in seeds if seed in results]


def _free_path(record: Path, seed: int) -> Path:
    """Return where to record a seed's episode; a bag that an interrupted or other run left there is kept aside."""
    path = record / f"episode_{seed:06d}"
    if path.exists():
        number = 1
        while (aside := path.with_name(f"{path.name}.earlier_{number}")).exists():
            number += 1
        path.rename(aside)
    return path


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON, replacing an older one only when it is complete.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write the report {path}: {error}") from error
