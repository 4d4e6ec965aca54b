"""Adds our pages to Flower, behind one login, with security headers on everything it sends."""

from __future__ import annotations

from flower import urls
from flower.options import options
from flower.views import BaseHandler

from celery_app import settings
from dashboard import access, login
from dashboard.headers import SafeHeaders
from dashboard.routes import ROUTES
from dashboard.templating import Loader


def install() -> None:
    """Call this before Flower reads its options; options given to Flower itself take precedence."""
    flower = settings.load().flower
    options.address, options.port = flower.address, flower.port
    login.require(options)
    # Regardless of the environment: no call of the API without a login.
    BaseHandler.unauthenticated_api = False
    # The first match wins; Flower's last route takes everything.
    urls.handlers[:] = [*ROUTES, *map(access.guarded, urls.handlers)]
    urls.settings.update(
        template_loader=Loader(),
        transforms=[SafeHeaders],
        xsrf_cookie_kwargs={"samesite": "Strict"},
    )
