"""What the next sets of many templates would follow: ``lineage.parent_for`` for all of them at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import ARRAY, BigInteger, Text, and_, func, literal, select, true
from sqlalchemy.orm import Session

from db.models import BackupSet
from db.sets import lineage
from db.states import BackupType

Series = tuple[int, BackupType]
"""A template, and a type of its next set: DIFFERENTIAL follows a full set, INCREMENTAL the newest one."""


def newest_whole(session: Session, templates: Collection[int]) -> dict[Series, str]:
    """The set that the next one of each series would follow; a series without any is left out. With the same
    number of statements for any number of templates and sets."""
    newest = _newest(session, templates)
    whole = _whole(session, newest.values())
    broken = [series for series, set_id in newest.items() if set_id not in whole]
    heads = {series: set_id for series, set_id in newest.items() if set_id in whole}
    return heads | (_earlier(session, broken) if broken else {})


def _newest(session: Session, templates: Collection[int]) -> dict[Series, str]:
    """The newest set of each series, whole or not."""
    series = [(template, kind) for template in sorted(set(templates)) for kind in _FOLLOWING]
    asked = (
        func.unnest(
            literal([template for template, _ in series], ARRAY(BigInteger)),
            literal([kind.value for _, kind in series], ARRAY(Text)),
        )
        .table_valued("template", "kind")
        .render_derived(name="series")
    )
    newest = (
        select(BackupSet.id)
        .where(BackupSet.template_id == asked.c.template, *lineage.FOLLOWED)
        .where((asked.c.kind == BackupType.INCREMENTAL.value) | (BackupSet.type == BackupType.FULL))
        .order_by(*lineage.NEWEST_FIRST)
        .limit(1)
        .lateral()
    )
    rows = session.execute(select(asked.c.template, asked.c.kind, newest.c.id).join(newest, true()))
    return {(template, BackupType(kind)): set_id for template, kind, set_id in rows}


_FOLLOWING = (BackupType.DIFFERENTIAL, BackupType.INCREMENTAL)


def _whole(session: Session, ids: Iterable[str]) -> set[str]:
    """Those of some sets whose whole chain is good. Only its result leaves the database: a chain may be
    long."""
    wanted = select(BackupSet.id.label("head"), BackupSet.id).where(BackupSet.id.in_(set(ids)))
    links = wanted.cte("whole", recursive=True)
    # OFFSET keeps PostgreSQL from reading all sets for each link of a chain, however few it expects.
    parent = (
        select(BackupSet.parent_id.label("id"))
        .where(BackupSet.id == links.c.id, BackupSet.parent_id.is_not(None))
        .offset(0)
        .lateral()
    )
    links = links.union(select(links.c.head, parent.c.id).select_from(links.join(parent, true())))
    # A chain ends with a set that follows none; one that follows itself does not end.
    link = (
        select(lineage.is_good().label("good"), BackupSet.parent_id.is_(None).label("ends"))
        .where(BackupSet.id == links.c.id)
        .offset(0)
        .lateral()
    )
    query = (
        select(links.c.head)
        .join(link, true())
        .group_by(links.c.head)
        .having(and_(func.bool_and(link.c.good), func.bool_or(link.c.ends)))
    )
    return set(session.scalars(query))


def _earlier(session: Session, series: Iterable[Series]) -> dict[Series, str]:
    """The newest set of each series whose whole chain is good, where the newest set of all is not."""
    listed = list(series)
    templates = {template for template, _ in listed}
    query = select(BackupSet.id).where(BackupSet.template_id.in_(templates), *lineage.FOLLOWED)
    whole = lineage.whole_of(session, query)
    rows = session.execute(
        query.add_columns(BackupSet.template_id, BackupSet.type).order_by(*lineage.NEWEST_FIRST)
    )
    heads: dict[Series, str] = {}
    for set_id, template, kind in rows:
        if not whole[set_id]:
            continue
        for follower in _FOLLOWING if kind is BackupType.FULL else (BackupType.INCREMENTAL,):
            heads.setdefault((template, follower), set_id)
    return {each: heads[each] for each in listed if each in heads}
