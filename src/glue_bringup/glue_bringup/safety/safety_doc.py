"""The tables of docs/safety.md, from the code: `python -m glue_bringup.safety.safety_doc`."""

from __future__ import annotations

from glue_bringup.safety.config import SafetyConfig
from glue_bringup.safety.reasons import FACTS, Reason, limit_of
from glue_bringup.safety.state_machine import TRANSITIONS


def rendered() -> str:
    """Return the state diagram and the table of reasons with their default limits, as Markdown."""
    config = SafetyConfig()
    rows = ["```mermaid", "stateDiagram-v2", "    [*] --> hold: reset"]
    rows += [f"    {a.value} --> {b.value}: {when}" for a, when, b in TRANSITIONS]
    rows += [
        "```",
        "",
        "| reason | effect | limit (default) | ends | what the operator reads |",
        "|---|---|---|---|---|",
    ]
    for reason in Reason:
        fact, value = FACTS[reason], limit_of(reason, config)
        limit = f"`{fact.limit}`" if fact.limit else "-"
        if fact.limit and fact.limit != "workspace":
            limit += " (off)" if value is None else f" ({value:g})"
        line = fact.line if value is None else fact.line.format(limit=value)
        rows.append(
            f"| `{reason.value}` | {fact.effect.value} | {limit} | {fact.ends} | {line.replace('{limit:g}', '...')} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    print(rendered())
