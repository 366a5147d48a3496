package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Every tool that is here makes the same outputs of both shapes; how fast is the
// bench's to say.
func TestTools(t *testing.T) {
	ctx := context.Background()
	program := filepath.Join(t.TempDir(), "barograph")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, tool := range tools(program, t.TempDir()) {
		path, err := exec.LookPath(tool.path)
		if err != nil {
			continue
		}
		tool.path = path
		for _, s := range []shape{fan, chain} {
			dir := filepath.Join(t.TempDir(), "w")
			if err := tool.lay(ctx, dir, s, 5); err != nil {
				t.Fatal(err)
			}
			var m measurements
			if err := m.time(ctx, dir, tool.command(2)); err != nil {
				t.Fatal(err)
			}
			if err := complete(dir, 5); err != nil {
				t.Errorf("%s, %s: %v", tool.name, s, err)
			}
			want := map[shape]string{fan: "input 5\n", chain: "input 1\n"}[s]
			if got, err := os.ReadFile(filepath.Join(dir, output(5))); err != nil || string(got) != want {
				t.Errorf("%s, %s: the last output is %q, %v", tool.name, s, got, err)
			}
			if m.wall() <= 0 || m.peak <= 0 {
				t.Errorf("%s, %s: measured %+v", tool.name, s, m)
			}
		}
	}
}
