package link

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"barograph/stages/result"
)

func card() *Card {
	return &Card{
		Schema: Schema, Machine: "h100", Device: "cuda", GPU: "NVIDIA H100 80GB HBM3", Day: "2026-11-28",
		Capacity: map[string]Estimate{"d2h": {55e9, 54.9e9, 55.1e9}},
		Ways: map[string]*Way{"d2h": {
			Turn:  Turn{Seen: true, UpTo: 5e6, Length: Estimate{1.0515e6, 1.051e6, 1.052e6}},
			Small: Small{Most: 1 << 20},
		}},
	}
}

// A card comes back from its file as it was, and one that cannot be right is refused.
func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h100.json")
	if err := card().Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil || !reflect.DeepEqual(got, card()) {
		t.Errorf("%+v, %v", got, err)
	}
	for want, spoil := range map[string]func(c *Card){
		"machine \"../h100\" is":   func(c *Card) { c.Machine = "../h100" },
		"machine \".\" is no name": func(c *Card) { c.Machine = "." },
		"day \"once\" is none":     func(c *Card) { c.Day = "once" },
		"up_to_ns is":              func(c *Card) { c.Ways["d2h"].Turn.UpTo = 1e12 },
		"length_ns is 1e+12":       func(c *Card) { c.Ways["d2h"].Turn.Length = Estimate{1e12, 1e12, 1e12} },
		"own_ns is":                func(c *Card) { c.Ways["d2h"].Turn.Own = Estimate{1e12, 1e12, 1e12} },
		"small path takes":         func(c *Card) { c.Ways["d2h"].Small.Idle = -2 },
		"copies of 0 bytes":        func(c *Card) { c.Ways["d2h"].Flight.Depths = []Depth{{1, 0, 5e9}} },
		"both ways' capacity":      func(c *Card) { c.Capacity["both"] = Estimate{0, 0, 0} },
		"schema 2":                 func(c *Card) { c.Schema = 2 },
		"names no machine":         func(c *Card) { c.Machine = "" },
		"no ways":                  func(c *Card) { c.Ways = nil },
		`way "up"`:                 func(c *Card) { c.Ways["up"] = c.Ways["d2h"] },
		"length_ns is 0":           func(c *Card) { c.Ways["d2h"].Turn.Length = Estimate{} },
		"capacity_bytes_per_s is":  func(c *Card) { c.Capacity["d2h"] = Estimate{1, 2, 3} },
	} {
		c := card()
		spoil(c)
		if err := result.Write(path, c); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for text, place := range map[string]string{"{": ":1:1", "{\n  \"schema\": \"one\"}": ":2:17", "{\n}\nmore": ":3:1"} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), path+place+": ") {
			t.Errorf("%q: %v, want its place, %s", text, err, place)
		}
	}
}
