# What a person types here. `make` alone lists it.

PREFIX      ?= /usr
BINDIR      ?= $(PREFIX)/bin
SYSCONFDIR  ?= /etc
UNITDIR     ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
PRESETDIR   ?= $(PREFIX)/lib/systemd/system-preset
LIBDIR      ?= $(PREFIX)/lib/tagkeeper
DATADIR     ?= $(PREFIX)/share/tagkeeper
MANDIR      ?= $(PREFIX)/share/man
DOCDIR      ?= $(PREFIX)/share/doc/tagkeeper
BASHDIR     ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR      ?= $(PREFIX)/share/zsh/site-functions
FISHDIR     ?= $(PREFIX)/share/fish/vendor_completions.d
DESTDIR     ?=
CARGO       ?= cargo
SECONDS     ?= 60
DEPTH       ?= 7
HISTORIES   ?= 10000
HOSTS       ?= 10000
CUTS        ?= 20
SCOPE       ?=
# Debian's name of a machine to build for (docs/decisions/0021-packages-for-other-machines.md).
ARCH        ?=

targets := amd64=x86_64-unknown-linux-musl arm64=aarch64-unknown-linux-musl armhf=armv7-unknown-linux-gnueabihf
target := $(patsubst $(ARCH)=%,%,$(filter $(ARCH)=%,$(targets)))
ifneq ($(ARCH),)
$(if $(target),,$(error ARCH is amd64, arm64 or armhf))
endif
for_target := $(if $(target),--target $(target))
std := $(if $(target),target)
binary := $(or $(CARGO_TARGET_DIR),target)$(if $(target),/$(target))/release/tagkeeper
ready_binary := $(binary)-ready
ready_commands := sonic exec http
hooks := sonic webhook
migration := pre-migration post-migration
dropins := $(wildcard ready/dropins/*.conf hooks/dropins/*.conf units/dropins/*.conf)
manual := target/manual
pages := README.md ARCHITECTURE.md CONTRIBUTING.md CHANGELOG.md SECURITY.md
# Installed below DOCDIR at the same places as here, so that the links between them lead somewhere there too.
docs := $(pages) $(shell find docs -type f) $(wildcard config/examples/*)
tools := target/tools/bin
cargo_fuzz := $(tools)/cargo-fuzz
cargo_mutants := $(tools)/cargo-mutants
cargo_deb := $(tools)/cargo-deb
cargo_deny := $(tools)/cargo-deny
cargo_generate_rpm := $(tools)/cargo-generate-rpm
fuzz_targets := $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
# Where it was built is not in the binary: builds in two directories are the same, bit for bit
# (scripts/reproducible).
release_build = RUSTFLAGS="$$RUSTFLAGS --remap-path-prefix=$(CURDIR)=/tagkeeper \
	--remap-path-prefix=$${CARGO_HOME:-$$HOME/.cargo}=/cargo" $(cargo_build) --release --locked $(for_build)
cargo_build := $(CARGO) build
for_build := $(for_target)
# What links for them: the linker that comes with rustup's toolchain, for it brings musl too; for armhf Zig, which links
# with the glibc of Debian 11.
zig := target/tools/zig
ifeq ($(ARCH),armhf)
cargo_build := PATH="$(CURDIR)/$(zig)/bin:$$PATH" $(CARGO) zigbuild
for_build := $(for_target).2.31
linker := $(zig)/bin/cargo-zigbuild
endif
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER ?= rust-lld
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER ?= rust-lld
# Checked only, so libFuzzer and its C++ compiler are not needed: it is said to be elsewhere.
lint_fuzz_targets := CUSTOM_LIBFUZZER_PATH=/elsewhere/libfuzzer.a \
	$(CARGO) clippy --locked --manifest-path fuzz/Cargo.toml \
	--target-dir $(or $(CARGO_TARGET_DIR),target) -- -D warnings
soak_build := $(CARGO) test --locked --profile soak --package tagkeeper-core --test planner
policy := $(DESTDIR)$(SYSCONFDIR)/tagkeeper/policy.toml

.PHONY: help build release manual test reproducible test-toolchain test-arch target advisories soak-test exhaustive kill-points fleet-sim test-fleet test-vm test-engines test-orchestrators fuzz mutants operating demo recording size bench bench-unit bench-fleet deb rpm tools install uninstall root toolchain check-toolchain

# Their commands are as long as the list of files; what they end with is what a person reads.
.SILENT: install uninstall

help:
	@echo 'To use it (README.md):'
	@echo 'make demo       the life of an upgrade on a container engine of its own (root, Debian; two minutes)'
	@echo 'make build      the release binary, $(binary), and in $(manual) the man pages, completions and notices'
	@echo 'make deb        the Debian package, in target/debian (builds cargo-deb first)'
	@echo 'make rpm        the RPM package, in target/generate-rpm (builds cargo-generate-rpm first)'
	@echo '                both with ARCH=amd64, arm64 or armhf: for switches, below target/ and the name of the target (rustup)'
	@echo 'make install    binaries, units, policy, manual, below DESTDIR=$(DESTDIR) PREFIX=$(PREFIX) SYSCONFDIR=$(SYSCONFDIR)'
	@echo '                (and others: the head of the Makefile)'
	@echo 'make uninstall  removes what install put there; policy and state are kept'
	@echo 'make toolchain  a Rust that is new enough: installs that of Debian 13, or says what to type'
	@echo
	@echo 'To work on it (CONTRIBUTING.md):'
	@echo 'make test       every check there is, on a container engine of its own (root, Debian)'
	@echo 'make reproducible   builds in two directories, and compares'
	@echo 'make test-toolchain   builds programs and tests with the toolchain of Debian 13, in a root of its own (root, Debian)'
	@echo 'make test-arch ARCH=...   the stories on the fake engine with the program for another machine (root, QEMU)'
	@echo 'make advisories     known weaknesses of the crates (network; builds cargo-deny first, with Rust 1.88 or later)'
	@echo 'make soak-test  HISTORIES=$(HISTORIES) random histories on a model host'
	@echo 'make exhaustive   every history of a small host, DEPTH=$(DEPTH) steps deep (6 GiB)'
	@echo 'make kill-points   counts what make test kills and cuts, and writes docs/reliability.md (three minutes)'
	@echo 'make fleet-sim  a day of HOSTS=$(HOSTS) model hosts, in four practices; writes docs/fleet.md (twenty minutes)'
	@echo 'make test-fleet the Ansible collection on HOSTS booted hosts, 10 by default (root, Debian, PyPI; up to an hour)'
	@echo 'make test-vm    an upgrade, a reboot and CUTS=$(CUTS) power cuts on an emulated machine; writes docs/reliability.md (root, Debian, QEMU)'
	@echo 'make test-engines   the requirements on seven engines, Docker and Podman; writes docs/compatibility.md (an hour)'
	@echo 'make test-orchestrators   what is played beside real orchestrators, engine by engine; writes docs/compatibility.md (PyPI; an hour)'
	@echo 'make fuzz       feeds malformed input to each parser for SECONDS=$(SECONDS) (needs g++; builds cargo-fuzz first)'
	@echo 'make mutants    small faults in decision, state and pass, or SCOPE="FILES": does a test catch each? (builds cargo-mutants first)'
	@echo 'make recording  the demo, recorded in docs/demo.svg'
	@echo 'make operating  plays the situations of docs/operating.md and writes their output into it (root, Debian)'
	@echo 'make size       what the binary weighs, on disk and in memory'
	@echo 'make bench      what a pass costs, beside a floor and other tools (root, Debian; seven minutes)'
	@echo 'make bench-unit   of that, what a minute of the installed unit costs, directive by directive (three minutes)'
	@echo 'make bench-fleet   Prometheus over ten thousand hosts: questions, rules, dashboard; writes docs/fleet.md (ten minutes)'

build: manual release

release: check-toolchain $(std)
	$(release_build)

# The standard library for another machine, of the toolchain that is used.
target: toolchain $(linker)
	@rustup target list --installed | grep -qx $(target) || rustup target add $(target)

$(zig)/bin/cargo-zigbuild: packaging/zig-requirements.txt
	python3 -m venv $(zig)
	$(zig)/bin/pip install --quiet --require-hashes --requirement $<
	@touch $@

# Not of the release profile: what makes the pages is not what ships.
manual: check-toolchain
	$(CARGO) run --locked --example manual -- $(manual)

# A compile error shows before an engine is started.
test: root toolchain
	scripts/install-test-packages
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --test other_orchestrators -- -D warnings
	$(lint_fuzz_targets)
	$(CARGO) test --locked --workspace --no-run
	$(MAKE) tools
	scripts/boot-root >/dev/null
	scripts/with-engine $(CARGO) test --locked --workspace

# Two release builds, so no part of `make test`.
reproducible: toolchain
	scripts/reproducible

# From a minimal Debian 13 on, so no part of `make test`.
test-toolchain: root
	scripts/test-toolchain

# By an emulator: some twenty times as slow.
test-arch: root release
	scripts/test-arch $(ARCH) $(binary)

# Needs the network, for the advisories of the day, and a later Rust than the rest. Licences and sources are in
# `make test` too (tests/dependencies.rs).
advisories: toolchain $(cargo_deny)
	$(cargo_deny) check

soak-test: toolchain
	$(soak_build) --no-run
	PROPTEST_CASES=$(HISTORIES) scripts/figure histories '$(HISTORIES) histories of each kind, none in dispute' \
		$(soak_build) properties

exhaustive: toolchain
	$(soak_build) --no-run
	RUST_BACKTRACE=0 EXHAUSTIVE_DEPTH=$(DEPTH) scripts/figure worlds '{}' \
		$(soak_build) exhaustive -- --nocapture

kill-points: root toolchain
	scripts/install-test-packages
	$(CARGO) test --locked --test kill --test power_cut --no-run
	scripts/figure kills '{}' $(CARGO) test --locked --test kill -- --nocapture
	scripts/figure cuts '{}' $(CARGO) test --locked --test power_cut -- --nocapture

fleet-sim: toolchain
	$(soak_build) --no-run
	FLEET_HOSTS=$(HOSTS) bench/fleet-sim $(soak_build) fleet::no_practice -- --nocapture

test-fleet: root toolchain tools
	scripts/install-test-packages
	$(CARGO) build --locked
	scripts/test-fleet $(if $(filter file,$(origin HOSTS)),10,$(HOSTS))

# Boots once for each cut, and an emulated boot takes minutes.
test-vm: root deb
	scripts/install-test-packages
	scripts/figure vm '{}' scripts/test-vm target/debian/tagkeeper_*_amd64.deb $(CUTS)

test-engines: root toolchain
	scripts/install-test-packages
	$(CARGO) test --locked --no-run
	scripts/test-engines

test-orchestrators: root toolchain
	scripts/install-test-packages
	$(CARGO) test --locked --no-run --test orchestrators --test other_orchestrators
	scripts/test-orchestrators

# The sanitizer's flags are for nightly compilers; RUSTC_BOOTSTRAP lets this one take them. What was found stays in
# fuzz/artifacts, and the inputs that were worth keeping in fuzz/corpus.
fuzz: toolchain $(cargo_fuzz)
	@c++ --version >/dev/null || { echo 'make: libFuzzer needs a C++ compiler: install g++' >&2; exit 1; }
	set -e; for target in $(fuzz_targets); do \
		mkdir -p fuzz/corpus/$$target; \
		RUSTC_BOOTSTRAP=1 $(cargo_fuzz) run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=256 -max_len=16384 -print_final_stats=1; \
	done

deb: build $(cargo_deb)
	@package=$$($(cargo_deb) --no-build $(for_target)) && echo "$$package" && \
		echo "Next, as root: apt install ./$${package#$(CURDIR)/}"

rpm: build $(cargo_generate_rpm)
	$(cargo_generate_rpm) $(for_target)
	@echo 'Next, as root: dnf install ./target$(if $(target),/$(target))/generate-rpm/tagkeeper-*.rpm'

tools: $(cargo_deb) $(cargo_generate_rpm)

$(cargo_fuzz):
	$(CARGO) install cargo-fuzz --version 0.13.2 --locked --root target/tools

# The last versions that Rust 1.85 builds. Unoptimised: they are built in a third of the time, and what they do takes a
# second or two either way.
$(cargo_deb):
	$(CARGO) install cargo-deb --version 3.6.3 --locked --debug --root target/tools

$(cargo_generate_rpm):
	$(CARGO) install cargo-generate-rpm --version 0.20.0 --locked --debug --root target/tools

$(cargo_deny):
	$(CARGO) install cargo-deny --version 0.20.2 --locked --debug --root target/tools

# Needs root for the tests that step the clock.
mutants: root toolchain $(cargo_mutants)
	$(if $(SCOPE),,scripts/figure mutants '{}') scripts/mutants $(SCOPE)

$(cargo_mutants):
	$(CARGO) install cargo-mutants --version 27.1.0 --locked --debug --root target/tools

operating: root toolchain
	scripts/install-test-packages
	$(CARGO) build --locked
	TAGKEEPER=$(abspath $(or $(CARGO_TARGET_DIR),target)/debug/tagkeeper) scripts/operating-examples

demo: root toolchain
	scripts/install-test-packages engine
	$(release_build)
	TAGKEEPER=$(abspath $(binary)) scripts/with-engine demo/demo.sh

recording: root toolchain
	scripts/install-test-packages
	$(release_build)
	TAGKEEPER=$(abspath $(binary)) scripts/with-engine scripts/recording

size: build
	scripts/size $(binary)

# A run at a calm time tells most: the table says what the load was.
bench: root toolchain $(std)
	scripts/install-test-packages
	bench/install $(for_target)
	$(release_build)
	scripts/with-engine bench/run $(binary)
	$(MAKE) bench-unit

# What systemd does for a pass besides.
bench-unit: root toolchain $(std)
	scripts/install-test-packages
	scripts/boot-root >/dev/null
	$(release_build)
	scripts/with-engine bench/units.py $(binary)

# Each of its hosts is a copy of one that the test has played.
bench-fleet: root toolchain
	scripts/install-test-packages
	rm -rf target/fleet
	mkdir -p target/fleet
	TAGKEEPER_WRITE_TEXTFILES=$(CURDIR)/target/fleet $(CARGO) test --locked --test monitoring ten_hosts
	bench/fleet target/fleet

root:
	@test "$$(id -u)" = 0 || { echo 'make: the tests start a container engine: run this as root' >&2; exit 1; }

toolchain:
	@scripts/install-toolchain

check-toolchain:
	@scripts/install-toolchain --check

# Builds nothing, so that it needs no toolchain when run as root. The units name the binary by its path.
install:
	for program in $(binary) $(ready_binary); do \
		test -x $$program || { echo "make: $$program is missing: run \`make build\` first" >&2; exit 1; }; \
	done
	install -D -m 755 $(binary) $(DESTDIR)$(BINDIR)/tagkeeper
	install -D -m 755 $(ready_binary) $(DESTDIR)$(LIBDIR)/tagkeeper-ready
	install -d -m 755 $(DESTDIR)$(LIBDIR)/ready $(DESTDIR)$(LIBDIR)/dropins
	for command in $(ready_commands); do ln -sfn ../tagkeeper-ready $(DESTDIR)$(LIBDIR)/ready/$$command || exit 1; done
	for dropin in $(dropins); do \
		to=$(DESTDIR)$(LIBDIR)/dropins/$${dropin##*/}; \
		sed 's|/usr/lib/tagkeeper|$(LIBDIR)|g' $$dropin >$$to && chmod 644 $$to || exit 1; \
	done
	install -d -m 755 $(DESTDIR)$(LIBDIR)/hooks
	install -m 755 $(addprefix hooks/,$(hooks)) $(DESTDIR)$(LIBDIR)/hooks
	install -d -m 755 $(DESTDIR)$(DATADIR)/sonic
	install -m 755 $(addprefix packaging/sonic/,$(migration)) $(DESTDIR)$(DATADIR)/sonic
	install -d -m 755 $(DESTDIR)$(UNITDIR)
	sed 's|/usr/bin/tagkeeper|$(BINDIR)/tagkeeper|g' units/tagkeeper.service >$(DESTDIR)$(UNITDIR)/tagkeeper.service
	chmod 644 $(DESTDIR)$(UNITDIR)/tagkeeper.service
	install -D -m 644 units/tagkeeper.timer $(DESTDIR)$(UNITDIR)/tagkeeper.timer
	install -D -m 644 units/90-tagkeeper.preset $(DESTDIR)$(PRESETDIR)/90-tagkeeper.preset
	install -D -m 644 units/tagkeeper.conf $(DESTDIR)$(SYSUSERSDIR)/tagkeeper.conf
	install -D -m 644 units/tagkeeper.tmpfiles $(DESTDIR)$(TMPFILESDIR)/tagkeeper.conf
	install -D -m 644 config/policy.toml $(DESTDIR)$(DATADIR)/policy.toml
	install -d -m 755 $(dir $(policy))policy.d
	if test -e $(manual)/tagkeeper.8; then set -e; \
		install -D -m 644 $(manual)/tagkeeper.8 $(DESTDIR)$(MANDIR)/man8/tagkeeper.8; \
		install -D -m 644 $(manual)/tagkeeper.toml.5 $(DESTDIR)$(MANDIR)/man5/tagkeeper.toml.5; \
		install -D -m 644 $(manual)/tagkeeper.bash $(DESTDIR)$(BASHDIR)/tagkeeper; \
		install -D -m 644 $(manual)/_tagkeeper $(DESTDIR)$(ZSHDIR)/_tagkeeper; \
		install -D -m 644 $(manual)/tagkeeper.fish $(DESTDIR)$(FISHDIR)/tagkeeper.fish; \
		install -D -m 644 $(manual)/third-party.txt $(DESTDIR)$(DOCDIR)/third-party.txt; \
		install -D -m 644 $(manual)/tagkeeper.cdx.json $(DESTDIR)$(DOCDIR)/tagkeeper.cdx.json; \
	else echo 'there are no man pages in $(manual), so none are installed; `make manual` makes them'; fi
	install -d -m 755 $(DESTDIR)$(DOCDIR)
	for file in $(docs); do install -D -m 644 $$file $(DESTDIR)$(DOCDIR)/$$file || exit 1; done
	if test -e $(policy); then echo '$(policy) is there already and stays as it is'; \
	else install -D -m 644 config/policy.toml $(policy); fi
	echo 'tagkeeper is installed in $(DESTDIR)$(BINDIR), its policy is in $(dir $(policy))'
	if test -z '$(DESTDIR)'; then \
		echo 'Next, as root:'; \
		echo '  systemd-sysusers && systemd-tmpfiles --create tagkeeper.conf && systemctl daemon-reload'; \
		echo '  systemctl enable --now tagkeeper.timer'; \
		echo '  tagkeeper init >$(dir $(policy))policy.d/host.toml    # then edit it, and: tagkeeper check'; \
	fi

