# The only entry point; `make` or `make help` lists the targets.
.DEFAULT_GOAL := help
DEVSTACK := evp-devstack

# What `make run` needs, of the whole workspace: so dependencies have the features they have elsewhere.
SERVICES := --workspace $(foreach name,ingest processor aggregator devstack,--bin evp-$(name))
# Without link-time optimisation, which a first build would wait for; figures in docs/ are of `release`.
PROFILE := release-fast

# What `--version` and evp_build_info say of the commit; other builds say nothing, and are not made anew for it.
services dist: export EVP_COMMIT ?= $(shell git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)

# What is shipped is `release`; another one is for trying.
DIST_PROFILE := release

# The dashboard, and what it is built from.
DASHBOARD := aggregator/dashboard
DASHBOARD_SOURCES := $(shell find $(addprefix $(DASHBOARD)/,src public scripts fixture) -type f) \
	$(wildcard $(DASHBOARD)/*.json $(DASHBOARD)/vite.config.ts $(DASHBOARD)/index.html)
NPM_PRESENT := $(shell command -v npm)

.PHONY: help run observe observe-check alerts-check grafana services test previous faults faults-full attacks check fmt lint dashboard demo demo-data bench bench-full bench-compare k6 k6-load k6-smoke k6-stress k6-spike k6-soak k6-query k6-overload dist package-check nginx-check install-check image-check doc clean

help: ## lists the targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: ## builds and runs everything on this machine until Ctrl-C; data is kept in .data; AUTH=keys asks for keys
	@$(if $(NPM_PRESENT),$(MAKE) --no-print-directory dashboard || echo "going on without a new dashboard",echo "there is no npm: going on without the dashboard")
	@$(MAKE) --no-print-directory services
	./target/$(PROFILE)/$(DEVSTACK) run

observe: services ## runs Prometheus and Alertmanager beside a running make run, with what infra/prometheus holds
	./target/$(PROFILE)/$(DEVSTACK) observe

observe-check: ## asks every query of the dashboards of Prometheus, over a system at work
	cargo build --workspace --bins
	./target/debug/$(DEVSTACK) test -- ./target/debug/evp-faults watch panels

alerts-check: ## has alerts fire by their real cause, as root; then counts what people are told; 20 minutes
	cargo build --workspace --bins
	./target/debug/$(DEVSTACK) test -- ./target/debug/evp-faults watch alerts
	./target/debug/$(DEVSTACK) test -- ./target/debug/evp-faults watch messages

grafana: ## writes infra/grafana/dashboards from panels.py and the limits of the alerts
	python3 -m venv .cache/grafana
	.cache/grafana/bin/pip install --quiet --disable-pip-version-check 'grafana-foundation-sdk==1769699379!11.6.0'
	cd infra/grafana && ../../.cache/grafana/bin/python -B dashboards.py

services: ## builds the three services, and what runs them on this machine
	cargo build --profile $(PROFILE) $(SERVICES)

test: ## runs all tests against a redis-server and a mongod started for them
	cargo build --workspace --bins
	./target/debug/$(DEVSTACK) test -- cargo test --workspace

previous: ## builds the last release for make faults, once, unless EVP_PREVIOUS names what make dist made of it
	@$(if $(EVP_PREVIOUS),,infra/dist/previous.sh)

faults: previous ## produces every fault of docs/RELIABILITY.md under load, 12 to 20 minutes
	cargo build --workspace --bins
	./target/debug/$(DEVSTACK) test -- ./target/debug/evp-faults run

faults-full: previous ## the same in their largest size, an hour; goes on where it was stopped
	cargo build --workspace --bins
	./target/debug/$(DEVSTACK) test -- ./target/debug/evp-faults run --full --resume target/faults-full.jsonl

attacks: ## tries every attack of SECURITY.md, under 10 minutes
	cargo build --workspace --bins
	./target/debug/$(DEVSTACK) test -- ./target/debug/evp-faults attacks

check: fmt lint test doc ## everything that has to pass before a commit

fmt: ## checks the formatting (cargo fmt mends it)
	cargo fmt --all --check

lint: ## runs clippy over everything; a warning is an error
	cargo clippy --workspace --all-targets -- -D warnings

dashboard: $(DASHBOARD)/dist/index.html ## builds the dashboard if its sources are newer; needs Node 20.19 or newer

$(DASHBOARD)/dist/index.html: $(DASHBOARD)/node_modules/.package-lock.json $(DASHBOARD_SOURCES)
	cd $(DASHBOARD) && npm run build
	@touch $@

$(DASHBOARD)/node_modules/.package-lock.json: $(DASHBOARD)/package-lock.json
	cd $(DASHBOARD) && npm ci
	@touch $@

demo: services ## sends a gentle stream of made-up events to a running make run, until Ctrl-C
	./target/$(PROFILE)/$(DEVSTACK) demo

demo-data: services ## loads 336,776 real flights into a running make run
	./target/$(PROFILE)/$(DEVSTACK) demo-data

bench: ## measures every row of docs/BENCHMARKS.md once, 15 s each, on servers of its own
	cargo build --release --workspace --bins
	./target/release/evp-bench run

bench-full: ## the same, 5 runs of 60 s each, with the long rows; goes on where it was stopped
	cargo build --release --workspace --bins
	./target/release/evp-bench run --full

bench-compare: ## measures the services in the folder OLD=... and these in turn; fails when a row is worse than noise
	cargo build --release --workspace --bins
	./target/release/evp-bench compare $(OLD) target/release

k6: k6-smoke ## runs k6/smoke.js against a running make run: every form in which events come

k6-load: ## the same with k6/load.js: 50,000 events/s for 30 s
k6-stress: ## k6/stress.js: how much is too much
k6-spike: ## k6/spike.js: ten times the load, and back
k6-soak: ## k6/soak.js: a steady load for half an hour, or DURATION=8h
k6-query: ## k6/query.js: queries while events come in
k6-overload: ## k6/overload.js: more than is taken at once

# Figures go to k6/results, as JSON.
k6-smoke k6-load k6-stress k6-spike k6-soak k6-query k6-overload: services
	@mkdir -p k6/results
	SUMMARY=k6/results/$(@:k6-%=%).json ./target/$(PROFILE)/$(DEVSTACK) k6 run k6/$(@:k6-%=%).js

dist: dashboard ## builds what is installed, in dist/: tarball, checksums, SBOMs
	cargo build --profile $(DIST_PROFILE) $(SERVICES)
	PROFILE=$(DIST_PROFILE) infra/dist/make.sh

package-check: ## judges what is shipped without running it: units, container files, manifests, configurations
	cargo build --workspace --bins
	infra/checks/packages.sh target/debug

nginx-check: ## k6 and the browser tests through nginx with the shipped file, TLS and keys
	cargo build --workspace --bins
	infra/checks/nginx.sh

install-check: ## follows docs/INSTALL.md from the tarball of make dist to the first event, as root
	cargo build --workspace --bins
	infra/checks/install.sh

image-check: ## builds the images from what make dist made, without an engine, and runs each, as root
	cargo build --workspace --bins
	infra/checks/image.sh

doc: ## builds the documentation of all crates; a warning is an error
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace

clean: ## throws away the data of make run
	@test ! -e .data/lock || flock --nonblock .data/lock true || { echo "stop make run first"; exit 64; }
	rm -rf .data
