"""JSON documents of a set on a volume, written once each; a crash may have cut one off."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from backup.format import age
from backup.format.index import check_version
from backup.format.volume_file import open_to_read, put, read_whole
from tape.drive import Volume

VERSION = 1
SET = "tapeline-set"
COMPLETE = "tapeline-complete"
NAMES = "tapeline-names"
STEMS = {SET: "set", COMPLETE: "complete"}


def folder_of(set_id: str) -> str:
    """The folder of a set on a volume."""
    return f"sets/{set_id}"


def write(volume: Volume, set_id: str, document: dict[str, Any]) -> tuple[str, int]:
    """Write a document; returns its name and bytes. Raises TapeFull, TapeWriteError."""
    name = _free_name(volume, set_id, document["format"])
    return name, put(volume, name, [signed(document)])


def signed(document: dict[str, Any]) -> bytes:
    """The document with the hash of everything before the hash, so that a flipped bit is found."""
    body = json.dumps(document, ensure_ascii=False, indent=1).encode().removesuffix(b"\n}")
    return body + _SEAL % hashlib.sha256(body).hexdigest().encode()


_SEAL = b',\n "sha256": "%b"\n}\n'


def hide(volume: Volume, set_id: str, names: dict[str, Any], keys: Iterable[str]) -> int:
    """Write the facts about a set's content, encrypted; returns its bytes. Raises TapeFull,
    TapeWriteError."""
    data = signed({"format": NAMES, "version": VERSION, **names})
    name = _next_name(volume, set_id)
    return age.put(volume, name, [data], age.recipients(keys))[0]


def reveal(volume: Volume, set_id: str, keys: age.Identities) -> dict[str, Any]:
    """The last whole document that ``hide`` wrote; nothing if the set is not encrypted.

    Raises SetUnreadable, TapeReadError.
    """
    for name in reversed(_hidden(volume, set_id)):
        with age.decrypted(open_to_read(volume, name), name, keys) as file:
            try:
                document = _parsed(file.read())
            except OSError:
                continue
        if document.get("format") == NAMES:
            check_version(document, NAMES, VERSION, name)
            return {key: document[key] for key in ("sources", "roots", "excludes", "about")}
    return {}


def _hidden(volume: Volume, set_id: str) -> list[str]:
    folder = folder_of(set_id)
    names = [name for name in volume.names(folder) if re.fullmatch(r"names-\d+\.json\.age", name)]
    return [f"{folder}/{name}" for name in sorted(names)]


def _next_name(volume: Volume, set_id: str) -> str:
    return f"{folder_of(set_id)}/names-{len(_hidden(volume, set_id)) + 1:06d}.json{age.SUFFIX}"


def _names(volume: Volume, set_id: str, form: str) -> list[str]:
    """The names of a document: if a crash cuts it off, it is written again under the next name."""
    pattern = re.compile(rf"{STEMS[form]}(?:-(\d+))?\.json")
    matches = [pattern.fullmatch(name) for name in volume.names(folder_of(set_id))]
    ordered = sorted((match for match in matches if match), key=lambda match: int(match[1] or 1))
    return [f"{folder_of(set_id)}/{match[0]}" for match in ordered]


def _free_name(volume: Volume, set_id: str, form: str) -> str:
    taken = _names(volume, set_id, form)
    if not taken:
        return f"{folder_of(set_id)}/{STEMS[form]}.json"
    last = re.search(r"-(\d+)\.json$", taken[-1])
    return f"{folder_of(set_id)}/{STEMS[form]}-{int(last[1]) + 1 if last else 2}.json"


def read(volume: Volume, set_id: str, form: str) -> dict[str, Any] | None:
    """The last document that is whole. Raises SetUnreadable for another version, TapeReadError."""
    for name in reversed(_names(volume, set_id, form)):
        document = _loaded(volume, name)
        if document.get("format") == form:
            check_version(document, form, VERSION, name)
            return document
    return None


def _loaded(volume: Volume, name: str) -> dict[str, Any]:
    """A document of any version; an empty one if a crash cut it off, or it is damaged."""
    return _parsed(read_whole(volume, name))


def _parsed(data: bytes) -> dict[str, Any]:
    body, _, _ = data.rpartition(b',\n "sha256": "')
    if data != body + _SEAL % hashlib.sha256(body).hexdigest().encode():
        return {}
    try:
        document = json.loads(data)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def is_complete(volume: Volume, set_id: str) -> bool:
    """Whether a set has a whole ``complete.json``, of any version. Raises TapeReadError."""
    names = _names(volume, set_id, COMPLETE)
    return any(_loaded(volume, name).get("format") == COMPLETE for name in names)
