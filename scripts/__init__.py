"""Commands that build and check the deployment. None of them ships."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements.lock"
# pip's options for the function's runtime in template.yaml. Only wheels: pip could build one only on the target itself.
TARGET = (
    "--platform=manylinux2014_aarch64",
    "--implementation=cp",
    "--python-version=3.13",
    "--only-binary=:all:",
)
