"""Which page answers where. Tornado loads a page by its name, when Flower begins and not before."""

from __future__ import annotations

ROUTES: list[tuple[str, str]] = [
    (r"/", "dashboard.today.Home"),
    (r"/today", "dashboard.today.Today"),
    (r"/runs", "dashboard.runs.Runs"),
    (r"/runs/([0-9]+)", "dashboard.run.Run"),
    (r"/runs/([0-9]+)/retry", "dashboard.buttons.Retry"),
    (r"/runs/([0-9]+)/accept", "dashboard.buttons.Accept"),
    (r"/runs/([0-9]+)/dismiss", "dashboard.buttons.Dismiss"),
    (r"/runs/([0-9]+)/cancel", "dashboard.buttons.Cancel"),
    (r"/runs/([0-9]+)/release", "dashboard.buttons.ReleaseRun"),
    (r"/freeze", "dashboard.freezes.Freeze"),
    (r"/freezes/([A-Za-z0-9_.-]+)/lift", "dashboard.freezes.Unfreeze"),
    (r"/tapes", "dashboard.tapes.Tapes"),
    (r"/tapes/([0-9]+)", "dashboard.tape.Tape"),
    (r"/schedules", "dashboard.schedules.Schedules"),
    (r"/schedules/([^/]+)/run", "dashboard.buttons.RunNow"),
    (r"/schedules/([^/]+)/(enable|disable)", "dashboard.buttons.Switch"),
    (r"/schedules/([^/]+)/release", "dashboard.buttons.ReleaseSchedule"),
    (r"/drives", "dashboard.drives.Drives"),
    (r"/metrics", "dashboard.metrics.Metrics"),
    (r"/tapeline/static/(.*)", "dashboard.page.Static"),
]
