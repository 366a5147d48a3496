//go:build p100

package asset

// The ONNX Runtime for a Tesla P100. Version 1.26.0 is the newest whose official
// CUDA provider carries code for its chip, sm_60: 1.27.0 begins at sm_75. The
// program built with this tag takes a binding of that age, which asks for API 25.
const (
	RuntimeVersion = "1.26.0"
	MinRuntime     = "1.25.0"

	// CUDAMajor is the CUDA that the library with a CUDA provider is built for.
	CUDAMajor = "12"
)

// runtimes pins the wheel for each GOARCH, and the library within.
var runtimes = map[string]pin{
	"amd64": {
		"manylinux_2_28_x86_64",
		"9b6dd70599005bd1bf29779f04a91978b92b5e719c11a20068a8f8e535f725b6",
		"50775d390eb55e7abd9f6d734da103a04f0e5342ef0a76b1c6ec795544439295",
	},
}

// cudaRuntime pins the wheel with CUDA support, and the library within.
var cudaRuntime = map[string]pin{
	"amd64": {
		"manylinux_2_28_x86_64",
		"3c01119ed4d9449d60367fa8ccffcd02bd3fe736754284e4b198d131f54edad6",
		"7fe6f3306ea455b3d1493ea8b95bf442b48a216e459c47564152e5f7d5ded2c6",
	},
}
