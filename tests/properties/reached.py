"""Which lines of a few modules are run, and in what order: what guides a search for inputs, and what it came to."""

import inspect
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from types import CodeType, FrameType, ModuleType
from typing import Any

Arc = tuple[str, int, int]
"""A step within a function: the module's name and the lines before and after."""


class Reached:
    """What has been run of some modules while it was watched."""

    def __init__(self, *modules: ModuleType) -> None:
        self._names = {str(module.__file__): module.__name__ for module in modules}
        self._modules = modules
        self.arcs: Counter[Arc] = Counter()
        """Of each step in how many inputs it was made."""

    @contextmanager
    def watching(self) -> Iterator[set[Arc]]:
        """The steps that this input makes."""
        made: set[Arc] = set()

        def enter(frame: FrameType, event: str, arg: Any) -> Any:
            name = self._names.get(frame.f_code.co_filename)
            if name is None:
                return None
            last = frame.f_lineno

            def step(frame: FrameType, event: str, arg: Any) -> Any:
                nonlocal last
                if event == "line":
                    made.add((name, last, frame.f_lineno))
                    last = frame.f_lineno
                return step

            return step

        before = sys.gettrace()
        sys.settrace(enter)
        try:
            yield made
        finally:
            sys.settrace(before)
            self.arcs.update(made)

    def rarity(self, made: set[Arc]) -> float:
        """How much of an input is what few others did."""
        return sum(1 / self.arcs[arc] for arc in made)

    @cached_property
    def _functions(self) -> dict[tuple[str, str], set[int]]:
        """By module and qualified name: the lines of each function."""
        found: dict[tuple[str, str], set[int]] = {}
        for module in self._modules:
            code = compile(inspect.getsource(module), str(module.__file__), "exec")
            for each in _inside(code):
                lines = {line for _, _, line in each.co_lines() if line is not None} - {each.co_firstlineno}
                found.setdefault((module.__name__, each.co_qualname), set()).update(lines)
        return found

    def unreached(self) -> dict[str, list[int]]:
        """By function (`module.name`) the lines that no input has come to."""
        lines = {(name, line) for name, _, line in self.arcs}
        missing = {
            f"{module}.{name}": sorted(line for line in of if (module, line) not in lines)
            for (module, name), of in self._functions.items()
        }
        return {name: lines for name, lines in missing.items() if lines}

    def report(self) -> str:
        """How many of their lines were reached, by how many steps, and in which functions lines are left."""
        total, left = sum(map(len, self._functions.values())), self.unreached()
        missing = ", ".join(f"{name} ({len(lines)})" for name, lines in left.items()) or "none"
        reached = total - sum(map(len, left.values()))
        return f"{reached} of {total} lines, {len(self.arcs)} steps from line to line; lines left in: {missing}"


def _inside(code: CodeType) -> Iterator[CodeType]:
    """The functions in a module's code, those in classes and functions too."""
    for each in code.co_consts:
        if isinstance(each, CodeType):
            if each.co_flags & inspect.CO_OPTIMIZED:
                yield each
            yield from _inside(each)
