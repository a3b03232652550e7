"""How costs and quotas grow, calculated: one stack for each client, all in one account and region of AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.cost import HOURS_A_MONTH, SECONDS_AN_HOUR, STACKS, month

if TYPE_CHECKING:
    from bench.cost import Book, Tick

FREE_DASHBOARDS = 3


def costs(no_op: Tick, refresh: Tick, memory: int, book: Book) -> list[list[str]]:
    """Return a row for each number of clients: a month's cost without and with dashboards, and calls a second."""
    lines = month(no_op, refresh, memory, book)
    cost_of_one = sum(lines.values()) - lines["dashboard"]
    refreshes_an_hour = book.assumed("refreshes_per_month") / HOURS_A_MONTH
    no_ops_an_hour = 1 - refreshes_an_hour
    calls_an_hour = no_ops_an_hour * no_op.aws_calls + refreshes_an_hour * refresh.aws_calls
    rows = []
    for stacks in STACKS:
        cost = stacks * cost_of_one
        dashboards = max(0, stacks - FREE_DASHBOARDS) * lines["dashboard"]
        calls_a_second = stacks * calls_an_hour / SECONDS_AN_HOUR
        row = [f"{stacks:,}", f"{cost:,.2f}", f"{cost + dashboards:,.2f}", f"{calls_a_second:.3f}"]
        rows.append(row)
    return rows


def rates(book: Book) -> list[list[str]]:
    """Return what AWS allows, and what the largest number of stacks needs if all of them run in the same second."""
    rows = []
    for rate in book.document["rates"].values():
        allowed = rate["value"]
        needed = STACKS[-1] * rate["per_run"]
        row = [
            rate["what"],
            f"{allowed:,}",
            f"{needed:,}, if each is a {rate['of']}",
            f"{needed / allowed:.0f}",
            rate["source"],
        ]
        rows.append(row)
    return rows


def limits(book: Book) -> list[list[str]]:
    """Return how many stacks each quota allows. The tightest quota comes first."""
    rows = []
    for quota in sorted(book.document["quotas"].values(), key=stacks_allowed):
        row = [
            quota["what"],
            f"{quota['value']:,}",
            str(quota["per_stack"]),
            f"{stacks_allowed(quota):,}",
            quota["source"],
        ]
        rows.append(row)
    return rows


def stacks_allowed(quota: dict[str, Any]) -> int:
    allowed: int = quota["value"] // quota["per_stack"]
    return allowed
