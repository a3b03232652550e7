"""One rule of the handler, and the handler without it."""

from __future__ import annotations

import inspect
import sys
import textwrap
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from local.simulate.ablations import ABLATIONS
from local.simulate.stand_in import Change, stand_in

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule, in words, and how it is taken out.

    `where` is a function of the handler, such as `policy.State.due_reason`. Without the rule that function has
    the text `instead` in the place of `code`, which stands in it once. If `ablation` is given, then the
    simulator's ablation of this name takes the rule out, and both texts are empty.

    `without_it` says what would happen to a user. `is_contract`: people outside this code rely on the rule. `test`
    names one that fails without it; a rule that neither the explorer nor the simulator finds must have one.
    """

    name: str
    words: str
    where: str
    code: str = ""
    instead: str = ""
    ablation: str = ""
    without_it: str
    is_contract: bool = False
    test: str = ""

    @property
    def file(self) -> str:
        return f"handler/{self.where.partition('.')[0]}.py"

    @property
    def function(self) -> str:
        return self.where.partition(".")[2]

    def taken_out(self) -> AbstractContextManager[Any]:
        """Have the handler without this rule, for the time of the block.

        Raises ValueError if the rule's code is not in its function any more.
        """
        if self.ablation:
            return ABLATIONS[self.ablation].handler()
        return stand_in(*in_place_of(self.where, self.without()))

    def without(self) -> Any:
        """Return the function, method or property without the rule. Raises ValueError as above."""
        function = function_of(member_at(self.where))
        source = textwrap.dedent(inspect.getsource(function))
        if source.count(self.code) != 1:
            times = source.count(self.code)
            raise ValueError(f"{function.__qualname__} must have {self.code!r} once, and has it {times} times")
        made: dict[str, Any] = {}
        # With the module's own globals, so that a constant that somebody changes is changed here as well.
        exec(source.replace(self.code, self.instead), function.__globals__, made)  # noqa: S102 - our own source
        return made[function.__name__]


def member_at(where: str) -> Any:
    """Return what the module or the class has under its name: a function or a property."""
    owner, name = _owner_and_name(where)
    return vars(owner)[name]


def function_of(member: Any) -> Any:
    """Return the function behind a property, or the function itself."""
    if isinstance(member, property):
        return member.fget
    return member


def in_place_of(where: str, member: Any) -> list[Change]:
    """Return what to change so that the handler has this member there, in each module that knows it."""
    owner, name = _owner_and_name(where)
    if inspect.isclass(owner):
        return [(owner, name, member)]
    present = vars(owner)[name]
    modules = [module for path, module in sys.modules.items() if path.startswith("handler.")]
    return [(module, name, member) for module in modules if vars(module).get(name) is present]


def _owner_and_name(where: str) -> tuple[Any, str]:
    path, _, name = where.rpartition(".")
    module, _, class_name = path.partition(".")
    owner: Any = import_module(f"handler.{module}")
    if class_name:
        owner = getattr(owner, class_name)
    return owner, name
