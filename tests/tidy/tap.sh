# For the scripts of tests/tidy: the project's files, and TAP. Sourced with the repository as working directory.
set -u -o pipefail
export LC_ALL=C

# Files of the project by pattern, one a line: what git knows or would add; without git, what is not built.
files() { # PATTERN...
    if git rev-parse --is-inside-work-tree > /dev/null 2>&1; then
        git ls-files -co --exclude-standard -- "$@" | while IFS= read -r file; do [[ -e $file ]] && printf '%s\n' "$file"; done
    else
        local pattern
        for pattern in "$@"; do
            find . \( -name .git -o -path ./build -o -name 'run-*' \) -prune -o -type f -path "./$pattern" -print | sed 's,^\./,,'
        done
    fi
}

points=0

# One point: it holds when the findings (text, "" is none) are none.
point() { # NAME FINDINGS
    points=$((points + 1))
    if [[ -z $2 ]]; then
        printf 'ok %d - %s\n' "$points" "$1"
    else
        printf 'not ok %d - %s\n' "$points" "$1"
        printf '%s\n' "$2" | sed 's/^/# /'
    fi
}

finish() {
    printf '1..%d\n' "$points"
}

# Lines of C files that match, without comments and texts, as FILE:LINE: TEXT. Comments over several lines begin with " *" or "/*".
grep_code() { # REGEX FILE...
    local regex=$1

    shift
    [[ $# -eq 0 ]] && return 0
    awk -v regex="$regex" '
        FNR == 1 { inside = 0 }
        {
            line = $0
            gsub(/\\./, "", line)
            gsub(/"[^"]*"/, "\"\"", line)
            if (inside) {
                if (!index(line, "*/")) next
                sub(/^.*\*\//, "", line)
                inside = 0
            }
            gsub(/\/\*[^*]*\*+([^\/*][^*]*\*+)*\//, "", line)
            if (sub(/\/\*.*$/, "", line)) inside = 1
            if (line ~ regex) printf "%s:%d: %s\n", FILENAME, FNR, $0
        }' "$@"
}
