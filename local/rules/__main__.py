"""`python -m local.rules`: take each rule out, and write docs/RULES.md. With `--rule`: print what one is for."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from local.rules import page
from local.rules.measures import measure_all
from local.rules.registry import RULES


def main() -> int:
    options = _parser().parse_args()
    if options.rule:
        _tell(options.rule, options.workers)
        return 0
    whole, found = measure_all(list(RULES), options.workers)
    path = page.write(whole, found, options.out)
    print(path.read_text())
    print(f"written: {path}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.rules", description=__doc__)
    parser.add_argument("--rule", choices=RULES, metavar="NAME", help="one of: " + "; ".join(RULES))
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes; the page is the same")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="where the page goes")
    return parser


def _tell(name: str, workers: int) -> None:
    whole, found = measure_all([name], workers)
    row = page.cells(RULES[name], whole, found[name])
    for title, cell in zip(page.HEAD, row, strict=True):
        print(f"{title}: {cell}")


if __name__ == "__main__":
    sys.exit(main())
