"""The simulator repeats itself, it behaves as the real clients do, and each of its invariants can fail."""

import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest

from handler.policy import Request
from local.durations import HOUR, MINUTE
from local.fleet.plan import FleetSetup
from local.simulate import __main__ as command_line
from local.simulate import results_file, study, study_plots, study_report, study_words
from local.simulate.ablations import ABLATIONS
from local.simulate.causes import WRITTEN_BY_HAND
from local.simulate.engine import Engine
from local.simulate.figures import Figures, describe_broken
from local.simulate.host import SimulatorFailed
from local.simulate.invariants import INVARIANTS, MAX_VERSIONS, Invariants
from local.simulate.many_connections import play_fleet
from local.simulate.plan import START, Setup
from local.simulate.rates import NONE, REALISTIC, TORTURE
from local.simulate.real_clients import REAL_CLIENTS
from local.simulate.stand_in import stand_in
from local.simulate.study import COMPARED, HARD, REAL, TORTURED, Case, Row, Study, replay_command
from local.simulate.year import Year
from scripts import ROOT

# What breaks each invariant: the ablation, a seed, and how many days of it suffice.
BREAKERS = {
    "document": ("claims are current", 2, 3),
    "older": ("any token at hand", 0, 10),
    "foreign": ("any token at hand", 13, 3),
    "claim": ("no claim", 2, 3),
    "flight": ("no claim", 0, 3),
    "early": ("no slots", 0, 3),
    "needed": ("asks at every look", 0, 3),
    "standby": ("no displaced token", 1, 3),
    "lock": ("recovery by a moved label", 0, 3),
    "publish": ("no own slot", 0, 3),
    "end": ("a later end", 0, 3),
    "pause": ("pauses for a day", 0, 10),
    "held": ("forgets", 5, 10),
    "idle": ("heartbeat", 2, 3),
    "versions": ("no ledger", 1, 5),
    "secret": ("token in the result", 2, 3),
    "heals": ("locks do not lapse", 0, 5),
}


# Each fault of the vendor's answers, the rare ones too, happens within days at these rates.
ANSWERS = [name for name, _, per, _ in TORTURE.table() if name.startswith("vendor_") and per == "request"]
EACH_ANSWER = replace(TORTURE, **dict.fromkeys(ANSWERS, 0.06), vendor_down_minutes=300)
PAGE = ROOT / "docs" / "RELIABILITY.md"


def shortened(case: Case) -> Row:
    """Play one day of a case, with two seeds, since one value has no interval."""
    short = replace(case, setup=replace(case.setup, days=1), years=2)
    return Row(short, [short.play_year(seed) for seed in range(short.years)])


@pytest.mark.parametrize("seed", range(2))
def test_nothing_that_must_hold_is_broken_when_everything_fails_at_once(seed: int) -> None:
    """No invariant is broken in weeks of faults far beyond any real ones."""
    setup = replace(TORTURED, days=30)
    figures = Year(seed, setup).play()
    # Not `assert not figures.broken`: pytest would show a Counter where a person needs the sentence and the command.
    if figures.broken:
        pytest.fail(describe_broken(figures, replay_command(seed, setup)), pytrace=False)
    assert figures.runs["refreshed"] > 20
    assert figures.runs["Killed"] > 0


def test_token_with_less_than_a_second_left_is_not_at_hand() -> None:
    """The handler counts whole seconds, so the invariants do too: here the standby is asked in that second."""
    setup = replace(COMPARED, settings={"standby_below_seconds": 0})
    figures = Year(12, setup).play()
    assert not figures.broken


@pytest.mark.parametrize("name", INVARIANTS)
def test_each_invariant_fails_if_its_mechanism_is_taken_out(name: str) -> None:
    """An invariant that nothing breaks would show nothing."""
    ablation, seed, days = BREAKERS[name]
    assert ABLATIONS[ablation].play_year(seed, replace(TORTURED, days=days)).broken[name]


def test_a_broken_invariant_is_told_in_its_sentence_with_the_command_that_plays_it_again() -> None:
    """Whoever reads the failure knows what did not hold, in which year, and can look into it at once."""
    setup = replace(TORTURED, days=3, standby=False, settings={"limit_margin_seconds": 60})
    figures = ABLATIONS["no claim"].play_year(2, setup)
    command = replay_command(2, setup, "no claim")
    told = describe_broken(figures, command)
    assert INVARIANTS["claim"] in told
    assert "seed 2" in told
    assert command in told
    assert "Counter" not in told
    # The command names the Python of a clone's own venv; here it is that of this test.
    arguments = [sys.executable, *shlex.split(command)[1:]]
    again = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert again.returncode == 1, again.stderr
    assert again.stdout.strip().endswith(told)
    assert figures.trace in again.stdout


