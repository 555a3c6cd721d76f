#!/bin/sh
# RUSTC_WORKSPACE_WRAPPER of run.sh: the compiler, for code that libFuzzer sees. It counts how often each edge of the program is taken, and
# sees what is compared with what. The library is built here as for the image, without the sandbox: nothing may be left over then.
exec "$@" -Dwarnings -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0
