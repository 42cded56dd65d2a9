#!/bin/bash

# healthcheck.sh HOST:PORT: succeeds if /health is answered by 200

set -eu

exec 3<> "/dev/tcp/${1%:*}/${1##*:}"
printf 'GET /health HTTP/1.0\r\n\r\n' >&3
read -r -t 2 _ status _ <&3
[ "$status" = 200 ]