@pytest.mark.parametrize("check", ["check_write", "check_request"])
def test_a_check_that_fails_itself_ends_the_year(check: str) -> None:
    """Otherwise the handler would take it for an error of AWS or of the vendor, and nobody would see it."""

    def fail(*_: object, **__: object) -> None:
        raise KeyError(check)

    with stand_in((Invariants, check, fail)), pytest.raises(SimulatorFailed):
        Year(0, replace(REAL, days=2)).play()


def test_nothing_is_told_of_a_year_in_which_all_held() -> None:
    """An empty text means that no invariant was broken."""
    setup = replace(REAL, days=2)
    assert not describe_broken(Year(0, setup).play(), replay_command(0, setup))


@pytest.mark.parametrize(
    "setup",
    [replace(HARD, days=6), replace(TORTURED, days=3), replace(TORTURED, days=3, accounts="service")],
)
def test_the_same_seed_is_the_same_year(setup: Setup) -> None:
    """A year can be played again, to look into it; another seed is another year."""
    first, again, other = (Year(seed, setup).play() for seed in (5, 5, 6))
    assert first == again
    assert first.trace != other.trace


@pytest.mark.parametrize(
    ("seed", "setup"),
    [
        (0, replace(REAL, days=2)),
        (1, replace(HARD, days=2, probe=True)),
        (2, replace(HARD, days=2, standby=False)),
        (3, replace(TORTURED, days=2)),
        (0, replace(TORTURED, days=3, rates=EACH_ANSWER)),
        (1, replace(TORTURED, days=1, accounts="service")),
    ],
)
def test_real_clients_leave_the_very_same_trace(seed: int, setup: Setup) -> None:
    """With botocore and requests in place of their stand-ins every call, pause and outcome is the same."""
    assert Year(seed, setup, REAL_CLIENTS).play() == Year(seed, setup).play()


@pytest.mark.parametrize("standby", [True, False])
def test_a_month_without_faults_never_lacks_a_token(standby: bool) -> None:
    """If nothing fails, consumers always have a token, at one request a day or less, and none is lost."""
    figures = Year(0, Setup(rates=NONE, days=30, standby=standby)).play()
    assert (figures.careful, figures.plain, figures.lost.total(), figures.refusals) == (1, 1, 0, 0)
    assert figures.requests <= 30 * 24 / 20 + 1
    assert figures.runs.keys() <= {"kept", "refreshed", "waiting"}


def test_reads_that_lag_cost_no_token_and_no_request() -> None:
    """If half of all reads show what was there before, all goes on as if none did."""
    setup = Setup(rates=replace(NONE, aws_lag=0.5, run_doubled=0.5), days=20)
    figures = Year(0, setup).play()
    assert figures.careful == 1
    assert not figures.broken
    assert figures.refusals == 0
    assert figures.requests <= 20 * 24 / 20 + 1


@pytest.mark.parametrize("standby", [True, False])
def test_what_a_person_writes_over_the_token_costs_no_request(standby: bool) -> None:
    """The keeper brings the good token back within an hour, and that time has its own cause."""
    by_hand = dict.fromkeys(["overwritten", "restored", "label_moved"], 40)
    setup = Setup(rates=replace(NONE, **by_hand), days=60, standby=standby)
    figures = Year(0, setup).play()
    assert not figures.broken
    assert {outage.cause for outage in figures.outages} == {WRITTEN_BY_HAND}
    assert max(outage.seconds for outage in figures.outages) < HOUR + MINUTE
    assert figures.runs["recovered"] > 10
    assert figures.requests <= 60 * 24 / 20 + 1
    assert figures.lost.total() == 0


def crowd(runs: int) -> Figures:
    """Let so many runs start at the same moment while there is no token yet."""
    year = Year(0, Setup(rates=NONE, days=2))
    for _ in range(runs):
        year.engine.at(START, partial(year.function.invoke_by_hand, Request()))
    return year.play()


