"""How the deployed function is asked by somebody at a shell: once, and with as much time as its run may take."""

from __future__ import annotations

from typing import Any

import pytest

from handler import aws
from handler.errors import StoreError
from handler.remote import invoke
from handler.result import empty_result
from local.emulators.clock import Clock
from local.emulators.lambda_runtime import FUNCTION_NAME
from local.emulators.lambda_service import LambdaService
from tests.integration.recorder import Recorder
from tests.integration.shells import aws_variables


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what sets the machine's environment, so that the deployed function is at this address."""

    def set_environment(url: str) -> None:
        for name, value in aws_variables(url).items():
            monkeypatch.setenv(name, value)

    return set_environment


def test_function_gets_the_event_and_its_result_comes_back(machine: Any) -> None:
    """Both as they are. The least that a result can have is enough."""
    events = []

    def answer(event: Any, *_: Any) -> Any:
        events.append(event)
        return empty_result("kept")

    with LambdaService(Clock(), answer) as service:
        machine(service.url)
        assert invoke(FUNCTION_NAME, {"action": "status"}) == empty_result("kept")
    assert events == [{"action": "status"}]


def test_function_whose_answer_is_lost_is_not_asked_again(machine: Any) -> None:
    """The first run may be at work, and a second one would be in its way."""
    with Recorder(500) as service:
        machine(service.url)
        with pytest.raises(StoreError):
            invoke(FUNCTION_NAME, {})
    assert len(service.received) == 1


def test_function_may_take_as_long_as_its_timeout(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gives up before would not learn how the run ended."""
    session = aws.session()
    create_client = session.create_client
    read_timeouts = []

    def create_and_note(*names: Any, config: Any) -> Any:
        read_timeouts.append(config.read_timeout)
        return create_client(*names, config=config)

    monkeypatch.setattr(session, "create_client", create_and_note)
    with LambdaService(Clock(), lambda *_: empty_result("kept")) as service:
        machine(service.url)
        invoke(FUNCTION_NAME, {})
    assert read_timeouts == [450]


def test_function_that_does_not_exist_is_named(machine: Any) -> None:
    """Somebody has mistyped it, so it does not help to ask again."""
    with LambdaService(Clock(), lambda *_: None) as service:
        machine(service.url)
        with pytest.raises(StoreError, match="there is no function nobody in this account and region") as caught:
            invoke("nobody", {})
    assert caught.value.code == "ResourceNotFoundException"
    assert caught.value.is_refusal
    assert not caught.value.retryable


def test_function_that_may_not_be_asked_is_told_as_aws_tells_it(machine: Any) -> None:
    """The function may well exist."""
    body = {"__type": "AccessDeniedException", "message": "nobody may"}
    with Recorder(403, body) as service:
        machine(service.url)
        with pytest.raises(StoreError) as caught:
            invoke(FUNCTION_NAME, {})
    assert str(caught.value) == "Lambda, invoke: AccessDeniedException nobody may"


def test_answer_that_is_cut_is_told_by_the_failure(machine: Any) -> None:
    """What has arrived of it is not a result."""
    with Recorder(headers={"Content-Length": "100"}) as service:
        machine(service.url)
        with pytest.raises(StoreError, match=r"^Lambda, invoke: [A-Za-z]+Error$") as caught:
            invoke(FUNCTION_NAME, {})
    assert caught.value.retryable
