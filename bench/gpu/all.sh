#!/usr/bin/env bash
# Runs on a machine with an NVIDIA GPU all that bench/gpu shows, and the studies to
# record there, in order of value:
#
#   bench/gpu/all.sh OUT [SECONDS]
#
# in the top folder of what `make bundle` packed, or of the project after
# `make build cuda bin/gpu`. It needs nvcc for copy.cu and locks.cu, and for torch_bert.py a
# python3 with PyTorch, transformers and onnx.
#
# Each step has its own limit and a failed one does not end the others. The call
# ends within SECONDS, 580 unless said; one after it leaves out what has ended, well or
# not, and goes on with the rest (rm .gpu/STEP.done to run a step again). OUT/results.tar.xz, packed after each step, holds
# steps.csv, logs, what the programs printed, and the recordings.
#
# MACHINE=host rehearses it without a GPU; STEPS names the steps to run.
set -uo pipefail
[ $# -ge 1 ] || { echo "usage: all.sh OUT [SECONDS]" >&2; exit 2; }
out=$(mkdir -p "$1" && cd "$1" && pwd)
end=$((SECONDS + ${2:-580}))
machine=${MACHINE:-h100}
results=$PWD/.gpu
mkdir -p "$results"
[ -e "$results/steps.csv" ] || echo step,status,seconds >"$results/steps.csv"

[ ! -d cache ] || export BAROGRAPH_CACHE=${BAROGRAPH_CACHE:-$PWD/cache}
# CUDA's and cuDNN's libraries: the toolkit's, and those that came with PyTorch.
torch=$(python3 -c 'import glob, nvidia; print(":".join(d for p in nvidia.__path__ for d in sorted(glob.glob(p + "/*/lib"))))' 2>/dev/null)
export LD_LIBRARY_PATH=${torch:+$torch:}/usr/local/cuda/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
device=cuda
[ "$machine" != host ] || device=host

# step NAME LEAST MOST FUNCTION runs a function for MOST seconds at most, if LEAST
# are left.
step() {
	local name=$1 least=$2 most=$3 left=$((end - SECONDS - 20)) begun=$SECONDS status
	[[ " ${STEPS:-$name} " == *" $name "* ]] || return 0
	[ ! -e "$results/$name.done" ] || return 0
	if [ "$left" -lt "$least" ]; then
		echo "$name: left for the next call: $left s remain, it takes $least"
		return 0
	fi
	[ "$most" -lt "$left" ] || most=$left
	export -f "$4"
	# A shell with a trap ends after what it runs, which says how far it had come.
	timeout --kill-after=10 "$most" bash -c "set -eo pipefail; trap 'exit 143' TERM; $4" >"$results/$name.log" 2>&1
	status=$?
	echo "$name,$status,$((SECONDS - begun))" >>"$results/steps.csv"
	echo "$name: status $status after $((SECONDS - begun)) s"
	tail -n 3 "$results/$name.log" | sed 's/^/    /'
	# 124 and 130: cut off, and gone on with by the next call.
	case $status in 124 | 130 | 137) ;; *) touch "$results/$name.done" ;; esac
	tar -C "$results" -cf - . | xz -6 -T0 >"$out/results.tar.xz"
}
export results machine device

# study NAME ARGUMENT... runs a study and keeps its recording. INVALID (3) is a
# result too.
study() {
	local name=$1 status=0
	shift
	bin/barograph run "configs/$name.yaml" --machine "$machine" "$@" || status=$?
	[ $status -eq 0 ] || [ $status -eq 3 ] || exit $status
	mkdir -p "$results/data/$name"
	cp -r "results/data/$name/$machine" "$results/data/$name/"
}
export -f study

