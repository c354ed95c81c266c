# Two commands do everything: `make demo` shows Rehydrate at work, `make test` checks it.
# Both set up what is missing first (scripts/setup.sh).

NODE := node_modules/.bin/node --disable-warning=ExperimentalWarning
TEST := $(NODE) scripts/test.ts

.DEFAULT_GOAL := help
.PHONY: help conformance demo soak test setup setup-demo check unit tooling golden fuzz commands e2e bench bench-files build format clean

help: ## show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name text; do printf '  make %-11s %s\n' "$$name" "$$text"; done

demo: setup-demo ## make two machines, capture them, and open their disks
	@$(NODE) demo/run.ts

test: setup ## run every check and every test
	@$(TEST)

setup: ## install what the tests and the demo need, and compile
	@scripts/setup.sh test
	@$(NODE) scripts/build.ts --if-stale

setup-demo:
	@scripts/setup.sh demo
	@$(NODE) scripts/build.ts --if-stale

check: setup ## types, lint, import boundaries, format, dead code
	@$(TEST) checks

unit: setup ## the unit tests
	@$(TEST) unit

tooling: setup ## the tests of lint, style and set-up
	@$(TEST) tooling

golden: setup ## results against those of independent tools
	@$(TEST) golden

fuzz: setup ## 200,000 and more mutated images to all parsers; about half an hour
	@$(NODE) scripts/fuzz.ts

commands: setup ## the command line against real disks, two files at a time
	@$(TEST) commands

e2e: setup ## whole programs against real clients
	@$(TEST) e2e

conformance: setup ## libiscsi's suite against the target, compared with docs/conformance
	@$(NODE) test/conformance/iscsi/run.ts

soak: setup ## a million mutated iSCSI PDUs to a read-only disk, and a million to a writable one
	@REHYDRATE_FUZZ_ISCSI_PDUS=1000000 node_modules/.bin/vitest run --project=fuzz test/fuzz/iscsi

bench: setup ## speed, against other programs
	@status=0; for bench in bench/*/run.ts; do echo "== $$bench"; $(NODE) "$$bench" || status=1; done; exit $$status

bench-files: setup ## speed of files, against Sleuth Kit, ntfs-3g and the kernel; as root
	@$(NODE) bench/files/run.ts

build: setup ## compile to dist/, which commands run from and packages hold
	@$(NODE) scripts/build.ts

format: setup ## format the code
	@node_modules/.bin/biome format --write

clean: ## remove what was built and installed
	rm -rf dist .cache node_modules
