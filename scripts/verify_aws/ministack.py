# ruff: noqa: T201 - a command line program prints
"""Ask ministack, the emulator of `make deploy-local`, what `scripts.verify_aws` asks AWS.

Its answers say nothing about AWS. They say what `make deploy-local` can't show.
"""

import os
import subprocess
import sys

from local.no_proxy import no_proxy_for_loopback
from scripts import ROOT
from scripts.deploy_local.emulator import PROGRAM, REGION, Aws


def main() -> int:
    if not PROGRAM.exists():
        print("ministack is not installed. Run: make .venv-ministack/.ready", file=sys.stderr)
        return 1
    # Not the machine's own AWS settings, such as a profile.
    settings = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    environment = settings | credentials | no_proxy_for_loopback(os.environ)
    with Aws() as aws:
        command = [sys.executable, "-m", "scripts.verify_aws", "--region", REGION, "--endpoint-url", aws.url]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode  # noqa: S603 - our own


if __name__ == "__main__":
    sys.exit(main())
