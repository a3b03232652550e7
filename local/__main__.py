"""`python -m local`: play two days. `serve`: keep the servers up. `soak`: many consumers at once."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from local.commands import serve, two_days_report
from local.commands.soak import soak
from local.commands.two_days import play_two_days


def main() -> int:
    options = _parser().parse_args()
    if options.command == "serve":
        ports = (options.vendor_port, options.secrets_port, options.functions_port)
        return serve.serve(ports, options.accounts, options.connections)
    if options.command == "soak":
        return _soak(options.hours, options.threads)
    ticks = play_two_days(standby=options.standby == "yes", accounts=options.accounts)
    return two_days_report.show(ticks, options.out)


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
    return parser


def _soak(hours: int, threads: int) -> int:
    soaked = soak(hours, threads)
    print(soaked)
    return 1 if soaked.failures else 0


if __name__ == "__main__":
    sys.exit(main())
