package study

import (
	"fmt"
	"path/filepath"
	"testing"
)

// largeStudy has 10,000 cells, each with parameters of its own.
const largeStudy = `study: large
params: {levels: "${{ map(1..100, #) }}"}
stages:
  a:
    uses: load
    matrix: {level: "${{ levels }}", replicate: 100}
    with:
      threads: ${{ level % 64 }}
      block: ${{ (level + replicate) * 4 * MiB }}
      rate: ${{ level }}%
      direction: "${{ replicate % 2 == 0 ? 'h2d' : 'd2h' }}"
`

func TestLarge(t *testing.T) {
	s, err := Load(filepath.Join(workspace(t, map[string]string{"x.yaml": largeStudy}), "x.yaml"), Options{Kinds: kinds()})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for p := range Points(s.Stages[0].Matrix) {
		b, err := s.Bind(s.Stages[0], p)
		if err != nil {
			t.Fatal(err)
		}
		w := b.With.(*loadWith)
		seen[fmt.Sprint(w.Threads, w.Block, w.Rate)] = true
		level, replicate := p[0].Value.(int64), p[1].Value.(int64)
		if int64(w.Threads) != level%64 || int64(w.Block) != (level+replicate)<<22 {
			t.Fatalf("at %s: %d threads, blocks of %s", p, w.Threads, w.Block)
		}
	}
	if len(seen) != 10_000 {
		t.Errorf("%d different cells, want 10,000", len(seen))
	}
}

func BenchmarkLoad10000Cells(b *testing.B) {
	path := filepath.Join(workspace(b, map[string]string{"x.yaml": largeStudy}), "x.yaml")
	for b.Loop() {
		if _, err := Load(path, Options{Kinds: kinds()}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBind10000Cells(b *testing.B) {
	s, err := Load(filepath.Join(workspace(b, map[string]string{"x.yaml": largeStudy}), "x.yaml"), Options{Kinds: kinds()})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for p := range Points(s.Stages[0].Matrix) {
			if _, err := s.Bind(s.Stages[0], p); err != nil {
				b.Fatal(err)
			}
		}
	}
}
