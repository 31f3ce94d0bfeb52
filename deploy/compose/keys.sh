#!/bin/sh
# Makes the keys of this installation where there are none yet, each in a volume
# of its own, so that who needs one is not given the other:
#
#   token/token             for the control plane; NIGHTSHIFT_TOKEN, if set, in its place
#   secret-key/secret-key   seals environment variables of sites
#   redis-gateway/url, redis-worker/url, redis-scheduler/url, redis-asynqmon/url
#                           how each of them reaches Redis, with its own password
#   redis-users/users.acl   who they are, for Redis; redis-users/admin is the
#                           password of the user admin, for whoever operates it
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

# password prints a service's own, which is made with its file.
password() {
  if [ ! -s "redis-$1/url" ]; then
    echo "redis://$1:$(od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n')@redis:6379/0" | keep "redis-$1/url"
    echo "made a password for Redis: $1" >&2
  fi
  sed -n 's|^redis://[a-z]*:\([0-9a-f]*\)@.*|\1|p' "redis-$1/url"
}
[ -s redis-users/admin ] || od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n' | keep redis-users/admin

# Redis is given digests. The file is made anew each time: a new version may have other rules.
users=$(cat /usr/local/lib/nightshift/users.acl)
for service in gateway worker scheduler asynqmon; do
  secret=$(password "$service")
  digest=$(printf '%s' "$secret" | sha256sum | cut -d ' ' -f 1)
  users=$(printf '%s\n' "$users" | sed "s/>$service-password/#$digest/")
done
digest=$(sha256sum <redis-users/admin | cut -d ' ' -f 1)
printf '%s\nuser admin on #%s ~* &* +@all\n' "$users" "$digest" | keep redis-users/users.acl
