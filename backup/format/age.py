"""Files encrypted to public keys with age (https://age-encryption.org): the host has no secret."""

from __future__ import annotations

import hashlib
import io
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyrage

from backup.errors import BadRequest, KeyNeeded, WrongKey
from backup.format.volume_file import closed_on_error
from policy.message import M
from tape.drive import TapeFile, Volume

SUFFIX = ".age"
BLOCKS = 4
"""How many blocks wait between two threads."""

_NO_KEY = "No matching keys found"
"""The library has one class for all errors of a header."""

Identities = Sequence[Any]
"""Secret keys."""


def recipients(keys: Iterable[str]) -> list[Any]:
    """Public keys: ``age1…``, ``ssh-ed25519 …`` or ``ssh-rsa …``. Raises BadRequest."""
    return [_recipient(key) for key in keys]


def _recipient(key: str) -> Any:
    kind = pyrage.ssh.Recipient if key.startswith("ssh-") else pyrage.x25519.Recipient
    try:
        return kind.from_str(key)
    except pyrage.RecipientError as error:
        raise BadRequest(
            # Only its beginning: it may be a secret key, given by mistake.
            M("encrypt_to: '{key}…' is not a public key of age.", key=ascii(key[:12])[1:-1]),
            M("Write the line that age-keygen prints as public key, or the public key of an SSH key pair."),
        ) from error


def is_recipient(key: str) -> bool:
    """Whether this is a public key."""
    try:
        _recipient(key)
    except BadRequest:
        return False
    return True


def identities(path: Path) -> list[Any]:
    """The secret keys in a file as age-keygen writes it, or that of an SSH key. Raises KeyNeeded."""
    try:
        data = path.read_bytes()
        if b"PRIVATE KEY" in data:
            return [pyrage.ssh.Identity.from_buffer(data)]
        lines = [line.strip() for line in data.decode().splitlines()]
        keys = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except (OSError, ValueError, pyrage.IdentityError) as error:
        raise KeyNeeded(
            M(
                "--identity: no secret key can be read from {path}: {reason}.",
                path=str(path),
                reason=str(error),
            ),
            M("Name a file as age-keygen writes it, on the drive's host."),
        ) from error
    if not keys:
        raise KeyNeeded(
            M("--identity: {path} holds no secret key.", path=str(path)),
            M("Name a file as age-keygen writes it, on the drive's host."),
        )
    return keys


class EncryptedFile:
    """A file of the volume that a thread encrypts on the way there; it knows the encrypted size and hash."""

    def __init__(self, file: TapeFile, keys: list[Any]) -> None:
        self.bytes = 0
        self._file = file
        self._sha256 = hashlib.sha256()
        self._blocks: queue.Queue[bytes] = queue.Queue(BLOCKS)
        self._error: BaseException | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._encrypt, args=(keys,), name="age", daemon=True)
        self._thread.start()

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        """Raises TapeFull, TapeWriteError, perhaps of an earlier write."""
        self._raise()
        if data:
            self._blocks.put(bytes(data))

    def close(self) -> None:
        """End the file. Raises TapeFull, TapeWriteError."""
        if not self._ended:
            self._ended = True
            self._blocks.put(b"")
            self._thread.join()
        self._file.close()
        self._raise()

    def hexdigest(self) -> str:
        """The SHA-256 of the file on the volume."""
        return self._sha256.hexdigest()

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _encrypt(self, keys: list[Any]) -> None:
        source = _Source(self._blocks)
        try:
            pyrage.encrypt_io(source, _Sink(self._put), keys)
        except Exception as error:  # noqa: BLE001 - carried over to the thread that writes
            self._error = self._error or error
            source.drain()

    def _put(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except Exception as error:
            # Unchanged: the library would turn it into an error of its own.
            self._error = error
            raise
        self._sha256.update(data)
        self.bytes += len(data)


def put(volume: Volume, name: str, blocks: Iterable[bytes], keys: list[Any]) -> tuple[int, str]:
    """Write a new file, encrypted; returns its bytes and its SHA-256. Raises TapeFull, TapeWriteError."""
    file = EncryptedFile(volume.create(name), keys)
    with closed_on_error(file):
        for block in blocks:
            file.write(block)
    file.close()
    return file.bytes, file.hexdigest()


class DecryptedFile:
    """A file of the volume that a thread decrypts while it is read. It can only be read forwards: going back
    starts again at the beginning. Raises OSError if it is damaged, WrongKey."""

    def __init__(self, file: BinaryIO, name: str, keys: Identities) -> None:
        self._file = file
        self._name = name
        self._keys = keys
        self._begin()

    def _begin(self) -> None:
        self._position = 0
        self._error: Exception | None = None
        self._stopped = False
        self._blocks: queue.Queue[bytes] = queue.Queue(BLOCKS)
        self._source = _Source(self._blocks)
        self._thread = threading.Thread(target=self._decrypt, name="age", daemon=True)
        self._thread.start()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._position += len(data)
        if not data and self._error is not None and size:
            if str(self._error) == _NO_KEY:
                raise WrongKey(
                    M("This key does not open {name}.", name=self._name),
                    M("Name the file with the secret key that belongs to it: --identity FILE."),
                ) from self._error
            raise OSError(str(self._error)) from self._error
        return data

    def seek(self, position: int, _whence: int = 0, /) -> int:
        if position < self._position:
            self._stop()
            self._file.seek(0)
            self._begin()
        while self._position < position and self.read(min(position - self._position, 1 << 20)):
            pass
        return self._position

    def close(self) -> None:
        self._stop()
        self._file.close()

    def __enter__(self) -> DecryptedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stop(self) -> None:
        self._stopped = True
        self._source.drain()
        self._thread.join()

    def _decrypt(self) -> None:
        try:
            pyrage.decrypt_io(self._file, _Sink(self._pass_on), list(self._keys))
        except Exception as error:  # noqa: BLE001 - carried over to the thread that reads
            self._error = error
        self._blocks.put(b"")

    def _pass_on(self, data: bytes) -> None:
        if self._stopped:
            raise OSError("not wanted any more")
        self._blocks.put(data)


class _Source(io.RawIOBase):
    """Blocks of a queue as a file; an empty block ends it."""

    def __init__(self, blocks: queue.Queue[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        if not self._rest and not self._ended:
            self._rest = memoryview(self._blocks.get())
            self._ended = not self._rest
        part = bytes(self._rest[:size])
        self._rest = self._rest[len(part) :]
        return part

    def drain(self) -> None:
        """Discard everything until the end, so that nobody waits for this side."""
        while not self._ended:
            self._ended = not self._blocks.get()
        self._rest = memoryview(b"")


class _Sink(io.RawIOBase):
    """A file that passes on what is written to it."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self._put = put

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._put(bytes(data))
        return len(data)


def decrypted(file: BinaryIO, name: str, keys: Identities) -> BinaryIO:
    """A file of the volume, decrypted if it was encrypted. Raises KeyNeeded."""
    if not name.endswith(SUFFIX):
        return file
    if not keys:
        file.close()
        raise KeyNeeded(
            M("{name} is encrypted.", name=name),
            M("Name the file with the secret key: --identity FILE, on the drive's host."),
        )
    return cast("BinaryIO", DecryptedFile(file, name, keys))
