#!/bin/bash
# The Debian packages: built from what is built, installed by dpkg beside a real system (an overlay over it in a mount namespace of our
# own, so that nothing of it is touched), run there as a user would, removed again, and what is left is looked for.
# Without the right to do so they are unpacked into a root of their own instead, by dpkg as well.
# beside: others
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1
build=$(realpath -m "${BUILD:-build}")
work=$(mktemp -d "${TMPDIR:-/tmp}/packages-XXXXXX") || exit 1

points=0 failures=0
point() { # NAME FINDINGS
    points=$((points + 1))
    if [[ -z $2 ]]; then
        printf 'ok %d - %s\n' "$points" "$1"
    else
        failures=$((failures + 1))
        printf 'not ok %d - %s\n' "$points" "$1"
        printf '%s\n' "$2" | sed 's/^/# /' | head -n 40
    fi
}

# ---- inside the namespace: `$0 inside ROOT` -------------------------------------------------------------------------------
says() { # REGEX COMMAND... -> complaint
    local regex=$1 out

    shift
    out=$(chroot "$root" "$@" 2>&1 < /dev/null)
    grep -qE -- "$regex" <<< "$out" || printf '%s: wanted %s, got: %s\n' "$*" "$regex" "$out"
}

inside() {
    local playbook

    mkdir -p "$1/upper" "$1/scratch" "$1/root"
    mount -t tmpfs none "$1" && mkdir -p "$1/upper" "$1/scratch" "$1/root" &&
        mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/scratch" "$1/root" || exit 77
    root=$1/root
    for place in proc dev; do mount --rbind "/$place" "$root/$place" || exit 77; done
    mount -t tmpfs none "$root/tmp"
    mkdir "$root/tmp/debs"
    cp "$2"/*.deb "$root/tmp/debs"
    chroot "$root" dpkg-query -W -f '${Package}\n' 2> /dev/null | grep -E '^(lib)?perturb' && exit 77
    point "dpkg installs all three, with everything they depend on there" "$(
        chroot "$root" sh -c 'dpkg --no-triggers -i /tmp/debs/*.deb' > "$1/log" 2>&1 || cat "$1/log"
    )"
    point "what is installed is what was packed" "$(chroot "$root" dpkg --verify perturb perturb-proxy libperturb-dev)"
    point "perturb, perturb-proxy and pkg-config answer" "$(
        says '^perturb 0' perturb --version
        says '[0-9]\.[0-9]' perturb-proxy -version
        says '^[0-9]+\.[0-9]' pkg-config --modversion perturb
    )"
    point "the installed shim gets into a program" "$(
        says 'Permission denied' env PERTURB_REGISTRY=/tmp/registry perturb exec -f fail@open:EACCES,path=/etc/hostname -- cat /etc/hostname
    )"
    point "a program with a fault point builds against the installed header" "$(
        printf '#include <perturb.h>\nint main(void) { return PERTURB_POINT_ERROR("a.b") == 5 ? 42 : 0; }\n' > "$root/tmp/point.c"
        says '^status 42$' sh -c 'cc -Wall -Werror $(pkg-config --cflags perturb) -o /tmp/point /tmp/point.c &&
            { PERTURB_REGISTRY=/tmp/registry perturb exec -f "fail@code:EIO,label=a.b" -- /tmp/point > /dev/null 2>&1; echo "status $?"; }'
    )"
    point "every installed playbook is sound" "$(
        for playbook in $(cd "$root" && find usr/share/perturb/playbooks -name '*.yaml'); do
            says ': sound' perturb check "/$playbook"
        done
    )"
    point "the quickstart starts its targets from the installed files, is interrupted, and undoes itself" "$(
        chroot "$root" sh -c 'cd /tmp && export PERTURB_REGISTRY=/tmp/registry XDG_STATE_HOME=/tmp/state; perturb run /usr/share/perturb/playbooks/quickstart.yaml --out /tmp/run > /tmp/log 2>&1 & pid=$!
            n=0; while ! grep -q "load_started" /tmp/log && [ $n -lt 300 ]; do n=$((n + 1)); timeout 0.1 tail -f /dev/null; done
            kill -INT $pid; wait $pid; echo "status $?"' > "$1/status"
        grep -q 'target_ready.*shop' "$root/tmp/log" && grep -qE '^status [23]$' "$1/status" || cat "$1/status" "$root/tmp/log"
        ! grep -q 'undo.*failed' "$root/tmp/log" || cat "$root/tmp/log"
    )"
    point "manual pages and completion are where they are looked for" "$(
        [[ ! -x /usr/bin/man ]] || says '/usr/share/man/man5/perturb-playbook.5.gz' man -w perturb-playbook
        for page in man1/perturb.1 man1/perturb-proxy.1 man5/perturb-playbook.5 man7/perturb-faults.7; do
            gzip -t "$root/usr/share/man/$page.gz" || echo "no $page"
        done
        for file in bash-completion/completions/perturb zsh/vendor-completions/_perturb fish/vendor_completions.d/perturb.fish; do
            [[ -s $root/usr/share/$file ]] || echo "no $file"
        done
    )"
    point "removing them leaves nothing" "$(
        chroot "$root" dpkg --no-triggers --purge perturb perturb-proxy libperturb-dev > "$1/log" 2>&1 || cat "$1/log"
        (cd "$1/upper" && find usr etc opt var/lib/systemd ! -type c ! -path '*__pycache__*' 2> /dev/null) | while IFS= read -r file; do
            [[ -e /$file ]] || echo "left: $file"
        done
    )"
}

if [[ ${1:-} == inside ]]; then
    points=$3
    inside "$2" "$4"
    echo "1..$points"
    [[ $failures -eq 0 ]]
    exit
fi
trap 'rm -rf "$work"' EXIT

# As it was built: other flags, or the same directory by another name, would build it anew.
place=$(realpath -m --relative-to="$PWD" "$build")
[[ $place == ..* ]] && place=$build
as_built=(make --no-print-directory BUILD="$place" CC="$(cut -d ' ' -f 1 "$build/flags.stamp")")
grep -q -e -Werror "$build/flags.stamp" && as_built+=(DEV=1)

# ---- outside ------------------------------------------------------------------------------------------------------------
point "make deb builds them, without a network" "$(
    quiet=("${as_built[@]}")
    [[ $EUID -eq 0 ]] && unshare -n true 2> /dev/null && quiet=(unshare -n "${quiet[@]}")
    "${quiet[@]}" deb > "$work/log" 2>&1 || cat "$work/log"
)"
point "three packages, root's, nothing setuid, no scripts" "$(
    [[ $(ls "$build"/deb/*.deb | wc -l) -eq 3 ]] || ls "$build/deb"
    for deb in "$build"/deb/*.deb; do
        dpkg-deb -c "$deb" | grep -vE '^[d-]rw[x-]r-[x-]r-[x-] root/root ' | sed "s#^#${deb##*/}: #"
        dpkg-deb --ctrl-tarfile "$deb" | tar t | grep -vE '^\./(control|md5sums)?$'
    done
)"
point "packed again, they are the same bytes" "$(
    sha256sum "$build"/deb/*.deb > "$work/sums"
    "${as_built[@]}" deb > "$work/log" 2>&1 || cat "$work/log"
    grep -q '^  CC ' "$work/log" && echo "something was compiled anew: $(grep -c '^  CC ' "$work/log") files"
    sha256sum -c --quiet "$work/sums" 2>&1
)"
mkdir -p "$work/space"
if [[ $EUID -eq 0 ]] && unshare -m --propagation private bash "$0" inside "$work/space" "$points" "$build/deb" > "$work/tap"; then
    cat "$work/tap"
    [[ $failures -eq 0 ]]
    exit
elif grep -q '^1\.\.' "$work/tap" 2> /dev/null; then
    cat "$work/tap"
    exit 1
fi
root=$work/root
mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates" "$root/tmp"
touch "$root/var/lib/dpkg/status" "$root/var/lib/dpkg/available"
dpkg_here() { fakeroot dpkg --root="$root" --force-depends --force-not-root --force-script-chrootless --log=/dev/null "$@" > "$work/log" 2>&1 || cat "$work/log"; }
point "dpkg installs them into a root of their own" "$(dpkg_here -i "$build"/deb/*.deb)"
point "they run from there" "$(
    [[ $("$root/usr/bin/perturb" --version) == "perturb "* ]] || echo "no version"
    "$root/usr/bin/perturb" exec -f 'fail@open:EACCES,path=/etc/hostname' -- cat /etc/hostname 2>&1 | grep -q 'Permission denied' || echo "no fault"
)"
point "removing them leaves nothing" "$(dpkg_here --purge perturb perturb-proxy libperturb-dev; find "$root/usr" -type f 2> /dev/null)"
echo "1..$points"
[[ $failures -eq 0 ]]
