"""`glue bench policy`: how long a policy's step takes, on each engine, at which difference of the chunks."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from glue_perception.config import suggest
from glue_perception.errors import ConfigError
from glue_perception.picture import make_folder_of
from glue_perception.provenance import provenance

PRESETS = ("paper", "tiny")


def register(benches: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add `policy` to `glue bench`."""
    parser = benches.add_parser(
        "policy",
        help="time and accuracy of a policy's step on every engine",
        description="Measure one step of a policy, from image and key-patches to action chunk: op by op in torch, "
        "then on the faster engines, in turns on the same observations and noise. Random images, and for GLUE "
        "visible key-patches in one to four quarters. Writes a report (JSON).",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--policy", metavar="CKPT", help="a checkpoint's directory, or a shipped one's name")
    source.add_argument("--preset", choices=PRESETS, help="a preset with random weights (default paper)")
    parser.add_argument(
        "--kind",
        default="glue",
        metavar="NAME",
        help="policy of the preset, e.g. glue, dp, act (default glue)",
    )
    parser.add_argument(
        "--backend",
        action="append",
        metavar="NAME",
        help="traced-float32, openvino-float32, openvino-bfloat16 or openvino-int8; may be given more than once "
        "(default: all)",
    )
    parser.add_argument("--threads", type=int, default=2, help="threads of every engine (default 2)")
    parser.add_argument("--repetitions", type=int, default=20, help="of each measurement (default 20)")
    parser.add_argument("--key-patches", type=int, default=15, help="per observation (default 15)")
    parser.add_argument("--steps", type=int, help="denoising steps (default: the policy's own)")
    parser.add_argument("--report", type=Path, required=True, metavar="FILE", help="report to write (JSON)")
    parser.set_defaults(run=run_policy)


def run_policy(args: argparse.Namespace) -> int:
    """Run `glue bench policy`; returns the exit code."""
    for name in ("threads", "repetitions", "key_patches"):
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} must be 1 or more, not {getattr(args, name)}")
    from glue_policy.benchmark.lerobot_figures import lerobot_figures
    from glue_policy.benchmark.policy_step import StepBenchmark, known_engines, realistic_ranges

    known = known_engines()
    chosen = args.backend or list(known)
    for name in chosen:
        if name not in known:
            raise ConfigError(f"unknown backend {name!r}.{suggest(name, known)}")
    make_folder_of(args.report)
    if args.policy:
        from glue_policy.checkpoint import find_checkpoint, load_policy

        policy = load_policy(find_checkpoint(args.policy))
    else:
        from glue_policy.policies import build_policy, policy_config

        policy = build_policy(args.kind, policy_config(args.kind, args.preset or PRESETS[0])).eval()
        realistic_ranges(policy)
    benchmark = StepBenchmark(
        tuple(known[name] for name in chosen),
        repetitions=args.repetitions,
        threads=args.threads,
        num_key_patches=args.key_patches,
        num_inference_steps=args.steps,
    )
    report = {"source": args.policy or f"{args.kind} {args.preset or PRESETS[0]}", **benchmark.run(policy)}
    report["lerobot_diffusion"] = lerobot_figures(
        args.threads, report["num_inference_steps"], args.repetitions
    )
    report["provenance"] = provenance()
    try:
        args.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {args.report}: {error.strerror}") from error
    print(describe(report))
    print(f"report   {args.report}")
    return 0


def describe(report: dict[str, Any]) -> str:
    """Return the report as a table for people."""
    machine, peaks, plain = report["machine"], report["matrix_peak_gflops"], report["plain"]
    parts = ", ".join(f"{name} {ms:.1f}" for name, ms in plain["parts_ms"].items())
    lines = [
        f"{report['source']}: {report['gflop']['step']:.1f} GFLOP per step, {report['num_inference_steps']} "
        f"denoising steps, {report['threads']} threads",
        f"{machine['processor']} ({' '.join(machine['matrix_instructions'])}), load {machine['load_1_min']} before, "
        f"{machine['load_1_min_after']} after",
        "measured matrix peak  " + ", ".join(f"{name} {value:.0f} GFLOP/s" for name, value in peaks.items()),
        "",
        f"{'engine':<20}{'observation':<18}{'median':>9}{'p95':>9}{'cpu time':>10}{'faster':>8}{'(cpu)':>7}"
        f"{'peak f32':>9}{'bf16':>6}{'int8':>6}  largest difference",
        _row("plain torch", "any", plain, ""),
    ]
    for engine, found in report["engines"].items():
        for scene, values in found["scenes"].items():
            difference = values.get("difference")
            note = (
                ""
                if difference is None
                else (
                    f"{difference['position_max_mm']:.3g} mm, {difference['rotation_6d_max']:.2g} rad, "
                    f"{difference['normalised_max']:.2g} of the range"
                )
            )
            lines.append(_row(engine, scene, values, note))
    lerobot = report["lerobot_diffusion"]
    lines += ["", f"plain parts, ms: {parts}"]
    lines.append(
        f"LeRobot diffusion: {lerobot['skipped']}"
        if "skipped" in lerobot
        else f"LeRobot diffusion ({lerobot['parameters_million']} M parameters, one 224 x 224 image): median "
        f"{lerobot['median_ms']:.1f} ms, p95 {lerobot['p95_ms']:.1f} ms"
    )
    return "\n".join(lines)


def _row(engine: str, scene: str, values: dict[str, Any], note: str) -> str:
    share = values["share_of_peak"]
    faster, processor = values.get("speed_up", 1.0), values.get("speed_up_processor", 1.0)
    return (
        f"{engine:<20}{scene:<18}{values['median_ms']:>7.1f}ms{values['p95_ms']:>7.1f}ms"
        f"{values['processor_median_ms']:>8.1f}ms{faster:>7.2f}x{processor:>6.2f}x"
        f"{share['float32']:>8.0%}{share['bfloat16']:>6.0%}{share['int8']:>6.0%}  {note}"
    )
