"""Run ministack as a process on loopback, and make clients of it, for the account and for any of its roles."""

import json
import os
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from typing import Any, Self

import boto3
import requests
from botocore.config import Config

from scripts import ROOT
from scripts.deploy_local.polling import wait_for

PROGRAM = ROOT / ".venv-ministack" / "bin" / "ministack"
LOG = ROOT / "build" / "ministack.log"
ACCOUNT = "123456789012"
REGION = "us-east-1"
START_SECONDS = 60
STOP_SECONDS = 5  # ministack would wait for runs that are under way, but nobody needs them any more
CLIENT_CONFIG = {
    "read_timeout": 90,
    "retries": {"total_max_attempts": 1},  # a call that the emulator refuses is a finding, and is not repeated
    "s3": {"addressing_style": "path"},
}
ANYBODY_IN_THE_ACCOUNT = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
    },
}


class Aws:
    """Starts ministack, and ends it and the functions that it runs. All of them are in one process group."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="deploy-local-", ignore_cleanup_errors=True)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        # Not the machine's environment: the functions would inherit it, for example an AWS profile or a proxy.
        self._environment = {
            "PATH": os.defpath,
            "HOME": self._folder.name,
            "TMPDIR": self._folder.name,
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "AUTH": "true",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "DOCKER_HOST": f"unix://{self._folder.name}/no-docker",  # functions run as processes
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.1",  # AWS waits one minute and then two
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        LOG.parent.mkdir(exist_ok=True)
        with LOG.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [str(PROGRAM)],
                cwd=self._folder.name,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_for("ministack answers", START_SECONDS, self._is_up)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _is_up(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"ministack ended by itself, see {LOG}")
        with suppress(requests.RequestException):
            return requests.get(f"{self.url}/_ministack/health", timeout=5).ok
        return False

    def stop(self) -> None:
        process = self._process
        self._process = None
        if process:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            # ministack leaves the functions' processes behind.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_SECONDS)
        self._folder.cleanup()

    def client(self, service: str, credentials: dict[str, str] | None = None) -> Any:
        """Return a client with these credentials, or by default one of the account's root, which may do everything."""
        keys = credentials or {"AccessKeyId": "test", "SecretAccessKey": "test"}
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys.get("SessionToken"),
            config=Config(**CLIENT_CONFIG),
        )

    def secrets_as(self, role_arn: str) -> Any:
        """Return a client of Secrets Manager with what the role may do."""
        return self.client("secretsmanager", self.assume(role_arn))

    def make_role(self, name: str, *policy_arns: str, tags: dict[str, str] | None = None) -> str:
        """Return the ARN of a new role that anybody in the account may assume."""
        iam = self.client("iam")
        role = iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=json.dumps(ANYBODY_IN_THE_ACCOUNT),
            Tags=[{"Key": key, "Value": value} for key, value in (tags or {}).items()],
        )
        arn: str = role["Role"]["Arn"]
        for policy_arn in policy_arns:
            iam.attach_role_policy(RoleName=name, PolicyArn=policy_arn)
        return arn

    def assume(self, role_arn: str) -> dict[str, str]:
        answer = self.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="deploy-local")
        credentials: dict[str, str] = answer["Credentials"]
        return credentials
