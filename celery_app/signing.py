"""Signed messages: a worker accepts only messages that a host with a trusted certificate has sent."""

from __future__ import annotations

from celery import Celery
from celery.exceptions import ImproperlyConfigured, SecurityError

from celery_app.host.defaults import BadConfiguration
from celery_app.sections import SigningSettings
from policy.message import M


def install(app: Celery, signing: SigningSettings | None) -> None:
    """Have the application sign and check its messages, if the settings require it. Raises
    BadConfiguration."""
    if signing is None:
        return
    try:
        app.setup_security(
            allowed_serializers=["json"],
            key=str(signing.key),
            cert=str(signing.certificate),
            store=str(signing.trusted / "*"),
            digest="sha256",
        )
    except ImproperlyConfigured as error:
        raise BadConfiguration(
            M("signing: the Python package cryptography is missing."),
            M("Install it: pip install 'tapeline[signing]'"),
        ) from error
    except (SecurityError, ValueError, OSError) as error:
        raise BadConfiguration(
            M("signing: {problem}.", problem=str(error)),
            M("It takes RSA keys and certificates in PEM; a certificate that has expired is made anew."),
        ) from error
