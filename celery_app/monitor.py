"""Adds the operator's pages to Flower, named as the tasks are: only Flower's process loads them."""

from __future__ import annotations

import sys
from importlib import import_module


def extend_flower() -> None:
    """Add the pages of ``dashboard`` to Flower, if this process is going to be Flower.

    Flower has no extension point for pages. Celery's command line loads the application before it runs a
    command, so this is early enough, however Flower is started.
    """
    if "flower" in sys.argv:
        import_module("dashboard.install").install()
