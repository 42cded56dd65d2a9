# Building the modules, and nginx itself where that is wanted. Read by build.sh
# shellcheck shell=sh disable=SC2154

compiler="gcc make libc6-dev"
libraries="libpcre2-dev zlib1g-dev libssl-dev libsqlite3-dev libjansson-dev"

warnings="-Wall -Wextra -Wno-unused-parameter -Werror"

source_options="--with-compat --with-debug --with-threads --with-file-aio
    --with-http_ssl_module --with-http_v2_module --with-http_realip_module
    --with-http_addition_module --with-http_sub_module
    --with-http_slice_module --with-http_auth_request_module
    --with-http_stub_status_module --with-http_gunzip_module
    --with-http_gzip_static_module"

jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)


# building: each of the two sets ngx (the binary) and modules (a directory)

source_version()
{
    sed -n 's/^#define NGINX_VERSION *"\(.*\)"/\1/p' "$1/src/core/nginx.h"
}


# what makes a configured tree stale, given what else does

build_key()
{
    { echo "$*"; "${CC:-gcc}" --version
      cat "$root/config" "$root/config.make" "$SMART_UPLOT/version" "$root/t/build/nginx.sh" "$root/t/build/sanitizers.c"
      ls "$root"/ngx_smart_module/*; } 2>&1 | cksum
}


# keeps a running nginx alive: a new file takes the place of the mapped one

publish()
{
    modules=$where/modules
    mkdir -p "$modules"

    for so in "$where"/objs/*.so; do
        [ -f "$so" ] || die "no module came out of $where/objs"
        name=$(basename "$so")
        if ! cmp -s "$so" "$modules/$name"; then
            cp "$so" "$modules/$name.new"
            mv "$modules/$name.new" "$modules/$name"
        fi
    done
}


# logged COMMAND..: quiet unless it fails

logged()
{
    log=$where/build.log

    if ! "$@" > "$log" 2>&1; then
        grep -E ' (error|warning|note): |undefined reference|No rule to' \
            "$log" | head -n 40 >&2
        tail -n 5 "$log" >&2
        die "failed, all of it is in $log"
    fi
}


# for the nginx that Debian installed

build_packaged()
{
    # shellcheck disable=SC2086
    need $compiler $libraries nginx nginx-dev dpkg-dev

    ngx=$(command -v nginx || echo /usr/sbin/nginx)
    src=/usr/share/nginx/src
    version=$(source_version "$src")
    where=$out/debian-$version
    key=$(build_key "$version")

    mkdir -p "$where"
    cd "$src" || exit

    if [ "$(cat "$where/key" 2>/dev/null)" != "$key" ]; then
        say "configuring for nginx $version of Debian"
        rm -rf "$where"
        mkdir -p "$where"

        # shellcheck disable=SC2016
        logged bash -c '. ./conf_flags && exec ./configure \
                            "${NGX_CONF_FLAGS[@]}" "$@"' configure \
            --builddir="$where/objs" --add-dynamic-module="$root" \
            --with-cc-opt="$(flags CFLAGS) $(flags CPPFLAGS) -fPIC $warnings" \
            --with-ld-opt="$(flags LDFLAGS) -fPIC"
        echo "$key" > "$where/key"
    fi

    logged make -j "$jobs" -f "$where/objs/Makefile" modules
    cd "$root" || exit
    publish
    check_binary
}


flags()
{
    DEB_BUILD_MAINT_OPTIONS=hardening=+bindnow dpkg-buildflags --get "$1"
}


# the module has to fit the binary: a package may have been upgraded alone

signature()
{
    grep -a -o -E '[0-9],[0-9]+,[0-9],[01]{20,}' "$1" | head -n 1
}


check_binary()
{
    running=$("$ngx" -v 2>&1 | sed 's/.*nginx\/\([0-9.]*\).*/\1/')

    if [ "$running" = "$version" ] \
       && [ "$(signature "$ngx")" = "$(signature "$so")" ]
    then
        return
    fi

    say "the modules are for nginx $version, $ngx is $running and would not" \
        "load them"
    say "to mend: apt-get install nginx nginx-dev (the same version of both)"
    die "or: ./build.sh --nginx-version $running"
}


# build_source ID SRC ASAN: a copy of SRC with nginx itself

build_source()
{
    where=$out/$1
    version=$(source_version "$2")
    key=$(build_key "$2" "$version" "$3")
    options=$source_options

    # shellcheck disable=SC2086
    need $compiler $libraries

    if [ -d "$2/src/event/quic" ]; then
        options="$options --with-http_v3_module"
    fi

    if [ "$(cat "$where/key" 2>/dev/null)" != "$key" ]; then
        rm -rf "$where"
    fi

    # the time stamps come along: make sees what has changed in SRC
    mkdir -p "$where/nginx"
    (cd "$2" && tar cf - --exclude=.git --exclude=./objs \
                         --exclude=./Makefile .) \
        | tar xf - -C "$where/nginx"
    cd "$where/nginx" || exit

    if [ ! -f "$where/key" ]; then
        say "configuring nginx $version${3:+ with sanitizers}"

        configure=./configure
        if [ ! -f configure ]; then
            configure=auto/configure
        fi

        cc_opt="-g -O2 -fPIC $warnings"
        ld_opt=
        if [ "$3" ]; then
            cc_opt="-g -O1 -fno-omit-frame-pointer -fsanitize=address"
            cc_opt="$cc_opt -DNGX_DEBUG_PALLOC=1 $warnings"
            ld_opt="-fsanitize=address,undefined $where/sanitizers.o"
            "${CC:-gcc}" -fPIC -O1 -c -o "$where/sanitizers.o" \
                -DSAN_LOG="\"$where/reports/san\"" \
                -DSAN_SUPPRESSIONS="\"$root/t/lsan.supp\"" \
                "$root/t/build/sanitizers.c"
        fi

        # shellcheck disable=SC2086
        logged $configure --prefix="$where/prefix" --builddir="$where/objs" \
            --add-dynamic-module="$root" $options \
            --with-cc-opt="$cc_opt" --with-ld-opt="$ld_opt"

        # UBSan is for our files: nginx's own pass NULL to memcpy() and more
        if [ "$3" ]; then
            echo "$where/objs/addon/%.o: CFLAGS += -fsanitize=undefined" \
                "-fno-sanitize-recover=undefined" >> "$where/objs/Makefile"
        fi

        echo "$key" > "$where/key"
        say "compiling nginx $version"
    fi

    logged make -j "$jobs" -f "$where/objs/Makefile" binary modules
    cd "$root" || exit
    ngx=$where/objs/nginx
    publish
}


# the nginx that the options name; one build at a time, others wait

build()
{
    mkdir -p "$out"
    exec 9> "$out/.lock"
    flock 9
    uplot

    if [ -n "$nginx_src" ]; then
        build_source "tree-$(source_version "$nginx_src")" "$nginx_src" ""
    elif [ -n "$nginx_version" ]; then
        debian_source "$nginx_version"
        build_source "nginx-$nginx_version" "$src" ""
    else
        build_packaged
    fi

    exec 9>&-
}


build_asan()
{
    mkdir -p "$out"
    exec 9> "$out/.lock"
    flock 9
    uplot

    if [ -n "$nginx_src" ]; then
        build_source "asan-tree-$1" "$nginx_src" asan
    else
        debian_source "$1"
        build_source "asan-$1" "$src" asan
    fi

    exec 9>&-
}
