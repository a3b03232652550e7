"""`python -m local`: play two days. `serve`: keep the servers up. `soak`: many consumers at once.

`contract`: keep the servers up that consumers/contract.json is played against, until the standard input ends.
`fleet`: play many connections. `isolation`: play one connection alone and among others, and compare.
"""

# What draws a plot is imported where it is used: matplotlib takes longer to load than all the rest, and `serve` and
# `soak` do without it.

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from local.commands import serve, soak_typescript
from local.commands.contract import serve_contract
from local.commands.soak import soak
from local.commands.two_days import play_two_days
from local.fleet import isolation
from local.fleet.fleet import Fleet
from local.fleet.plan import FleetSetup
from local.simulate.rates import NONE


def main() -> int:
    options = _parser().parse_args()
    if options.command == "serve":
        ports = (options.vendor_port, options.secrets_port, options.functions_port)
        return serve.serve(ports, options.accounts, options.connections)
    if options.command == "soak":
        return _soak(options.hours, options.threads, options.typescript)
    if options.command == "contract":
        return serve_contract()
    if options.command == "fleet":
        return _fleet(options)
    if options.command == "isolation":
        return isolation.show(options.others, options.days, options.seed)
    return _two_days(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("--standby", choices=("yes", "no"), default="yes", help="with or without a standby credential")
    parser.add_argument(
        "--accounts",
        choices=("none", "service"),
        default="none",
        help="of two days and of serve: who asks the vendor, a client alone or with a service account",
    )
    parser.add_argument("--out", type=Path, default=Path("out"), help="where the plot goes")
    commands = parser.add_subparsers(dest="command")
    serving = commands.add_parser("serve", help="keep the vendor, Secrets Manager and Lambda up until Ctrl-C")
    serving.add_argument("--vendor-port", type=int, default=serve.VENDOR_PORT)
    serving.add_argument("--secrets-port", type=int, default=serve.SECRETS_PORT)
    serving.add_argument("--functions-port", type=int, default=serve.FUNCTIONS_PORT)
    serving.add_argument(
        "--connections",
        type=int,
        default=0,
        help="keep many connections, with so many stores at first; 0: keep one connection",
    )
    soaking = commands.add_parser("soak", help="many consumers, through rotations and outages, as fast as it goes")
    soaking.add_argument("--hours", type=int, default=480, help="of the emulated clock")
    soaking.add_argument("--threads", type=int, default=50)
    soaking.add_argument(
        "--typescript", action="store_true", help="as many consumers in TypeScript too; needs `make typescript`"
    )
    commands.add_parser("contract", help="the servers for consumers/contract.json, until the standard input ends")
    _add_fleet(commands)
    return parser


def _add_fleet(commands: Any) -> None:
    playing = commands.add_parser("fleet", help="many connections: stores that come and go, and their faults")
    playing.add_argument("--connections", type=_positive(int), default=1_000)
    playing.add_argument("--days", type=_positive(float), default=2.0)
    playing.add_argument("--seed", type=int, default=0)
    playing.add_argument(
        "--due-at-once",
        action="store_true",
        help="all connections are due in the same minute, and nothing but AWS's rates troubles them",
    )
    comparing = commands.add_parser("isolation", help="one connection alone and among others with faults: the same?")
    comparing.add_argument("--others", type=_positive(int), default=50)
    comparing.add_argument("--days", type=_positive(float), default=365.0)
    comparing.add_argument("--seed", type=int, default=0)


def _positive(kind: type[int | float]) -> Callable[[str], float]:
    """Return what reads an option as a number of this kind. It raises ValueError if the number is not above 0."""

    def number(text: str) -> float:
        value = kind(text)
        if not 0 < value < math.inf:
            raise ValueError
        return value

    return number


def _two_days(options: argparse.Namespace) -> int:
    from local.commands.two_days_report import show

    ticks = play_two_days(standby=options.standby == "yes", accounts=options.accounts)
    return show(ticks, options.out)


def _fleet(options: argparse.Namespace) -> int:
    from local.fleet.report import show

    setup = FleetSetup(
        connections=options.connections,
        days=options.days,
        seed=options.seed,
    )
    if options.due_at_once:
        setup = replace(setup, is_due_at_once=True, rates=NONE, hand_over_failures=0.0, unsaved_tokens=0.0)
    return show(Fleet(setup), options.out)


def _soak(hours: int, threads: int, typescript: bool) -> int:
    missing = soak_typescript.missing() if typescript else ""
    if missing:
        print(missing, file=sys.stderr)
        return 1
    soaked = soak(hours, threads, typescript=typescript)
    print(soaked)
    return 1 if soaked.failures else 0


if __name__ == "__main__":
    sys.exit(main())
