# ruff: noqa: T201 - a command line program prints
"""Run `python -m scripts.deploy_local`. With `--template` it takes a changed copy, to see which check fails.

With `--published` it deploys what `make package` has made: the zip, and the template without SAM.
"""

import argparse
import os
import sys
from pathlib import Path

from local.emulators.clock import Clock
from local.emulators.token_endpoint import Vendor
from local.emulators.world import CLIENTS
from local.no_proxy import no_proxy_for_loopback
from local.time_limit import exit_by_exception
from scripts import PUBLISHED_TEMPLATE, PUBLISHED_ZIP, ROOT
from scripts.deploy_local.check_list import CheckList
from scripts.deploy_local.emulator import PROGRAM, Aws
from scripts.deploy_local.shortfalls import NOT_SHOWN
from scripts.deploy_local.stack import upload_package
from scripts.deploy_local.story import Story
from scripts.deploy_local.story_of_many import StoryOfMany

MAX_SECONDS = 480


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.deploy_local", description=__doc__)
    parser.add_argument("--template", type=Path, default=ROOT / "template.yaml")
    parser.add_argument("--published", action="store_true")
    arguments = parser.parse_args()
    template = arguments.template
    package = None
    if arguments.published:
        template = PUBLISHED_TEMPLATE
        package = PUBLISHED_ZIP
    for file in (template, package):
        if file and not file.is_file():
            parser.error(f"{file} is not a file")
    if not PROGRAM.exists():
        sys.exit("ministack is not installed: run `make deploy-local`, which does that")
    exit_by_exception(MAX_SECONDS)
    os.environ.update(no_proxy_for_loopback(os.environ))  # nothing here is behind the machine's proxy
    checks = CheckList()
    clock = Clock()
    with Vendor(clock, CLIENTS) as vendor, Vendor(clock, {}) as vendor_of_stores, Aws() as aws:
        print(f"ministack on {aws.url} with IAM enforced, the emulated vendor on {vendor.url}")
        upload_package(aws, package)
        play(Story(aws=aws, vendor=vendor, checks=checks, template=template), checks)
        play(StoryOfMany(aws=aws, vendor=vendor_of_stores, checks=checks, template=template), checks)
    print()
    for text in NOT_SHOWN:
        print(f"not shown here: {text}")
    return checks.finish()


def play(story: Story | StoryOfMany, checks: CheckList) -> None:
    for title, part in story.parts():
        with checks.section(title):
            part()
        if not story.is_deployed:
            return


if __name__ == "__main__":
    sys.exit(main())
