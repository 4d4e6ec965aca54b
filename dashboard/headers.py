"""Headers of every answer, Flower's own pages included."""

from __future__ import annotations

from tornado.httputil import HTTPHeaders
from tornado.web import OutputTransform

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing is loaded from elsewhere, nothing is framed, no page contains a script."""

FLOWERS_POLICY = POLICY.replace("script-src 'self'", "script-src 'self' 'unsafe-inline'")
"""One of Flower's pages has its script inline."""


class SafeHeaders(OutputTransform):
    """Adds the headers that a page has not set itself."""

    def transform_first_chunk(
        self,
        status_code: int,
        headers: HTTPHeaders,
        chunk: bytes,
        finishing: bool,
    ) -> tuple[int, HTTPHeaders, bytes]:
        for name, value in (
            ("Content-Security-Policy", FLOWERS_POLICY),
            ("X-Frame-Options", "DENY"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "same-origin"),
        ):
            if name not in headers:
                headers[name] = value
        return super().transform_first_chunk(status_code, headers, chunk, finishing)
