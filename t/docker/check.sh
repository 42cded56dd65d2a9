#!/bin/bash

# Builds the images of docker/Dockerfile without Docker and runs what
# docker/compose.yaml makes of them: a fresh Debian 12 by debootstrap takes the
# place of the base image, chroots that of containers. Takes some minutes.
#
#   ./build.sh docker-check
#
# Everything is in build/docker; the Debian there is used again for a week.

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."

mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
dir=$PWD/build/docker
base=$dir/base

if [ "$(id -u)" -ne 0 ]; then
    echo "check.sh: only root can do this" >&2
    exit 1
fi

mkdir -p "$dir"

if [ -z "$(find "$dir/fresh" -mtime -7 2>/dev/null)" ]; then
    echo "check.sh: a fresh Debian 12 in $base" >&2
    rm -rf "$dir"
    mkdir -p "$dir"

    if ! debootstrap --variant=minbase bookworm "$base" "$mirror" \
        > "$dir/debootstrap.log" 2>&1
    then
        tail -n 5 "$dir/debootstrap.log" >&2
        exit 1
    fi

    # as the image has it: sources, no services, nothing that is only read

    rm -f "$base/etc/apt/sources.list"
    cat > "$base/etc/apt/sources.list.d/debian.sources" << END
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
    echo force-unsafe-io > "$base/etc/dpkg/dpkg.cfg.d/docker-apt-speedup"
    printf '#!/bin/sh\nexit 101\n' > "$base/usr/sbin/policy-rc.d"
    chmod 755 "$base/usr/sbin/policy-rc.d"
    printf 'path-exclude /usr/share/%s/*\n' doc man info locale \
        > "$base/etc/dpkg/dpkg.cfg.d/docker"
    rm -rf "$base"/var/cache/apt/archives/*.deb "$base"/var/lib/apt/lists/*
    touch "$dir/fresh"
fi

# the mounts that this needs end with it
unshare --mount --pid --fork --kill-child --mount-proc \
    perl -It/lib t/docker/images.pl "$base" "$dir"

SMART_DOCKER_IMAGES=$dir PERL5LIB=$PWD/t/lib prove -v t/docker_compose.t
