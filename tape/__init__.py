"""The drive, which contains one cartridge. Knows no database and no Celery."""
