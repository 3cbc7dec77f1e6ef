#!/bin/bash
# perturb estimate on files that people have: what it says of a known recovery, in each format, and what it says of bad files. The truth
# is the schedule that the script itself writes down.
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1
perturb=$(realpath -m "${BUILD:-build}")/perturb
work=$(mktemp -d "${TMPDIR:-/tmp}/estimate-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

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

# Rows of 100 ms: time, goodput around 100, a latency, good and planned requests. Out from 150 s to 187.3 s, released at 180 s.
rows() { # ROWS HEAD SEPARATOR EOL TIME-OFFSET
    awk -v rows="$1" -v head="$2" -v s="$3" -v eol="$4" -v offset="$5" '
        function noise() { x = (x * 16807) % 2147483647; return x / 2147483647 - 0.5 }
        BEGIN {
            x = 4711
            if (head) printf "seconds%sgoodput%sp99_ms%sgood%splanned%s", s, s, s, s, eol
            for (i = 0; i < rows; i++) {
                t = i / 10; out = t >= 150 && t < 187.3
                printf "%.1f%s%.3f%s%.3f%s%d%s20%s", t + offset, s, (out ? 20 : 100) * (1 + 0.04 * noise()), s,
                    (out ? 80 : 10) * (1 + 0.04 * noise()), s, out ? 2 : 20, s, eol
            }
        }'
}

# The verdict, the exit status, and convergence from the release within 0.1 s of 7.3 s.
converges() { # ARGUMENT...
    local out status

    out=$("$perturb" estimate "$@" --json 2>&1)
    status=$?
    [[ $status -eq 0 ]] || echo "status $status: $(head -n 5 <<< "$out")"
    awk '/"verdict"/ && !seen++ && !/"converged"/ { print "verdict " $0 }
         /"from_release_s"/ { found = 1; gsub(/[^0-9.eE+-]/, "", $2); if ($2 < 7.2 || $2 > 7.4) print "convergence " $2 }
         END { if (!found) print "no convergence time" }' <<< "$out"
}

# Fails with a status and a message that matches.
refuses() { # STATUS REGEX ARGUMENT...
    local status want=$1 regex=$2 out

    shift 2
    out=$("$perturb" estimate "$@" 2>&1)
    status=$?
    [[ $status -eq $want ]] || echo "status $status, want $want: $out"
    grep -qE -- "$regex" <<< "$out" || echo "no message like '$regex' in: $out"
}

when=(--inject 150 --release 180)
rows 3000 1 , '\n' 0 > series.csv
point "a column that is better when higher" "$(converges series.csv "${when[@]}" --signal goodput:higher)"
point "a column that is better when lower" "$(converges series.csv "${when[@]}" --signal p99_ms:lower)"
point "two columns of counts" "$(converges series.csv "${when[@]}" --signal good/planned:higher)"
point "two signals, both deciding" "$(converges series.csv "${when[@]}" --signal goodput:higher --signal p99_ms:lower)"
point "standard input" "$(converges - "${when[@]}" --signal goodput:higher < series.csv)"
rows 3000 1 ';' '\r\n' 0 > dos.csv
point "semicolons, CR LF" "$(converges dos.csv "${when[@]}" --signal goodput:higher)"
{
    printf '\xef\xbb\xbf# exported\n\n'
    rows 3000 0 '\t' '\n' 0
} > bare.tsv
point "tabs, no head, a byte order mark, comments" "$(converges bare.tsv "${when[@]}" --signal column2:higher)"
sort -t , -k 2 series.csv | sed -n '/^[0-9]/p' > shuffled.csv
point "rows in any order" "$(converges shuffled.csv "${when[@]}" --signal column2:higher)"
awk 'NR > 1 { print } { print }' series.csv > twice.csv
point "every stamp twice" "$(converges twice.csv "${when[@]}" --signal goodput:higher)"
rows 3000 1 , '\n' 1763906400 > epoch.csv # 2025-11-23T14:00:00Z
point "seconds since 1970 in the file, dates on the command line" \
    "$(converges epoch.csv --inject 2025-11-23T14:02:30Z --release 2025-11-23T15:03:00+01:00 --signal goodput:higher)"
awk -F , 'NR == 1 || (NR * 7919) % 31 { print; next } { split("NaN,,Inf,null,-", hole, ","); $2 = hole[NR % 5 + 1]; print }' OFS=, series.csv > holes.csv
point "one value in thirty unknown, in five spellings" "$(converges holes.csv "${when[@]}" --signal goodput:higher)"
awk -F , 'BEGIN { printf "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{\"__name__\":\"rps\",\"job\":\"a\"},\"values\":[" }
    NR > 1 { printf "%s[%s,\"%s\"]", (NR > 2 ? "," : ""), $1, $2 } END { print "]}]}}" }' series.csv > range.json
point "a reply of query_range" "$(converges range.json "${when[@]}" --signal 'rps{job=a}:higher')"

point "a bound that is met" "$(converges series.csv "${when[@]}" --signal goodput:higher --max 9s)"
point "a bound that is broken" "$(refuses 1 'broken' series.csv "${when[@]}" --signal goodput:higher --max 3s)"
point "a bound within the interval" "$(refuses 2 'straddles' series.csv "${when[@]}" --signal goodput:higher --max 7300ms)"
point "no recovery" "$(refuses 1 'not_converged' series.csv "${when[@]}" --end 186 --signal goodput:higher)"
point "never released: from the injection" "$(refuses 0 '37\.[23][0-9]* s after the injection' series.csv --inject 150 --signal goodput:higher)"
point "too short a baseline" "$(refuses 2 'too short' series.csv "${when[@]}" --baseline 140 --signal goodput:higher)"
grep -v '^1[4-9][0-9]\.' series.csv > gap.csv
point "a gap over the fault is not good" "$(refuses 2 'baseline_unfit|indeterminate' gap.csv "${when[@]}" --signal goodput:higher)"

: > empty.csv
printf 'seconds,goodput\n' > head.csv
printf 'seconds,goodput\n1,2\n3,x4\n5,6,7\nlater,8\n' > bad.csv
printf 'a\0b' > nul.csv
printf 'justone\n1\n2\n' > one.csv
printf '{"status":"error","errorType":"bad_data","error":"parse \\u001b[31merror"}' > error.json
printf '{"status":"success","data":{"resultType":"vector","result":[]}}' > vector.json
printf '{"status":\n  "success",, }' > broken.json
printf '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2"],[3,4]]}]}}' > pair.json
printf 't,v\n1,1\n1,1\n' > same.csv
printf 't,good,all\n' > counts.csv
for i in {1..300}; do echo "$i,7,5"; done >> counts.csv
printf 't,v\n1e300,1\n-1e300,2\n0,3\n' > wide.csv
point "an empty file" "$(refuses 65 'empty\.csv: holds no samples' empty.csv "${when[@]}")"
point "a head and nothing else" "$(refuses 65 'head\.csv: holds no samples' head.csv "${when[@]}")"
point "each bad field with its line and column" "$(
    refuses 65 "bad\.csv:3:3: 'x4' is no number" bad.csv "${when[@]}"
    refuses 65 'bad\.csv:4:1: this line has 3 fields' bad.csv "${when[@]}"
    refuses 65 "bad\.csv:5:1: 'later' is no time" bad.csv "${when[@]}"
)"
point "a NUL byte" "$(refuses 65 'NUL byte' nul.csv "${when[@]}")"
point "a single column" "$(refuses 65 'one\.csv:1:1: there is only one column' one.csv "${when[@]}")"
point "a file that is not there" "$(refuses 69 'nowhere\.csv: cannot be read' nowhere.csv "${when[@]}")"
point "an error reply, its control characters shown as ?" "$(refuses 65 'bad_data: parse \?\[31merror' error.json "${when[@]}")"
point "an instant query" "$(refuses 65 "'vector', not 'matrix'" vector.json "${when[@]}")"
point "broken JSON with its line" "$(refuses 65 'broken\.json:2:1[0-9]: is no JSON' broken.json "${when[@]}")"
point "a pair that is none" "$(refuses 65 '/data/result/0/values/1' pair.json "${when[@]}")"
point "one stamp only" "$(refuses 65 'fewer than two stamps' same.csv --inject 1)"
point "more good than planned" "$(refuses 65 'counts 7 of only 5' counts.csv --inject 250 --signal good/all:higher)"
point "stamps too far apart for its bins" "$(refuses 65 'wider --bin' wide.csv --inject 0 --bin 1s)"
point "no --inject" "$(refuses 64 'inject.*is needed' series.csv)"
point "an injection outside the data" "$(refuses 64 'do not lie in this order' series.csv --inject 5000 --signal goodput:higher)"
point "a misspelt column" "$(refuses 64 "did you mean 'goodput'" series.csv "${when[@]}" --signal godput:higher)"
point "a signal without a direction" "$(refuses 64 'NAME:higher or NAME:lower' series.csv "${when[@]}" --signal goodput)"
point "an unknown option" "$(refuses 64 'no such option' series.csv "${when[@]}" --bogus)"

# A million rows: 10 ms bins over 10,000 s, out from 5,000 to 5,037.3 s.
awk 'BEGIN { print "t,v"; for (i = 0; i < 1000000; i++) { t = i / 100; printf "%.2f,%d\n", t, (t >= 5000 && t < 5037.3 ? 20 : 99 + i % 3) } }' > million.csv
point "a million rows" "$(converges million.csv --inject 5000 --release 5030 --signal v:higher)"

printf '1..%d\n' "$points"
[[ $failures -eq 0 ]]
