"""Commands that build and check the deployment. None of them ships."""

from pathlib import Path

from handler import __version__

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements.lock"
# The name of what `make package` makes.
VERSIONED_NAME = f"tango-token-keeper-{__version__}"
PUBLISHED_ZIP = ROOT / "build" / f"{VERSIONED_NAME}.zip"
PUBLISHED_TEMPLATE = ROOT / "build" / f"{VERSIONED_NAME}.template.json"
# pip's options for the function's runtime in template.yaml. Only wheels: pip could build one only on the target itself.
TARGET = (
    "--platform=manylinux2014_aarch64",
    "--implementation=cp",
    "--python-version=3.13",
    "--only-binary=:all:",
)