def test_a_crowd_of_runs_leaves_few_versions_behind() -> None:
    """Of many racers one puts the claim. With ids of their own they use up all of AWS's versions."""
    figures = crowd(100)
    assert figures.max_versions_per_day < 10
    assert figures.careful == 1
    assert not figures.broken
    with ABLATIONS["claim ids of their own"].handler():
        assert crowd(100).broken["versions"]


def loop_of_overrides(number: int) -> Figures:
    """Override the limit so many times, two minutes apart, while a vendor without a slot refuses."""
    year = Year(0, Setup(rates=NONE, days=3))
    request = Request(force=True, override_limit=True)
    for count in range(number):
        at = START + HOUR + 2 * MINUTE * count
        year.engine.at(at, partial(year.function.invoke_by_hand, request))
    return year.play()


def test_whoever_invokes_it_leaves_versions_for_the_next_refresh() -> None:
    """The pace bounds what 500 overrides use up. Without it AWS refuses the versions of the next refresh."""
    figures = loop_of_overrides(500)
    assert figures.max_versions_per_day <= MAX_VERSIONS
    assert figures.careful == 1
    assert not figures.broken
    with ABLATIONS["no pace"].handler():
        assert loop_of_overrides(500).broken["versions"]


def test_overrides_leave_claims_for_the_standby() -> None:
    """Somebody overrides the limit in a loop while there is no token: the free standby is asked all the same."""
    year = Year(0, Setup(rates=NONE, days=2))
    year.network.outage = "vendor_5xx"
    year.engine.at(START, year.operator.use_elsewhere)  # spends the primary's slot
    year.engine.at(START + 6 * HOUR, lambda: setattr(year.network, "outage", ""))
    request = Request(force=True, override_limit=True)
    for minute in range(0, 47 * 60, 2):
        at = START + minute * MINUTE
        year.engine.at(at, partial(year.function.invoke_by_hand, request))
    year.play()
    assert min(grant.at for grant in year.network.grants.values()) < START + 9 * HOUR


@pytest.mark.parametrize("standby", [True, False])
def test_a_mistyped_rotation_that_is_rolled_back_leaves_all_as_it_was(standby: bool) -> None:
    """People then have as many credentials as before, and go on rotating: one too many would flatter the figures."""
    rates = replace(NONE, rotations=40, mistyped=1, rolled_back=1)
    year = Year(0, Setup(rates=rates, days=60, standby=standby))
    year.play()
    assert len(year.operator.principals) == 1 + standby
    assert not year.operator.is_busy
    assert standby or len(year.network.vendor.describe()["clients"]) > 3  # type: ignore[arg-type]


def day_of_accounts(*, is_mistyped: bool) -> Year:
    """Return a day without faults, in which people rotate the service account."""
    year = Year(0, Setup(accounts="service", rates=NONE, days=1))

    def rotate() -> None:
        assert year.operator.rotate(is_mistyped=is_mistyped, is_rolled_back=False)

    year.engine.at(START + 2 * HOUR, rotate)
    return year


@pytest.mark.parametrize("standby", [True, False])
def test_rotations_of_service_accounts_cost_no_second_without_a_token(standby: bool) -> None:
    """A new account gets its token at once, and the old one is deactivated when no consumer has its token any more."""
    setup = Setup(accounts="service", standby=standby, rates=replace(NONE, rotations=100), days=30)
    figures = Year(0, setup).play()
    assert (figures.careful, figures.plain, figures.outages) == (1, 1, [])
    assert not figures.broken
    assert figures.requests == figures.published
    assert figures.lost.total() == 0


def test_a_rotation_leaves_the_accounts_as_the_runbook_has_it() -> None:
    """The new account is the primary, the old one is deactivated, and the standby from before is the standby again."""
    year = day_of_accounts(is_mistyped=False)
    year.play()
    vendor = year.network.vendor
    active = [name for name in ("account-1", "account-2", "account-3") if vendor.is_active(f"client-1#{name}")]
    assert year.operator.principals == ["client-1#account-3", "client-1#account-2"]
    assert active == ["account-2", "account-3"]
    assert not year.operator.is_busy


@pytest.mark.parametrize("seed", range(2))
def test_people_correct_a_wrong_password_before_the_vendor_blocks_the_account(seed: int) -> None:
    """Ten wrong passwords in a row block it. The pauses that grow leave people the time that they need."""
    rates = replace(REALISTIC, rotations=100, mistyped=1)
    figures = Year(seed, Setup(accounts="service", rates=rates, days=60)).play()
    assert not figures.broken
    assert 0 < figures.max_wrong_passwords < 10
    assert figures.unblocked == 0


