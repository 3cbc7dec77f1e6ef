#!/bin/bash
# The example of docs/fault-points.md, compiled as it stands there and run: plain, and under its fault. And the header by other compilers
# and as C++, with all warnings; what `make install` puts where.
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1
root=$PWD
build=$(realpath -m "${BUILD:-build}")
work=$(mktemp -d "${TMPDIR:-/tmp}/example-XXXXXX") || exit 1
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

awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' docs/fault-points.md > "$work/journal.c"
line=$(sed -n "s/^perturb exec -f '\(.*\)' -- .*/\1/p" docs/fault-points.md)
warnings='-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror'
plain=$'record 1\nrecord 2\nrecord 3\nrecord 4'
hit=$'record 1\nrecord 2 was lost: No space left on device\nrecord 3\nrecord 4 was lost: No space left on device'

# shellcheck disable=SC2086
compiled=$("${CC:-cc}" -std=c11 $warnings -I shims/include -o "$work/journal" "$work/journal.c" 2>&1)
point "the example compiles" "$compiled"
said=$("$work/journal")
point "it does its work" "$([[ $said == "$plain" ]] || echo "it says: $said")"
said=$("$build/perturb" exec -f "$line" -- "$work/journal" 2> "$work/counts")
point "its fault acts ($line)" "$([[ $said == "$hit" ]] || echo "it says: $said"; grep -q 'fail  *4  *2  *2  *0' "$work/counts" || cat "$work/counts")"
"$build/perturb" doctor "$work/journal" > "$work/doctor"
point "doctor lists its points" "$(grep -q 'points in its own code: 2, which can act' "$work/doctor" || cat "$work/doctor")"

for compiler in gcc g++ clang clang++; do
    command -v "$compiler" > /dev/null || continue
    language='-x c -std=c11'
    [[ $compiler == *++ ]] && language='-x c++ -std=c++11'
    for flags in '-O0' '-O2 -flto' '-O2 -fno-pie -no-pie' '-Os -ffunction-sections -fdata-sections -Wl,--gc-sections -s'; do
        # shellcheck disable=SC2086
        compiled=$("$compiler" $language $warnings $flags -I shims/include -o "$work/other" "$work/journal.c" 2>&1) || compiled+=" failed"
        [[ -z $compiled ]] && said=$("$build/perturb" exec -f "$line" -- "$work/other" 2> "$work/counts")
        point "$compiler $flags" "$compiled$([[ $said == "$hit" ]] || echo "it says: $said")"
        said=
    done
done

if command -v make > /dev/null && [[ $build == "$root/build" ]]; then
    installed=$(make -s -C "$root" -o all -o "$build/perturb" -o "$build/vocab_gen" BUILD="$build" PREFIX=/opt/it DESTDIR="$work/tree" install 2>&1 > "$work/install.log") || installed+=" failed"
    include=$(sed -n 's/^includedir=//p' "$work/tree/opt/it/lib/pkgconfig/perturb.pc")
    point "the installed header is where its .pc says" "$installed$(cmp "$work/tree$include/perturb.h" shims/include/perturb.h 2>&1)"
fi
echo "1..$points"
exit $((failures > 0))
