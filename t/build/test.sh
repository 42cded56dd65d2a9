# Running the tests and adding up what they say. Read by build.sh
# shellcheck shell=sh disable=SC2154

perl_modules="perl libtest-base-perl libtest-longstring-perl libtext-diff-perl
    libwww-perl libhttp-message-perl liblist-moreutils-perl libipc-run-perl
    liburi-perl"
test_tools="procps curl openssl nghttp2-client prometheus
    python3-prometheus-client python3-yaml python3-jsonschema iproute2 wget
    memcached ngtcp2-client brotli
    libnginx-mod-http-lua
    sqlite3 jq libnginx-mod-http-echo libnginx-mod-http-headers-more-filter
    libnginx-mod-http-brotli-filter libnginx-mod-http-subs-filter
    libnginx-mod-http-js libnginx-mod-http-set-misc
    libnginx-mod-http-image-filter libnginx-mod-http-xslt-filter
    chromium fonts-dejavu-core"


slow_tests="features hedge_peers stream abort deadline metrics transparent
    hedge_basic"


# Test::Nginx is in Debian's sid alone: unpacked into build/, not installed

test_nginx()
{
    # shellcheck disable=SC2086
    need $perl_modules $test_tools debian-archive-keyring
    node_tools

    if [ ! -f "$out/perl/Test/Nginx/Socket.pm" ]; then
        archive sid deb
        say "fetching Test::Nginx"

        rm -rf "$dir/get"
        mkdir -p "$dir/get" "$out/perl"

        if ! (cd "$dir/get" && apt-get -q download libtest-nginx-perl \
              && dpkg-deb -x ./*.deb .) > "$dir/get.log" 2>&1
        then
            rm -f "$dir/fresh"
            tail -n 5 "$dir/get.log" >&2
            die "cannot fetch libtest-nginx-perl"
        fi

        cp -R "$dir/get/usr/share/perl5/." "$out/perl"
        rm -rf "$dir/get"
        unset APT_CONFIG
    fi

    PERL5LIB=$root/t/lib:$out/perl${PERL5LIB:+:$PERL5LIB}
    export PERL5LIB
}


# suite STAGE [t/x.t ..] on $ngx with $modules; its TAP goes to build/tap/STAGE

suite()
{
    stage=$1
    shift

    if [ $# -eq 0 ]; then

        # those that take longest come first: the others fill the gaps

        for name in $slow_tests; do
            set -- "$@" "t/$name.t"
        done

        for file in t/*.t; do
            case " $* " in
                *" $file "*) ;;
                *)           set -- "$@" "$file" ;;
            esac
        done
    fi

    if [ ! -e "$1" ]; then
        die "there is no $1"
    fi

    test_nginx

    all=
    for so in "$modules"/*.so; do
        all="$all${all:+ }$so"
    done

    files=$*

    if [ -z "${where##*/asan-*}" ]; then
        set -- TEST_NGINX_TIMEOUT="${TEST_NGINX_TIMEOUT:-10}" \
               TEST_NGINX_SLEEP="${TEST_NGINX_SLEEP:-0.05}" \
               SMART_TEST_ASAN=1
        rm -rf "$where/reports"
        mkdir -p "$where/reports"
        chmod 1777 "$where/reports"
    else
        set --
    fi

    set -- env PERL5LIB="$PERL5LIB" NGX="$ngx" SMART_MODULES="$modules" \
               TEST_NGINX_BINARY="$ngx" TEST_NGINX_LOAD_MODULES="$all" \
               TEST_NGINX_SERVROOT="$out/servroot" "$@" prove

    printf '\n%s: nginx %s\n' "$stage" "$version"
    for word in "$@"; do
        case $word in
            *\ *) printf "%s='%s' " "${word%%=*}" "${word#*=}" ;;
            *)    printf '%s ' "$word" ;;
        esac
    done
    printf '%s\n\n' "${PROVE_OPTIONS:--j6} $files"

    ok=0
    state=$out/tap/$stage.state
    mkdir -p "$out/tap"
    rm -f "$state"

    # shellcheck disable=SC2086
    if ! PERL_TEST_HARNESS_DUMP_TAP="$out/tap/$stage" \
         "$@" "${PROVE_OPTIONS:--j6}" --statefile="$state" --state=save $files
    then
        # tests compare times, and others ran beside them

        printf '\n%s: what failed, once more and alone\n\n' "$stage"

        PERL_TEST_HARNESS_DUMP_TAP="$out/tap/$stage" \
            "$@" --statefile="$state" --state=failed,save || ok=1
    fi

    reports || ok=1

    return "$ok"
}


# what the sanitizers wrote, whatever the tests made of it

reports()
{
    if [ ! -d "$where/reports" ]; then
        return 0
    fi

    found=$(find "$where/reports" -type f -size +0 | sort)

    if [ -z "$found" ]; then
        return 0
    fi

    printf '\nSanitizer reports:\n'

    for report in $found; do
        printf '\n%s\n' "$report"
        head -n 40 "$report"
    done

    return 1
}


