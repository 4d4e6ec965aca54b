"""Which page answers where. Tornado loads a page by its name, when Flower begins and not before."""

from __future__ import annotations

ROUTES: list[tuple[str, str]] = [
    (r"/", "dashboard.pages.today.Home"),
    (r"/today", "dashboard.pages.today.Today"),
    (r"/runs", "dashboard.pages.runs.Runs"),
    (r"/runs/([0-9]+)", "dashboard.pages.run.Run"),
    (r"/runs/([0-9]+)/retry", "dashboard.pages.buttons.Retry"),
    (r"/runs/([0-9]+)/accept", "dashboard.pages.buttons.Accept"),
    (r"/runs/([0-9]+)/dismiss", "dashboard.pages.buttons.Dismiss"),
    (r"/runs/([0-9]+)/cancel", "dashboard.pages.buttons.Cancel"),
    (r"/runs/([0-9]+)/release", "dashboard.pages.buttons.ReleaseRun"),
    (r"/freeze", "dashboard.pages.freezes.FreezeFormats"),
    (r"/freezes/([A-Za-z0-9_.-]+)/lift", "dashboard.pages.freezes.Unfreeze"),
    (r"/files", "dashboard.pages.files.FilesPage"),
    (r"/files/versions", "dashboard.pages.files.VersionsPage"),
    (r"/files/search", "dashboard.pages.files.SearchPage"),
    (r"/files/restore", "dashboard.pages.restore.RestorePreview"),
    (r"/files/restore/start", "dashboard.pages.restore.StartRestore"),
    (r"/tapes", "dashboard.pages.tapes.Tapes"),
    (r"/tapes/([0-9]+)", "dashboard.pages.tape.TapePage"),
    (r"/schedules", "dashboard.pages.schedules.Schedules"),
    (r"/schedules/([^/]+)/run", "dashboard.pages.buttons.RunNow"),
    (r"/schedules/([^/]+)/(enable|disable)", "dashboard.pages.buttons.Switch"),
    (r"/schedules/([^/]+)/release", "dashboard.pages.buttons.ReleaseSchedule"),
    (r"/drives", "dashboard.pages.drives.Drives"),
    (r"/library", "dashboard.pages.library.Libraries"),
    (r"/library/([^/]+)/([^/]+)", "dashboard.pages.library.MoveCartridge"),
    (r"/audit", "dashboard.pages.audit.Audit"),
    (r"/metrics", "dashboard.pages.metrics.Metrics"),
    (r"/tapeline/static/(.*)", "dashboard.page.Static"),
]
