"""Evaluates the template's alarms on what the real handler reports, as CloudWatch does."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.deployment.stack import Json, Stack

MINUTE = 60
STATISTICS: dict[str, Any] = {"Maximum": max, "Sum": sum}


@dataclass
class Reports:
    """Every value of every metric, with the time when the run ended that reported it. Times are Unix seconds."""

    values: defaultdict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def record(self, now: float, lines: list[Json]) -> None:
        """Record the metrics among the log lines of a run that ends now."""
        for line in lines:
            for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
                for metric in directive["Metrics"]:
                    self.values[metric["Name"]].append((now, line[metric["Name"]][0]))

    def is_in_alarm(self, alarm: Json, now: float) -> bool:
        """Say whether the alarm is on. A report counts from the minute after it."""
        visible_until = now - MINUTE
        begins_at = visible_until - int(alarm["Period"])
        reported = [value for at, value in self.values[alarm["MetricName"]] if begins_at <= at < visible_until]
        if not reported:
            return bool(alarm["TreatMissingData"] == "breaching")
        value = STATISTICS[alarm["Statistic"]](reported)
        threshold = float(alarm["Threshold"])
        if alarm["ComparisonOperator"] == "LessThanThreshold":
            return bool(value < threshold)
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        return bool(value >= threshold)


def alarms_on(stack: Stack, reports: Reports, now: float) -> set[str]:
    """Return which of the alarms on the handler's own metrics are on."""
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    return {
        name
        for name, alarm in alarms.items()
        if alarm["Namespace"] == "TokenRefresh" and reports.is_in_alarm(alarm, now)
    }


def first_alarms(stack: Stack, reports: Reports, begin: float, end: float) -> dict[str, float]:
    """Return when each alarm goes off for the first time between two times, looking every minute."""
    found: dict[str, float] = {}
    now = begin
    while now < end:
        for name in alarms_on(stack, reports, now) - found.keys():
            found[name] = now
        now += MINUTE
    return found
