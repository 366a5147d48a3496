// What plain CUDA C reaches on the link with few copies in flight: a thread that
// submits a copy of page-locked memory whenever the oldest is done, in one stream, each
// with an event. Prints a line of CSV for each direction, block size and number in
// flight: bytes per second, on the host's clock, over MILLISECONDS (100 unless said).
//
//	nvcc -O2 -std=c++17 -o loops loops.cu && ./loops [MILLISECONDS]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cuda_runtime.h>

#define OK(call)                                                               \
	do {                                                                       \
		cudaError_t e = (call);                                                \
		if (e != cudaSuccess) {                                                \
			fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(e));         \
			exit(1);                                                           \
		}                                                                      \
	} while (0)

static const size_t blocks[] = {64 << 10, 256 << 10, 1 << 20, 4 << 20};

static double seconds() {
	return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int main(int argc, char **argv) {
	const double length = (argc > 1 ? atoi(argv[1]) : 100) / 1e3;
	printf("direction,block_bytes,in_flight,bytes_per_s\n");
	for (int d2h = 0; d2h < 2; d2h++) {
		for (size_t block : blocks) {
			cudaStream_t stream;
			void *host, *device;
			cudaEvent_t done[2];
			OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
			OK(cudaMallocHost(&host, block));
			OK(cudaMalloc(&device, block));
			for (cudaEvent_t &event : done) OK(cudaEventCreate(&event));
			auto submit = [&](int k) {
				OK(d2h ? cudaMemcpyAsync(host, device, block, cudaMemcpyDeviceToHost, stream)
					   : cudaMemcpyAsync(device, host, block, cudaMemcpyHostToDevice, stream));
				OK(cudaEventRecord(done[k], stream));
			};
			for (int flight = 1; flight <= 2; flight++) {
				for (int k = 0; k < flight; k++) submit(k);
				// The first fifth is for clocks and page tables to warm.
				double begun = seconds(), from = begun + length / 5, first = 0, now;
				long n = 0;
				for (int k = 0;; k = (k + 1) % flight) {
					OK(cudaEventSynchronize(done[k]));
					now = seconds();
					if (now >= begun + length) break;
					submit(k);
					if (now < from) continue;
					if (n++ == 0) first = now;
				}
				printf("%s,%zu,%d,%.0f\n", d2h ? "d2h" : "h2d", block, flight, n / (now - first) * block);
				fflush(stdout);
				OK(cudaStreamSynchronize(stream));
			}
			for (cudaEvent_t event : done) OK(cudaEventDestroy(event));
			OK(cudaStreamDestroy(stream));
			OK(cudaFreeHost(host));
			OK(cudaFree(device));
		}
	}
}
