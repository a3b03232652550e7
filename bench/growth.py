"""How the design grows, by calculation: one stack for each client, all in one account and region of AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.cost import HOURS_A_MONTH, SECONDS_AN_HOUR, STACKS, month

if TYPE_CHECKING:
    from bench.cost import Book, Tick

FREE_DASHBOARDS = 3


def costs(no_op: Tick, refresh: Tick, memory: int, book: Book) -> list[list[str]]:
    """Return a row for each number of clients: a month's cost, of it the dashboards, and the load on AWS."""
    lines = month(no_op, refresh, memory, book)
    without = sum(lines.values()) - lines["dashboard"]
    refreshes = book.assumed("refreshes_per_month") / HOURS_A_MONTH
    rows = []
    for stacks in STACKS:
        dashboards = max(0, stacks - FREE_DASHBOARDS) * lines["dashboard"]
        calls = stacks * ((1 - refreshes) * no_op.aws_calls + refreshes * refresh.aws_calls) / SECONDS_AN_HOUR
        at_once = stacks / book.document["rates"]["batch_get"]["value"]
        rows.append(
            [
                f"{stacks:,}",
                f"{without * stacks:,.2f}",
                f"{without * stacks + dashboards:,.2f}",
                f"{calls:.3f}",
                f"{at_once:.1f}",
            ]
        )
    return rows


def limits(book: Book) -> list[list[str]]:
    """Return the quotas, the first that bites first: how many stacks each allows."""
    quotas = sorted(book.document["quotas"].values(), key=lambda one: one["value"] / one["per_stack"])
    return [
        [
            one["what"],
            f"{one['value']:,}",
            str(one["per_stack"]),
            f"{one['value'] // one['per_stack']:,}",
            one["source"],
        ]
        for one in quotas
    ]
