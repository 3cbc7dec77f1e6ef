#!/bin/bash
# The manual pages: read without complaint by two formatters that are not ours, and whole: every command, option, fault, parameter, key.
# The oracle for options is the source of each command, for the rest the tables' own files.
# beside: others
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
work=$(mktemp -d "${TMPDIR:-/tmp}/manual-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT

points=0 failures=0
point() { # NAME FINDINGS
    points=$((points + 1))
    if [[ -z $2 ]]; then
        printf 'ok %d - %s\n' "$points" "$1"
    else
        failures=$((failures + 1))
        printf 'not ok %d - %s\n' "$points" "$1"
        printf '%s\n' "$2" | sed 's/^/# /'
    fi
}

skip() { # NAME REASON
    points=$((points + 1))
    printf 'ok %d - %s # SKIP %s\n' "$points" "$1" "$2"
}

for page in perturb.1 perturb-proxy.1 perturb-playbook.5 perturb-faults.7; do
    if command -v mandoc > /dev/null; then
        point "$page: mandoc has nothing to say" "$(mandoc -T lint -W warning "$build/man/$page" 2>&1 | head -n 20)"
    else
        skip "$page: mandoc has nothing to say" "mandoc is not installed"
    fi
    if command -v groff > /dev/null; then
        point "$page: groff has nothing to say" "$(groff -man -ww -Tutf8 -P-c "$build/man/$page" 2>&1 > "$work/$page" | head -n 20)"
    else
        skip "$page: groff has nothing to say" "groff is not installed"
        sed -E 's/\\(&|f[BR])//g; s/\\-/-/g' "$build/man/$page" > "$work/$page"
    fi
    sed -E -i 's/.\x08//g' "$work/$page"
done

# What a command's getopt takes, as "COMMAND OPTION"; single-dash flags of `proxy` have a table of their own.
options() {
    local file name

    for file in controller/cmd/*.c; do
        name=$(sed -n 's/^ *\.name = "\([a-z]*\)",$/\1/p' "$file" | head -n 1)
        [[ -n $name ]] && grep -oE '\{ "[a-z][a-z-]*", *((no|required|optional)_argument|[012]), ' "$file" | sed -E "s/^. \"([a-z-]*)\".*/$name --\1/"
    done
}
point "every option that a command takes is in its help" "$(
    options > "$work/options"
    [[ $(wc -l < "$work/options") -gt 50 ]] || echo "only $(wc -l < "$work/options") options found in the sources"
    while read -r command option; do
        [[ $option == --help ]] || "$build/perturb" complete -- "$command" "$option" | cut -f 1 | grep -qxF -- "$option" || echo "$command does not tell of $option"
    done < "$work/options"
)"
point "every command is in perturb(1)" "$(
    "$build/perturb" --help | sed -n -E 's/^  ([a-z]+) +[^ ].*/\1/p' | grep -v '^perturb$' | while read -r command; do
        grep -qE "^   $command\$|^\.SS \"$command\"" "$work/perturb.1" || echo "no $command"
    done
)"
point "every fault and parameter is in perturb-faults(7)" "$(
    for name in $(sed -n -E 's/^ *FAULT\([A-Z]+, ([a-z_]+),.*/\1/p; s/^ *(PARAM|CHOICE|REST)\([A-Z]+, [a-z_]+, ([a-z_0-9]+),.*/\2/p; s/^ *SHARE\([A-Z]+, [a-z_]+, [a-z0-9_]+, "([^"]*)".*/\1/p' scenarios/vocab/faults.def | sort -u); do
        grep -qE "(^|[^a-z_])$name([^a-z_]|\$)" "$work/perturb-faults.7" || echo "no $name"
    done
)"
point "every key is in perturb-playbook(5)" "$(
    for name in $(sed -n -E 's/^ *\{ "([a-z][a-z_-]*)", *(KEY_|VALUE).*/\1/p' scenarios/playbook/keys*.c | sort -u); do
        grep -qE -- "(^|[^a-z_-])$name([^a-z_-]|\$)" "$work/perturb-playbook.5" || echo "no $name"
    done
)"
echo "1..$points"
[[ $failures -eq 0 ]]
