"""Record the lines of a few modules that are run, and their order, to guide a search for inputs and report coverage."""

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
    """The executed lines of some modules while they were watched."""

    def __init__(self, *modules: ModuleType) -> None:
        self._names = {str(module.__file__): module.__name__ for module in modules}
        self._modules = modules
        self.arcs: Counter[Arc] = Counter()
        """By step: the number of inputs that made it."""

    @contextmanager
    def watching(self) -> Iterator[set[Arc]]:
        """Record the steps that one input makes."""
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
        """Return how rare an input's steps are."""
        return sum(1 / self.arcs[arc] for arc in made)

    @cached_property
    def _functions(self) -> dict[tuple[str, str], set[int]]:
        """Return the lines of each function, by module and qualified name."""
        found: dict[tuple[str, str], set[int]] = {}
        for module in self._modules:
            code = compile(inspect.getsource(module), str(module.__file__), "exec")
            for each in _inside(code):
                lines = {line for _, _, line in each.co_lines() if line is not None} - {each.co_firstlineno}
                found.setdefault((module.__name__, each.co_qualname), set()).update(lines)
        return found

    def unreached(self) -> dict[str, list[int]]:
        """Return the lines that no input has reached, by function (`module.name`)."""
        lines = {(name, line) for name, _, line in self.arcs}
        missing = {
            f"{module}.{name}": sorted(line for line in of if (module, line) not in lines)
            for (module, name), of in self._functions.items()
        }
        return {name: lines for name, lines in missing.items() if lines}

    def report(self) -> str:
        """Report the number of lines and steps reached, and the functions with unreached lines."""
        total, left = sum(map(len, self._functions.values())), self.unreached()
        missing = ", ".join(f"{name} ({len(lines)})" for name, lines in left.items()) or "none"
        reached = total - sum(map(len, left.values()))
        return f"{reached} of {total} lines, {len(self.arcs)} steps from line to line; lines left in: {missing}"


def _inside(code: CodeType) -> Iterator[CodeType]:
    """Yield the functions in a module's code, including nested ones."""
    for each in code.co_consts:
        if isinstance(each, CodeType):
            if each.co_flags & inspect.CO_OPTIMIZED:
                yield each
            yield from _inside(each)
