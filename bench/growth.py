"""How the design grows, by calculation: one stack for each client, all in one account and region of AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.cost import HOURS_A_MONTH, SECONDS_AN_HOUR, STACKS, month

if TYPE_CHECKING:
    from bench.cost import Book, Tick

FREE_DASHBOARDS = 3


def costs(no_op: Tick, refresh: Tick, memory: int, book: Book) -> list[list[str]]:
    """Return a row for each number of clients: a month's cost without dashboards and with them, and calls."""
    lines = month(no_op, refresh, memory, book)
    without = sum(lines.values()) - lines["dashboard"]
    refreshes = book.assumed("refreshes_per_month") / HOURS_A_MONTH
    rows = []
    for stacks in STACKS:
        dashboards = max(0, stacks - FREE_DASHBOARDS) * lines["dashboard"]
        calls = stacks * ((1 - refreshes) * no_op.aws_calls + refreshes * refresh.aws_calls) / SECONDS_AN_HOUR
        rows.append(
            [
                f"{stacks:,}",
                f"{without * stacks:,.2f}",
                f"{without * stacks + dashboards:,.2f}",
                f"{calls:.3f}",
            ]
        )
    return rows


def rates(book: Book) -> list[list[str]]:
    """Return what AWS allows, and what the most stacks ask for where all of them run in the same second."""
    found = []
    for one in book.document["rates"].values():
        asked = STACKS[-1] * one["per_run"]
        cells = [one["what"], f"{one['value']:,}", f"{asked:,}, if each is a {one['of']}"]
        found.append([*cells, f"{asked / one['value']:.0f}", one["source"]])
    return found


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
