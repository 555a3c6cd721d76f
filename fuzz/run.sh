#!/bin/sh
# Runs each fuzz target for so many seconds: fuzz/run.sh [SECONDS] [TARGET...]. A finding does not keep the other targets from
# running; it is left in fuzz/artifacts, and the end is an error.
#
# What is found out stays: inputs that reach something new go to fuzz/corpus, or to the directory in HEADLESS_DNS_FUZZ_CORPUS,
# and the next run begins with them. Afterwards, those that reach nothing that others do not are dropped.
#
# A stable toolchain and a C++ compiler (Debian: g++) are enough. Sanitizers want a nightly one and are off: none of our
# code that the targets reach is `unsafe`. HEADLESS_DNS_FUZZ_PROFILE=dev builds sooner, with what the tests have built, and runs slower.
set -eu
seconds=${1:-60}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- packet differential truth stream https upstream state objects protobuf transfer
corpus=${HEADLESS_DNS_FUZZ_CORPUS:-$(dirname "$0")/corpus}
mkdir -p "$corpus"
corpus=$(cd "$corpus" && pwd)
cd "$(dirname "$0")"

# Only what is ours counts what it reaches, and is built apart; all else is what every build of this profile has.
profile=${HEADLESS_DNS_FUZZ_PROFILE:-fuzz}
RUSTC_WORKSPACE_WRAPPER=$PWD/instrument.sh cargo build --locked --package headless-dns-fuzz --bins --profile "$profile"
[ "$profile" != dev ] || profile=debug
programs=${CARGO_TARGET_DIR:-../target}/$profile

units() { # DIRECTORY
    find "$1" -type f | wc -l
}

fuzz() { # TARGET
    target=$1
    log=artifacts/$target.log
    mkdir -p "$corpus/$target" "artifacts/$target"
    case $target in
    objects) words=objects ;;
    https) words=https ;;
    state | protobuf) words= ;;
    *) words=dns ;;
    esac
    before=$(units "$corpus/$target")
    is_sound=yes
    # New inputs go to the first folder; the seeds are only read.
    "$programs/$target" -max_total_time="$seconds" -max_len=8192 -timeout=25 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="artifacts/$target/" ${words:+-dict="dictionaries/$words.dict"} \
        "$corpus/$target" "seeds/$target" >"$log" 2>&1 || is_sound=no
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    new=$(sed -n 's/^stat::new_units_added: *//p' "$log")
    coverage=$(sed -n 's/.* cov: \([0-9]*\) ft: .*/\1/p' "$log" | tail -n 1)
    if [ "$is_sound" = yes ]; then
        rm -rf "$corpus/$target.new"
        mkdir "$corpus/$target.new"
        "$programs/$target" -merge=1 "$corpus/$target.new" "seeds/$target" "$corpus/$target" >>"$log" 2>&1
        rm -rf "${corpus:?}/$target"
        mv "$corpus/$target.new" "$corpus/$target"
    fi
    printf '%-13s %9s executions, %6s edges, %5s new units, corpus %s -> %s units\n' "$target" "${executions:-?}" \
        "${coverage:-?}" "${new:-?}" "$before" "$(units "$corpus/$target")"
    if [ "$is_sound" = no ]; then
        found=$(sed -n 's/.*Test unit written to //p' "$log")
        grep -A 12 'panicked at\|ERROR: libFuzzer' "$log" | head -n 40
        echo "a finding: fuzz/${found:-$log}"
        echo "to repeat it: cd fuzz && $programs/$target ${found:-}"
        echo "once it is mended, it stays as a seed: cp fuzz/${found:-…} fuzz/seeds/$target/regression-NAME"
        return 1
    fi
}

failed=
for target in "$@"; do
    fuzz "$target" || failed="$failed $target"
done
[ -z "$failed" ] || { echo "findings in$failed"; exit 1; }
