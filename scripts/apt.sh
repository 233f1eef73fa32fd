# shellcheck shell=bash
# What the scripts share that install Debian packages, or make a system of them: read by `source`. Another apt that is busy is
# waited for.

apt_update() { apt-get -o DPkg::Lock::Timeout=300 update -qq </dev/null; }

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends "$@" </dev/null
}

# The mirror of the whole archive that this machine's apt uses: it has every suite. That of security updates is another archive.
apt_mirror() {
    apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' 'Component: main' |
        awk '$1 == "Debian" && $2 == "Debian" { print $NF; exit }'
}
