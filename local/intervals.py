"""How sure the mean of a few measured values is: its 95 % interval, by Student's distribution."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# The 97.5 % quantile of Student's distribution by its degrees of freedom, which are one less than the values.
_QUANTILES = {
    1: 12.706,
    2: 4.303,
    3: 3.182,
    4: 2.776,
    5: 2.571,
    7: 2.365,
    9: 2.262,
    14: 2.145,
    19: 2.093,
    29: 2.045,
    59: 2.001,
    79: 1.990,
    99: 1.984,
    199: 1.972,
    399: 1.966,
}


def half_interval(values: Sequence[float]) -> float:
    """Return how far the 95 % interval of the mean goes to either side. There are two values at least.

    Between the listed numbers of values it is a little too wide, not too narrow.
    """
    degrees = max(listed for listed in _QUANTILES if listed < len(values))
    return _QUANTILES[degrees] * statistics.stdev(values) / math.sqrt(len(values))
