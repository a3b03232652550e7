"""What a terminal shows of a result: the summary, then facts below each other, then problems and warnings."""

from typing import Any

import pytest

from handler.report import as_json, for_people, in_one_line
from handler.result import empty_result

ENDS_AT = 1_790_000_000  # 2026-09-21 14:13 UTC
ACCOUNT = {"client_id": "client-violet", "username": "keeper-1"}
COUNTS = {"connections": 3, "fresh": 1, "due": 2, "handed_over": 0, "empty": 0}
RED = "\033[31;1m"
YELLOW = "\033[33m"
PLAIN = "\033[0m"


def result(**changes: Any) -> dict[str, Any]:
    return empty_result("kept") | {"summary": "All is well."} | changes


def shown(*, width: int = 100, in_colour: bool = False, **changes: Any) -> str:
    return for_people(result(**changes), in_colour=in_colour, width=width)


def row(name: str = "stores/017", **changes: Any) -> dict[str, Any]:
    """Return what a sweep says of a connection with 12 hours left."""
    life = {"seconds_remaining": 43_200, "expires_at": ENDS_AT}
    return {"name": name, **life, "reason": "in_window", "error": "VendorUnreachable"} | changes


def swept(*rows: dict[str, Any], width: int = 100, **changes: Any) -> list[str]:
    """Return the parts of what is shown of a sweep that has these connections among the worst."""
    return shown(width=width, **{**COUNTS, "problems": [], "worst": [*rows], **changes}).split("\n\n")


def table_of(*rows: dict[str, Any], width: int = 100) -> list[str]:
    return swept(*rows, width=width)[2].splitlines()


def test_json_has_a_line_for_each_key() -> None:
    """So a person can read it, too."""
    assert as_json({"outcome": "kept", "warnings": []}) == '{\n  "outcome": "kept",\n  "warnings": []\n}'


# One connection


def test_result_that_says_nothing_is_its_summary_and_outcome() -> None:
    """A fact that is not known has no line."""
    assert shown() == "All is well.\n\noutcome             kept"


def test_each_fact_has_a_line() -> None:
    """The facts stand below each other, in one order, with their values in a column."""
    text = shown(
        connection="stores/017",
        client_id="client-violet",
        username="keeper-1",
        expires_at=ENDS_AT,
        seconds_remaining=43_200,
        standby=None,
        not_before=ENDS_AT + 60,
        next_due_at=ENDS_AT + 120,
        reason="fresh",
        safe_to_deactivate="client-green",
        version="1.0.0",
    )
    assert text.splitlines() == [
        "All is well.",
        "",
        "connection          stores/017",
        "token of            client-violet#keeper-1",
        "ends                2026-09-21 14:13 UTC, in 12.0 hours",
        "standby             none",
        "may ask from        2026-09-21 14:14 UTC",
        "next request        2026-09-21 14:15 UTC",
        "outcome             kept (fresh)",
        "safe to deactivate  client-green",
        "version             1.0.0",
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"client_id": "client-blue"}, "token of            client-blue"),
        (
            {"expires_at": ENDS_AT, "seconds_remaining": 0},
            "ends                2026-09-21 14:13 UTC, not good any more",
        ),
        ({"reason": "fresh", "dry_run": True}, "outcome             kept, nothing was done (fresh)"),
        ({"standby": ACCOUNT | {"not_before": None}}, "standby             client-violet#keeper-1, may ask"),
        (
            {"standby": ACCOUNT | {"not_before": ENDS_AT}},
            "standby             client-violet#keeper-1, may ask from 2026-09-21 14:13 UTC on",
        ),
        (
            {"standby": {"client_id": "client-green", "username": None}},
            "standby             client-green, may ask",
        ),
    ],
    ids=["a client alone", "ended", "dry run", "standby", "standby that waits", "standby that is a client alone"],
)
def test_fact_is_told_as_people_read_it(changes: dict[str, Any], line: str) -> None:
    """Dates are in UTC, and a service account has its client's id before it."""
    assert line in shown(**changes).splitlines()


def test_standby_is_not_known_if_its_secret_can_not_be_read() -> None:
    """That there is none would be wrong."""
    assert "standby" not in shown(standby=None, reason="unreadable")


def test_problems_come_last_and_then_warnings() -> None:
    """Each has a paragraph of its own. A problem of a sweep has its connection's name."""
    problems = [
        {"error": "StoreError", "text": "denied"},
        {"name": "stores/017", "error": "CredentialsError", "text": "client_id is missing"},
    ]
    assert shown(problems=problems, warnings=["unknown key", "odd lifetime"]).split("\n\n")[2:] == [
        "problem: StoreError: denied",
        "problem: stores/017: CredentialsError: client_id is missing",
        "warning: unknown key",
        "warning: odd lifetime",
    ]


# Many connections


def test_sweep_shows_its_counts() -> None:
    """With the number of problems, which follow."""
    problem = {"error": "StoreError", "text": "denied"}
    assert swept(problems=[problem, problem])[1].splitlines() == [
        "connections         3",
        "fresh               1",
        "due                 2",
        "handed over         0",
        "empty               0",
        "problems            2",
    ]


