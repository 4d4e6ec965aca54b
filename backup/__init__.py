"""The engine: scan, plan, pack, write, restore, verify. Plain Python; knows no Celery."""
