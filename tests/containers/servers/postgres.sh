#!/bin/sh
# What the official image does at its start: a cluster with the user, the password and the database that were asked
# for, then the command, as the user postgres.
set -eu
if [ "$(id -u)" = 0 ]; then
    chown postgres:postgres /var/lib/postgresql/data
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
data=/var/lib/postgresql/data
if [ ! -s "$data/PG_VERSION" ]; then
    umask 077
    printf '%s' "$POSTGRES_PASSWORD" > /tmp/password
    initdb -D "$data" -U "$POSTGRES_USER" --auth-local=trust --auth-host=scram-sha-256 --pwfile=/tmp/password -E UTF8
    rm /tmp/password
    printf 'host all all all scram-sha-256\n' >> "$data/pg_hba.conf"
    pg_ctl -D "$data" -w -o "-c listen_addresses='' -k /tmp" start
    if [ "$POSTGRES_DB" != postgres ]; then createdb -h /tmp -U "$POSTGRES_USER" "$POSTGRES_DB"; fi
    pg_ctl -D "$data" -w stop
fi
exec "$@" -D "$data" -c "listen_addresses=*" -k /tmp
