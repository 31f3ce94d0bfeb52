# Everything that people and CI run. `make` prints what there is.
#
# Modules are listed once, in go.work. The pattern `work` means all of them.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

MODULES  := $(shell go list -m -f '{{.Dir}}')
SERVICES := gateway worker scheduler
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# Tools are pinned here and fetched by the Go command.
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOSEC       := go run github.com/securego/gosec/v2/cmd/gosec@v2.22.10
GOVULNCHECK := go run golang.org/x/vuln/cmd/govulncheck@v1.9.0
CYCLONEDX   := go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
KUBESCORE   := go run github.com/zegl/kube-score/cmd/kube-score@v1.20.0

# The plugin, or the older program of the same name.
COMPOSE     = $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)

# How programs of ours are built: static, and without the page on which gRPC shows its
# own requests, which nothing serves. It is rendered from templates, and those let the
# linker drop no method of any type: half of a worker would be code that nobody calls.
BUILD := CGO_ENABLED=0 go build -tags grpcnotrace

QUICKSTART := examples/quickstart
CONTRACT   := test/contract/testdata/site
# Those that test/nextjs installs are left out.
EXAMPLES   := $(filter-out examples/nextjs,$(patsubst %/package-lock.json,%,$(wildcard examples/*/package-lock.json)))

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/{nightshift,gateway,worker,scheduler}
	@mkdir -p bin
	@for s in $(SERVICES); do $(BUILD) -ldflags "-s -w -X github.com/nightshift/nightshift/shared/daemon.version=$(VERSION)" -o bin/$$s ./$$s/cmd/$$s; done
	@$(BUILD) -ldflags "-s -w -X main.version=$(VERSION)" -o bin/nightshift ./cli/cmd/nightshift

.PHONY: run
run: build $(QUICKSTART)/node_modules ## run everything in one process, with examples/quickstart, on :8888
	@exec bin/nightshift dev $(QUICKSTART)

# npm writes this file last, so it tells whether the install is whole and fresh.
SITES := $(EXAMPLES) $(CONTRACT)
$(SITES:=/node_modules): %/node_modules: %/node_modules/.package-lock.json
$(SITES:=/node_modules/.package-lock.json): %/node_modules/.package-lock.json: %/package-lock.json
	@npm ci --prefix $* --no-audit --no-fund --loglevel=error
	@touch $@

TYPES := cli/types

# npm writes this file last, so it tells whether the install is whole and fresh.
$(TYPES)/node_modules/.package-lock.json: $(TYPES)/package-lock.json
	@npm ci --prefix $(TYPES) --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: types
types: $(TYPES)/node_modules/.package-lock.json ## check the TypeScript types of settings, with TypeScript itself
	@cd $(TYPES) && node_modules/.bin/tsc -p test
	@cd $(TYPES) && node_modules/.bin/tsc -p test --module esnext --moduleResolution bundler

# Packages of tests that start what `make build` makes, for make e2e.
SYSTEM := e2e(/.*)?|console|contract(/.*)?|examples|manual(/.*)?|monitoring|redis|secrecy

.PHONY: test
test: ## run the tests of all modules with the race detector (without redis-server: on miniredis)
	@command -v redis-server valkey-server >/dev/null || echo "no redis-server or valkey-server on the PATH: the tests run on miniredis"
	@# No vet, which lint does, and no debugger's tables: a fifth of the time of a first run.
	@go test -race -vet=off -ldflags=-w $$(go list work | grep -vE '/test/($(SYSTEM)|abuse|churn|chaos|compose|nextjs|kubernetes(/.*)?|supply)$$')

.PHONY: e2e
e2e: build ## run the system tests on real processes, and the examples (needs npm, curl, chromium, promtool and redis-server)
	@$(MAKE) --no-print-directory --jobs 4 $(SITES:=/node_modules)
	NIGHTSHIFT_TEST_BIN=$(CURDIR)/bin go test -race -vet=off -count=1 -timeout 20m $$(go list work | grep -E '/test/($(SYSTEM))$$')
	@# Alone, because it loads the machine, and without the race detector, because it is the load.
	NIGHTSHIFT_TEST_BIN=$(CURDIR)/bin go test -count=1 -v ./test/churn

.PHONY: nextjs
nextjs: build ## run the API routes of each supported Next.js on real processes (needs npm and redis-server)
	NIGHTSHIFT_TEST_BIN=$(CURDIR)/bin go test -count=1 -timeout 30m ./test/nextjs

# What kube-score asks for and we do otherwise: tags here are never moved, so nothing is gained by asking the registry each
# time, and images of a local build are in none; pods are kept apart by topologySpreadConstraints; how many workers
# there are is KEDA's to say, of which it knows nothing.
SCORE := --kubernetes-version v1.30 --output-format ci --exit-one-on-warning \
  --ignore-test container-image-pull-policy --ignore-test deployment-has-host-podantiaffinity --ignore-test deployment-replicas \
  --enable-optional-test container-seccomp-profile --enable-optional-test container-ports-check

.PHONY: k8s
k8s: ## render deploy/k8s and check it as an API server would, then with a linter (needs no cluster)
	go test -vet=off -count=1 ./test/kubernetes/...
	@for overlay in deploy/k8s/overlays/*; do \
	  echo "kube-score $$overlay"; \
	  go run ./test/kubernetes/render $$overlay | $(KUBESCORE) score $(SCORE) - | { grep -E '^\[(WARNING|CRITICAL)' || true; }; \
	done

# Flags of the run, for example CHAOS='-seed 7', or for the long one
# CHAOS='-run TestChaos -invocations 100000 -duration 50m -concurrency 16 -timeout 3h'.
CHAOS ?=

.PHONY: chaos
chaos: build ## break a running system from a seed, and look for what got lost (CHAOS=flags)
	NIGHTSHIFT_TEST_BIN=$(CURDIR)/bin go test -count=1 -v -timeout 15m ./test/chaos $(CHAOS)

# Flags of test/abuse/fuzz, for example for a long run FUZZ='-guided -inputs 100000'.
FUZZ ?= -inputs 3000 -most 3s

.PHONY: abuse
abuse: build ## attack a running system, then fuzz all that reads what others wrote, for a short time (FUZZ=flags)
	NIGHTSHIFT_TEST_BIN=$(CURDIR)/bin go test -race -vet=off -count=1 -timeout 10m ./test/abuse
	go run ./test/abuse/fuzz $(FUZZ)

FUZZTIME ?= 60s

.PHONY: fuzz
fuzz: ## fuzz all that reads what others wrote, each for FUZZTIME (60s); what fails is kept in testdata/fuzz
	go run ./test/abuse/fuzz -guided -inputs 1000000000 -most $(FUZZTIME)

# Flags of the comparison, for example BENCH='-only drain -rounds 1', which then is all that is measured.
BENCH ?=
PEERS := test/load/peers/bullmq

$(PEERS)/node_modules/.package-lock.json: $(PEERS)/package-lock.json
	@npm ci --prefix $(PEERS) --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: bench
bench: $(PEERS)/node_modules/.package-lock.json ## measure everything beside BullMQ and plain asynq (needs redis-server, npm and wrk), then the parts (BENCH=flags: only the comparison)
	go run ./test/load/compare $(BENCH)
ifeq ($(BENCH),)
	go test -run '^$$' -bench . ./shared/queue ./shared/store ./gateway ./worker ./worker/internal/pool
	go run ./test/load/latency
	go run ./test/load/deploys
	go run ./test/load/accept
	go run ./test/load/schedules
endif

IMAGES := gateway worker scheduler cli

.PHONY: image
image: ## build the images, and an SBOM for each in bin/sbom (needs Docker)
	@for i in $(IMAGES); do docker build --file deploy/Dockerfile --target $$i --build-arg VERSION=$(VERSION) --tag nightshift/$$i:$(VERSION) .; done
	@CYCLONEDX='$(CYCLONEDX)' test/supply/sbom bin/sbom $(foreach i,$(IMAGES),nightshift/$i:$(VERSION))

.PHONY: reproducible
reproducible: ## build the programs twice, in two folders and without a cache, and compare the bytes
	@test/supply/reproducible

.PHONY: up down
up: ## start the whole system in containers and deploy SITE_DIR, or examples/quickstart (needs Docker)
	NIGHTSHIFT_BUILD=$(VERSION) $(COMPOSE) up --build --detach
	@$(COMPOSE) logs --no-color --no-log-prefix --tail 2 hello
down: ## stop it; volumes stay
	$(COMPOSE) down

.PHONY: docker-test
docker-test: ## run docker-compose.yml for real: build, call, scale, kill a worker (needs Docker)
	go test -count=1 -v -timeout 30m ./test/compose

# What gosec asks for and we do otherwise. What it finds is read once for each of these rules, and again when one is taken out:
# G103 unsafe: system calls that take the kernel's own structs. G104 unchecked errors: they are those of closing what failed
# already; staticcheck and vet know the others. G115 conversions of integers: sizes that were checked before, and the rule needs
# most of the time of all. G204 programs and G304 files with names from variables: running what a site brings, and reading it, is
# what this is for; what may be run and read is tested instead (test/abuse, worker/internal/jail). G301, G302 and G306 modes above
# 0600: folders need the x, and functions read their code as another user.
# The program itself, without the command line, which runs on the machine and with the rights of who calls it.
SECURITY := -quiet -exclude-dir=testdata -exclude=G103,G104,G115,G204,G301,G302,G304,G306

.PHONY: lint
lint: ## check format, vet and staticcheck, and look for known vulnerabilities where their database answers
	@unformatted=$$(gofmt -l $(MODULES)); [ -z "$$unformatted" ] || { echo "gofmt -w these: $$unformatted"; exit 1; }
	go vet work
	@# Not the check of Kubernetes manifests: staticcheck would read all of Kubernetes for it.
	$(STATICCHECK) $$(go list work | grep -v '/test/kubernetes')
	go test -vet=off -count=1 ./test/supply
	@$(MAKE) --no-print-directory vuln

.PHONY: gosec
gosec: ## look for what is often a hole (some minutes, so lint leaves it out)
	$(GOSEC) $(SECURITY) $(patsubst %,./%/...,shared $(SERVICES))

.PHONY: vuln
vuln: ## look for known vulnerabilities in Go code and npm packages (NIGHTSHIFT_VULN=required: fail if nobody can be asked)
	@GOVULNCHECK='$(GOVULNCHECK)' test/supply/vuln

.PHONY: docs
docs: ## write anew the documentation that is made of the source
	go test ./test/docs -run '^TestConfiguration$$' -update
	go test ./gateway/internal/httpapi -run '^TestOpenAPI$$' -update

.PHONY: verify
verify: ## check that go.mod files are tidy, each module builds without the workspace, and modules are what go.sum says
	go work sync
	@for m in $(MODULES); do (cd $$m && go mod tidy && GOWORK=off go build ./...) || exit 1; done
	go mod verify
	git diff --exit-code -- '*go.mod' '*go.sum' go.work go.work.sum

.PHONY: tidy
tidy: ## make go.mod and go.sum files tidy
	@for m in $(MODULES); do (cd $$m && go mod tidy) || exit 1; done
	go work sync

.PHONY: clean
clean: ## remove what the build made
	rm -rf bin
