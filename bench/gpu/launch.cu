// What the launch of a kernel costs in plain CUDA C while other threads of its process
// copy over the link: an inference without a CUDA graph launches some 300 a call. Each
// of N threads copies blocks of N * 4 MiB, as the paper's do, each on a stream of its
// own; one thread more launches an empty kernel on its own stream and waits for it,
// 1000 times and for half a second, or for four. Prints a line of CSV for each kind of copy and N:
// the launches, how long they took in all, the median and the longest in milliseconds,
// and the copies that the busiest and the idlest of the threads did meanwhile.
//
//	nvcc -O2 -std=c++17 -o launch launch.cu -lpthread && ./launch
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
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

static double now() {
	return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

__global__ void nothing() {}

static void measure(bool pageable, bool d2h, int threads) {
	const size_t block = (size_t)threads << 22;
	std::atomic<bool> stop{false};
	std::atomic<int> copying{0};
	std::vector<std::atomic<long>> copies(threads);
	std::vector<std::thread> load;
	for (int i = 0; i < threads; i++) {
		load.emplace_back([&, i] {
			void *host, *device;
			cudaStream_t stream;
			OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
			OK(cudaMalloc(&device, block));
			if (pageable) host = malloc(block);
			else OK(cudaMallocHost(&host, block));
			memset(host, 1, block);
			for (copying++; !stop; copies[i]++) {
				OK(d2h ? cudaMemcpyAsync(host, device, block, cudaMemcpyDeviceToHost, stream)
					   : cudaMemcpyAsync(device, host, block, cudaMemcpyHostToDevice, stream));
				OK(cudaStreamSynchronize(stream));
			}
			if (pageable) free(host);
			else OK(cudaFreeHost(host));
			OK(cudaFree(device));
			OK(cudaStreamDestroy(stream));
		});
	}
	while (copying < threads) std::this_thread::yield();
	cudaStream_t stream;
	OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
	std::vector<long> before(copies.begin(), copies.end());
	std::vector<double> each;
	const double begin = now();
	double last = begin;
	while (last - begin < 0.5 || (each.size() < 1000 && last - begin < 4)) {
		nothing<<<1, 1, 0, stream>>>();
		OK(cudaGetLastError());
		OK(cudaStreamSynchronize(stream));
		const double t = now();
		each.push_back((t - last) * 1e3);
		last = t;
	}
	long most = 0, least = threads ? 1L << 62 : 0;
	for (int i = 0; i < threads; i++) {
		most = std::max(most, copies[i] - before[i]);
		least = std::min(least, copies[i] - before[i]);
	}
	stop = true;
	for (auto &t : load) t.join();
	OK(cudaStreamDestroy(stream));
	std::sort(each.begin(), each.end());
	printf("%s,%s,%d,%zu,%.3f,%.4f,%.3f,%ld,%ld\n", pageable ? "pageable" : "pinned", d2h ? "d2h" : "h2d", threads,
		   each.size(), last - begin, each[each.size() / 2], each.back(), most, least);
	fflush(stdout);
}

int main() {
	nothing<<<1, 1>>>(); // the context and the kernel's code, before anything is timed
	OK(cudaDeviceSynchronize());
	printf("memory,direction,threads,launches,seconds,median_ms,longest_ms,most_copies,least_copies\n");
	for (int pageable = 0; pageable < 2; pageable++)
		for (int d2h = 0; d2h < 2; d2h++)
			for (int threads : {0, 1, 2, 4, 8, 16}) measure(pageable, d2h, threads);
}
