package placed

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"barograph/pipeline/cell/filetest"
)

// The places of the functions are those of the header that the binding comes with.
func TestTable(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/yalue/onnxruntime_go").Output()
	if err != nil {
		t.Fatal(err)
	}
	text := filetest.Read(t, filepath.Join(strings.TrimSpace(string(dir)), "onnxruntime_c_api.h"))
	_, text2, ok := strings.Cut(string(text), "struct OrtApi {")
	if !ok {
		t.Fatal("the header has no OrtApi")
	}
	body, _, _ := strings.Cut(text2, "\n};")
	body = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n]*`).ReplaceAllString(body, "")
	function := regexp.MustCompile(`ORT_API2_STATUS\(\s*(\w+)|(ORT_CLASS_RELEASE2?)\(\s*(\w+)\)|\(ORT_API_CALL\*\s*(\w+)\)|\(\s*\*\s*(\w+)\)\(`)
	at := map[string]int{}
	for i, m := range function.FindAllStringSubmatch(body, -1) {
		name := m[1] + m[4] + m[5]
		if m[2] != "" {
			name = "Release" + m[3]
		}
		at[name] = i
	}
	for name, want := range places() {
		if got, ok := at[name]; !ok || got != want {
			t.Errorf("%s stands at %d of the table, %v, and the header has it at %d", name, want, ok, got)
		}
	}
}
