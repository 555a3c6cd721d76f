#!/usr/bin/env bash
# deb.sh: makes the Debian package, with manual pages and completions of the program that is in it. It needs `cargo install cargo-deb`
# and Debian's dpkg-dev. Prints the path of the package.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --profile dist --locked --no-default-features -p headless-dns --bin headless-dns >&2
program=target/dist/headless-dns
"$program" man --dir target/deb/man
for shell in bash fish zsh; do
    "$program" completions "$shell" >"target/deb/headless-dns.$shell"
done
cargo deb --quiet --locked --no-build --profile dist --output target/deb/
