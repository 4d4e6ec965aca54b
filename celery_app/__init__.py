"""The Celery application: app, settings, queues and routes, worker guards."""
