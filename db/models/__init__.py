"""The tables; docs/glossary.md explains the words. Times are UTC with time zone; sizes are bytes."""

from db.models.audit import AuditEntry
from db.models.base import Base, now
from db.models.brackets import CommandBracket
from db.models.hosts import AlivePing, ClockMark, Drive, DriveCheck, Freeze, Process
from db.models.libraries import RobotMove, TapeLibrary
from db.models.options import Options, RunNotes
from db.models.runs import ChainRun, ChainStep, Notification, RunEvent
from db.models.schedules import BackupTask, ScheduledTask
from db.models.sets import PATH_INDEXED, ArchiveCopy, BackupArchive, BackupFile, BackupSet
from db.models.tapes import ErasableTape, FormatPermit, MountFailure, TapeCartridge, TapePool

__all__ = [
    "PATH_INDEXED",
    "AlivePing",
    "ArchiveCopy",
    "AuditEntry",
    "BackupArchive",
    "BackupFile",
    "BackupSet",
    "BackupTask",
    "Base",
    "ChainRun",
    "ChainStep",
    "ClockMark",
    "CommandBracket",
    "Drive",
    "DriveCheck",
    "ErasableTape",
    "FormatPermit",
    "Freeze",
    "MountFailure",
    "Notification",
    "Options",
    "Process",
    "RobotMove",
    "RunEvent",
    "RunNotes",
    "ScheduledTask",
    "TapeCartridge",
    "TapeLibrary",
    "TapePool",
    "now",
]
