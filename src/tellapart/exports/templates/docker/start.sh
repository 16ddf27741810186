#!/bin/sh
# Words that follow the image's name are options of `tellapart serve`: --rate 5, --root-path /coins, ...
set -eu

set -- "{{ name }}=model" --host 0.0.0.0 --port "${PORT:-8000}" "$@"
if [ -z "${TELLAPART_API_KEYS:-}" ]; then
    exec tellapart serve "$@"
fi
# Handed over through a pipe: there is no folder to put a file in.
exec tellapart serve "$@" --api-keys /dev/fd/3 3<<END
$TELLAPART_API_KEYS
END
