package cluster

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cluster/agent"
	"barograph/pipeline/cluster/file"
	"barograph/pipeline/engine"
	"barograph/pipeline/store"
)

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
		var p agent.Pack
		if cell.ReadJSON(filepath.Join(a.dir, agent.PackFile(index, 0)), &p) != nil {
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
