"""The operator's pages in Flower, named as the tasks are: only the process that is Flower loads them."""

from __future__ import annotations

import sys
from importlib import import_module


def extend_flower() -> None:
    """Give Flower the pages of ``dashboard``, if this process is to be Flower.

    Flower offers no place for pages of others. Celery's command line finds the application before it runs a
    command, so that this is in time, however Flower is started.
    """
    if "flower" in sys.argv:
        import_module("dashboard.install").install()
