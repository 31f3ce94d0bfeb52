#!/bin/sh
# Deploys the site in /site, and publishes it: the last step of `docker compose up`.
#
# It is run at each `up` and changes nothing the second time: not while the site
# is what was deployed last from here, so that a rollback stays, nor, for the
# example, once anything at all is published. `--again` deploys all the same.
#
#   SITE        its name, "default"; made if there is none of that name
#   SITE_DIR    empty: the example is in /site
set -eu
site=${SITE:-default}
NIGHTSHIFT_TOKEN=$(cat /run/nightshift/token/token)
export NIGHTSHIFT_TOKEN

mkdir -p "/build/$site/source"
cd "/build/$site"

# What is installed and built elsewhere is for that machine, and is made here anew.
tar -C /site --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
  --exclude=./node_modules --exclude=./.git --exclude=./.nightshift --exclude=./.next -cf site.tar .
digest=$(sha256sum <site.tar)

# The ID of what is published; empty for a site that has nothing, "none" for no site.
published=$(nightshift sites --json |
  node -p 'const s = JSON.parse(fs.readFileSync(0)).find((s) => s.name === process.argv[1]); s ? s.deploy_id : "none"' "$site")
if [ "$published" = none ]; then
  nightshift sites create "$site"
elif [ -n "$published" ] && [ "${1:-}" != --again ]; then
  if [ -z "${SITE_DIR:-}" ] || [ "$digest" = "$(cat deployed 2>/dev/null)" ]; then
    echo "Deploy $published is published; there is nothing new to deploy"
    exit
  fi
fi

# The packages stay, for as long as the manifests are the same.
find source -mindepth 1 -maxdepth 1 ! -name node_modules -exec rm -rf {} +
tar -C source -xf site.tar
rm site.tar
cd source
if [ -f package.json ]; then
  if [ ! -f package-lock.json ] && { [ -f pnpm-lock.yaml ] || [ -f yarn.lock ]; }; then
    echo "Packages are installed with npm only here, and the site has the lock file of another program." >&2
    echo "Install them yourself and run: nightshift deploy --prod; docs/docker.md has the settings for it" >&2
    exit 2
  fi
  manifests=$(cat package.json package-lock.json 2>/dev/null | sha256sum)
  if [ "$manifests" != "$(cat ../installed 2>/dev/null)" ]; then
    echo "Installing packages"
    rm -rf node_modules ../installed
    if [ -f package-lock.json ]; then how=ci; else how=install; fi
    npm $how --cache /build/npm --no-audit --no-fund --no-update-notifier --loglevel=error
    printf '%s' "$manifests" >../installed
  fi
else
  rm -rf node_modules
  : >../installed
fi
if [ -z "${SITE_DIR:-}" ]; then
  # Before the example can be called, its mail server is there.
  for _ in $(seq 60); do
    node -e 'net.connect(2525, "mail").on("connect", () => process.exit()).on("error", () => process.exit(1))' && break
    sleep 0.5
  done
  # Where the example finds its mail server and its shop among the containers.
  nightshift env import /usr/local/lib/nightshift/quickstart.env --site "$site" --context production >/dev/null
fi
nightshift deploy --prod --site "$site" .
printf '%s' "$digest" >../deployed