def test_sweep_without_connections_has_no_table() -> None:
    """Only the summary and the counts are left."""
    assert len(swept()) == 2


def test_table_has_the_worst_first() -> None:
    """The columns are as wide as they need to be, and a number stands at the right of its column."""
    assert table_of(row(), row("stores/1", seconds_remaining=600)) == [
        "connection        left  ends                  due because  last error",
        "stores/017  12.0 hours  2026-09-21 14:13 UTC  in_window    VendorUnreachable",
        "stores/1    10 minutes  2026-09-21 14:13 UTC  in_window    VendorUnreachable",
    ]


def test_table_tells_what_is_not_there() -> None:
    """A token that has ended has no life left, and of one that can't be read nothing is known."""
    nothing = {"expires_at": None, "reason": None, "error": None}
    assert table_of(row("a", seconds_remaining=0, **nothing), row("b", seconds_remaining=None, **nothing)) == [
        "connection       left  ends  due because  last error",
        "a                none  -     -            -",
        "b           not known  -     -            -",
    ]


@pytest.mark.parametrize(
    ("width", "name"),
    [
        (88, "brands/north-store-017"),
        (87, "brands/nor…-store-017"),
        (86, "brands/nor…store-017"),
        (40, "brands/n…ore-017"),
    ],
)
def test_long_name_is_shortened_in_its_middle(width: int, name: str) -> None:
    """It is as long as the terminal allows, but not below 16 characters; both ends stay."""
    line = table_of(row("brands/north-store-017"), width=width)[1]
    assert line.partition("  ")[0] == name


# Colour and width


def test_capitals_of_a_summary_are_red() -> None:
    """They tell that consumers have no token, or will have none. A sentence about anything else stays plain."""
    for alarm in ("CONSUMERS HAVE NO TOKEN.", "IT CAN'T BE RENEWED."):
        assert shown(summary=alarm, in_colour=True).startswith(f"{RED}{alarm}{PLAIN}\n\n")
        assert shown(summary=alarm).startswith(f"{alarm}\n\n")
    assert "\033" not in shown(summary="Consumers have a token.", in_colour=True)


def test_problems_and_warnings_are_yellow() -> None:
    """The rest is not."""
    problems = [{"error": "StoreError", "text": "denied"}]
    parts = shown(in_colour=True, problems=problems, warnings=["unknown key"]).split("\n\n")
    assert parts == [
        "All is well.",
        "outcome             kept",
        f"{YELLOW}problem: StoreError: denied{PLAIN}",
        f"{YELLOW}warning: unknown key{PLAIN}",
    ]


@pytest.mark.parametrize(("width", "widest"), [(10, 20), (20, 20), (50, 50), (100, 100), (200, 100)])
def test_lines_are_as_wide_as_the_terminal_within_what_people_read(width: int, widest: int) -> None:
    """No line is longer than 100 characters, and a terminal below 20 is taken for one of 20."""
    text = shown(width=width, summary=" ".join(60 * ["w"]), reason=None)
    assert len(text.splitlines()[0]) in {widest, widest - 1}


def test_width_that_is_not_told_is_what_people_read() -> None:
    """Such as that of a file."""
    text = for_people(result(summary=" ".join(60 * ["w"])), in_colour=False)
    assert len(text.splitlines()[0]) == 99


def test_further_lines_of_a_fact_stand_below_its_value() -> None:
    """Those of a problem and of a warning are indented, and those of the summary are not."""
    words = " ".join(6 * ["word"])
    text = shown(width=40, summary=f"{words} {words}", safe_to_deactivate=words, warnings=[f"{words} {words}"])
    assert text.splitlines() == [
        "word word word word word word word word",
        "word word word word",
        "",
        "outcome             kept",
        "safe to deactivate  word word word word",
        "                    word word",
        "",
        "warning: word word word word word word",
        "    word word word word word word",
    ]


@pytest.mark.parametrize("word", [50 * "x", "-".join(25 * ["x"])], ids=["one word", "hyphens"])
def test_word_that_is_too_long_stays_whole(word: str) -> None:
    """People copy an ARN or an address, so it is not broken."""
    assert word in shown(width=40, summary=f"The secret {word} is missing.").splitlines()


# Texts that may hold anything


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a\n  b\t c", "a b c"),
        ("blue\x1b[2J", "blue\\x1b[2J"),
        ("\u202e", "\\u202e"),
        ("Zürich 日", "Zürich 日"),
        ("it's", "it's"),
    ],
)
def test_text_is_one_line_that_steers_no_terminal(text: str, plain: str) -> None:
    """What can be read stays as it is."""
    assert in_one_line(text) == plain


def test_every_text_of_a_result_is_plain() -> None:
    """Those within lists and objects, too."""
    odd = "x\x1b"
    text = shown(
        summary=odd,
        client_id=odd,
        standby={"client_id": odd, "username": None, "not_before": None},
        problems=[{"name": odd, "error": odd, "text": odd}],
        warnings=[odd],
    )
    assert text.count("x\\x1b") == 7
    assert "\x1b" not in text
