"""Who may do what in the dashboard."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Each role may do all that the ones before it may."""

    VIEWER = "viewer"
    """Sees everything."""
    OPERATOR = "operator"
    """Also runs, retries, cancels, restores, and moves tapes."""
    ADMIN = "admin"
    """Also changes schedules, retention and marks, freezes formats, and controls the workers."""

    def may(self, needed: Role) -> bool:
        """Whether this role has the rights of another."""
        order = list(Role)
        return order.index(self) >= order.index(needed)
