"""A tape worker ends when its pool leaves a task lying, and never while a process works at one."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import os, sys
from celery.signals import task_prerun, task_postrun
from celery.worker import state
from celery_app.worker import guards

class Request: pass
request = Request()
watch = guards.PoolWatch(60)
watch.check(100)                        # nothing is there to be taken
state.reserved_requests.add(request)
if sys.argv[1] == "works":              # a process has it, although the worker has not heard of that
    task_prerun.send(None)
    watch.check(100)
    task_postrun.send(None)
if sys.argv[1] == "active":
    state.active_requests.add(request)
    watch.check(100)
    state.active_requests.discard(request)
watch.check(50)
print("alive", flush=True)
watch.check(50)
print("still alive", flush=True)
"""


@pytest.mark.parametrize("case", ["idle", "works", "active"])
def test_only_a_pool_that_leaves_its_task_is_ended(case: str) -> None:
    """After more than its patience, counted anew whenever somebody was at work."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, case], capture_output=True, text=True, timeout=60, check=False
    )
    said = [line for line in done.stdout.splitlines() if "alive" in line]
    assert (done.returncode, said) == (70, ["alive"]), done