uninstall:
	if test -z '$(DESTDIR)' && test -d /run/systemd/system; then \
		systemctl disable --now tagkeeper.timer; systemctl stop tagkeeper.service; true; \
	fi
	rm -f $(DESTDIR)$(BINDIR)/tagkeeper $(DESTDIR)$(UNITDIR)/tagkeeper.service $(DESTDIR)$(UNITDIR)/tagkeeper.timer \
		$(DESTDIR)$(PRESETDIR)/90-tagkeeper.preset $(DESTDIR)$(SYSUSERSDIR)/tagkeeper.conf \
		$(DESTDIR)$(TMPFILESDIR)/tagkeeper.conf $(DESTDIR)$(DATADIR)/policy.toml \
		$(DESTDIR)$(LIBDIR)/tagkeeper-ready $(addprefix $(DESTDIR)$(LIBDIR)/ready/,$(ready_commands)) \
		$(addprefix $(DESTDIR)$(LIBDIR)/dropins/,$(notdir $(dropins))) $(addprefix $(DESTDIR)$(LIBDIR)/hooks/,$(hooks)) \
		$(addprefix $(DESTDIR)$(DATADIR)/sonic/,$(migration)) \
		$(DESTDIR)$(MANDIR)/man8/tagkeeper.8 $(DESTDIR)$(MANDIR)/man5/tagkeeper.toml.5 $(DESTDIR)$(BASHDIR)/tagkeeper \
		$(DESTDIR)$(ZSHDIR)/_tagkeeper $(DESTDIR)$(FISHDIR)/tagkeeper.fish \
		$(addprefix $(DESTDIR)$(DOCDIR)/,$(docs) third-party.txt tagkeeper.cdx.json)
	for dir in $(LIBDIR) $(DATADIR) $(DOCDIR); do \
		test ! -d $(DESTDIR)$$dir || find $(DESTDIR)$$dir -depth -type d -empty -delete; \
	done
	if test -z '$(DESTDIR)' && test -d /run/systemd/system; then \
		systemctl daemon-reload; systemctl reset-failed tagkeeper.service 2>/dev/null; true; \
	fi
	echo 'tagkeeper is removed. Policy and state are kept: $(dir $(policy)) and /var/lib/tagkeeper'
