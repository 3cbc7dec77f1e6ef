#!/bin/bash
# The packages are a function of the sources: built twice from clean copies in directories of other names, other times and other
# environments, they are the same bytes.
# time-limit: 3600
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d "${TMPDIR:-/tmp}/reproducible-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/a" "$work/a/much/longer/place"
failed=0
echo 1..2
for place in "$work/a/one" "$work/a/much/longer/place/two"; do # both before the first build, so that they are of the same sources
    mkdir -p "$place"
    git ls-files -z -co --exclude-standard | xargs -0 -I{} sh -c 'test -e "$1" && cp -a --parents "$1" "$2"' _ {} "$place"
done
for place in "$work/a/one" "$work/a/much/longer/place/two"; do
    (cd "$place" && umask $([[ $place == *two ]] && echo 077 || echo 022) && env -u SOURCE_DATE_EPOCH LC_ALL=C.UTF-8 TZ=$([[ $place == *two ]] && echo Asia/Tokyo || echo UTC) \
        make -j"$(nproc)" BUILD=build deb > "$work/log" 2>&1) || { tail -n 20 "$work/log" | sed 's/^/# /'; failed=1; }
done
if [[ $failed -eq 0 ]]; then echo "ok 1 - both build"; else echo "not ok 1 - both build"; fi
(cd "$work/a/one/build/deb" && sha256sum -- *.deb) > "$work/sums"
if out=$(cd "$work/a/much/longer/place/two/build/deb" && sha256sum -c --quiet "$work/sums" 2>&1) && [[ $(wc -l < "$work/sums") -eq 3 ]]; then
    echo "ok 2 - the same bytes"
    sed 's/^/# /' "$work/sums"
else
    echo "not ok 2 - the same bytes"
    sed 's/^/# /' <<< "$out"
    for deb in "$work"/a/one/build/deb/*.deb; do
        other=$work/a/much/longer/place/two/build/deb/${deb##*/}
        diff <(dpkg-deb -I "$deb"; dpkg-deb -c "$deb"; dpkg-deb --fsys-tarfile "$deb" | tar x --to-command='sha256sum | sed "s|-|$TAR_FILENAME|"') \
            <(dpkg-deb -I "$other"; dpkg-deb -c "$other"; dpkg-deb --fsys-tarfile "$other" | tar x --to-command='sha256sum | sed "s|-|$TAR_FILENAME|"') | sed 's/^/# /' | head -n 20
    done
    failed=1
fi
exit $failed
