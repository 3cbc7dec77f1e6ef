#!/bin/bash
# arm64 as far as it can be tried without such a machine: everything that needs no foreign library compiles, the preload library links,
# and under qemu a fault of a page made here acts in a program there. The program itself says what happened to it.
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
cc=aarch64-linux-gnu-gcc
work=$(mktemp -d "${TMPDIR:-/tmp}/arm64-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT

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

for tool in "$cc" qemu-aarch64; do
    if ! command -v "$tool" > /dev/null; then
        echo "1..0 # SKIP $tool is not installed"
        exit 0
    fi
done

flags=(-std=c11 -D_GNU_SOURCE -I. -O2 -Wall -Wextra -Wshadow -Wconversion -Werror -fPIC -fvisibility=hidden -ftls-model=initial-exec
    -fexceptions -fno-builtin-malloc -fno-builtin-calloc '-DPERTURB_VERSION="arm64"' '-DPERTURB_DATE="1970-01-01"')

compile() { # FILE...
    local file object

    for file in "$@"; do
        object=$work/${file//\//-}.o
        "$cc" "${flags[@]}" -c "$file" -o "$object" 2>&1 | grep -E -m 3 'error|warning'
    done
}
needs_library() { # headers that only libraries of that architecture would bring
    grep -lE '#include <(liburing|nftables|elfutils|libelf|gelf|dwarf|yaml|cjson)' "$@" /dev/null
}
mapfile -t all < <(printf '%s\n' scenarios/base/*.c scenarios/vocab/*.c shims/*/*.c shims/judge/faults/*.c injector/*.c injector/faults/*.c \
    injector/datagram/*.c injector/datagram/faults/*.c)
mapfile -t foreign < <(needs_library "${all[@]}" | cat - <(grep -lE '#include "(injector/(ring|io)|shims/host/(symbols_priv|nft))' "${all[@]}") | sort -u)
mapfile -t own < <(printf '%s\n' "${all[@]}" | grep -vxFf <(printf '%s\n' "${foreign[@]}"))
point "${#own[@]} sources of scenarios, shims and injector compile (${#foreign[@]} need a library of that architecture)" "$(compile "${own[@]}")"

mapfile -t shim < <(make -s --no-print-directory BUILD="$build" print-srcs-preload)
for file in "${shim[@]}"; do [[ -e $work/${file//\//-}.o ]] || compile "$file"; done
point "libperturb.so links" "$(
    "$cc" -shared -Wl,--version-script=shims/preload/libperturb.map -Wl,--wrap=syscall -Wl,--no-undefined -o "$work/libperturb.so" \
        $(printf "$work/%s.o " "${shim[@]//\//-}") -ldl -lpthread 2>&1
)"
cat > "$work/victim.c" << 'EOC'
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    int fd = open(argv[1], O_RDONLY), error = errno, lost = 0;
    (void)argc;
    for (int i = 0; i < 1000; i++) {
        void *volatile block = malloc(4096);
        lost += !block;
        free(block);
    }
    printf("open %s, %d of 1000 allocations failed\n", fd < 0 ? strerror(error) : "good", lost);
    return 0;
}
EOC
"$cc" -O1 -o "$work/victim" "$work/victim.c"
# The shim of this machine, which `perturb exec` would have loaded, is kept out of qemu itself.
guest=(sh -c "unset LD_PRELOAD; exec qemu-aarch64 -L /usr/aarch64-linux-gnu -E LD_PRELOAD=$work/libperturb.so $work/victim /etc/hostname")
point "undisturbed, the program under qemu sees nothing" "$(
    said=$("${guest[@]}" 2>&1)
    [[ $said == "open good, 0 of 1000 allocations failed" ]] || echo "$said"
)"
point "an errno and failing allocations reach it, as many as are counted" "$(
    "$build/perturb" exec --backend preload -f "fail@open:EACCES,path=/etc/hostname" -f 'alloc_fail:10%,size=4096' -- "${guest[@]}" > "$work/out" 2> "$work/err"
    grep -q '^open Permission denied' "$work/out" || cat "$work/out" "$work/err"
    lost=$(sed -n 's/.*, \([0-9]*\) of 1000.*/\1/p' "$work/out")
    fired=$(awk '$1 == "alloc_fail" { print $4; exit }' "$work/err")
    [[ -n $lost && $lost -ge 50 && $lost -le 150 && $lost == "$fired" ]] || echo "lost $lost, counted $fired: $(cat "$work/err")"
)"
echo "1..$points"
[[ $failures -eq 0 ]]
