"""axe-core, which finds what keeps somebody with a screen reader or a keyboard out of a page.

Fetched once from npm, in one version whose hash is here.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

VERSION = "4.14.1"
INTEGRITY = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
"""SHA-512 of the package, as npm publishes it."""

RUN = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ['violations']}).then(
  found => done(found.violations.flatMap(rule => rule.nodes.map(
    node => `${rule.id}: ${node.target.join(' ')} ${node.html.slice(0, 160)} ${node.failureSummary}`))),
  error => done([String(error)]));
"""


def source() -> str | None:
    """The script; None: npm is not there, or does not reach its registry."""
    folder = Path(sys.prefix)
    package = folder / f"axe-core-{VERSION}.tgz"
    if not package.exists():
        npm = shutil.which("npm")
        if npm is None:
            return None
        command = [npm, "pack", f"axe-core@{VERSION}", "--pack-destination", str(folder)]
        if subprocess.run(command, capture_output=True, timeout=60, check=False).returncode:
            return None
    digest = hashlib.sha512(package.read_bytes()).digest()
    assert base64.b64encode(digest).decode() == INTEGRITY, f"{package} is not what was published"
    with tarfile.open(package) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode("utf-8")
