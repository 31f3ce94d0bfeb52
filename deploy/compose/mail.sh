#!/bin/sh
# Runs the mail server of examples/quickstart, once deploy has installed its
# packages; another site has none.
set -eu
cd "/build/${SITE:-default}" 2>/dev/null || { sleep 1; exit 1; } # not yet; it is started again
until [ -f installed ]; do sleep 0.5; done
cd source
[ -f mail-sink.mjs ] || exit 0
exec node mail-sink.mjs
