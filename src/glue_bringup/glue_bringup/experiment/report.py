"""The experiment's report in Markdown: success beside the paper's, paired comparisons, what it was made with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from glue_bringup.experiment.analysis import CellResult, Comparison, cell_results, comparisons
from glue_bringup.experiment.config import ExperimentConfig
from glue_bringup.experiment.episodes import EpisodeRow
from glue_bringup.experiment.paper_results import PAPER, paper_percent

ALPHA = 0.05
_SHORT = 12

_COMPARISON_COLUMNS = (
    "task",
    "condition",
    "first",
    "second",
    "first alone",
    "second alone",
    "pairs",
    "difference",
    "p",
    "Holm",
)
_DETAIL_COLUMNS = (
    "method",
    "task",
    "condition",
    "mean time to success",
    "key-patches tracked",
    "deadlines missed",
    "holds per episode",
    "objects not found",
)


def markdown_report(config: ExperimentConfig, rows: Sequence[EpisodeRow], plots: Iterable[str] = ()) -> str:
    """Return the report.

    Args:
        config: The experiment.
        rows: Its episodes so far.
        plots: File names of the figures, beside the report.
    """
    results = cell_results(rows)
    wanted = len(config.methods) * len(config.tasks) * len(config.conditions) * config.episodes
    last_seed = config.seeds[-1]
    parts = [
        f"# {config.name}\n",
        f"{len(rows)} of {wanted} episodes; seeds {config.first_seed} to {last_seed} in every cell, so that methods "
        "are compared on the same layouts. Synchronous twin.\n",
    ]
    if len(rows) < wanted:
        parts.append("**Not complete**: run the same command again to go on.\n")
    parts += ["## Success\n", _success_table(results), *(f"![{plot}]({plot})\n" for plot in plots)]
    parts += ["## Methods against each other\n", _comparison_table(comparisons(config, rows))]
    parts += ["## How the episodes went\n", _details_table(results), _failures(rows)]
    parts += ["## Made with\n", _made_with(rows)]
    return "\n".join(part for part in parts if part)


def _success_table(results: Sequence[CellResult]) -> str:
    places = list(dict.fromkeys((r.task, r.condition) for r in results))
    methods = list(dict.fromkeys(r.method for r in results))
    by_cell = {(r.method, r.task, r.condition): r for r in results}
    lines = [
        "Successes of episodes, per cent, 95 % Wilson interval; below it, in italics, what the paper reports for the "
        f"same kind of policy ({PAPER}). Its scenes are real, so only the order of the methods compares.\n",
        _row(["method", *(f"{task}<br>{condition}" for task, condition in places)]),
        _row(["---", *("---" for _ in places)]),
    ]
    for method in methods:
        cells = [by_cell.get((method, *place)) for place in places]
        lines.append(_row([method, *(_success(cell) for cell in cells)]))
    return "\n".join(lines) + "\n"


def _success(cell: CellResult | None) -> str:
    if cell is None:
        return ""
    low, high = cell.interval
    ours = (
        f"{cell.successes} of {cell.episodes}, {100 * cell.rate:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
    )
    paper = paper_percent(cell.policy, cell.task, cell.condition)
    return ours if paper is None else f"{ours}<br>*paper {paper} %*"


def _comparison_table(found: Sequence[Comparison]) -> str:
    if not found:
        return "One method only.\n"
    lines = [
        "Difference: success rate of the first less that of the second over the same seeds, in percentage points, "
        "with Tango's 95 % score interval. p: McNemar's exact test, two-sided, which counts the episodes that one "
        f"method alone solved. Holm: corrected for the number of comparisons here, "
        f"{len(found)}; below {ALPHA} in bold. The intervals are not corrected.\n",
        _row(_COMPARISON_COLUMNS),
        _row(["---"] * len(_COMPARISON_COLUMNS)),
    ]
    for c in found:
        low, high = c.interval
        p_holm = f"{c.p_holm:.3g}"
        lines.append(
            _row(
                [
                    c.task,
                    c.condition,
                    c.first,
                    c.second,
                    str(c.counts.only_first),
                    str(c.counts.only_second),
                    str(c.counts.trials),
                    f"{100 * c.counts.difference:+.0f} ({100 * low:+.0f} to {100 * high:+.0f})",
                    f"{c.p:.3g}",
                    f"**{p_holm}**" if c.p_holm < ALPHA else p_holm,
                ]
            )
        )
    return "\n".join(lines) + "\n"


def _details_table(results: Sequence[CellResult]) -> str:
    lines = [
        _row(_DETAIL_COLUMNS),
        _row(["---"] * len(_DETAIL_COLUMNS)),
    ]
    for r in results:
        seconds = "" if r.mean_success_s is None else f"{r.mean_success_s:.1f} s"
        lines.append(
            _row(
                [
                    r.method,
                    r.task,
                    r.condition,
                    seconds,
                    f"{100 * r.tracked_share:.0f} %" if r.tracked_share else "",
                    f"{100 * r.miss_share:.1f} %",
                    f"{r.holds_per_episode:.2f}",
                    str(r.not_begun),
                ]
            )
        )
    return "\n".join(lines) + "\n"


def _failures(rows: Sequence[EpisodeRow]) -> str:
    """Name why episodes could not begin, the most frequent reasons first."""
    reasons = Counter(row.failure for row in rows if row.failure)
    if not reasons:
        return ""
    lines = [f"- {count} x: {reason}" for reason, count in reasons.most_common(5)]
    return "Episodes that failed in the first frame:\n\n" + "\n".join(lines) + "\n"


def _made_with(rows: Sequence[EpisodeRow]) -> str:
    lines = [_row(["method", "task", "policy", "checkpoint", "SHA-256 of its weights"]), _row(["---"] * 5)]
    subjects = dict.fromkeys((r.method, r.task, r.policy, r.checkpoint, r.fingerprint[:_SHORT]) for r in rows)
    lines += [_row(list(subject)) for subject in subjects]
    text = "\n".join(lines) + "\n"
    for title, found in (
        ("Source", sorted({row.git_revision for row in rows})),
        ("Versions", sorted({row.versions for row in rows})),
    ):
        text += f"\n{title}: {'; and '.join(found)}.\n"
        if len(found) > 1:
            text += f"**{title} changed between episodes**: see the column in the CSV.\n"
    return text


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
