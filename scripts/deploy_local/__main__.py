# ruff: noqa: T201 - a command line program prints
"""`python -m scripts.deploy_local`; `--template` takes a copy, to see which check a change of it breaks."""

import argparse
import signal
import sys
from pathlib import Path

from local.emulators.clock import Clock
from local.emulators.token_endpoint import Vendor
from local.emulators.world import CLIENTS
from scripts import ROOT
from scripts.deploy_local.emulator import PROGRAM, Aws
from scripts.deploy_local.report import Report
from scripts.deploy_local.shortfalls import NOT_SHOWN
from scripts.deploy_local.story import Story

LONGEST_SECONDS = 290


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.deploy_local", description=__doc__)
    parser.add_argument("--template", type=Path, default=ROOT / "template.yaml")
    template = parser.parse_args().template
    if not template.is_file():
        parser.error(f"{template} is no file")
    if not PROGRAM.exists():
        sys.exit("ministack is not installed: run `make deploy-local`, which does that")
    # Leaving by an exception ends all that was started here.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: sys.exit("ended from outside"))
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"FAILED  not over within {LONGEST_SECONDS} s"))
    signal.alarm(LONGEST_SECONDS)
    report = Report()
    with Vendor(Clock(), CLIENTS) as vendor, Aws() as aws:
        print(f"ministack on {aws.url} with IAM enforced, the emulated vendor on {vendor.url}")
        story = Story(aws, vendor, report, template)
        for title, part in story.parts():
            with report.section(title):
                part()
            if not story.is_deployed:
                break
    print()
    for text in NOT_SHOWN:
        print(f"not shown here: {text}")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
