"""Operations of a restore in a folder that it keeps open, so that nobody can replace the folder meanwhile.

A POSIX system identifies the folder by its descriptor. On Windows an open handle prevents everybody from
renaming or removing it, or any folder above it; its contents are then named by path.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys

from backup import system
from backup.source.reach import patiently

if sys.platform == "win32":
    import errno
    import msvcrt
    from ctypes import wintypes

    _KERNEL = ctypes.WinDLL("kernel32", use_last_error=True)
    _KERNEL.CreateFileW.restype = wintypes.HANDLE

    _LIST, _ATTRIBUTES = 0x1, 0x180
    """FILE_LIST_DIRECTORY, which makes the handle count; FILE_READ_ATTRIBUTES, FILE_WRITE_ATTRIBUTES."""
    _SHARE_ALL_BUT_DELETE = 0x3
    _OPEN_EXISTING = 3
    _BACKUP, _NO_LINK = 0x02000000, 0x00200000
    """FILE_FLAG_BACKUP_SEMANTICS opens folders; FILE_FLAG_OPEN_REPARSE_POINT opens a link itself."""
    _NOBODY = ctypes.c_void_p(-1).value
    _FILE_BASIC = 0
    _READ_ONLY, _NORMAL = 0x1, 0x80
    _EPOCH = 116_444_736_000_000_000
    """1970 in the 100 ns of Windows, which counts from 1601."""

    _CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_BINARY | os.O_NOINHERIT

    class _Basic(ctypes.Structure):
        """FILE_BASIC_INFO; a field that is 0 is left as it is."""

        _fields_ = (
            ("created", ctypes.c_int64),
            ("accessed", ctypes.c_int64),
            ("written", ctypes.c_int64),
            ("changed", ctypes.c_int64),
            ("attributes", wintypes.DWORD),
        )

    class Folder:
        """A folder that is kept open."""

        def __init__(self, path: str, *, link_too: bool = False) -> None:
            """``link_too``: the operator's own folder may be a link. Raises OSError; ENOTDIR for a link."""
            self.path = path
            flags = _BACKUP if link_too else _BACKUP | _NO_LINK
            access, name = _LIST | _ATTRIBUTES, ctypes.c_wchar_p(path)
            handle = _KERNEL.CreateFileW(
                name, access, _SHARE_ALL_BUT_DELETE, None, _OPEN_EXISTING, flags, None
            )
            if handle == _NOBODY:
                raise ctypes.WinError(ctypes.get_last_error())
            self.handle = handle
            status = os.lstat(path)
            if not link_too and (not stat.S_ISDIR(status.st_mode) or status.st_reparse_tag):
                close(self)
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))

        def at(self, name: bytes) -> str:
            """The path of a name in it."""
            return f"{self.path}\\{os.fsdecode(name)}"

    def root(path: str) -> Folder:
        """Open the folder that is restored into. Raises OSError."""
        # The long form: no limit of 260 characters, and no name means a device.
        full = os.path.abspath(path)  # noqa: PTH100 - as text
        return Folder(full if full.startswith("\\\\") else f"\\\\?\\{full}".rstrip("\\"), link_too=True)

    def again(folder: Folder) -> Folder:
        """The same folder once more. Raises OSError."""
        return Folder(folder.path, link_too=True)

    def close(folder: Folder) -> None:
        """Close it."""
        _KERNEL.CloseHandle(wintypes.HANDLE(folder.handle))

    def enter(folder: Folder, name: bytes) -> Folder:
        """Open a folder in it. Raises OSError; ENOTDIR for a link or a file."""
        return Folder(folder.at(name))

    def mkdir(folder: Folder, name: bytes) -> None:
        """Make a folder. Raises OSError."""
        os.mkdir(folder.at(name))  # noqa: PTH102 - as text

    def create(folder: Folder, name: bytes) -> int:
        """Make a new file; returns its descriptor. Raises OSError."""
        return os.open(folder.at(name), _CREATE, 0o600)

    def kind(folder: Folder, name: bytes) -> int | None:
        """The type bits of what has this name now, or None if nothing has. A junction is a link, too."""
        try:
            status = os.lstat(folder.at(name))
        except FileNotFoundError:
            return None
        return stat.S_IFLNK if status.st_reparse_tag else stat.S_IFMT(status.st_mode)

    def status(folder: Folder, name: bytes) -> os.stat_result | None:
        """What has this name now, without following links; None if nothing has. Raises OSError."""
        try:
            return os.lstat(folder.at(name))
        except FileNotFoundError:
            return None

    def write(folder: Folder, name: bytes) -> int:
        """Open an existing file for writing; returns its descriptor. Raises OSError."""
        return os.open(folder.at(name), os.O_WRONLY | os.O_BINARY | os.O_NOINHERIT)

    def read(folder: Folder, name: bytes) -> int:
        """Open a file to read; returns its descriptor. Raises OSError."""
        return os.open(folder.at(name), os.O_RDONLY | os.O_BINARY | os.O_NOINHERIT)

    def readlink(folder: Folder, name: bytes) -> bytes:
        """The target of a symbolic link. Raises OSError."""
        return os.fsencode(os.readlink(folder.at(name)))  # noqa: PTH115 - as text

    def device(_folder: Folder) -> int:
        """The file system of a folder; here each file is flushed by itself."""
        return 0

    def sync(_folder: Folder) -> None:
        """``settle`` has done it here."""

    def settle(fd: int) -> None:
        """Flush an open file to disk: Windows has no call for many of them at once. Raises OSError."""
        os.fsync(fd)

    def is_another(folder: Folder, name: bytes) -> bool:
        """Whether this name exists here with other case, as another file."""
        wanted = os.fsdecode(name)
        names = os.listdir(folder.path)  # noqa: PTH208 - names
        return wanted not in names

    def unlink(folder: Folder, name: bytes) -> None:
        """Remove a name that is no folder. Raises OSError."""
        path = folder.at(name)
        status = os.lstat(path)
        if status.st_reparse_tag and status.st_file_attributes & stat.FILE_ATTRIBUTE_DIRECTORY:
            os.rmdir(path)  # noqa: PTH106 - a link to a folder goes, the folder stays
        else:
            os.chmod(path, stat.S_IWRITE)  # noqa: PTH101 - one that is read-only cannot be removed
            os.unlink(path)  # noqa: PTH108

    def rename(folder: Folder, old: bytes, new: bytes) -> None:
        """Give a file its real name, atomically, replacing any file that has it. Raises OSError."""
        taken = kind(folder, new)
        if taken == stat.S_IFLNK:
            unlink(folder, new)
        elif taken is not None:
            os.chmod(folder.at(new), stat.S_IWRITE)  # noqa: PTH101 - one that is read-only is not replaced
        os.replace(folder.at(old), folder.at(new))  # noqa: PTH105

    def link(there: Folder, first: bytes, folder: Folder, name: bytes) -> None:
        """Give a file one more name. Raises OSError."""
        os.link(there.at(first), folder.at(name))

    def symlink(target: bytes, folder: Folder, name: bytes) -> None:
        """Make a symbolic link. Raises OSError: Windows gives that right to few users."""
        os.symlink(os.fsdecode(target), folder.at(name))  # noqa: PTH211

    def mkfifo(_folder: Folder, _name: bytes) -> None:
        """Windows has none. Raises NotImplementedError."""
        raise NotImplementedError

    def touch(place: Folder | int, mtime_ns: int, *, read_only: bool) -> None:
        """Set time and read-only attribute of a folder or an open file. Raises OSError."""
        handle = place.handle if isinstance(place, Folder) else msvcrt.get_osfhandle(place)
        facts = _Basic(written=mtime_ns // 100 + _EPOCH)
        if not isinstance(place, Folder):
            facts.attributes = _READ_ONLY if read_only else _NORMAL
        size = ctypes.sizeof(facts)
        if not _KERNEL.SetFileInformationByHandle(
            wintypes.HANDLE(handle), _FILE_BASIC, ctypes.byref(facts), size
        ):
            raise ctypes.WinError(ctypes.get_last_error())

else:
    Folder = int

    _SYNCFS = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    """Of Linux: unlike ``sync``, it tells of errors, and waits for one file system alone."""

    _FOLDER = os.O_RDONLY | system.FOLDER | system.WITHIN
    _CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | system.WITHIN

    def root(path: str) -> int:
        """Open the folder that is restored into. Raises OSError."""
        return os.open(path, os.O_RDONLY | system.FOLDER)

    def again(folder: int) -> int:
        """The same folder once more. Raises OSError."""
        return os.dup(folder)

    def close(folder: int) -> None:
        """Close it."""
        os.close(folder)

    def enter(folder: int, name: bytes) -> int:
        """Open a folder in it. Raises OSError; ELOOP or ENOTDIR for a link or a file."""
        return os.open(name, _FOLDER, dir_fd=folder)

    def mkdir(folder: int, name: bytes) -> None:
        """Make a folder. Raises OSError."""
        os.mkdir(name, 0o700, dir_fd=folder)

    def create(folder: int, name: bytes) -> int:
        """Make a new file; returns its descriptor. Raises OSError."""
        return os.open(name, _CREATE, 0o600, dir_fd=folder)

    def kind(folder: int, name: bytes) -> int | None:
        """The type bits of what has this name now, or None if nothing has."""
        try:
            return stat.S_IFMT(os.lstat(name, dir_fd=folder).st_mode)
        except FileNotFoundError:
            return None

    def status(folder: int, name: bytes) -> os.stat_result | None:
        """What has this name now, without following links; None if nothing has. Raises OSError."""
        try:
            return os.lstat(name, dir_fd=folder)
        except FileNotFoundError:
            return None

    def write(folder: int, name: bytes) -> int:
        """Open an existing file for writing; returns its descriptor. Raises OSError; ELOOP for a link."""
        return os.open(name, os.O_WRONLY | os.O_NONBLOCK | system.WITHIN, dir_fd=folder)

    def read(folder: int, name: bytes) -> int:
        """Open a file to read; returns its descriptor. Raises OSError; ELOOP for a link."""
        return patiently(lambda: os.open(name, system.READ, dir_fd=folder))

    def readlink(folder: int, name: bytes) -> bytes:
        """The target of a symbolic link. Raises OSError."""
        return os.readlink(name, dir_fd=folder)

    def device(folder: int) -> int:
        """The file system of a folder. Raises OSError."""
        return os.fstat(folder).st_dev

    def sync(folder: int) -> None:
        """Flush all data that was written to the file system of a folder. Raises OSError."""
        if _SYNCFS is None:
            os.sync()
        elif _SYNCFS(folder):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def settle(_fd: int) -> None:
        """Here ``sync`` does it, once for many files."""

    def is_another(_folder: int, _name: bytes) -> bool:
        """Here names that differ in case are different names."""
        return False

    def unlink(folder: int, name: bytes) -> None:
        """Remove a name that is no folder. Raises OSError."""
        os.unlink(name, dir_fd=folder)

    def rename(folder: int, old: bytes, new: bytes) -> None:
        """Give a file its real name, atomically, replacing any file that has it. Raises OSError."""
        os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)

    def link(there: int, first: bytes, folder: int, name: bytes) -> None:
        """Give a file one more name. Raises OSError."""
        os.link(first, name, src_dir_fd=there, dst_dir_fd=folder, follow_symlinks=False)

    def symlink(target: bytes, folder: int, name: bytes) -> None:
        """Make a symbolic link. Raises OSError."""
        os.symlink(target, name, dir_fd=folder)

    def mkfifo(folder: int, name: bytes) -> None:
        """Make a fifo. Raises OSError."""
        os.mkfifo(name, 0o600, dir_fd=folder)
