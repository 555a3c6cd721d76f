#!/usr/bin/env bash
# image-root.sh PROGRAM FOLDER: makes the root of an image that runs PROGRAM and has nothing else: the program, the libraries that it is
# linked with, whom the world's certificates are signed by (for upstreams over TLS), and where names of hosts are looked up (glibc has
# the code for that in itself since 2.34).
set -euo pipefail
program=$1 root=$2

certificates=/etc/ssl/certs/ca-certificates.crt
mkdir -p "$root$(dirname "$certificates")"
cp --dereference "$certificates" "$root$certificates"
cp "$program" "$root/headless-dns"
# A line is `NAME => PATH (ADDRESS)`, or `PATH (ADDRESS)` for the loader. The kernel's own library has no path.
for library in $(ldd "$program" | grep -o '/[^ ]*'); do
    mkdir -p "$root$(dirname "$library")"
    cp --dereference "$library" "$root$library"
done
echo 'hosts: files dns' > "$root/etc/nsswitch.conf"
