"""The language of an answer to a browser."""

from __future__ import annotations

from functools import cache

from tornado.httputil import HTTPServerRequest

from celery_app import settings
from notify.words import Language, Words


def words_for(request: HTTPServerRequest) -> Words:
    """The words of the setting ``language``; if it is not set, of the browser's first language."""
    configured = settings.load()
    if "language" in configured.model_fields_set:
        return _words(configured.language)
    first = request.headers.get("Accept-Language", "").strip().lower()
    return _words("zh_CN" if first.startswith("zh") else configured.language)


@cache
def _words(language: Language) -> Words:
    return Words(language)
