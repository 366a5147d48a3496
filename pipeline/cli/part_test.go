package cli_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/plan"
	"barograph/pipeline/record"
	"barograph/pipeline/study"
)

const layered = `
study: layered
stages:
  a: {uses: command, matrix: {n: 12}, inputs: ['in/${{ n }}', common], run: 'cat in/${{ n }} common > a${{ n }}', outputs: ['a${{ n }}']}
  b: {uses: command, matrix: {n: 12}, needs: [a], run: 'head -c 3 a${{ n }} > b${{ n }}', outputs: ['b${{ n }}']}
  c: {uses: command, matrix: {m: 3}, needs: [b], inputs: ['extra/${{ m }}'], run: 'cat b* extra/${{ m }} > c${{ m }}', outputs: ['c${{ m }}']}
  d: {uses: command, matrix: {k: 4}, inputs: ['glob/*'], run: 'cat glob/* > d${{ k }}', outputs: ['d${{ k }}']}
`

var varies = regexp.MustCompile(`(?m) ran in \S+$|^\[\d+/\d+\] |^\d+ cells? to run:.*$|/\S*/(\.barograph|001|002)\S*|"(started|wall)": \d+`)

// said is what a command said, whatever differs from run to run, such as the order of
// cells, in which those that took longer come first.
func said(text string) string {
	lines := strings.Split(varies.ReplaceAllString(text, ""), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// What is planned in part, from a proof of the whole, is what it is without any proof:
// what commands say, their status and what they leave are alike, under random edits.
func TestPart(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	part, whole := folder{t, t.TempDir()}, folder{t, t.TempDir()}
	both := func(do func(f folder)) { do(part); do(whole) }
	both(func(f folder) {
		f.write("configs/layered.yaml", layered)
		for n := range 12 {
			f.write(fmt.Sprint("in/", n+1), "a\n")
		}
		for m := range 4 {
			f.write(fmt.Sprint("extra/", m+1), "e\n")
			f.write(fmt.Sprint("glob/", m+1), "g\n")
		}
		f.write("common", "shared\n")
	})
	edit := func() {
		n, text := rng.IntN(12)+1, strings.Repeat(string(rune('a'+rng.IntN(3))), rng.IntN(5)+1)
		name := []string{
			fmt.Sprint("in/", n), fmt.Sprint("in/", n), fmt.Sprint("in/", n), fmt.Sprint("in/", n), fmt.Sprint("extra/", n%3+1),
			fmt.Sprint("a", n), fmt.Sprint("b", n), fmt.Sprint("c", n%3+1), fmt.Sprint("glob/", n%6+1), "common",
		}[rng.IntN(10)]
		made := !strings.Contains(name, "/") && name != "common"
		gone := made && rng.IntN(4) > 0
		both(func(f folder) {
			if gone {
				os.Remove(filepath.Join(f.dir, name)) // which it may be already
			} else {
				f.write(name, text+"\n")
			}
		})
	}
	alike := func(args ...string) {
		t.Helper()
		if err := os.RemoveAll(filepath.Join(whole.dir, ".barograph/proofs")); err != nil {
			t.Fatal(err)
		}
		gotStatus, got := part.run(args...)
		wantStatus, want := whole.run(args...)
		if got, want := said(got), said(want); gotStatus != wantStatus || got != want {
			t.Fatalf("%q in part: %d\n%s\nand as a whole: %d\n%s", args, gotStatus, got, wantStatus, want)
		}
	}
	inPart := func() int {
		t.Chdir(part.dir)
		opt := study.Options{Kinds: kinds, Fingerprint: func(device string) string { return record.Fingerprint(device, cell.GPUs{}) }}
		files, err := filepath.Glob(".barograph/proofs/*")
		if err != nil || len(files) != 1 {
			return 0
		}
		if k := plan.Recall(files[0], opt); k != nil && len(k.Changed) > 0 && k.Plan(opt) != nil {
			return 1
		}
		return 0
	}
	planned, rounds := 0, 16
	if testing.Short() {
		rounds = 8
	}
	alike("run", "layered", "--jobs", "1")
	for round := range rounds {
		if round == rounds/2 { // an input that is missing, and back again
			both(func(f folder) { os.Remove(filepath.Join(f.dir, "in/3")) })
			alike("status", "layered")
			alike("run", "layered")
			both(func(f folder) { f.write("in/3", "back\n") })
		}
		for range rng.IntN(3) + 1 {
			edit()
		}
		planned += inPart()
		switch rng.IntN(4) {
		case 0:
			alike("status", "layered", "--json")
		case 1:
			alike("why", "layered", fmt.Sprintf("b[n=%d]", rng.IntN(12)+1))
		}
		more := []string{"run", "layered", "--jobs", "1"}
		if rng.IntN(2) == 0 {
			more = append(more, "--overwrite")
		}
		alike(more...)
		names, err := filepath.Glob(filepath.Join(whole.dir, "[a-d]*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if info, err := os.Stat(name); err != nil || info.IsDir() {
				continue
			}
			got, _ := os.ReadFile(filepath.Join(part.dir, filepath.Base(name)))
			if want, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s is %q in part, and as a whole %q: %v", filepath.Base(name), got, want, err)
			}
		}
	}
	if planned < rounds/8 {
		t.Errorf("%d of %d runs were planned in part", planned, rounds)
	}
	t.Logf("%d of %d runs were planned in part", planned, rounds)
}
