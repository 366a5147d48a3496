# Every target works in a fresh clone with Go, a C compiler, pip and make.

program := bin/barograph
sources := main.go go.mod go.sum $(shell find pipeline stages notebooks/nb -type f ! -name '*_test.go' ! -path '*/testdata/*')
packages ?= ./...
fuzztime ?= 2m

# What is compiled here no debugger is used on, and compilers end before their garbage
# is worth collecting.
export GOFLAGS := -gcflags=all=-dwarf=false -ldflags=-w "-toolexec=env GOGC=off GOMEMLIMIT=1GiB" $(shell go env GOFLAGS 2>/dev/null)

.DELETE_ON_ERROR:
.PHONY: help ahead reproduce figures redraw claims test test-slurm browser bench soak lint build cuda bundle test-cuda p100 test-p100 assets clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The compiler takes a minute in a fresh clone, and meanwhile what studies measure with
# is fetched. What the program that fetches it is made of, the other needs too; where it
# fails, the run says why.
ahead:
	@[ -e $(program) ] || { go build -o bin/fetch ./stages/asset/fetch && { bin/fetch </dev/null >/dev/null 2>&1 & }; }

reproduce: ahead $(program) ## measure the paper's study on this machine; draw Figure 2; judge the claims
	@echo $(program) run configs/paper.yaml
	@$(program) run configs/paper.yaml || { status=$$?; \
		[ $$status -ne 3 ] || echo "measured, drawn and INVALID: the verdicts above say why" >&2; exit $$status; }

