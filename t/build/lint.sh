# What the compiler does not say. Read by build.sh
# shellcheck shell=sh disable=SC2154

lint()
{
    need shellcheck cppcheck

    bad=0

    lint_shell
    lint_sources
    lint_cppcheck
    build
    lint_symbols

    if [ "$bad" -ne 0 ]; then
        die "lint: $bad of the checks failed"
    fi

    echo "lint: nothing to complain about"
}


# complain NAME: what comes on the standard input is wrong

complain()
{
    found=$(cat)

    if [ -n "$found" ]; then
        printf '%s:\n%s\n' "$1" "$found"
        return 1
    fi
}


lint_shell()
{
    # shellcheck disable=SC2046
    shellcheck -x build.sh .ci/run \
        $(find . -name '*.sh' ! -path './build/*' ! -path './build.sh' \
               ! -path '*/node_modules/*') || bad=$((bad + 1))
}


# only the tables that nginx looks up

lint_symbols()
{
    for so in "$modules"/*.so; do
        nm -D --defined-only "$so" \
            | awk '$3 !~ /^ngx_module(s|_names|_order)$/ { print $3 }' \
            | complain "$(basename "$so") exports" || bad=$((bad + 1))
    done
}


lint_sources()
{
    dir=ngx_smart_module
    files=$(find $dir t -name '*.[ch]')

    # shellcheck disable=SC2086
    awk 'length > 80    { print FILENAME ":" FNR ": over 80 columns" }
         /\t/           { print FILENAME ":" FNR ": tab" }
         /[ \t\r]$/     { print FILENAME ":" FNR ": trailing blank" }
         /(^|[ ;])\/\// { print FILENAME ":" FNR ": // comment" }
         FNR == 651     { print FILENAME ": over 650 lines" }' $files \
        | complain "style" || bad=$((bad + 1))

    grep -rn -w nginx_version $dir --include='*.[ch]' \
        | grep -v -e '_compat\.h:' -e '"nginx_version"' \
        | complain "nginx_version outside of the compat header" \
        || bad=$((bad + 1))

    grep -rn '#include *[<"]ngx_' $dir/core --include='*.[ch]' \
        | grep -v '"ngx_smart_' \
        | complain "the core includes more than libc" || bad=$((bad + 1))

    find $dir -name '*.[ch]' -exec basename {} \; | sort | uniq -d \
        | complain "the same name in two folders" || bad=$((bad + 1))

    find $dir/core $dir/common $dir/http $dir/journal -name '*.c' -exec basename {} \; \
        | while read -r file; do
            grep -q "/$file " config || echo "$file"
        done | complain "sources that config does not name" \
        || bad=$((bad + 1))
}


lint_cppcheck()
{
    if ! command -v cppcheck >/dev/null; then
        say "no cppcheck, left out"
        return
    fi

    cppcheck -q -j "$jobs" --std=c99 --enable=warning,portability \
        --inline-suppr --error-exitcode=1 --max-configs=1 \
        --suppress=missingIncludeSystem \
        -I ngx_smart_module/core -I ngx_smart_module/common \
        -I ngx_smart_module/http -I ngx_smart_module/journal \
        ngx_smart_module || bad=$((bad + 1))
}