def test_people_have_a_blocked_account_unblocked() -> None:
    """Somebody else tries wrong passwords while ours is wrong, too: the account is blocked, and used again later."""
    year = day_of_accounts(is_mistyped=True)
    operator = year.operator

    def block() -> None:
        wrong = replace(operator.primary, password="wrong")
        for _ in range(10):
            year.network.use_as_second_party(wrong)

    year.engine.at(START + 2 * HOUR + MINUTE, block)
    figures = year.play()
    assert figures.unblocked == 1
    assert figures.careful == 1
    assert not figures.broken
    assert year.network.grants[year.invariants.current_token].principal == operator.primary.principal


@pytest.mark.parametrize("standby", [True, False])
def test_nothing_is_broken_with_service_accounts_when_everything_fails_at_once(standby: bool) -> None:
    """The invariants go by principal: a client's service accounts do not stand for each other."""
    setup = replace(TORTURED, accounts="service", standby=standby, days=20)
    figures = Year(1, setup).play()
    if figures.broken:
        pytest.fail(describe_broken(figures, replay_command(1, setup)), pytrace=False)
    assert figures.runs["refreshed"] > 10


def test_the_replay_command_names_the_kind_of_accounts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise it would play another year."""
    setup = replace(REAL, accounts="service", days=2)
    python_and_module, options = replay_command(3, setup).split(" local.simulate ")
    assert python_and_module.endswith("-m")
    monkeypatch.setattr(sys, "argv", ["simulate", *shlex.split(options)])
    assert command_line.main() == 0
    played = capsys.readouterr().out
    assert "asks as client-1#account-1" in played
    assert Year(3, setup).play().trace in played


def test_chances_beyond_one_are_refused() -> None:
    """If a request met one of its faults for sure, the last of them would never happen."""
    with pytest.raises(ValueError, match="vendor_"):
        Year(0, Setup(rates=replace(TORTURE, vendor_slow=0.9)))


def short_study(cases: Iterable[Case]) -> Study:
    return Study([shortened(case) for case in cases], play_fleet(FleetSetup(connections=3, days=0.2)))


def test_the_report_names_the_lines_that_differ(tmp_path: Path) -> None:
    """A line that lacks a token for longer in all its plays is named, and one in which the same happened is not."""
    lines = {"1 h", "1 h, no standby", study.PRODUCT, "no lock", "no pace"}
    planned = [case for case in study.cases(0) if case.table == "headline" or case.name in lines]
    planned += [next(case for case in study.cases(0) if case.table == table) for table in ("changes", "settings")]
    played = short_study(planned)
    ablations = {row.case.name: row for row in played.rows if row.case.table == "ablations"}
    whole = ablations[study.PRODUCT].figures
    ablations["no lock"].figures = [replace(year, trace="another", careful=year.careful - 0.5) for year in whole]
    ablations["no pace"].figures = whole
    text = study_report.write(played, tmp_path, scale=0).read_text()
    section = text.partition("## What each mechanism is for\n")[2].partition("\n## ")[0]
    assert "These lines lack a token for longer: *no lock*. For the other lines these plays" in section
    [line] = [line for line in section.splitlines() if line.startswith("| no pace |")]
    more_hours = line.split(" | ")[4]
    assert more_hours == ""


def test_the_report_tells_of_every_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report has all its tables and plots, and the command draws the same plots again without playing a year."""
    planned = [case for case in study.cases(0) if case.name != "15 min"]
    text = study_report.write(short_study(planned), tmp_path, scale=0).read_text()
    assert all(case.name in text for case in planned if case.table != "invariants")
    plots = {path.name: path.read_bytes() for path in tmp_path.glob("*.svg")}
    assert sorted(plots) == [f"reliability-{name}.svg" for name in ("ablations", "schedules", "years")]
    assert all(plot in text for plot in plots)
    for plot in plots:
        (tmp_path / plot).unlink()
    monkeypatch.setattr(sys, "argv", ["simulate", "--plots-only", "--out", str(tmp_path)])
    assert command_line.main() == 0
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.svg")} == plots


