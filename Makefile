# `make demo` and `make test` are all that is needed: they install what they use.

CARGO ?= scripts/cargo.sh

# `make bench PART=build`, PART=engines, PART=sources, PART=cve or PART=host measures one part only.
PART ?= all

# What is compiled once takes half the disk without what only helps to compile it again.
export CARGO_INCREMENTAL ?= 0

.PHONY: help demo test test-full bench compare build client packages test-packages dist test-dist images test-images book check dependencies clean

help:
	@echo 'make demo       build two livepatches for a real Debian kernel, tried in a virtual machine'
	@echo '                KERNEL=debian-13 or debian-13-backports: one for a kernel of those'
	@echo 'make test       format, lints, documentation, and all tests'
	@echo 'make test-full  all tests, and those that take long (nightly)'
	@echo 'make bench      measure; figures in target/bench'
	@echo 'make compare    the same patches by kpatch-build, as a check of the kpatch engine'
	@echo 'make build      only compile the programs: target/release/elivepatch{,-server}'
	@echo 'make client     the client as one small static file: target/client/elivepatch'
	@echo 'make packages   packages for Debian and RPM: target/packages; make test-packages installs and removes them'
	@echo 'make dist       a release: target/dist; make test-dist makes it twice and compares the bytes'
	@echo 'make images     container images of server and worker: target/images; make test-images runs them by podman'
	@echo 'make book       the documentation as pages: target/book/index.html'
	@echo 'make check      format, lints and documentation'

dependencies:
	@scripts/install-dependencies.sh

build: dependencies
	$(CARGO) build --release --locked --bin elivepatch --bin elivepatch-server

# Its debug information stays beside it, for whoever has a core dump of it.
client: dependencies
	@. scripts/common.sh && use_cargo && path=$$(static_client client) && mkdir -p target/client && \
	objcopy --only-keep-debug "$$path" target/client/elivepatch.debug && \
	strip -o target/client/elivepatch "$$path" && ls -l target/client

packages: dependencies
	@scripts/packages.sh

test-packages:
	@scripts/test-packages.sh

dist: dependencies
	@scripts/dist.sh

test-dist: dependencies
	@scripts/test-dist.sh

images:
	@scripts/images.sh

test-images:
	@scripts/test-images.sh

book:
	@scripts/book.sh

demo: build
	@scripts/demo.sh

check: dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --locked

test: check
	@scripts/test.sh

test-full: check
	@scripts/test.sh --full

bench: build
	@scripts/bench.sh $(PART)

compare: dependencies
	@scripts/compare.sh

clean:
	$(CARGO) clean
