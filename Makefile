# mscoin: every way to run, test and look at the exchange. `make help` lists them.
SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

export CGO_ENABLED ?= 0
# go-zero's resolver for Kubernetes' own API would bring 440 packages to compile;
# services find each other by address or DNS.
export GOFLAGS := $(GOFLAGS) -tags=no_k8s

# The order book is compiled with a profile of itself (exchange/matching/README.md).
PGO := -gcflags=mscoin/exchange/matching=-pgoprofile=$(CURDIR)/exchange/matching/bench/default.pgo

STACK := go run ./deploy/stack
# STACK_RUN is what programs run under that talk to a running exchange: nothing for the
# one of `make run`, the stack's environment with ON=stack.
STACK_RUN := $(if $(filter stack,$(ON)),$(STACK) run,)
LINT  := go tool -modfile=tools/lint/go.mod golangci-lint
BUF   := go tool -modfile=../tools/proto/go.mod buf
SERVICES := exchange market wallet ucenter gateway

##@ Use
.PHONY: run
run: bin/mscoin ## start the whole exchange in one process (data under ./data)
	@exec ./bin/mscoin

.PHONY: demo
demo: ## trade with the two demo accounts of a running exchange (ON=stack: the one on real servers)
	@$(STACK_RUN) go run ./deploy/demo

.PHONY: reconcile
reconcile: ## account for every cent: compare orders, trades, holds, journal and balances
	@$(STACK_RUN) go run ./deploy/reconcile

.PHONY: clean
clean: ## remove built programs (never data)
	rm -rf bin

##@ Develop
.PHONY: build
build: bin/mscoin ## build the all-in-one program and every service into ./bin
	@for s in $(SERVICES); do go build $(PGO) -o bin/$$s ./$$s; done
	@go build -o bin/mscoin-admin ./deploy/admin

.PHONY: bin/mscoin
bin/mscoin:
	@go build $(PGO) -o bin/mscoin ./deploy/allinone

.PHONY: test
test: ## run every test that this machine can, and tell which were left out (ON=stack: with the stack's servers)
	@$(if $(STACK_RUN),$(STACK) test,) go run ./tools/testrun -ldflags='-s -w' -timeout $(or $(TEST_TIMEOUT),9m) ./...

.PHONY: failover
failover: ## kill 50 owners of partitions and 25 settling wallets under load, and measure how long trading stops
	MSCOIN_TEST_FAILOVERS=75 go test ./deploy/allinone -run TestServices_Failover -count=1 -v -timeout 60m

.PHONY: sim
sim: ## run N schedules of faults (default 10000) through the real code, or tell the story of SEED=…; MUTANTS=1 lists after how many each mutant is caught
	@go run ./deploy/simulator $(if $(SEED),-seed $(SEED)) $(if $(N),-n $(N)) $(if $(BASE),-base $(BASE)) $(if $(MUTANT),-mutant "$(MUTANT)") $(if $(MUTANTS),-mutants)

.PHONY: chaos
chaos: bin/chaos ## kill, stop, cut off and poison every process under load, and account for every order (KILLS, STOPS, TOXICS, HOOKS, SEED)
	@./bin/chaos $(if $(SEED),-seed $(SEED)) $(if $(KILLS),-kills $(KILLS)) $(if $(STOPS),-stops $(STOPS)) $(if $(TOXICS),-toxics $(TOXICS)) $(if $(HOOKS),-hooks $(HOOKS)) $(CHAOS_FLAGS)

.PHONY: outage
outage: ## take every database away for DURATION (default 10m) under load: nobody may crash or grow, and the backlog must go fast
	MSCOIN_TEST_OUTAGE=$(or $(DURATION),10m) go test ./deploy/chaos -run TestChaos_Outage -count=1 -v -timeout 60m

.PHONY: bin/chaos
bin/chaos:
	@go build -tags=no_k8s,failpoint -o bin/chaos ./deploy/chaos
	@go build -o bin/mscoin-admin ./deploy/admin

.PHONY: test-race
test-race: ## run every test under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race -timeout 20m ./...

.PHONY: lint
lint: ## vet the code, the protocol files and the modules
	$(LINT) run --allow-parallel-runners ./...
	cd grpc-common && $(BUF) lint

.PHONY: proto
proto: ## generate grpc-common/gen from grpc-common/proto
	cd grpc-common && $(BUF) generate

