"""``python -m tests.packages.plans [ROOT...]``: each package's plan, held to plans.json.

A plan is the same whichever rpm made it: plans.json has those of rpm 4.18, and every other system, or
root directory of one, gives them again. ``--record`` adds what the file lacks: delete the line of a
plan that has changed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from converter import planning
from converter.errors import CannotConvert
from specparse.plan import Plan
from specparse.system_root import Roots
from specparse.trace import SandboxedTracer
from tests.specparse.plans import as_json

RECORD = (
    "a package's plan is new or changed: delete its line, python -m tests.packages.plans --record"
)
FILE = Path(__file__).with_name("plans.json")


def compact(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON without what is empty or false, so that a new field changes nothing."""
    made: dict[str, Any] = _filled(json.loads(as_json(plan)))
    return made


def _filled(value: Any) -> Any:
    if isinstance(value, dict):
        made = {key: _filled(each) for key, each in value.items()}
        return {
            key: each for key, each in made.items() if each or (each == 0 and each is not False)
        }
    return [_filled(each) for each in value] if isinstance(value, list) else value


class Kept:
    """A tracer that keeps the first plan that it makes, as it is written down."""

    def __init__(self, trace: SandboxedTracer | None = None) -> None:
        self._trace = trace or SandboxedTracer()
        self.first: dict[str, Any] | None = None

    def __call__(self, *given: Any, **named: Any) -> Plan:
        plan = self._trace(*given, **named)
        if self.first is None:
            self.first = compact(plan)
        return plan


def recorded() -> dict[str, Any]:
    """Return package's idea -> its plan."""
    plans: dict[str, Any] = json.loads(FILE.read_text())
    return plans


def planned(
    trace: SandboxedTracer, known: Container[str] = ()
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the idea and the plan, or its error, of each package that is not ``known``."""
    from tests.packages.model import Upstream
    from tests.packages.test_packages import PACKAGES, REFUSED, Trial

    with tempfile.TemporaryDirectory(prefix="srcgit-plans-") as name:
        upstream, making = Upstream(Path(name) / "demo.git"), Lock()

        def plan(numbered: tuple[int, Any]) -> tuple[str, dict[str, Any]]:
            number, package = numbered
            scratch = Path(name) / str(number)
            scratch.mkdir()
            with making:  # they commit to one upstream
                trial = Trial(package, upstream, scratch)
            kept = Kept(trace)
            with suppress(CannotConvert):
                planning.plan(trial.request, kept)  # whose plan has warnings of its own
            return package.idea, kept.first or {}

        trials = [*enumerate(p for p in [*PACKAGES, *REFUSED] if p.idea not in known)]
        with ThreadPoolExecutor(2) as pool:
            yield from pool.map(plan, trials)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("roots", nargs="*", type=Path)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args(argv)
    if options.record:
        plans = recorded()
        plans |= planned(SandboxedTracer(), plans)
        lines = (f"{json.dumps(idea)}: {json.dumps(plan)}" for idea, plan in plans.items())
        FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        return 0
    differ = 0
    for root in options.roots or [None]:
        wanted, same = recorded(), 0
        for idea, plan in planned(SandboxedTracer(roots=Roots({}, root))):
            if plan == wanted.get(idea):
                same += 1
            else:
                differ += 1
                print(f"{root or 'here'}: {idea}")
                _show(wanted.get(idea, {}), plan, print)
        print(f"{root or 'here'}: {same} of {len(wanted)} plans are the same")
    return bool(differ)


def _show(wanted: dict[str, Any], plan: dict[str, Any], say: Callable[[str], None]) -> None:
    for key in {**wanted, **plan}:
        if wanted.get(key) != plan.get(key):
            say(
                f"    {key}: {json.dumps(wanted.get(key))}\n    {' ' * len(key)}  {json.dumps(plan.get(key))}"
            )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
