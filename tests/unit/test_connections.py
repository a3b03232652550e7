"""What a warm process keeps: the tokens that it could not save."""

from handler.connections import WarmProcess

from .builders import NOW, make_settings, make_token

OTHER_RUN = "another-run"


def make_process() -> WarmProcess:
    return WarmProcess(settings=make_settings(), client=None, now=lambda: NOW)


def test_process_names_the_connections_whose_tokens_it_could_not_save() -> None:
    """Each once, and in order. A token that ends now is of no use any more."""
    process = make_process()
    process.connection("b").hold(make_token(remaining=1), OTHER_RUN)
    process.connection("a").hold(make_token(remaining=1), OTHER_RUN)
    process.connection("ended").hold(make_token(remaining=0), OTHER_RUN)
    assert process.connections_with_unsaved_tokens() == ["a", "b"]


def test_process_keeps_the_newer_token_of_a_principal() -> None:
    """Of two that are as old the later one is kept, with the run under whose claim it was acquired."""
    one = make_process().connection()
    one.hold(make_token(age=60), OTHER_RUN)
    one.hold(make_token(age=61), "an-older-run")
    assert one.unsaved_tokens() == (make_token(age=60),)
    assert one.unsaved_runs() == {OTHER_RUN}
    one.hold(make_token(age=60), "this-run")
    assert one.unsaved_runs() == {"this-run"}


def test_process_forgets_a_token_that_ends_now() -> None:
    """Consumers could not use it."""
    one = make_process().connection()
    one.hold(make_token(remaining=1), OTHER_RUN)
    one.forget_useless_tokens(None, NOW)
    assert len(one.unsaved_tokens()) == 1
    one.forget_useless_tokens(None, NOW + 1)
    assert one.unsaved_tokens() == ()


def test_connection_has_the_name_and_the_ids_of_its_process() -> None:
    """A simulation of many connections is the same each time. A deployment of one has no name for it."""
    process = WarmProcess(settings=make_settings(), client=None, new_id=lambda: "an-id")
    assert process.connection("a").new_id() == "an-id"
    assert process.connection().name == ""
