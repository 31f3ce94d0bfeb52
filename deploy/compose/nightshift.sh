#!/bin/sh
# The command line with the installation's token, which the argument `token`
# prints: for the sign-in of the console, and for a CLI outside of Docker.
set -eu
NIGHTSHIFT_TOKEN=$(cat /run/nightshift/token/token)
export NIGHTSHIFT_TOKEN
if [ "$*" = token ]; then
  printf '%s\n' "$NIGHTSHIFT_TOKEN"
  exit
fi
exec nightshift "$@"