cards := $(wildcard data/link/*.json)
processors := $(shell nproc 2>/dev/null || echo 1)

figures: $(program) ## draw every figure again from the recordings in data/, on all processors
	@$(MAKE) --no-print-directory -j $(processors) redraw $(addprefix redraw/,$(cards))

# A recording that was INVALID when it was made (status 3) is still drawn.
redraw:
	@$(program) run --replay data || [ $$? -eq 3 ]

redraw/%:
	@$(program) link draw $*

claims: $(program) ## judge every recorded claim again; fail if a verdict changed
	$(program) claims

# Tests that compute, in goroutines only as others do that stay: the race detector makes
# them ten times slower, and learns nothing from them.
computing := ^(TestArchitecturesAgreeWithPyTorch|TestBERTAgreesWithFloat64|TestCharacters|TestCheckStudies|TestCrates|TestDocumentsQuote|TestEmbeddings|TestManyLevelsAndReplicates|TestONNXChecker|TestOpenOrder)$$|^TestGoldens$$/^(effective|identical|log|negative|one|outliers|sample|simulated)$$

# Lint has vetted all that is tested here: vetting each package once more, as it is
# built for the race detector, takes a minute of processor time. What is built for it
# waits at its end for goroutines that are left, by itself a second, of which a hundred
# packages make two minutes. The last line is of tests that compute, and of those that do
# less of it under the race detector.
test: lint assets test-cuda test-p100 ## check and test everything, with the race detector
	GORACE=atexit_sleep_ms=100 go test -race -vet=off -timeout 30m -skip '$(computing)' $(packages)
	go test -vet=off -run '$(computing)|^(TestSimulated|TestBuildMemory|TestDistribution|TestRecordedClaims|TestScores|TestKept|TestPlanted|TestShipped|TestCarried|TestRecovery|TestSearch)' ./pipeline/cli/acceptance ./stages/figure ./stages/stats/... ./stages/judge/... ./stages/model ./stages/model/token ./stages/notebook ./stages/notebook/script ./stages/placement/command ./stages/prediction ./stages/prediction/turns ./stages/traffic

test-slurm: ## run studies on a real Slurm of two nodes, unpacked from Debian 12's packages
	go vet -tags slurm ./pipeline/cli/acceptance/slurm
	go test -tags slurm -count=1 -timeout 30m -parallel 4 ./pipeline/cli/acceptance/slurm

browser: assets ## look at the pages in headless Chromium, which must be installed
	go vet -tags browser ./pipeline/cli/acceptance
	go test -tags browser -run TestBrowser ./pipeline/cli/acceptance

bench: assets ## measure against other tools, and the program's parts
	@set -e; for dir in bench/*/; do echo go run "./$$dir"; go run "./$$dir"; done
	go test -run '^$$' -bench . -benchtime 1s $(packages)

soak: ## kill 200 runs, fuzz every parser, and compare random notebooks with the compiler: two hours
	BAROGRAPH_KILLS=200 go test -count=1 -timeout 60m -v -run TestKills ./pipeline/cli
	go test -count=1 -run TestIncrementalEqualsClean ./pipeline/engine -rapid.checks=1000
	@set -e; grep -roE --include='*_test.go' '^func Fuzz[A-Za-z]*' notebooks pipeline stages | sed 's|/[^/]*:func | |' | while read -r dir name; do \
		echo go test -fuzz "$$name" "./$$dir"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(fuzztime) -fuzzminimizetime 2s "./$$dir"; \
	done
	go test -count=1 -timeout 2h -v -run '^TestAgree$$' ./stages/notebook/script -agree 1h

# It lives for a while and is a fifth faster where it collects less of its garbage.
lint: ## formatting, vet, staticcheck
	@unformatted=$$(gofmt -l *.go bench configs pipeline stages notebooks) && \
		{ [ -z "$$unformatted" ] || { echo "not formatted (run gofmt -w):" $$unformatted >&2; exit 1; }; }
	go vet $(packages)
	GOGC=400 GOMEMLIMIT=2GiB go tool staticcheck $(packages)

build: ahead $(program) ## the program, bin/barograph

$(program): $(sources)
	go build -o $@ .

# Headers and a library that stands in for the driver: neither GPU nor toolkit is
# needed. CUDA_HOME names a toolkit whose headers to take.
with-cuda = vars=$$(go run ./stages/device/cuda/link .cache/cuda) && env $$vars

cuda: $(program)-cuda ## the program for NVIDIA GPUs, bin/barograph-cuda

$(program)-cuda: $(sources)
	$(with-cuda) go build -tags cuda -o $@ .

bin/gpu: $(sources) $(wildcard bench/gpu/*.go)
	$(with-cuda) go build -tags cuda -o $@ ./bench/gpu

bundle: $(program) $(program)-cuda bin/gpu ## one file for machines without a network: .cache/barograph.tar.xz; chip=sm_90 leaves out other GPUs
	stages/asset/bundle.sh .cache/barograph.tar.xz $(chip)

test-cuda: $(program)-cuda
	$(with-cuda) go vet -tags cuda ./bench/gpu ./stages/device/cuda ./stages/kind/infer ./stages/kind/stress
	$(with-cuda) go test -tags cuda ./stages/device/cuda

# A Tesla P100 needs an older ONNX Runtime, whose provider has code for its chip,
# and a binding of that age: the same sources by another go.mod.
p100.mod = .cache/p100.mod
$(p100.mod): go.mod go.sum stages/asset/p100.sum
	@mkdir -p $(@D)
	sed 's|\(yalue/onnxruntime_go\) v[0-9.]*|\1 v1.28.0|' go.mod > $@
	cat go.sum stages/asset/p100.sum > $(@:.mod=.sum)

p100: $(p100.mod) ## both programs for a Tesla P100, bin/p100/
	go build -modfile $(p100.mod) -tags p100 -o bin/p100/barograph .
	$(with-cuda) go build -modfile $(p100.mod) -tags cuda,p100 -o bin/p100/barograph-cuda .

test-p100: p100
	go test -modfile $(p100.mod) -tags p100 -run TestHost ./stages/kind/infer

assets: ## fetch ahead what tests and benches need: ONNX Runtime, Python packages
	@go run ./stages/asset/fetch -python

clean: ## remove what can be made again: the program and stored results; data/, figures/ and results/ stay
	rm -rf bin .barograph