look() {
	bin/barograph version
	bin/barograph doctor
	nvidia-smi || [ "$device" = host ]
}
bandwidth() {
	if [ "$device" = host ]; then
		bin/gpu link -device host | tee "$results/link.csv"
		return
	fi
	copy=$(mktemp)
	trap 'rm "$copy"' EXIT
	nvcc -O2 -o "$copy" bench/gpu/copy.cu
	bin/gpu link -copy "$copy" | tee "$results/link.csv"
}
pytorch() {
	model=$(bin/barograph model build bert-base-uncased | tail -n 1)
	bin/gpu latency -device "$device" -calls "${CALLS:-2000}" -dump dump.json | tee "$results/ours.json"
	[ "$device" = host ] || python3 bench/gpu/torch_bert.py "$model" dump.json 2000 --compile | tee "$results/torch.json"
}
# In float16, as models are served, against the same weights in float64. PyTorch's own choice
# among kernels takes minutes.
half() {
	model=$(bin/barograph model build bert-base-uncased | tail -n 1)
	bin/gpu latency -device "$device" -precision float16 -calls "${CALLS:-2000}" -dump half.json | tee "$results/ours-half.json"
	[ "$device" = host ] || python3 bench/gpu/torch_bert.py "$model" half.json 2000 --half --compile --tune | tee "$results/torch-half.json"
}
soaked() {
	local status=0
	bin/gpu soak -o "$results/memory.csv" -recording "results/data/soak/$machine" -- \
		bin/barograph run configs/soak.yaml --machine "$machine" ${CALLS:+--set calls=$CALLS --set level=1} || status=$?
	mkdir -p "$results/data/soak"
	cp "results/data/soak/$machine/run.json" "$results/data/soak/"
	return $status
}
broken() { bin/gpu faults; }
# The study's own replicates are recorded before more are begun, for a call may be cut off.
decoupled() {
	local replicates
	for replicates in 3 5; do study decoupled --set replicates=$replicates; done
}
# Two replicates are recorded before a third is begun, for a call may be cut off.
models() {
	local replicates
	for replicates in 2 3; do
		study models --set 'batches=[1]' --set 'levels=[0,16]' --set replicates=$replicates ${MODELS:+--set "models=[$MODELS]"} ${CALLS:+--set calls=$CALLS}
	done
}
# trial NAME ARGUMENT... runs one trial of the soak and keeps its recording or, of one
# that does not end within its limit, how far it had come.
trial() {
	local name=$1 into=$results/data/$1 status=0 begun=$SECONDS
	shift
	[ ! -e "$into/done" ] || return 0
	mkdir -p "$into"
	[ -e "$results/trials.csv" ] || echo trial,status,seconds,why >"$results/trials.csv"
	bin/barograph run configs/soak.yaml --machine "$machine" --set settle=3s "$@" ${CALLS:+--set calls=$CALLS} >"$into/run.log" 2>&1 || status=$?
	grep -v '^--set' "$into/run.log" || true
	case $status in 0 | 3) cp "results/data/soak/$machine/"{run.json,samples.csv} "$into/" ;; esac
	echo "$name,$status,$((SECONDS - begun)),\"$(grep -m 1 ' failed: ' "$into/run.log" | tr '"' "'")\"" >>"$results/trials.csv"
	touch "$into/done"
}
export -f trial

# locks.cu shows what an inference waits for beside pageable copies in its process.
locks() {
	[ "$device" = host ] && return
	program=$(mktemp)
	trap 'rm "$program"' EXIT
	nvcc -O2 -std=c++17 -o "$program" bench/gpu/locks.cu -lpthread
	"$program" | tee "$results/locks.csv"
}
# Loads of every kind, with the graph captured and without: does any crash, or break the
# other? Each is a run of its own, so that one that does not end costs the others neither
# their time nor their recording.
combinations() {
	local sharing direction memory graph
	for graph in true false; do
		for memory in pinned pageable; do
			for sharing in separate process; do
				for direction in h2d d2h both; do
					trial "combinations/$sharing-$direction-$memory-$graph" --set "sharings=[$sharing]" --set "directions=[$direction]" \
						--set "memories=[$memory]" --set "graphs=[$graph]" --set calls=50 --set limit=${LIMIT:-30s} ${CALLS:+--set level=1}
				done
			done
		done
	done
}
controls() { study controls; }
sharing() { study sharing --set replicates=10; }
swap() { study swap --set replicates=10; }

