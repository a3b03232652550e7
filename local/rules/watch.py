"""Says which rules matter in a search or in a simulated year, in one go.

The functions of both files are pure. So each call of one is answered as it is, and asked once more without each of
its rules. If the answers never differ, then nothing would be different without the rule, and there is no need to
play it again.
"""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from local.rules.rule import Rule, function_of, in_place_of, member_at
from local.simulate.stand_in import Change, stand_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@contextmanager
def watching(rules: Iterable[Rule]) -> Iterator[set[str]]:
    """Yield a set that gets the name of each rule without which some call would have had another answer.

    A rule that an ablation takes out is always in it: nobody compares its answers.
    """
    matters: set[str] = set()
    by_function: dict[str, list[Rule]] = {}
    for rule in rules:
        if rule.ablation:
            matters.add(rule.name)
        else:
            by_function.setdefault(rule.where, []).append(rule)
    watch = _Watch(matters)
    changes: list[Change] = []
    for where, of_function in by_function.items():
        changes += in_place_of(where, watch.watched(where, of_function))
    with stand_in(*changes):
        yield matters


class _Watch:
    def __init__(self, matters: set[str]) -> None:
        self._matters = matters
        self._is_comparing = False

    def watched(self, where: str, rules: list[Rule]) -> Any:
        """Return the member of the handler with a look at each call."""
        member = member_at(where)
        function = function_of(member)
        without = {rule.name: function_of(rule.without()) for rule in rules}

        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            answer = function(*arguments, **options)
            if not self._is_comparing:
                self._is_comparing = True
                self._compare(answer, without, arguments, options)
                self._is_comparing = False
            return answer

        return property(call) if isinstance(member, property) else call

    def _compare(
        self,
        answer: Any,
        without: dict[str, Callable[..., Any]],
        arguments: tuple[Any, ...],
        options: dict[str, Any],
    ) -> None:
        for name, function in without.items():
            if name in self._matters:
                continue
            try:
                is_same = function(*arguments, **options) == answer
            except Exception:  # noqa: BLE001 - without the rule the code may not work at all
                is_same = False
            if not is_same:
                self._matters.add(name)
