#!/bin/sh
# Makes the keys of this installation where there are none yet, each in a volume
# of its own, so that who needs one is not given the other:
#
#   token/token             for the control plane; NIGHTSHIFT_TOKEN, if set, in its place
#   secret-key/secret-key   seals environment variables of sites
#
# The volumes are mounted into the containers that need them, and are otherwise
# readable by whoever may use Docker, which is root by another name.
set -eu
cd /run/nightshift

# keep writes standard input to a file, as a whole or not at all.
keep() {
  cat >"$1.part"
  mv "$1.part" "$1"
}

if [ -n "${NIGHTSHIFT_TOKEN:-}" ]; then
  printf '%s\n' "$NIGHTSHIFT_TOKEN" | keep token/token
elif [ ! -s token/token ]; then
  od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n' | keep token/token
  echo "made a token for the control plane"
fi
if [ ! -s secret-key/secret-key ]; then
  nightshift secret-key | keep secret-key/secret-key
  echo "made a key for environment variables; docs/docker.md says how to back it up"
fi
