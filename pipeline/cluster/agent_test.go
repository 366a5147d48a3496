package cluster

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cluster/file"
	"barograph/pipeline/engine"
	"barograph/pipeline/store"
)

// A job that is done takes the next pack as soon as it is there, and waits no longer than
// anybody may give it one.
func TestNext(t *testing.T) {
	w := &worker{dir: t.TempDir(), token: token{index: 3}, pack: &pack{}}
	time.AfterFunc(50*time.Millisecond, func() {
		if err := writeWhole(filepath.Join(w.dir, "3.1.json"), pack{Tasks: []*engine.Task{{ID: "more"}}}); err != nil {
			t.Error(err)
		}
	})
	if !w.next(t.Context(), 1, linger) || len(w.Tasks) != 1 || w.Tasks[0].ID != "more" {
		t.Errorf("took %v", w.Tasks)
	}
	begun := time.Now()
	ended, end := context.WithCancel(t.Context())
	end()
	if w.next(ended, 2, linger) {
		t.Error("a job that is to end took a pack")
	}
	if err := os.WriteFile(filepath.Join(w.dir, overFile), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if w.next(t.Context(), 2, linger) || time.Since(begun) > linger/2 {
		t.Errorf("waited %v for a run that is over", time.Since(begun))
	}
}

// While a pack of the array has not begun, a job makes room for it.
func TestAllBegun(t *testing.T) {
	w := &worker{dir: t.TempDir(), pack: &pack{Of: 2}}
	if err := os.Mkdir(filepath.Join(w.dir, "attempts"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		attempt token
		all     bool
	}{{token{0, "7", 0}, false}, {token{0, "7", 1}, false}, {token{1, "7", 0}, true}} {
		if err := os.WriteFile(filepath.Join(w.dir, "attempts", tt.attempt.file()), nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if got := w.allBegun(); got != tt.all {
			t.Errorf("after attempt %s: %v", tt.attempt, got)
		}
	}
}

// What a job ended without taking is submitted, and what it took is not.
func TestRegain(t *testing.T) {
	given := func(key string, pack int) *order {
		return &order{task: &engine.Task{Members: []engine.Member{{Key: key}}}, pack: pack}
	}
	p := &packed{orders: map[string]*order{"a": given("a", 0), "b": given("b", 1), "c": given("c", 2)}}
	d := &Driver{packs: map[string]*packed{"a": p, "b": p, "c": p}}
	d.regain(p, 2)
	if len(d.waiting) != 1 || d.waiting[0].key() != "c" || len(p.orders) != 2 || d.packs["c"] != nil || d.packs["b"] != p {
		t.Errorf("waiting %v, left %v", d.waiting, p.orders)
	}
}

// A job that queues before its pack is written is to do what was ordered until then. What
// comes later is submitted, and a driver that comes after a killed one writes the pack.
func TestOpenPack(t *testing.T) {
	kinds := cell.Kinds{"command": {Name: "command"}}
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	dir := t.TempDir()
	driver := func() *Driver {
		c := &Cluster{File: &file.File{Pack: 2, Jobs: 1}, dir: dir, home: dir}
		return &Driver{Cluster: c, kinds: kinds, store: s, arrays: map[string]*array{}, packs: map[string]*packed{}}
	}
	order := func(key string) *order {
		return &order{task: &engine.Task{ID: key, Members: []engine.Member{{Key: key, Spec: &cell.Spec{Kind: "command"}}}}}
	}
	d := driver()
	a, err := d.ask(class{}, [][]string{{"aa", "bb"}, {"cc"}})
	if err != nil {
		t.Fatal(err)
	}
	read := func(index int) (ids string) {
		var p pack
		if cell.ReadJSON(filepath.Join(a.dir, follow(index, 0)), &p) != nil {
			return "none"
		}
		for _, t := range p.Tasks {
			ids += t.ID
		}
		return ids
	}
	if d.take(order("bb")) || d.take(order("cc")) || read(0) != "none" || read(1) != "cc" {
		t.Errorf("before all were ordered: %s, %s", read(0), read(1))
	}
	d = driver() // the first was killed
	if err := d.find(); err != nil || d.take(order("bb")) {
		t.Error("what was asked for is not known: ", err)
	}
	if d.fillAll(); read(0) != "bb" || !d.take(order("aa")) || d.take(order("bb")) {
		t.Errorf("filled with %s", read(0))
	}
}

// A program that is built anew lies beside the one that jobs still run; one that is as it
// was is not read again.
func TestInstall(t *testing.T) {
	root := t.TempDir()
	c := &Cluster{dir: filepath.Join(root, "on"), Root: root}
	program := filepath.Join(root, "program")
	install := func(text string) string {
		t.Helper()
		if text != "" {
			if err := os.WriteFile(program+"~", []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(program+"~", program); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond) // what has just changed may again
		}
		there, err := c.Install(program)
		if err != nil {
			t.Fatal(err)
		}
		return there
	}
	first := install("one")
	if again := install(""); again != first {
		t.Errorf("the same program lies at %s and %s", first, again)
	}
	second := install("two")
	a, e1 := os.ReadFile(first)
	b, e2 := os.ReadFile(second)
	if e1 != nil || e2 != nil || string(a) != "one" || string(b) != "two" {
		t.Errorf("%q %v, %q %v", a, e1, b, e2)
	}
}
