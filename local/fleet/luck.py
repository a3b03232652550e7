"""Random numbers by which no store's luck depends on other stores."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.simulate.engine import Engine


class RandomOfWorker(random.Random):
    """The random numbers of whoever is working now: each store has its own."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    def random(self) -> float:
        number: float = self._engine.current_worker.rng.random()
        return number


class Steady(random.Random):
    """Random numbers for sweeps that always take the same time: no fault is ever drawn."""

    def random(self) -> float:
        return 1 - 1e-9
