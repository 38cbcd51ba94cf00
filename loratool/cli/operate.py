"""What resize, merge and convert do alike: run a plan, show the result."""

from __future__ import annotations

import time

from ..ops import run
from ..ops.plan import Plan, Result
from ..report import results
from ..report.sanitise import clean
from ..tensors.policy import Policy
from .console import Out, Progress


def execute(out: Out, plan: Plan, target: str, policy: Policy) -> Result:
    """Run the plan, with progress on a terminal."""
    progress = Progress(plan.command)
    try:
        return run.execute(plan, target, policy, out.settings.workers, progress)
    finally:
        progress.close()


def run_plan(out: Out, plan: Plan, target: str, policy: Policy, dry_run: bool = False) -> int:
    start = time.monotonic()
    if dry_run:
        return show(out, run.preview(plan, target), 0.0)
    result = execute(out, plan, target, policy)
    return show(out, result, time.monotonic() - start)


def show(out: Out, result: Result, seconds: float) -> int:
    if out.is_json:
        out.json(results.document(result), (), result.exit_code)
    elif out.quiet:
        out.lines([clean(result.output, 4096)])
    elif out.format == "plain":
        out.lines(results.lines(result))
    else:
        from ..report import text

        out.screen(text.result(result, seconds))
    return result.exit_code
