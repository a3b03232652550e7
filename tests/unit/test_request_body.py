"""The body of a request: once it is withdrawn, nothing of it leaves any more."""

import socket
import time

import pytest

from handler.http_exchange import RequestBody


def test_body_that_is_read_may_have_left() -> None:
    """Before that, the vendor can't have issued a token."""
    body = RequestBody(b"form")
    assert not body.may_have_left
    assert body.read() == b"form"
    assert body.may_have_left


def test_body_is_read_in_pieces() -> None:
    """As large as whoever sends it asks for."""
    body = RequestBody(b"form")
    assert (body.read(3), body.read(3), body.read(3)) == (b"for", b"m", b"")


def test_body_that_is_withdrawn_can_not_be_read() -> None:
    """The run no longer waits for the answer, so a token would be lost."""
    body = RequestBody(b"form")
    body.withdraw()
    with pytest.raises(TimeoutError):
        body.read()


def test_body_can_not_be_read_too_late() -> None:
    """Nothing has left then."""
    body = RequestBody(b"form", send_before=time.monotonic() - 1)
    with pytest.raises(TimeoutError):
        body.read()
    assert not body.may_have_left


def test_body_that_is_withdrawn_closes_its_connection() -> None:
    """The thread that reads the answer must not outlive the run."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        body = RequestBody(b"form")
        body.connected(ours)
        body.withdraw()
        assert theirs.recv(1) == b""


def test_connection_of_a_body_that_is_withdrawn_is_of_no_use() -> None:
    """It was made too late."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        body = RequestBody(b"form")
        body.withdraw()
        with pytest.raises(TimeoutError):
            body.connected(ours)
