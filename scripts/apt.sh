# shellcheck shell=bash
# What the scripts share that install Debian packages: read by `source`. Another apt that is busy is waited for.

apt_update() { apt-get -o DPkg::Lock::Timeout=300 update -qq </dev/null; }

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends "$@" </dev/null
}
