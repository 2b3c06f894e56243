"""The command line, ``python -m hypern``. What the commands do is in ``_demo.py`` and ``_info.py``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = _parser()
    options = parser.parse_args(words)
    if options.command == "info":
        from hypern import _info

        print(_info.describe())
        return 0

    from hypern import _demo

    try:
        backends = _demo.choose_backends(options.backend)
    except ValueError as error:
        parser.error(str(error))
    try:
        return _demo.run(
            backends,
            threads=options.threads,
            limit=options.limit,
            top=options.top,
            tests=options.tests,
        )
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hypern", description="Run Python callables on a pool of Rust threads."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    demo = commands.add_parser(
        "demo",
        help="parse and measure the standard library: serially, with ThreadPoolExecutor and on each backend",
    )
    demo.add_argument("--backend", nargs="+", metavar="NAME", help="backends to run (default: all that exist here)")
    demo.add_argument("--threads", type=_count, default=0, metavar="N", help="workers per pool (0: usable CPUs)")
    demo.add_argument("--limit", type=_count, default=0, metavar="N", help="read the first N files only")
    demo.add_argument("--top", type=_count, default=10, metavar="N", help="complex functions to list (default: 10)")
    demo.add_argument("--tests", action="store_true", help="measure the library's own tests too (three times the work)")

    commands.add_parser("info", help="say what this interpreter offers and which defaults hold")
    return parser


def _count(word: str) -> int:
    number = int(word)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is negative")
    return number


if __name__ == "__main__":
    sys.exit(main())
