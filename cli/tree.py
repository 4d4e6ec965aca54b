"""Every command by name, with the module that it is in and its line in ``tapeline --help``."""

from __future__ import annotations

from cli.lazy import Command

_FORMAT = "Show whether a run would format the tape."

_TAPE = {
    "register": Command(
        "cli.commands.labels:register",
        "Enter the cartridge that is in the drive, or put one into a pool.",
        ("tapeline tape register --pool yearly",),
    ),
    "label": Command(
        "cli.commands.labels:label",
        "Change the label of the tape in the drive, and keep its data.",
        ("tapeline tape label TP20261102",),
    ),
    "erasable": Command(
        "cli.commands.labels:say_erasable",
        "Permit one format of a tape that LTFS cannot read.",
        ("tapeline tape erasable", "tapeline tape erasable --confirm AE2101170123"),
    ),
    "sheet": Command(
        "cli.commands.labels:sheet",
        "Write a PDF with a card to print for each tape.",
        ("tapeline tape sheet --out new.pdf", "tapeline tape sheet TP20261101 --out TP20261101.pdf"),
    ),
    "format": Command(
        "cli.commands.formats:format_tape",
        _FORMAT,
        ("tapeline tape format --dry-run", "tapeline tape format --schedule monthly --dry-run"),
    ),
}

_SETS = {
    "find": Command(
        "cli.overview.find:find_files",
        "Find files in the catalogue.",
        (
            "tapeline sets find report.pdf",
            "tapeline sets find '*/2026/*.xlsx' --json",
            "tapeline sets find scan --larger '1 GB' --since 2026-11-01",
        ),
    ),
    "show": Command(
        "cli.overview.one_set:show_set",
        "Show a set: its tapes, what it needs, its archives.",
        ("tapeline sets show 20261123T210000Z-4fc6",),
    ),
    "copy": Command(
        "cli.overview.copy_set:copy_set",
        "Copy a set to another tape, to keep it in another building.",
        (
            "tapeline sets copy 20261123T210000Z-4fc6 --dry-run",
            "tapeline sets copy 20261123T210000Z-4fc6",
            "tapeline sets copy 20261123T210000Z-4fc6 --pool offsite",
        ),
    ),
}

_DRIVE = {
    "load": Command(
        "cli.commands.drives:load",
        "Load the cartridge in the drive, and print which it is.",
        ("tapeline drive load tape0",),
    ),
    "eject": Command(
        "cli.commands.drives:eject",
        "Take the cartridge out of the drive.",
        ("tapeline drive eject tape0",),
    ),
    "check": Command(
        "cli.commands.drives:check",
        "Check the volume in the drive, and repair it.",
        ("tapeline drive check tape0",),
    ),
    "rights": Command(
        "cli.host.rights:rights",
        "Make the database user of a drive host.",
        ("tapeline drive rights drive_host_1",),
    ),
}

_SCHEDULE = {
    "apply": Command(
        "cli.commands.apply:apply",
        "Apply a file of schedules.",
        ("tapeline schedule apply schedules.toml --dry-run", "tapeline schedule apply schedules.toml"),
    ),
    "export": Command(
        "cli.commands.apply:export",
        "Print schedules as TOML, as apply reads it.",
        ("tapeline schedule export > schedules.toml", "tapeline schedule export monthly-full"),
    ),
    "schema": Command(
        "cli.commands.apply:schema",
        "Print the JSON Schema of that file.",
        ("tapeline schedule schema > schedules.schema.json",),
    ),
}

COMMANDS = {
    "format": Command(
        "cli.commands.formats:format_tape",
        _FORMAT,
        ("tapeline format --dry-run", "tapeline format --drive tape1 --dry-run --json"),
    ),
    "freeze": Command(
        "cli.commands.freezes:freeze",
        "Stop all formats until the freeze is lifted.",
        ("tapeline freeze --why 'files were encrypted on srv2'", "tapeline freeze audit --why 'audit'"),
    ),
    "unfreeze": Command(
        "cli.commands.freezes:unfreeze",
        "Lift a freeze by its name.",
        ("tapeline unfreeze audit --why 'it is over'",),
    ),
    "run": Command(
        "cli.commands.run:run",
        "Try Tapeline on a virtual tape.",
        ("tapeline run", "tapeline run /home/me/documents", "tapeline run --library"),
    ),
    "precheck": Command(
        "cli.commands.precheck:precheck",
        "Show whether the next run of a schedule will go ahead.",
        (
            "tapeline precheck monthly-full",
            "tapeline precheck monthly-full --now",
            "tapeline precheck monthly-full --manual --json",
        ),
    ),
    "up": Command("cli.host.processes:up", "Run everything on this machine."),
    "calendar": Command(
        "cli.commands.calendar:calendar",
        "Which run needs which tape.",
        ("tapeline calendar", "tapeline calendar --days 400 --json"),
    ),
    "status": Command("cli.commands.status:status", "Show an overview of everything."),
    "report": Command(
        "cli.overview.report:show_report",
        "Show what is protected, what failed, and which tapes are needed.",
        ("tapeline report", "tapeline report --every week --html report.html", "tapeline report --json"),
    ),
    "audit": Command(
        "cli.overview.audit:show_audit",
        "Who did what, when and from where.",
        ("tapeline audit --who ann", "tapeline audit --since 2026-11-20 --json"),
    ),
    "doctor": Command("cli.commands.doctor:doctor", "Check this host, and name the remedies."),
    "settings": Command("cli.host.settings:settings", "Show the settings of this host."),
    "health": Command(
        "cli.commands.health:health",
        "Ask this host's processes for a sign of life.",
        ("tapeline health", "tapeline health tape beat"),
    ),
    "worker": Command(
        "cli.host.processes:worker",
        "Run one worker, as a service does.",
        ("tapeline worker control", "tapeline worker tape"),
    ),
    "beat": Command("cli.host.processes:beat", "Run beat, as a service does."),
    "flower": Command("cli.host.processes:flower", "Run the dashboard, as a service does."),
    "migrate": Command("cli.host.processes:migrate", "Migrate the database to this version."),
    "runs": Command("cli.commands.runs:app", "Runs: what happened, and continuing after a failure."),
    "sets": Command(
        "cli.commands.sets:app", "Backup sets: what is on tape, finding files, restoring.", more=_SETS
    ),
    "tape": Command("cli.commands.tapes:app", "Tapes: the known cartridges.", more=_TAPE),
    "drive": Command("cli.commands.tapes:drives", "Drives: what is in each and what it does.", more=_DRIVE),
    "library": Command("cli.commands.library:app", "Libraries: what is in each, and moving it by hand."),
    "schedule": Command(
        "cli.commands.schedules:app", "Schedules: what runs when, and running it now.", more=_SCHEDULE
    ),
    "notify": Command(
        "cli.commands.notify:app", "Messages: their texts, and the channels that deliver them."
    ),
    "database": Command("cli.host.database:app", "The database itself: dump, restore and release it."),
    "clock": Command("cli.host.clock:app", "The clock that decides what is past retention."),
}

SECTIONS = {
    "Start": ("run", "up", "doctor", "settings"),
    "See": ("status", "report", "calendar", "runs", "audit"),
    "Back up and restore": ("schedule", "precheck", "sets"),
    "Tapes": ("tape", "drive", "library", "format", "freeze", "unfreeze"),
    "Keep it running": ("notify", "database", "clock", "health", "migrate"),
    "Services": ("worker", "beat", "flower"),
}
"""The sections of the list of commands; each command is in one of them."""
