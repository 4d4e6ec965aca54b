"""Patterns of a ``.gitignore``, matched as git does: by bytes, and the last one that matches decides.

A path is judged by itself. Everything below an excluded folder is excluded too, even if a pattern includes
it: a walk from the root never gets there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_SPECIAL = re.compile(rb"[*?\[\\]")
_CLASSES = {
    b"alnum": rb"[0-9A-Za-z]",
    b"alpha": rb"[A-Za-z]",
    b"blank": rb"[ \t]",
    b"cntrl": rb"[\x00-\x1f\x7f]",
    b"digit": rb"[0-9]",
    b"graph": rb"[!-~]",
    b"lower": rb"[a-z]",
    b"print": rb"[ -~]",
    b"punct": rb"[!-/:-@\[-`{-~]",
    b"space": rb"[ \t\n\r]",
    b"upper": rb"[A-Z]",
    b"xdigit": rb"[0-9A-Fa-f]",
}
_MEMBERS = {
    name: frozenset(byte for byte in range(256) if re.match(shape, bytes([byte])))
    for name, shape in _CLASSES.items()
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line that is neither empty nor a comment."""

    leaves_out: bool
    """False: it begins with ``!`` and includes again."""
    folders_only: bool
    whole_path: bool
    """It matches the path from the root; otherwise the name."""
    shape: re.Pattern[bytes] | None
    """None: it matches no name."""

    def fits(self, path: bytes, name: bytes, *, is_folder: bool) -> bool:
        if self.shape is None or (self.folders_only and not is_folder):
            return False
        return self.shape.fullmatch(path if self.whole_path else name) is not None


class Patterns:
    """Patterns, in their order."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        patterns = (parsed(line) for line in lines)
        self._last_first = [pattern for pattern in patterns if pattern is not None][::-1]

    def leave_out(self, path: bytes, *, is_folder: bool) -> bool:
        """Whether they exclude this path, given from the root without a leading ``/``."""
        name = path.rpartition(b"/")[2]
        for pattern in self._last_first:
            if pattern.fits(path, name, is_folder=is_folder):
                return pattern.leaves_out
        return False


def parsed(line: bytes) -> Pattern | None:
    """The pattern of a line; None for an empty one and a comment."""
    line = _trimmed(line.removesuffix(b"\r"))
    if not line or line.startswith(b"#"):
        return None
    body = line.removeprefix(b"!")
    glob = body.removesuffix(b"/")
    whole = b"/" in glob
    if whole:
        glob = glob.removeprefix(b"/")
    return Pattern(
        leaves_out=body == line,
        folders_only=body.endswith(b"/"),
        whole_path=whole,
        shape=_translated(glob, paths=whole) if glob else None,
    )


def _trimmed(line: bytes) -> bytes:
    r"""Without the blanks at its end, except one that follows a ``\``."""
    at, kept = 0, 0
    while at < len(line):
        if line[at : at + 1] == b"\\":
            if at + 1 == len(line):
                return line
            at += 1
            kept = at + 1
        elif line[at : at + 1] != b" ":
            kept = at + 1
        at += 1
    return line[:kept]


def _translated(glob: bytes, *, paths: bool) -> re.Pattern[bytes] | None:
    """The regular expression of a glob; None for a malformed one, which matches nothing."""
    special = _SPECIAL.search(glob)
    # As git does: after the plain beginning, the rest is a glob of its own, so ``a/b**/c`` crosses folders.
    at = start = special.start() if special else len(glob)
    parts = [re.escape(glob[:start])]
    while at < len(glob):
        part = _next(glob, at, start, paths=paths)
        if part is None:
            return None
        shape, at = part
        parts.append(shape)
    return re.compile(b"".join(parts), re.DOTALL)


def _next(glob: bytes, at: int, start: int, *, paths: bool) -> tuple[bytes, int] | None:
    """The expression of the next element of a glob, and where it ends; None if it is malformed."""
    char = glob[at : at + 1]
    if char == b"*":
        return _stars(glob, at, start, paths=paths)
    if char == b"?":
        return b"[^/]", at + 1
    if char == b"[":
        return _bracket(glob, at + 1)
    if char == b"\\":
        literal = glob[at + 1 : at + 2]
        return (re.escape(literal), at + 2) if literal else None
    return re.escape(char), at + 1


def _stars(glob: bytes, at: int, start: int, *, paths: bool) -> tuple[bytes, int]:
    end = at
    while glob[end : end + 1] == b"*":
        end += 1
    alone = at == start or glob[at - 1 : at] == b"/"
    if not paths or end - at == 1 or not alone:
        return b"[^/]*", end
    if glob[end : end + 1] == b"/":
        return b"(?:.*/)?", end + 1
    if end == len(glob) or glob[end : end + 2] == b"\\/":
        return b".*", end
    return b"[^/]*", end


def _bracket(glob: bytes, at: int) -> tuple[bytes, int] | None:
    """A set of bytes, which never contains ``/``."""
    negated = glob[at : at + 1] in (b"!", b"^")
    at += negated
    members: set[int] = set()
    before, is_first = 0, True
    while is_first or glob[at : at + 1] != b"]":
        member = _member(glob, at, before)
        if member is None:
            return None
        more, before, at = member
        members |= more
        is_first = False
    if negated:
        members = set(range(256)) - members
    members.discard(ord("/"))
    shape = b"".join(b"\\x%02x" % byte for byte in sorted(members))
    return (b"[%b]" % shape if shape else b"(?!)"), at + 1


def _member(glob: bytes, at: int, before: int) -> tuple[set[int], int, int] | None:
    """The next element of a set: its bytes, the possible begin of a range, and where it ends."""
    char = glob[at : at + 1]
    if not char:
        return None
    if char == b"-" and before and glob[at + 1 : at + 2] not in (b"", b"]"):
        at += 1 + (glob[at + 1 : at + 2] == b"\\")
        last = glob[at : at + 1]
        return (set(range(before, last[0] + 1)), 0, at + 1) if last else None
    if char == b"[" and glob[at + 1 : at + 2] == b":":
        return _class(glob, at)
    at += char == b"\\"
    literal = glob[at : at + 1]
    return ({literal[0]}, literal[0], at + 1) if literal else None


def _class(glob: bytes, at: int) -> tuple[set[int], int, int] | None:
    end = glob.find(b"]", at + 2)
    if end < 0:
        return None
    name = glob[at + 2 : end]
    if not name.endswith(b":"):
        return {ord("[")}, ord("["), at + 1
    members = _MEMBERS.get(name[:-1])
    return None if members is None else (set(members), 0, end + 1)
