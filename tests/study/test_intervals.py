"""The intervals on the pages: as wide as Student's distribution says, for few values and for many."""

import pytest

from local.intervals import half_interval
from local.simulate.availability import Availability


@pytest.mark.parametrize(
    ("values", "half"),
    [
        ([1, 3], 12.706),  # t x s / √n = 12.706 x √2 / √2
        ([1, 2, 3, 4], 2.054),  # 3.182 x 1.291 / 2
        ([1, 2] * 300, 0.0402),  # 1.966 x 0.5004 / √600
    ],
)
def test_interval_is_that_of_student(values: list[float], half: float) -> None:
    """Of few values it is much wider than that of a normal distribution."""
    assert half_interval(values) == pytest.approx(half, rel=2e-3)


def test_no_year_has_more_than_all_of_its_time() -> None:
    """So the interval of an availability ends at 1 at the latest, and begins at 0 at the earliest."""
    few_years = Availability("", [0.9, 1.0])
    worse, better = few_years.interval
    assert worse == pytest.approx(0.95 - 0.6353)
    assert better == 1
    assert few_years.hours_interval[0] == 0
    assert Availability("", [0.0, 0.2]).interval[0] == 0
