#!/bin/sh
# The first process of a drive host's container. When it ends, the kernel kills whatever is left in the container,
# and LTFS must never be killed: it still has an index to write. So this waits until LTFS has ended, and asks it to
# unmount (SIGTERM) if the worker died without having done so. It passes signals on and collects ended processes.
set -u

programs='ltfs|mkltfs|ltfsck'

"$@" &
worker=$!
trap 'kill -TERM "$worker" 2>/dev/null' TERM INT
code=0
while kill -0 "$worker" 2>/dev/null; do
    # A signal ends this wait as well; the worker goes on sealing.
    wait "$worker"
    code=$?
done
trap '' TERM INT

pkill -TERM -x ltfs
while pgrep -x "$programs" >/dev/null; do
    sleep 1
done
exit "$code"
