#!/bin/sh
#
# Builds, runs and tests the modules; "./build.sh help" says how. Everything
# lands in build/, and nothing outside of it is written but Debian packages.

set -eu

root=$(cd "$(dirname "$0")" && pwd)
out=$root/build

# the nginx versions that the sanitizers run on: Debian 12 and Debian 13
asan_versions="1.22.1 1.26.3"


usage()
{
    cat << END
Usage: ./build.sh [command] [options] [files]

Commands:
  build            build the modules and print their paths (the default)
  run              build, and start the demo on 127.0.0.1:8080
  test [t/x.t ..]  every test: unit programs, fuzzing, the suite, the suite
                   under sanitizers, chaos; with files: these on one nginx
  unit             the unit programs of the pure core
  fuzz [RUNS [SEED]]  the fuzz programs, 50000 mutations each from seed 1
  asan [t/x.t ..]  the suite under ASan and UBSan, on nginx $asan_versions
  lint             shellcheck, warnings as errors, cppcheck, house style
  bench [name ..]  benchmarks, see t/bench/README.md; all, or those named
  docker-check     the images of docker/, built and run without Docker
  clean            remove build/
  help             this text

Options:
  --nginx-version X.Y.Z  build that nginx too, from Debian's source archive
  --nginx-src DIR        the same from a source tree, which stays untouched

Without an option the modules are for the nginx that Debian installed.
Environment: DEBIAN_MIRROR (default http://deb.debian.org/debian), CC, and
PROVE_OPTIONS (for example -v).
END
}


say()
{
    printf '%s\n' "build.sh: $*" >&2
}


die()
{
    say "$*"
    exit 1
}


refuse()
{
    say "$*; see ./build.sh help"
    exit 2
}


# shellcheck source=t/build/debian.sh
. "$root/t/build/debian.sh"
# shellcheck source=t/build/npm.sh
. "$root/t/build/npm.sh"
# shellcheck source=t/build/nginx.sh
. "$root/t/build/nginx.sh"
# shellcheck source=t/build/test.sh
. "$root/t/build/test.sh"
# shellcheck source=t/build/lint.sh
. "$root/t/build/lint.sh"

cd "$root"


# the command line: options may stand anywhere

command=
nginx_src=
nginx_version=
words=$#

while [ "$words" -gt 0 ]; do
    word=$1
    shift
    words=$((words - 1))

    case $word in
        --nginx-src=*|--nginx-version=*)
            value=${word#*=}
            word=${word%%=*}
            ;;
        --nginx-src|--nginx-version)
            [ "$words" -gt 0 ] || refuse "$word wants a value"
            value=$1
            shift
            words=$((words - 1))
            ;;
    esac

    case $word in
        --nginx-src)
            nginx_src=$(cd "$value" 2>/dev/null && pwd) \
                || refuse "there is no directory $value"
            [ -f "$nginx_src/src/core/nginx.h" ] \
                || refuse "$value is not a source tree of nginx"
            ;;
        --nginx-version)
            echo "$value" | grep -q -x '[0-9]*\.[0-9]*\.[0-9]*' \
                || refuse "\"$value\" is not a version like 1.26.3"
            nginx_version=$value
            ;;
        -h|--help)
            command=help
            ;;
        -*)
            refuse "unknown option \"$word\""
            ;;
        *)
            if [ -z "$command" ]; then
                command=$word
            else
                set -- "$@" "$word"
            fi
            ;;
    esac
done

command=${command:-build}

if [ -n "$nginx_src" ] && [ -n "$nginx_version" ]; then
    refuse "--nginx-src and --nginx-version exclude each other"
fi

case $command in
    test|asan|fuzz|bench) ;;
    *)         [ $# -eq 0 ] || refuse "\"$command\" takes no \"$1\"" ;;
esac

case $command in
    build)
        build
        ls "$modules"/*.so
        ;;
    run)
        need perl
        need_npm
        build
        exec env NGX="$ngx" SMART_MODULES="$modules" conf/demo/run.sh
        ;;
    test)
        test_all "$@"
        sums
        ;;
    unit)
        stage unit unit
        sums
        ;;
    fuzz)
        stage fuzz fuzz "$@"
        sums
        ;;
    asan)
        test_asan "$@"
        sums
        ;;
    lint)
        lint
        ;;
    bench)
        [ -x t/bench/run.sh ] || die "there is no t/bench/run.sh"
        need gcc libc6-dev perl procps valgrind
        build
        exec env NGX="$ngx" SMART_MODULES="$modules" t/bench/run.sh "$@"
        ;;
    docker-check)
        # shellcheck disable=SC2086
        need $test_tools debootstrap debian-archive-keyring
        exec t/docker/check.sh
        ;;
    clean)
        rm -rf "$out"
        ;;
    help)
        usage
        ;;
    *)
        refuse "unknown command \"$command\""
        ;;
esac
