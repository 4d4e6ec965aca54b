"""Sets that nobody needs any more: finding and marking them. Nothing is erased, on tape or in the
catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from db import leaps
from db.models import BackupSet
from db.sets import catalog
from db.tapes import kin
from policy.tapes.facts import SetState

KEPT = (SetState.COMPLETE, SetState.INCOMPLETE)


def expirable(session: Session, moment: datetime) -> list[BackupSet]:
    """The sets that are past retention, that no kept set follows, not marked yet; oldest first.

    The caller confirms that every tape was imported whose sets may follow an imported one. If the clock is in
    doubt, nothing is marked. Raises NotAllowed.
    """
    leaps.check(session, moment)
    family = kin.Family(session, _unmarked(BackupSet.id), lambda each: replace(each, is_imported=False))
    over = [each.id for each in family.wanted if each.may_be_lost(moment)]
    return catalog.these(session, over)


def of_template(session: Session, template_id: int, moment: datetime) -> dict[str, bool]:
    """The sets of a template that are not destroyed: for each, whether nothing keeps it from being erased."""
    wanted = select(BackupSet.id).where(
        BackupSet.template_id == template_id, BackupSet.state != SetState.DESTROYED
    )
    return {each.id: each.may_be_erased(moment) for each in kin.Family(session, wanted).wanted}


def _unmarked(what: Any = BackupSet) -> Select[Any]:
    return select(what).where(BackupSet.state.in_(KEPT), BackupSet.expired_at.is_(None))


def of_no_template(session: Session) -> list[BackupSet]:
    """The sets of unknown templates, not marked yet: they are kept until somebody names them."""
    has_tape = or_(BackupSet.cartridge_id.is_not(None), BackupSet.archives.any())
    query = _unmarked().where(BackupSet.template_id.is_(None), has_tape)
    return list(session.scalars(query.order_by(BackupSet.started_at)))


def named(session: Session, ids: Sequence[str]) -> list[BackupSet]:
    """The sets that somebody names, not marked yet. Raises NotFound."""
    return [stored for each in ids if (stored := catalog.get(session, each)).expired_at is None]


def mark(sets: Iterable[BackupSet], moment: datetime) -> None:
    """Mark sets: no increment follows them from now on. They can be restored as long as their tape exists."""
    for stored in sets:
        stored.expired_at = moment
