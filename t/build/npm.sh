# What comes from npm: uPlot for the live page, and tools for tests. Read by
# build.sh
# shellcheck shell=sh disable=SC2154

uplot_version=1.6.32
uplot_sha512=2883159c6ebccefbb95d751b0b82d010f9e1c0ec41b8bc96d401eda66e882935c89a46cb824332fa369b8cb8122cc6ac36e186cd09bf7a9ded3a4c93c6989023

node_tools="@redocly/cli@1.34.5 ajv@8.17.1 playwright-core@1.56.1 axe-core@4.10.3
    js-yaml@4.1.0 har-validator@5.1.5"


need_npm()
{
    if ! command -v npm >/dev/null; then
        need nodejs npm
    fi
}


# sets SMART_UPLOT to the unpacked files, which config embeds; without them
# the modules are built without the page

uplot()
{
    SMART_UPLOT=$out/uplot
    export SMART_UPLOT

    if [ "$(cat "$SMART_UPLOT/version" 2>/dev/null)" = "$uplot_version" ]; then
        return
    fi

    if ! command -v npm >/dev/null; then
        say "no npm, so no uPlot: building without the live page" \
            "(smart_dashboard); to have it: apt-get install npm"
        return
    fi

    get=$out/uplot.get
    rm -rf "$get"
    mkdir -p "$get"

    say "fetching uPlot $uplot_version"

    if ! (cd "$get" && npm pack --silent "uplot@$uplot_version") \
         > "$get/log" 2>&1
    then
        tail -n 5 "$get/log" >&2
        say "npm has no uPlot: building without the live page (smart_dashboard)"
        return
    fi

    echo "$uplot_sha512  $get/uplot-$uplot_version.tgz" \
        | sha512sum --check --status \
        || die "uPlot $uplot_version from npm is not what it was"

    tar xzf "$get/uplot-$uplot_version.tgz" -C "$get"
    rm -rf "$SMART_UPLOT"
    mkdir "$SMART_UPLOT"

    for file in LICENSE dist/uPlot.iife.min.js dist/uPlot.min.css; do
        cp "$get/package/$file" "$SMART_UPLOT"
    done

    echo "$uplot_version" > "$SMART_UPLOT/version"
    rm -rf "$get"
}


# NODE_PATH with what the tests written in JavaScript require

node_tools()
{
    need_npm

    dir=$out/node
    key=$(echo "$node_tools" | cksum)

    if [ "$(cat "$dir/key" 2>/dev/null)" != "$key" ]; then
        # shellcheck disable=SC2086
        say "fetching" $node_tools
        rm -rf "$dir"
        mkdir -p "$dir"
        echo '{"private": true}' > "$dir/package.json"

        # shellcheck disable=SC2086
        if ! npm install --prefix "$dir" --ignore-scripts --no-audit \
                 --no-fund --save-exact $node_tools > "$dir/log" 2>&1
        then
            tail -n 10 "$dir/log" >&2
            die "npm failed, all of it is in $dir/log"
        fi

        echo "$key" > "$dir/key"
    fi

    NODE_PATH=$dir/node_modules
    export NODE_PATH
}
