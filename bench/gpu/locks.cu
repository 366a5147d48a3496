// What calls of CUDA do in plain CUDA C while N other threads of the process copy over
// the link, each on a stream of its own, blocks of N * 4 MiB as the paper's do, whenever
// they like or in turns. A call is repeated for a quarter of a second, and 20 times at least;
// after a second the copies stop, so that a call that waited for them ends. Prints a
// line of CSV for each kind of copy, N and call: how many of the calls ended while the
// copies went on, the median and the longest in milliseconds, how long after the copies
// had stopped the last one ended (0 if none waited so long), and what was copied
// meanwhile, in all and by the idlest thread.
//
//	nvcc -O2 -std=c++17 -o locks locks.cu -lpthread && ./locks
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>
#include <cuda_runtime.h>

#define OK(call)                                                               \
	do {                                                                       \
		cudaError_t e = (call);                                                \
		if (e != cudaSuccess) {                                                \
			fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(e));         \
			exit(1);                                                           \
		}                                                                      \
	} while (0)

static const size_t least = 20; // calls

static double now() {
	return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
static void rest() { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }

__global__ void nothing() {}

// Kernels whose code the driver loads when they are first launched.
template <int N> __global__ void once(int *p) {
	if (p) *p = N;
}
using Kernel = void (*)(int *);
template <int... N> static std::vector<Kernel> kernels(std::integer_sequence<int, N...>) { return {once<N>...}; }
static const std::vector<Kernel> fresh = kernels(std::make_integer_sequence<int, 400>());
static size_t used = 0;

struct Load {
	bool pageable, d2h;
	int threads;
	bool turns; // a thread begins to copy when the driver has taken the copy before
};
static std::mutex turn;

struct Call {
	const char *name;
	std::function<void(cudaStream_t)> once;
	bool often = true; // it may be repeated more often than it must
};

static void measure(const Load &load, const Call &call) {
	const size_t block = (size_t)load.threads << 22;
	std::atomic<bool> stop{false}, ended{false};
	std::atomic<int> ready{0};
	std::vector<std::atomic<long>> copies(load.threads);
	std::vector<std::thread> threads;
	for (int i = 0; i < load.threads; i++) {
		threads.emplace_back([&, i] {
			void *host, *device;
			cudaStream_t stream;
			OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
			OK(cudaMalloc(&device, block));
			if (load.pageable) host = malloc(block);
			else OK(cudaMallocHost(&host, block));
			memset(host, 1, block);
			// Nobody copies before all have what they need, and nobody frees before all is done.
			for (ready++; ready <= load.threads;) rest();
			for (; !stop; copies[i]++) {
				std::unique_lock<std::mutex> mine(turn, std::defer_lock);
				if (load.turns) mine.lock();
				OK(load.d2h ? cudaMemcpyAsync(host, device, block, cudaMemcpyDeviceToHost, stream)
							: cudaMemcpyAsync(device, host, block, cudaMemcpyHostToDevice, stream));
				if (load.turns) mine.unlock();
				OK(cudaStreamSynchronize(stream));
			}
			while (!ended) rest();
			if (load.pageable) free(host);
			else OK(cudaFreeHost(host));
			OK(cudaFree(device));
			OK(cudaStreamDestroy(stream));
		});
	}
	cudaStream_t stream;
	OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
	while (ready < load.threads) rest();
	ready++;
	std::this_thread::sleep_for(std::chrono::milliseconds(100));

	std::vector<long> before(copies.begin(), copies.end());
	std::vector<double> each;
	int meanwhile = 0;
	std::atomic<double> stopped{0};
	const double begin = now();
	std::thread watch([&] {
		while (!ended && now() - begin < 1) rest();
		stopped = now();
		stop = true;
	});
	for (double last = begin; !stop && (each.size() < least || (call.often && last - begin < 0.25));) {
		call.once(stream);
		const double t = now();
		meanwhile += !stop;
		each.push_back((t - last) * 1e3);
		last = t;
	}
	const double end = now();
	const double late = stop ? std::max(0.0, end - stopped) : 0;
	long all = 0, idlest = load.threads ? 1L << 62 : 0;
	for (int i = 0; i < load.threads; i++) {
		all += copies[i] - before[i];
		idlest = std::min(idlest, copies[i] - before[i]);
	}
	ended = true;
	watch.join();
	for (auto &t : threads) t.join();
	OK(cudaStreamDestroy(stream));
	std::sort(each.begin(), each.end());
	printf("%s,%s,%d,%s,%s,%d,%.4f,%.3f,%.3f,%.3f,%.2f,%ld\n", load.pageable ? "pageable" : "pinned", load.d2h ? "d2h" : "h2d",
		   load.threads, load.turns ? "turns" : "at will", call.name, meanwhile, each[each.size() / 2], each.back(), late * 1e3, end - begin,
		   (double)all * block / (end - begin) / 1e9, idlest);
	fflush(stdout);
}

int main() {
	static char small[1 << 16];
	void *device, *p;
	OK(cudaMalloc(&device, sizeof small));
	nothing<<<1, 1>>>(); // the context and the kernel's code, before anything is timed
	OK(cudaDeviceSynchronize());
	const Call all[] = {
		{"launch a kernel and wait", [&](cudaStream_t s) { nothing<<<1, 1, 0, s>>>(); OK(cudaStreamSynchronize(s)); }},
		{"launch a kernel for the first time", [&](cudaStream_t s) { fresh.at(used++)<<<1, 1, 0, s>>>(nullptr); OK(cudaGetLastError()); OK(cudaStreamSynchronize(s)); }, false},
		{"copy 64 KiB from pageable memory", [&](cudaStream_t s) { OK(cudaMemcpyAsync(device, small, sizeof small, cudaMemcpyHostToDevice, s)); OK(cudaStreamSynchronize(s)); }},
		{"copy 64 KiB to pageable memory", [&](cudaStream_t s) { OK(cudaMemcpyAsync(small, device, sizeof small, cudaMemcpyDeviceToHost, s)); OK(cudaStreamSynchronize(s)); }},
		{"make and destroy an event", [&](cudaStream_t) { cudaEvent_t event; OK(cudaEventCreate(&event)); OK(cudaEventDestroy(event)); }},
		{"make and destroy a stream", [&](cudaStream_t) { cudaStream_t t; OK(cudaStreamCreateWithFlags(&t, cudaStreamNonBlocking)); OK(cudaStreamDestroy(t)); }},
		{"allocate and free 64 MiB of device memory", [&](cudaStream_t) { OK(cudaMalloc(&p, 64 << 20)); OK(cudaFree(p)); }},
		{"page-lock and free 1 MiB of host memory", [&](cudaStream_t) { OK(cudaMallocHost(&p, 1 << 20)); OK(cudaFreeHost(p)); }},
	};
	printf("memory,direction,threads,copies,call,ended_meanwhile,median_ms,longest_ms,after_the_stop_ms,seconds,copied_GB_per_s,idlest_copies\n");
	for (auto load : {Load{false, false, 0, false},
					  {true, false, 1, false}, {true, false, 2, false}, {true, false, 2, true}, {true, false, 16, false}, {true, false, 16, true},
					  {true, true, 1, false}, {true, true, 2, false}, {true, true, 2, true}, {true, true, 16, false}, {true, true, 16, true},
					  {false, false, 16, false}, {false, true, 16, false}})
		for (auto &call : all) measure(load, call);
}