.PHONY: proto-check
proto-check: ## fail when grpc-common/gen is not what the protocol files give, or when they break clients
	cd grpc-common && $(BUF) generate && git diff --exit-code -- gen && test -z "$$(git status --porcelain gen)"
	@if git cat-file -e origin/main:grpc-common/buf.yaml 2>/dev/null; then \
	  cd grpc-common && $(BUF) breaking --against '../.git#ref=origin/main,subdir=grpc-common'; \
	else echo "buf breaking: nothing landed yet to compare with"; fi

.PHONY: fuzz
fuzz: ## fuzz every decoder for FUZZTIME each (default 20s)
	@for p in $$(grep -rl --include='*_test.go' '^func Fuzz' . | grep -v '/bench/' | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$p/*_test.go | cut -c6-); do \
	    go test -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZTIME:-20s} ./$$p; done; done

.PHONY: docs
docs: ## draw the pictures of docs/ from their text (needs graphviz)
	dot -Tsvg docs/order.dot -o docs/order.svg

##@ Containers
.PHONY: env
env: ## write .env with random secrets for docker compose (an existing one stays; ENV=… is another file, for Kubernetes)
	@go run ./deploy/docker/env $(if $(ENV),-o $(ENV))

.PHONY: deploy-check
deploy-check: ## read docker-compose.yml, alerts, dashboard and manifests with the libraries of those who run them
	@cd tools/deploycheck && GOFLAGS= go test ./...

##@ Real servers, without Docker
.PHONY: stack-install
stack-install: ## get MariaDB (DB=mysql: MySQL 8.0), Redis and Kafka
	@$(STACK) install -db $(or $(DB),mariadb)

.PHONY: stack-up
stack-up: build ## run the exchange on real servers (DB=mysql, KAFKA_BROKERS=3, STACK_SERVICES=none, PROFILE=normal, STACK_PORT=22000)
	@$(STACK) up -db $(or $(DB),mariadb) -brokers $(or $(KAFKA_BROKERS),1) -services $(or $(STACK_SERVICES),all) -profile $(or $(PROFILE),demo) -port $(or $(STACK_PORT),21000)

.PHONY: stack-down
stack-down: ## stop the real servers; data stays
	@$(STACK) down

.PHONY: stack-status
stack-status: ## tell how the real servers are
	@$(STACK) status

.PHONY: stack-logs
stack-logs: ## print the ends of their logs
	@$(STACK) logs

.PHONY: test-stack
test-stack: ## try stacks of real servers: settings, kill -9, loss of a broker, the story, rolling restart
	@MSCOIN_STACK_TEST=1 go run ./tools/testrun -count=1 -timeout 20m -run Real ./deploy/stack

##@ Measure
.PHONY: bench-matching
bench-matching: ## measure the order book against its floor and its rivals
	@cd exchange/matching/bench && go run .

.PHONY: mutants-matching
mutants-matching: ## take each rule out of the order book and see its test turn red (RUN=regexp: only these rules)
	@go run ./tools/mutants $(if $(RUN),-run '$(RUN)')

.PHONY: bench-settlement
bench-settlement: ## measure the settlement against a loop of one order at a time, on the same servers
	@go run ./wallet/bench $(BENCH_FLAGS)

.PHONY: bench-reconcile
bench-reconcile: ## measure a complete reconciliation of a million generated orders on MariaDB (ORDERS=n)
	@MSCOIN_RECONCILE_ORDERS=$(or $(ORDERS),1000000) go test -count=1 -timeout 30m -run Large -v ./deploy/reconcile

.PHONY: test-snapshots
test-snapshots: ## reconcile 1,000 consistent snapshots while money moves, without a false alarm (SNAPSHOTS=n)
	@MSCOIN_RECONCILE_SNAPSHOTS=$(or $(SNAPSHOTS),1000) go test -count=1 -timeout 60m -run UnderLoad -v ./wallet/internal/reconciler

.PHONY: bench-orders
bench-orders: ## load a running exchange with the demo accounts' orders, wait until settled, reconcile
	@$(STACK_RUN) go run ./deploy/bench/orders $(BENCH_FLAGS)

##@ Help
.PHONY: help
help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-zA-Z0-9_\/-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nMSCOIN_ADDR (default 127.0.0.1:8080) and MSCOIN_DATA (default ./data) move the exchange.\n'
