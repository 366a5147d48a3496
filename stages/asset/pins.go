//go:build !p100

package asset

// The ONNX Runtime that is fetched. Any version from MinRuntime on serves: the
// C API keeps its old parts, and the binding asks for API 29.
const (
	RuntimeVersion = "1.31.1"
	MinRuntime     = "1.29.0"

	// CUDAMajor is the CUDA that the library with a CUDA provider is built for.
	CUDAMajor = "13"
)

// runtimes pins the wheel for each GOARCH, and the library within. The library
// is plain C API: which Python the wheel is for makes no difference to it.
var runtimes = map[string]pin{
	"amd64": {
		"manylinux_2_28_x86_64",
		"1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536",
		"fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3",
	},
	"arm64": {
		"manylinux_2_28_aarch64",
		"0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc",
		"8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467",
	},
}

// cudaRuntime pins the wheel with CUDA support, and the library within.
var cudaRuntime = map[string]pin{
	"amd64": {
		"manylinux_2_28_x86_64",
		"05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7",
		"5104254339ecadae808da771bd0b63b240f0dbd466514234905e54372435c303",
	},
}