def test_the_plots_on_the_page_show_its_tables(tmp_path: Path) -> None:
    """The plots are drawn from the stored results, which are those of the page's run and of its tables."""
    page = PAGE.read_text()
    results = results_file.load(PAGE.with_name(results_file.RESULTS_FILE))
    assert f"`{results.trace}`" in page
    for case in [*results.tables["schedules"], *results.tables["ablations"]]:
        assert f"| {' | '.join(study_report.availability_cells(case))} |" in page
    means = [f"{100 * case.mean:.4f} %" for case in results.tables["headline"]]
    assert f"| availability, mean | {' | '.join(means)} |" in page
    study_plots.draw_all(results, tmp_path)
    stale = [path.name for path in tmp_path.iterdir() if path.read_bytes() != PAGE.with_name(path.name).read_bytes()]
    assert stale == [], "draw them again: .venv/bin/python -m local.simulate --plots-only"


def test_the_page_tells_of_this_handler() -> None:
    """The worst year that the page names is played again: today's handler makes of it what the page says."""
    [line] = [line for line in PAGE.read_text().splitlines() if line.startswith("| worst year |")]
    told = line.strip("| ").split(" | ")[1]
    seed = int(told.partition("seed ")[2].rstrip(")"))
    assert told == f"{100 * Year(seed, REAL).play().careful:.4f} % (seed {seed})"


def test_the_page_has_the_words_of_the_code() -> None:
    """The study takes long, so whoever changes a sentence of the report changes it on the page by hand."""
    page = PAGE.read_text()
    ablations = [f"- *{name}*: {one.words}." for name, one in ABLATIONS.items()]
    reasons = [f"| {per} | {why} |" for _, _, per, why in REALISTIC.table()]
    sentences = [f"| {sentence} |" for sentence in INVARIANTS.values()]
    texts = [*study_words.ALL, *ablations, *reasons, *sentences]
    assert [text for text in texts if text not in page] == []


RARE_YEARS = {
    "no lock": (1, 2),
    "no waiting": (1, 2),
    "no pause after refused credentials": (3, 4),
    "claims carry no token": (7, 4),
    "no pace": (34, 4),
    "no asked_with": (4, 4),
    "forgets": (6, 4),
    "no repeated publish": (0, 4),
}


@cache
def whole(seed: int, days: int) -> str:
    """Return the trace of the product, with nothing taken out."""
    return Year(seed, replace(TORTURED, days=days)).play().trace


def differs(ablation: str, seed: int, days: int) -> bool:
    """Say whether the ablation makes another year."""
    figures = ABLATIONS[ablation].play_year(seed, replace(TORTURED, days=days))
    return figures.trace != whole(seed, days)


@pytest.mark.parametrize("name", [name for name, one in ABLATIONS.items() if one.is_studied])
def test_each_studied_ablation_takes_something_out(name: str) -> None:
    """With enough faults it makes another year; otherwise its line in the tables would be the product's own."""
    # Most need few faults. Those that do nothing else for weeks differ within these days of their seeds.
    seed, days = RARE_YEARS.get(name, (0, 2))
    assert any(differs(name, seed, length) for length in (days, 20, 60))


def test_the_number_of_workers_changes_no_figure() -> None:
    """A year's seed decides all that is in it, whichever process plays it."""
    planned = [Case(table="headline", name="a week", setup=replace(REAL, days=7), years=3)]
    assert study.trace_of(study.play_all(planned, 1)) == study.trace_of(study.play_all(planned, 2))


def test_work_that_waits_is_overtaken_in_the_order_of_time() -> None:
    """Whoever waits goes on when its time has come, and others run in between."""
    engine = Engine(0.0)
    waited: list[tuple[str, float]] = []

    def work(name: str, pause: float) -> None:
        for _ in range(2):
            engine.wait(engine.now + pause)
            waited.append((name, engine.now))

    engine.at(0, lambda: engine.work("slow", lambda: work("slow", 5)))
    engine.at(1, lambda: engine.work("quick", lambda: work("quick", 2)))
    engine.run_until(20)
    assert waited == [("quick", 3), ("slow", 5), ("quick", 5), ("slow", 10)]
    assert engine.now == 20


def test_an_error_in_work_that_was_overtaken_is_not_lost() -> None:
    """A failure in a thread of its own stops the year, and shows."""
    engine = Engine(0.0)

    def fail() -> None:
        engine.wait(3)
        sys.exit("failed")

    engine.at(0, lambda: engine.work("first", lambda: engine.wait(9)))
    engine.at(1, lambda: engine.work("second", fail))
    with pytest.raises(SystemExit, match="failed"):
        engine.run_until(20)
