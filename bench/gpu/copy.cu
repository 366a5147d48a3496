// What plain CUDA C reaches on the link: two streams copy blocks of page-locked
// memory in a loop, each way alone. Prints a line of CSV for each direction, block
// size and round, of which there are five unless said: bytes per second, timed by
// events around the whole round.
//
//	nvcc -O2 -o copy copy.cu && ./copy [ROUNDS]
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

int main(int argc, char **argv) {
	const int rounds = argc > 1 ? atoi(argv[1]) : 5;
	printf("direction,block_bytes,bytes_per_s\n");
	for (int d2h = 0; d2h < 2; d2h++) {
		for (size_t block = 4 << 20; block <= 64 << 20; block *= 2) {
			cudaStream_t stream[2];
			void *host[2], *device[2];
			cudaEvent_t begin, end, joined;
			OK(cudaEventCreate(&begin));
			OK(cudaEventCreate(&end));
			OK(cudaEventCreate(&joined));
			for (int i = 0; i < 2; i++) {
				OK(cudaStreamCreateWithFlags(&stream[i], cudaStreamNonBlocking));
				OK(cudaMallocHost(&host[i], block));
				OK(cudaMalloc(&device[i], block));
			}
			const int n = (int)(((size_t)4 << 30) / block); // 4 GiB a round
			for (int round = 0; round < rounds; round++) {
				OK(cudaEventRecord(begin, stream[0]));
				OK(cudaStreamWaitEvent(stream[1], begin, 0));
				for (int i = 0; i < n; i++) {
					int k = i % 2;
					OK(d2h ? cudaMemcpyAsync(host[k], device[k], block, cudaMemcpyDeviceToHost, stream[k])
						   : cudaMemcpyAsync(device[k], host[k], block, cudaMemcpyHostToDevice, stream[k]));
				}
				OK(cudaEventRecord(joined, stream[1]));
				OK(cudaStreamWaitEvent(stream[0], joined, 0));
				OK(cudaEventRecord(end, stream[0]));
				OK(cudaEventSynchronize(end));
				float ms;
				OK(cudaEventElapsedTime(&ms, begin, end));
				printf("%s,%zu,%.0f\n", d2h ? "d2h" : "h2d", block, (double)n * block / (ms / 1e3));
				fflush(stdout);
			}
			for (int i = 0; i < 2; i++) {
				OK(cudaStreamDestroy(stream[i]));
				OK(cudaFreeHost(host[i]));
				OK(cudaFree(device[i]));
			}
		}
	}
}
