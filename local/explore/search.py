"""Depth first through all states, each once; and breadth first for the shortest way to a violation."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from local.explore.invariants import Rest, Violation, check
from local.explore.world import Move, World, moves


@dataclass
class Found:
    """What a search came to. `is_whole`: every state within the bounds was visited."""

    states: int = 0
    steps: int = 0
    ends: int = 0
    is_whole: bool = True
    violation: str = ""
    trace: list[str] = field(default_factory=list)


def explore(world: World, *, deadline: float) -> Found:
    """Go through all states that can be reached. Stops at the first violation, or at the deadline.

    `deadline` goes by time.monotonic().
    """
    found = Found(states=1)
    rest = Rest()
    visited = {world.key()}
    stack = [(world, moves(world))]
    trace: list[str] = []
    try:
        while stack:
            current, remaining = stack[-1]
            move = next(remaining, None)
            if move is None:
                stack.pop()
                if trace:
                    trace.pop()
                continue
            found.steps += 1
            check_words(current, move, trace)
            key = move.world.key()
            if key in visited:
                continue
            visited.add(key)
            found.states += 1
            if found.states % 256 == 0 and time.monotonic() > deadline:
                found.is_whole = False
                return found
            trace.append(move.words)
            if all(proc.is_over for proc in move.world.procs):
                found.ends += 1
                rest.check(move.world)
            stack.append((move.world, moves(move.world)))
    except Violation as violation:
        found.violation = str(violation)
        found.trace = list(trace)
    return found


def check_words(world: World, move: Move, trace: list[str]) -> None:
    """Check a step. If it breaks something, its words are the last of the trace."""
    try:
        check(world, move)
    except Violation:
        trace.append(move.words)
        raise


def shortest(world: World, *, name: str, deadline: float) -> Found:
    """Return the shortest way to a violation of this invariant."""
    rest = Rest()
    visited = {world.key()}
    queue: deque[tuple[World, tuple[str, ...]]] = deque([(world, ())])
    while queue and time.monotonic() < deadline:
        current, words = queue.popleft()
        for move in moves(current):
            trace = (*words, move.words)
            try:
                check(current, move)
                key = move.world.key()
                if key in visited:
                    continue
                visited.add(key)
                if all(proc.is_over for proc in move.world.procs):
                    rest.check(move.world)
            except Violation as violation:
                if violation.name == name:
                    return Found(violation=str(violation), trace=list(trace))
                continue
            queue.append((move.world, trace))
    return Found(is_whole=False)
