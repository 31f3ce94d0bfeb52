#!/bin/sh
# The end of `docker compose up`: all is there, and this says where.
cat <<END
  calls     $CALLS
  console   $CONSOLE; docker compose run --rm -T cli token prints what it asks for
END