unit()
{
    set -- t/unit/*.c

    if [ ! -e "$1" ]; then
        die "there are no unit programs in t/unit"
    fi

    # shellcheck disable=SC2086
    need $compiler $libraries perl

    dir=$out/unit
    strict="-std=c99 -g -O2 $warnings -fno-omit-frame-pointer
        -fsanitize=address,undefined -fno-sanitize-recover=all"
    programs=

    for source in "$@"; do
        programs="$programs $dir/$(basename "$source" .c)"
    done

    make -s -j "$jobs" -f t/unit/Makefile CC="${CC:-gcc}" OUT="$dir" \
        STRICT="$(echo "$strict" | tr '\n' ' ')"

    printf '\nunit: prove --exec "" %s\n\n' "$programs"

    # shellcheck disable=SC2086
    PERL_TEST_HARNESS_DUMP_TAP="$out/tap/unit" \
        prove --exec '' ${PROVE_OPTIONS:+$PROVE_OPTIONS} $programs
}


# t/fuzz/NAME.c, a short run of each; ./build.sh fuzz RUNS [SEED] for longer

fuzz()
{
    # shellcheck disable=SC2086
    need $compiler $libraries perl

    dir=$out/fuzz
    strict="-std=c99 -D_POSIX_C_SOURCE=200809L -g -O1 $warnings
        -fno-omit-frame-pointer
        -fsanitize=address,undefined -fno-sanitize-recover=all"
    core=ngx_smart_module/core
    json=ngx_smart_module/http/ngx_http_smart_json
    body=ngx_smart_module/journal/ngx_http_smart_journal_body
    programs=

    mkdir -p "$dir"

    for source in t/fuzz/*.c; do
        program=$dir/$(basename "$source" .c)

        if [ "$source" = t/fuzz/main.c ]; then
            continue
        fi

        programs="$programs $program"

        if [ -x "$program" ] \
           && [ -z "$(find "$core" "$json".[ch] "$body".[ch] t/fuzz t/build \
                          -newer "$program" -type f)" ]
        then
            continue
        fi

        # shellcheck disable=SC2086
        "${CC:-gcc}" $strict -I "$core" -I t/fuzz \
            -I ngx_smart_module/journal -o "$program.new" "$source" \
            t/fuzz/main.c "$core"/*.c $json.c $body.c -lm -ljansson -lz
        mv "$program.new" "$program"
    done

    printf '\nfuzz: ASAN_OPTIONS=abort_on_error=1 prove --exec "" %s%s\n\n' \
        "$programs" "${1:+ :: -n $1 -s ${2:-1}}"

    # shellcheck disable=SC2086
    ASAN_OPTIONS=abort_on_error=1 UBSAN_OPTIONS=abort_on_error=1 \
        PERL_TEST_HARNESS_DUMP_TAP="$out/tap/fuzz" \
        prove --exec '' -j"$jobs" $programs ${1:+:: -n "$1" -s "${2:-1}"}
}


chaos()
{
    build
    test_nginx

    printf '\nchaos: nginx %s\n\n' "$version"

    log=$out/tap/chaos/run
    mkdir -p "$out/tap/chaos"

    ok=0
    NGX=$ngx SMART_MODULES=$modules t/chaos/run.sh > "$log" 2>&1 || ok=1
    cat "$log"

    if [ "$ok" -eq 0 ] && ! grep -q '^ok ' "$log"; then
        echo "ok 1 - t/chaos/run.sh" >> "$log"
    fi

    return "$ok"
}


suite_packaged()
{
    need_npm
    build
    suite "$@"
}


suite_asan()
{
    build_asan "$1"
    shift
    suite "$@"
}


# stage NAME COMMAND..: runs it and adds to the sums; a stage that ends badly
# without a failed test counts as one

passed=0
failed=0
skipped=0
broken=

stage()
{
    name=$1
    shift
    rm -rf "$out/tap/$name"

    set +e
    (set -e; "$@")
    code=$?
    set -e

    # shellcheck disable=SC2046
    set -- $(tap_sums "$out/tap/$name")

    passed=$((passed + $1))
    skipped=$((skipped + $3))

    if [ "$code" -ne 0 ] || [ "$2" -ne 0 ]; then
        failed=$((failed + ($2 > 0 ? $2 : 1)))
        broken="$broken $name"
    fi
}


tap_sums()
{
    find "$1" -type f -exec cat {} + 2>/dev/null | awk '
        /^(not )?ok/ && /# *(skip|todo)/ { skipped++; next }
        /^(not )?ok/ && /# *(SKIP|TODO)/ { skipped++; next }
        /^ok( |$)/                       { passed++ }
        /^not ok( |$)/                   { failed++ }
        END { print passed + 0, failed + 0, skipped + 0 }'
}


sums()
{
    echo

    if [ "$skipped" -ne 0 ]; then
        echo "$skipped skipped"
    fi

    # what failed may be far above

    for name in $broken; do
        echo "failed: $name"

        find "$out/tap/$name" -type f -exec grep -H '^not ok' {} + \
            2> /dev/null | sed "s|^$out/tap/|    |" | head -n 20
    done

    echo "$passed passed, $failed failed"

    [ "$failed" -eq 0 ] && [ "$passed" -ne 0 ]
}


# the "test" and "asan" commands

test_asan()
{
    if [ -n "$nginx_src" ]; then
        versions=$(source_version "$nginx_src")
    else
        versions=${nginx_version:-$asan_versions}
    fi

    for each in $versions; do
        stage "asan-$each" suite_asan "$each" "asan-$each" "$@"
    done
}


test_all()
{
    if [ $# -ne 0 ] || [ -n "$nginx_src$nginx_version" ]; then
        stage suite suite_packaged suite "$@"
        return
    fi

    stage unit unit
    stage fuzz fuzz
    stage suite suite_packaged suite
    test_asan "$@"

    if [ -x t/chaos/run.sh ]; then
        stage chaos chaos
    fi
}
