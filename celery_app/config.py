"""Celery's configuration: docs/decisions/early-acknowledgement.md explains what differs from the default."""

from __future__ import annotations

import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

from celery.schedules import schedule

from celery_app.queues import CONTROL, TAPE, queue
from celery_app.sections import AMQP, TlsSettings, is_encrypted
from celery_app.settings import Settings
from db.engine import GONE_AFTER
from embedded.redis import Redis

VISIBILITY_SECONDS = 7 * 24 * 3600
"""Longer than any run, so that no message is redelivered while its task is running."""

KEY_PREFIX = "tapeline:"
"""Another installation with a shorter time-out on the same Redis would redeliver our messages."""

CONNECT_SECONDS = 10

STEADY = {"max_retries": 200, "interval_start": 0.5, "interval_step": 1, "interval_max": 10}
"""Publishing keeps retrying through an outage of half an hour."""

INDEX_SECONDS = 300.0
"""How often complete sets are looked for whose names have no index yet."""
TIDY_SECONDS = 3600.0
"""How often the stories of runs that ended long ago are removed."""

BRIEF = {"max_retries": 2, "interval_start": 0.2, "interval_step": 0.5, "interval_max": 1}
"""For a command that an operator waits for; ``recover`` sends messages that could not be sent."""


def broker_url(settings: Settings) -> str:
    """The broker: the setting, else the embedded Redis."""
    if settings.broker_url:
        return settings.broker_url.get_secret_value()
    return Redis(settings.state_dir).url


def broker_tls(settings: Settings) -> dict[str, Any] | None:
    """How to verify an encrypted broker; None for one that is not encrypted."""
    return tls_options(broker_url(settings), settings.broker_tls)


def is_amqp(url: str) -> bool:
    """Whether it is RabbitMQ."""
    return urlsplit(url).scheme in AMQP


def consumer_arguments(url: str) -> dict[str, Any] | None:
    """What a worker asks of its queue: RabbitMQ takes a message back that is not acknowledged in 30 minutes,
    and closes the channel. The next message for a drive waits for the run before it, unacknowledged."""
    return {"x-consumer-timeout": VISIBILITY_SECONDS * 1000} if is_amqp(url) else None


def transport_options(url: str, connect_seconds: float = CONNECT_SECONDS) -> dict[str, Any]:
    """Options of a connection. A message counts as sent when the broker has confirmed it."""
    if is_amqp(url):
        return {
            "confirm_publish": True,
            "connect_timeout": connect_seconds,
            "socket_settings": keepalive_options(),
        }
    return {
        "visibility_timeout": VISIBILITY_SECONDS,
        "global_keyprefix": KEY_PREFIX,
        "socket_keepalive": True,
        "socket_keepalive_options": keepalive_options(),
        "socket_connect_timeout": connect_seconds,
        "health_check_interval": 25,
    }


def keepalive_options() -> dict[int, int]:
    """Options of a connection to the broker, so that a silent host counts as gone as soon as on one to the
    database.

    Without them a worker that was cut off takes no messages for minutes after the network is back, and for
    two hours if the broker has meanwhile forgotten the connection.
    """
    wanted = {
        "TCP_KEEPIDLE": 30,
        "TCP_KEEPINTVL": 10,
        "TCP_KEEPCNT": 3,
        # In milliseconds. Windows and macOS have no such option.
        "TCP_USER_TIMEOUT": GONE_AFTER * 1000,
    }
    return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}


def tls_options(url: str, tls: TlsSettings | None) -> dict[str, Any] | None:
    """How to verify an encrypted broker, in the names of its client; None for one that is not encrypted."""
    if not is_encrypted(url):
        return None
    if is_amqp(url):
        checked: dict[str, Any] = {
            "cert_reqs": ssl.CERT_REQUIRED,
            "server_hostname": urlsplit(url).hostname,
        }
        names = ("ca_certs", "certfile", "keyfile")
    else:
        checked = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
        names = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
    files = (tls.ca, tls.certificate, tls.key) if tls else ()
    return checked | {name: str(path) for name, path in zip(names, files, strict=False) if path}


def celery_config(settings: Settings) -> dict[str, Any]:
    """All settings of the Celery application."""
    url = broker_url(settings)
    drives = dict.fromkeys([TAPE, *(settings.queue_of(name) for name in settings.drive_names)])
    return {
        "broker_url": url,
        "broker_use_ssl": broker_tls(settings),
        "broker_transport_options": transport_options(url),
        "visibility_timeout": VISIBILITY_SECONDS,
        "result_backend_transport_options": {
            "visibility_timeout": VISIBILITY_SECONDS,
            "global_keyprefix": KEY_PREFIX,
        },
        "redis_socket_keepalive": True,
        "redis_retry_on_timeout": True,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # Early acknowledgement everywhere: late acknowledgement formatted a tape twice in five ways.
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,
        "task_retry_on_worker_lost": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_prefetch_multiplier": 1,
        "worker_soft_shutdown_timeout": 0,
        "task_publish_retry": True,
        "task_publish_retry_policy": STEADY,
        # No result decides anything; the database does.
        "task_ignore_result": True,
        "task_serializer": "auth" if settings.signing else "json",
        "result_serializer": "json",
        "accept_content": ["auth"] if settings.signing else ["json"],
        "result_accept_content": ["json"],
        "task_default_queue": CONTROL,
        "task_create_missing_queues": False,
        "task_queues": [queue(name, consumer_arguments(url)) for name in (CONTROL, *drives)],
        "task_track_started": True,
        "task_send_sent_event": True,
        "worker_send_task_events": True,
        "worker_hijack_root_logger": False,
        "enable_utc": True,
        "timezone": "UTC",
        "beat_schedule": {
            "recover": {"task": "tapeline.recover", "schedule": schedule(settings.recover_seconds)},
            "watch": {"task": "tapeline.watch", "schedule": schedule(settings.recover_seconds)},
            "remind": {"task": "tapeline.remind", "schedule": schedule(settings.recover_seconds)},
            "deliver": {"task": "tapeline.deliver", "schedule": schedule(settings.recover_seconds)},
            "report": {"task": "tapeline.report", "schedule": schedule(settings.recover_seconds)},
            "names": {"task": "tapeline.names", "schedule": schedule(INDEX_SECONDS)},
            "tidy": {"task": "tapeline.tidy", "schedule": schedule(TIDY_SECONDS)},
            "alive": {
                "task": "tapeline.alive",
                "schedule": schedule(settings.ping_alive_seconds),
                # What waited through an outage is no sign of life any more.
                "options": {"expires": settings.ping_alive_seconds},
            },
        },
        # Beat answers a ping as workers do; it is silent when its scheduler hangs.
        "beat_enable_remote_control": True,
        "beat_remote_control_max_tick_age": 60.0,
        # The database knows what is due; beat keeps no file of its own.
        "beat_scheduler": "celery_app.scheduler:DatabaseScheduler",
    }
