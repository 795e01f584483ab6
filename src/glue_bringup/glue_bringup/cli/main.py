"""Entry point of the `glue` command: sub-commands, one line per error, exit codes."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from glue_perception.allocation import keep_freed_memory
from glue_perception.config import suggest
from glue_perception.errors import GlueError

COMMANDS = (
    "demo",
    "sim",
    "record",
    "episodes",
    "detect",
    "train",
    "eval",
    "replay",
    "attention",
    "bench",
    "weights",
    "doctor",
    "calibrate",
    "export",
    "import",
)
"""Each is the module `glue_bringup.cli.<name>` with `register(subparsers)`, but for those in `MODULES`."""

MODULES = {"import": "import_dataset"}
"""A module cannot be called by a keyword."""

EXIT_INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """Says a usage error in one line, with the nearest known word."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}. See '{self.prog} --help'.\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with all sub-commands."""
    parser = _Parser(prog="glue", description="GLUE on a Franka: perceive, act, train, evaluate and replay.")
    subparsers = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", parser_class=_Parser
    )
    for name in COMMANDS:
        importlib.import_module(f"glue_bringup.cli.{MODULES.get(name, name)}").register(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a `GlueError` becomes one line on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
        print(f"error: unknown command {arguments[0]!r}.{suggest(arguments[0], COMMANDS)}", file=sys.stderr)
        return 2
    parser = build_parser()
    args = parser.parse_args(arguments)
    if args.command is None:
        parser.print_help()
        return 2
    keep_freed_memory()
    try:
        return int(args.run(args))
    except GlueError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on where that is possible", file=sys.stderr)
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
