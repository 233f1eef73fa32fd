# What a person types here. `make` alone lists it.

PREFIX      ?= /usr
BINDIR      ?= $(PREFIX)/bin
SYSCONFDIR  ?= /etc
UNITDIR     ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
LIBDIR      ?= $(PREFIX)/lib/tagkeeper
DESTDIR     ?=
CARGO       ?= cargo
SECONDS     ?= 60
HISTORIES   ?= 10000
SEED        ?= 0

binary := $(or $(CARGO_TARGET_DIR),target)/release/tagkeeper
ready_binary := $(binary)-ready
ready_commands := sonic exec tcp http
dropins := $(notdir $(wildcard ready/dropins/*.conf))
cargo_fuzz := target/tools/bin/cargo-fuzz
fuzz_targets := $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
policy := $(DESTDIR)$(SYSCONFDIR)/tagkeeper/policy.toml

.PHONY: help build test soak-test test-engines fuzz demo size bench install uninstall root toolchain

help:
	@echo 'make build      the release binary, $(binary)'
	@echo 'make test       every check there is, on a container engine of its own (root, Debian)'
	@echo 'make soak-test  HISTORIES=$(HISTORIES) random histories on a model host, from SEED=$(SEED)'
	@echo 'make test-engines   the requirements on seven engines, Docker and Podman; writes docs/compatibility.md (an hour)'
	@echo 'make fuzz       hands each parser wrong input for SECONDS=$(SECONDS) (needs g++; builds cargo-fuzz first)'
	@echo 'make demo       the life of an upgrade, played on a container engine of its own (root, Debian)'
	@echo 'make size       what the binary weighs, on disk and in memory'
	@echo 'make bench      what a pass costs, beside a floor and beside what people run instead (root, Debian; half an hour)'
	@echo 'make install    binaries, units, policy, below DESTDIR=$(DESTDIR) PREFIX=$(PREFIX) SYSCONFDIR=$(SYSCONFDIR)'
	@echo '                UNITDIR=$(UNITDIR) SYSUSERSDIR=$(SYSUSERSDIR) LIBDIR=$(LIBDIR)'
	@echo 'make uninstall  takes back what install put there; policy and state stay'

build:
	$(CARGO) build --release --locked

# A compile error shows before an engine is started.
test: root toolchain
	scripts/install-test-packages
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) test --locked --no-run
	scripts/boot-root >/dev/null
	scripts/with-engine $(CARGO) test --locked

soak-test: toolchain
	HISTORIES=$(HISTORIES) SEED=$(SEED) $(CARGO) test --locked --release --test histories -- --nocapture soak

test-engines: root toolchain
	scripts/install-test-packages
	$(CARGO) test --locked --no-run
	scripts/test-engines

# The sanitizer's flags are for nightly compilers; RUSTC_BOOTSTRAP lets this one take them. What was found stays in
# fuzz/artifacts, and the inputs that were worth keeping in fuzz/corpus.
fuzz: toolchain $(cargo_fuzz)
	@c++ --version >/dev/null || { echo 'make: libFuzzer needs a C++ compiler: install g++' >&2; exit 1; }
	set -e; for target in $(fuzz_targets); do \
		mkdir -p fuzz/corpus/$$target; \
		RUSTC_BOOTSTRAP=1 $(cargo_fuzz) run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=256 -max_len=16384 -print_final_stats=1; \
	done

$(cargo_fuzz):
	$(CARGO) install cargo-fuzz --version 0.13.2 --locked --root target/tools

demo: root
	scripts/install-test-packages
	$(CARGO) build --release --locked
	TAGKEEPER=$(abspath $(binary)) scripts/with-engine demo/demo.sh

size: build
	scripts/size $(binary)

# A run at a calm time tells most: the table says what the load was.
bench: root
	scripts/install-test-packages
	bench/install
	$(CARGO) build --release --locked
	scripts/with-engine bench/run $(binary)

root:
	@test "$$(id -u)" = 0 || { echo 'make: the tests start a container engine: run this as root' >&2; exit 1; }

toolchain:
	@$(CARGO) --version >/dev/null || { echo 'make: cargo is missing: install a Rust toolchain' >&2; exit 1; }
	@$(CARGO) fmt --version >/dev/null || { echo 'make: rustfmt is missing: rustup component add rustfmt' >&2; exit 1; }
	@$(CARGO) clippy --version >/dev/null || { echo 'make: clippy is missing: rustup component add clippy' >&2; exit 1; }

# Builds nothing, so that it needs no toolchain when run as root. The units name the binary by its path.
install:
	@test -x $(binary) || { echo 'make: $(binary) is missing: run `make build` first' >&2; exit 1; }
	@test -x $(ready_binary) || { echo 'make: $(ready_binary) is missing: run `make build` first' >&2; exit 1; }
	install -D -m 755 $(binary) $(DESTDIR)$(BINDIR)/tagkeeper
	install -D -m 755 $(ready_binary) $(DESTDIR)$(LIBDIR)/tagkeeper-ready
	install -d -m 755 $(DESTDIR)$(LIBDIR)/ready $(DESTDIR)$(LIBDIR)/dropins
	for command in $(ready_commands); do ln -sfn ../tagkeeper-ready $(DESTDIR)$(LIBDIR)/ready/$$command || exit 1; done
	for dropin in $(dropins); do \
		sed 's|/usr/lib/tagkeeper|$(LIBDIR)|g' ready/dropins/$$dropin >$(DESTDIR)$(LIBDIR)/dropins/$$dropin && \
		chmod 644 $(DESTDIR)$(LIBDIR)/dropins/$$dropin || exit 1; \
	done
	install -d -m 755 $(DESTDIR)$(UNITDIR)
	sed 's|/usr/bin/tagkeeper|$(BINDIR)/tagkeeper|g' units/tagkeeper.service >$(DESTDIR)$(UNITDIR)/tagkeeper.service
	chmod 644 $(DESTDIR)$(UNITDIR)/tagkeeper.service
	install -D -m 644 units/tagkeeper.timer $(DESTDIR)$(UNITDIR)/tagkeeper.timer
	install -D -m 644 units/tagkeeper.conf $(DESTDIR)$(SYSUSERSDIR)/tagkeeper.conf
	@if test -e $(policy); then echo '$(policy) is there already and stays as it is'; \
	else set -x; install -D -m 644 config/policy.toml $(policy); fi

uninstall:
	rm -f $(DESTDIR)$(BINDIR)/tagkeeper $(DESTDIR)$(UNITDIR)/tagkeeper.service $(DESTDIR)$(UNITDIR)/tagkeeper.timer \
		$(DESTDIR)$(SYSUSERSDIR)/tagkeeper.conf $(DESTDIR)$(LIBDIR)/tagkeeper-ready \
		$(addprefix $(DESTDIR)$(LIBDIR)/ready/,$(ready_commands)) $(addprefix $(DESTDIR)$(LIBDIR)/dropins/,$(dropins))
	rmdir $(DESTDIR)$(LIBDIR)/ready $(DESTDIR)$(LIBDIR)/dropins 2>/dev/null || true
