package stat_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"barograph/pipeline/store/stat"
)

// What a cache knows of many files is what it was told last, also when it has been
// written and read again.
func TestCache(t *testing.T) {
	const root = "/w"
	file := filepath.Join(t.TempDir(), "stats")
	rng := rand.New(rand.NewPCG(1, 2))
	type known struct {
		at     stat.Observation
		digest string
	}
	want := map[string]known{}
	var c stat.Cache
	c.Load(file, root)
	seen := time.Unix(1000, 0)
	check := func(when string) {
		t.Helper()
		for path, k := range want {
			if digest, ok := c.Lookup(path, k.at); ok != (k.digest != "") || digest != k.digest {
				t.Fatalf("%s: %s is %q, %v, want %q", when, path, digest, ok, k.digest)
			}
		}
		if _, ok := c.Get("/w/never"); ok {
			t.Errorf("%s: a file is known that nobody told of", when)
		}
	}
	for round := range 4 {
		for range 30_000 {
			n := rng.IntN(40_000)
			path := fmt.Sprintf("/w/%d/%d", n%7, n)
			if n%5 == 0 {
				path = fmt.Sprintf("/elsewhere/%d", n)
			}
			if rng.IntN(4) == 0 {
				c.Forget(path)
				want[path] = known{}
				continue
			}
			sum := sha256.Sum256([]byte(fmt.Sprint(path, round)))
			k := known{stat.Observation{rng.Int64(), int64(round), 2, 3}, hex.EncodeToString(sum[:])}
			c.Remember(path, k.at, k.digest, seen)
			want[path] = k
		}
		check("told")
		if err := c.Save(file); err != nil {
			t.Fatal(err)
		}
		c = stat.Cache{}
		c.Load(file, root)
		check("read")
	}
	c.Prune(func(path string) bool { return path < "/w" })
	for path, k := range want {
		if _, ok := c.Get(path); ok != (k.digest != "" && path < "/w") {
			t.Fatalf("pruned: %s is known: %v", path, ok)
		}
	}
}
