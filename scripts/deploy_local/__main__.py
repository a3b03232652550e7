# ruff: noqa: T201 - a command line program prints
"""Run `python -m scripts.deploy_local`. With `--template` it takes a changed copy, to see which check fails."""

import argparse
import sys
from pathlib import Path

from local.emulators.clock import Clock
from local.emulators.token_endpoint import Vendor
from local.emulators.world import CLIENTS
from local.time_limit import exit_by_exception
from scripts import ROOT
from scripts.deploy_local.check_list import CheckList
from scripts.deploy_local.emulator import PROGRAM, Aws
from scripts.deploy_local.shortfalls import NOT_SHOWN
from scripts.deploy_local.story import Story

MAX_SECONDS = 290


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.deploy_local", description=__doc__)
    parser.add_argument("--template", type=Path, default=ROOT / "template.yaml")
    template = parser.parse_args().template
    if not template.is_file():
        parser.error(f"{template} is not a file")
    if not PROGRAM.exists():
        sys.exit("ministack is not installed: run `make deploy-local`, which does that")
    exit_by_exception(MAX_SECONDS)
    checks = CheckList()
    with Vendor(Clock(), CLIENTS) as vendor, Aws() as aws:
        print(f"ministack on {aws.url} with IAM enforced, the emulated vendor on {vendor.url}")
        story = Story(aws=aws, vendor=vendor, checks=checks, template=template)
        for title, part in story.parts():
            with checks.section(title):
                part()
            if not story.is_deployed:
                break
    print()
    for text in NOT_SHOWN:
        print(f"not shown here: {text}")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