# named STUDY NAME gives the recording that was just kept a name of its own.
named() {
	rm -rf "$results/data/$1/$machine-$2"
	mv "$results/data/$1/$machine" "$results/data/$1/$machine-$2"
}
# relieved NAME ARGUMENT... measures policies of loads, and keeps them under a name of their own.
relieved() {
	local name=$1
	shift
	study mitigation --set replicates=${REPLICATES:-3} --set calls=${CALLS:-1000} "$@"
	named mitigation "$name"
}
export -f named relieved
# Each way is a study of its own: policies of loads towards the device rest on others.
aside=aside/64MiB/in_flight:1
four=models=[bert-base-uncased,mobilenetv2,resnet50,unet]
policies() {
	relieved out --set "$four" --set 'directions=[d2h]' --set "policies=[$aside/lead:7us,$aside/lead:12us]"
	relieved in --set "$four" --set 'directions=[h2d]' --set "policies=[$aside/early:8us/inputs:30us/grow:1,$aside/early:8us/inputs:20us/grow:1]"
}
# Towards the device, where a load leaves when inputs are known to be sent: with copies that
# grow, the next submitted before those in flight end, and with one copy a call. One replicate is
# recorded before a second is begun, for a call may be cut off.
inputs() {
	local most=${REPLICATES:-2} REPLICATES
	for ((REPLICATES = 1; REPLICATES <= most; REPLICATES++)); do
		relieved inputs --set "$four" --set 'directions=[h2d]' \
			--set "policies=[aside/128MiB/in_flight:1/streams:2/sent:6us/inputs:30us/grow:2,$aside/sent:6us/inputs:30us]"
	done
}
# Under MPS, each way, against calls under MPS without load.
mps_out() {
	REPLICATES=${REPLICATES:-1} CALLS=${CALLS:-3000} relieved mps-out --set 'sharings=[mps]' --set 'idle=[separate,mps]' --set "$four" \
		--set 'directions=[d2h]' --set "policies=[none,window/4MiB,$aside/lead:7us]"
}
mps_in() {
	REPLICATES=${REPLICATES:-1} CALLS=${CALLS:-3000} relieved mps-in --set 'sharings=[mps]' --set 'idle=[separate,mps]' --set "$four" \
		--set 'directions=[h2d]' --set "policies=[none,window/4MiB,$aside/early:15us/inputs:50us]"
}
# What the search found, for models of whose times it knew none.
searched() {
	local REPLICATES=${REPLICATES:-1}
	relieved searched --set 'models=[minilm-l6,unet,bert-large-uncased]' --set 'directions=[d2h]' \
		--set "policies=[window/4MiB,$aside/lead:7us,aside/39191040B/in_flight:3/lead:1us,$aside/streams:4/lead:1.134us]"
}
# MobileNetV2's p99 differs from replicate to replicate, and the policies are judged by it.
replicates() {
	REPLICATES=${REPLICATES:-6} relieved replicates --set 'models=[mobilenetv2]' --set 'directions=[d2h]' --set "policies=[$aside/lead:7us]"
}
# The model's stream before the load's, in one process, or not.
priorities() {
	local REPLICATES=${REPLICATES:-1} priority
	for priority in normal high; do
		relieved "$priority" --set 'models=[bert-base-uncased,mobilenetv2]' --set 'sharings=[process]' --set limit=4s \
			--set priority=$priority --set 'policies=[none,window/2MiB/streams:2]'
	done
}
million() {
	REPLICATES=1 CALLS=${CALLS:-20000} relieved million --set 'models=[bert-base-uncased]' --set 'directions=[d2h]' \
		--set 'policies=[window/256KiB,aside/256KiB/in_flight:3]' --set limit=60s
}
bypass() { study bypass --set 'sharings=[mps]' --set 'victims=[copied,both,carried]' --set replicates=1; }
# Without MPS, past the copy engine by kernels that carry inputs and results.
past() {
	study bypass --set 'sharings=[separate]' --set 'victims=[copied,carried]' --set replicates=1 --set calls=${CALLS:-1000}
	named bypass separate
}
matrix() { study matrix --set replicates=${REPLICATES:-1}; }
tenants() {
	cp bench/gpu/tenants-mps.yaml configs/tenants-mps.yaml
	bin/gpu soak -o "$results/tenants-memory.csv" -recording "results/data/colocation-soak/$machine" -- \
		bin/barograph run configs/tenants-mps.yaml --machine "$machine" ${CALLS:+--set calls=$CALLS}
	cp "results/data/colocation-soak/$machine/run.json" "$results/tenants-mps-run.json"
}
export aside four

step look 0 60 look
step link 100 250 bandwidth
step soak 300 500 soaked
step torch 60 200 pytorch
step half 250 300 half
step faults 30 300 broken
step decoupled 60 500 decoupled
step models 60 560 models
step controls 60 300 controls
step locks 60 200 locks
step combinations 60 400 combinations
step sharing 60 500 sharing
step swap 60 500 swap
step policies 60 500 policies
step mps-out 60 220 mps_out
step mps-in 60 220 mps_in
step past 60 300 past
step inputs 60 300 inputs
step replicates 30 100 replicates
step searched 60 160 searched
step priorities 60 160 priorities
step million 60 200 million
step bypass 60 400 bypass
step matrix 60 560 matrix
step tenants 60 200 tenants
cat "$results/steps.csv"
