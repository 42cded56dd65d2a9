# Debian: packages that are missing, and a private apt for what the machine's own
# does not offer. Read by build.sh
# shellcheck shell=sh disable=SC2154

mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg


as_root()
{
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}


installed()
{
    dpkg-query -W -f '${Status}' "$1" 2>/dev/null \
        | grep -q '^install ok installed'
}


# installs those packages that are missing

need()
{
    if ! command -v dpkg-query >/dev/null; then
        say "not a Debian system: taking for granted what is in: $*"
        return
    fi

    missing=

    for package in "$@"; do
        installed "$package" || missing="$missing $package"
    done

    if [ -z "$missing" ]; then
        return
    fi

    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        die "run this as root: apt-get update && apt-get install -y" \
            "--no-install-recommends$missing"
    fi

    say "installing$missing"

    case " $missing " in *" nginx "*|*" prometheus "*|*" memcached "*) hold_service ;; esac

    mkdir -p "$out"
    log=$out/apt-install.log

    # shellcheck disable=SC2086
    if ! { as_root apt-get -q update \
           && as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install \
                          -y --no-install-recommends $missing; } > "$log" 2>&1
    then
        tail -n 20 "$log" >&2
        die "apt-get failed, all of it is in $log"
    fi

    release_service
}


# the packages of nginx and of the servers for tests would start them, nginx on
# port 80; a policy that is there already is the administrator's and stays

policy=/usr/sbin/policy-rc.d
held=

hold_service()
{
    if [ -e "$policy" ]; then
        return
    fi

    held=yes
    trap release_service EXIT
    trap 'exit 130' INT TERM

    as_root sh -c "umask 022; cat > $policy" << 'END'
#!/bin/sh
# added by build.sh for as long as it installs servers
case $1 in nginx|prometheus*|memcached) exit 101 ;; *) exit 0 ;; esac
END
    as_root chmod 755 "$policy"
}


release_service()
{
    if [ -n "$held" ]; then
        as_root rm -f "$policy"
        held=
        trap - EXIT INT TERM
    fi
}


# an apt of our own: archive SUITE (deb or deb-src) makes its lists ready and
# sets APT_CONFIG; the system's sources, lists and caches are not touched

archive()
{
    suite=$1 kind=$2
    dir=$out/apt/$suite-$kind

    mkdir -p "$dir/lists/partial" "$dir/archives/partial"
    : > "$dir/status"

    # proxies and the like are the machine's
    apt-config dump | grep '^Acquire::' > "$dir/apt.conf" || :

    cat >> "$dir/apt.conf" << END
Dir::Etc "$dir";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "$dir";
Dir::State::lists "$dir/lists";
Dir::State::status "$dir/status";
Dir::Cache "$dir";
Dir::Cache::archives "$dir/archives";
APT::Sandbox::User "root";
Acquire::Languages "none";
END

    echo "$kind [signed-by=$keyring] $mirror $suite main" \
        > "$dir/sources.list"

    if [ "$suite" != sid ]; then
        echo "$kind [signed-by=$keyring] $mirror-security" \
            "$suite-security main" >> "$dir/sources.list"
    fi

    APT_CONFIG=$dir/apt.conf
    export APT_CONFIG

    if [ -n "$(find "$dir/fresh" -mtime -1 2>/dev/null)" ]; then
        return
    fi

    say "reading Debian's index of $suite ($kind)"

    if ! apt-get -q update > "$dir/update.log" 2>&1; then
        tail -n 5 "$dir/update.log" >&2
        die "cannot read $mirror $suite"
    fi

    touch "$dir/fresh"
}


# sets src to the unpacked source of nginx $1: with Debian's patches, or as nginx
# published it where a mirror has dropped what its index still lists

debian_source()
{
    src=$out/src/nginx-$1

    if [ -f "$src/.unpacked" ]; then
        return
    fi

    need dpkg-dev debian-archive-keyring patch xz-utils

    case $1 in
        1.2[0-2].*) suites="bookworm trixie sid" ;;
        1.2[3-6].*) suites="trixie sid bookworm" ;;
        *)          suites="sid trixie bookworm" ;;
    esac

    known=
    tried=
    log=$out/src/get.log
    mkdir -p "$out/src"

    for suite in $suites; do
        archive "$suite" deb-src
        versions=$(apt-cache showsrc nginx | sed -n 's/^Version: //p' \
                   | sort -V -r -u)
        known="$known $(echo "$versions" | sed 's/-.*//' | sort -u \
                        | tr '\n' ' ')($suite)"

        # newest first: a mirror may lack what its index has
        for found in $versions; do
            case $found in
                "$1"-*) ;;
                *)      continue ;;
            esac

            say "fetching the source of nginx $found ($suite)"

            if unpack_source "$found" > "$log" 2>&1; then
                unset APT_CONFIG
                return
            fi

            tried="$tried $suite=$found"
            rm -f "$dir/fresh"
            say "$(grep '^E: ' "$log" | head -n 1)"
        done
    done

    for found in $tried; do
        archive "${found%%=*}" deb-src
        found=${found#*=}
        say "fetching nginx $1 without Debian's patches"

        if unpack_orig "$found" "$1" > "$log" 2>&1; then
            unset APT_CONFIG
            return
        fi
    done

    if [ -n "$tried" ]; then
        die "$mirror lists the source of nginx $1 and does not serve it;" \
            "set DEBIAN_MIRROR, or use --nginx-src DIR"
    fi

    die "no source of nginx $1; Debian has$known. Any other: --nginx-src DIR"
}


unpack_source()
{
    get=$out/src/get

    rm -rf "$src" "$get"
    mkdir -p "$get"

    (cd "$get" && apt-get -q source --download-only "nginx=$1" \
     && dpkg-source -x ./*.dsc "$src") \
        && rm -rf "$get" \
        && touch "$src/.unpacked"
}


# the tarball of nginx itself, which the index signs too

unpack_orig()
{
    get=$out/src/get

    rm -rf "$src" "$get"
    mkdir -p "$get"

    (cd "$get" && apt-get -q source --download-only --tar-only "nginx=$1" \
     && mkdir nginx \
     && tar xf nginx_"$2".orig.tar.* -C nginx --strip-components=1 \
     && mv nginx "$src") \
        && rm -rf "$get" \
        && touch "$src/.unpacked"
}
