"""The drive: what holds one cartridge. Knows no database and no Celery."""
