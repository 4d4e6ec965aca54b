"""a file is found by a part of its name, and by its folder: what the indexes of each set are made of"""

from __future__ import annotations

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

# Every three characters of the name, from each third of places, and each character that is not ASCII: in
# Chinese two of them are a word. Only of what PostgreSQL has built in: pg_trgm is not everywhere. In
# one expression, because only such a function becomes a part of the statement that asks.
GRAMS = r"""
CREATE FUNCTION file_name_grams(path text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT string_to_array(
    regexp_replace(lower(split_part(path, '/', -1)) COLLATE "C", '(...)', E'\\1\x01', 'g') || E'\x01'
    || regexp_replace(substr(lower(split_part(path, '/', -1)), 2) COLLATE "C", '(...)', E'\\1\x01', 'g')
    || E'\x01'
    || regexp_replace(substr(lower(split_part(path, '/', -1)), 3) COLLATE "C", '(...)', E'\\1\x01', 'g')
    || E'\x01'
    || regexp_replace(
        regexp_replace(lower(split_part(path, '/', -1)) COLLATE "C", '[ -~]+', '', 'g'),
        '(.)', E'\\1\x01', 'g'
    ),
    E'\x01'
)
$$
"""

# Of a folder's path only a number: in one set the order of (archive, position) is that of the names in it.
FOLDER = """
CREATE FUNCTION file_folder(path text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT hashtext(left(path, -length(split_part(path, '/', -1))) COLLATE "C")
$$
"""


def upgrade() -> None:
    op.execute(GRAMS)
    op.execute(FOLDER)


def downgrade() -> None:
    op.execute("DROP FUNCTION file_folder(text) CASCADE")
    op.execute("DROP FUNCTION file_name_grams(text) CASCADE")
