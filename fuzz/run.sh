#!/bin/sh
# Runs each fuzz target for so many seconds: fuzz/run.sh [SECONDS] [TARGET...]. Ends with an error at the first finding,
# which stands in fuzz/artifacts then.
#
# A stable toolchain and a C++ compiler (Debian: g++) are enough: nothing that the targets reach is `unsafe`, so a
# sanitizer would find nothing, and RUSTC_BOOTSTRAP opens what the tool's other flags still call unstable.
set -eu
seconds=${1:-60}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- packet differential objects
cd "$(dirname "$0")"
export RUSTC_BOOTSTRAP=1

cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked

for target in "$@"; do
    mkdir -p "corpus/$target"
    dictionary=
    [ ! -f "$target.dict" ] || dictionary="-dict=$target.dict"
    # New inputs go to the first folder; the seeds are only read.
    cargo fuzz run --fuzz-dir . --sanitizer none "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 $dictionary
done
