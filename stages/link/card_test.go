package link

import (
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"barograph/pipeline/cell/filetest"
	"barograph/stages/result"
)

func card() *Card {
	return &Card{
		Schema: Schema, Machine: "h100", Device: "cuda", GPU: "NVIDIA H100 80GB HBM3", Day: "2026-11-28",
		Capacity: map[string]Estimate{"d2h": {55e9, 54.9e9, 55.1e9}},
		Ways: map[string]*Way{"d2h": {
			Turn:   Turn{Seen: true, UpTo: 5e6, Length: Estimate{1.0515e6, 1.051e6, 1.052e6}, Loads: []Loads{}, Steps: []Step{{Bytes: smallCopy, P10: 1e6, P50: 1e6, P90: 1e6}}},
			Small:  Small{Most: 1 << 20, Sizes: []Size{{Bytes: 1 << 20, P50: 1e6, P90: 1e6}}},
			Flight: Flight{Depths: []Depth{{1, 4 << 20, 45e9}}, One: []One{}},
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
		"machine \"../h100\" is":                      func(c *Card) { c.Machine = "../h100" },
		"machine \".\" is no name":                    func(c *Card) { c.Machine = "." },
		"day \"once\" is none":                        func(c *Card) { c.Day = "once" },
		"up_to_ns is":                                 func(c *Card) { c.Ways["d2h"].Turn.UpTo = 1e12 },
		"length_ns is 1e+12":                          func(c *Card) { c.Ways["d2h"].Turn.Length = Estimate{1e12, 1e12, 1e12} },
		"own_ns is":                                   func(c *Card) { c.Ways["d2h"].Turn.Own = Estimate{1e12, 1e12, 1e12} },
		"small path takes":                            func(c *Card) { c.Ways["d2h"].Small.Idle = -2 },
		"took_ns is -1, which no":                     func(c *Card) { c.Took = -1 },
		"link_width is -16":                           func(c *Card) { c.Width = -16 },
		"p50_ns is -1, which no":                      func(c *Card) { c.Ways["d2h"].Turn.Steps[0].P50 = -1 },
		"p50_ns is 900000, less than":                 func(c *Card) { c.Ways["d2h"].Turn.Steps[0].P50 = 9e5 },
		"p90_ns is 1000000000000000000, which":        func(c *Card) { c.Ways["d2h"].Small.Sizes[0].P90 = 1e18 },
		"alone_ns is -1":                              func(c *Card) { c.Ways["d2h"].Turn.Kernel.Alone = -1 },
		"behind_ns is -1":                             func(c *Card) { c.Ways["d2h"].Alone.Behind = -1 },
		"saturate is -1":                              func(c *Card) { c.Ways["d2h"].Flight.Saturate = -1 },
		"bytes_per_s is -1, which no":                 func(c *Card) { c.Ways["d2h"].Flight.One = []One{{Bandwidth: -1}} },
		"each_bytes_per_s is 1000000000000000, which": func(c *Card) { c.Ways["d2h"].Turn.Loads = []Loads{{Each: 1e15}} },
		"copies of 0 bytes":                           func(c *Card) { c.Ways["d2h"].Flight.Depths = []Depth{{1, 0, 5e9}} },
		"both ways' capacity":                         func(c *Card) { c.Capacity["both"] = Estimate{0, 0, 0} },
		`missing key "both"`:                          func(c *Card) { c.Ways["h2d"], c.Capacity["h2d"] = c.Ways["d2h"], c.Capacity["d2h"] },
		`missing key "h2d"`:                           func(c *Card) { c.Ways["h2d"] = c.Ways["d2h"] },
		"schema 2":                                    func(c *Card) { c.Schema = 2 },
		"names no machine":                            func(c *Card) { c.Machine = "" },
		"a turn was seen":                             func(c *Card) { c.Ways["d2h"].Turn.Steps = []Step{} },
		"length_ns is 1.0515e+06":                     func(c *Card) { c.Ways["d2h"].Turn.Seen = false },
		"depths are empty":                            func(c *Card) { c.Ways["d2h"].Flight.Depths = []Depth{} },
		"by sizes each of 64 KiB":                     func(c *Card) { c.Ways["d2h"].Small.Idle = -1 },
		"d2h is null":                                 func(c *Card) { c.Ways["d2h"] = nil },
		"no ways":                                     func(c *Card) { c.Ways = map[string]*Way{} },
		`way "up"`:                                    func(c *Card) { c.Ways["up"] = c.Ways["d2h"] },
		"length_ns is 0":                              func(c *Card) { c.Ways["d2h"].Turn.Length = Estimate{} },
		"capacity_bytes_per_s is":                     func(c *Card) { c.Capacity["d2h"] = Estimate{1, 2, 3} },
	} {
		c := card()
		spoil(c)
		if err := result.Write(path, c); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), want) || !placed.MatchString(err.Error()) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for text, place := range map[string]string{"{": ":1:1", "{\n  \"schema\": \"one\"}": ":2:17", "{\n}\nmore": ":3:1"} {
		filetest.Write(t, path, text)
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), path+place+": ") {
			t.Errorf("%q: %v, want its place, %s", text, err, place)
		}
	}
}

// The cards that come with the workspace are read.
func TestReadKept(t *testing.T) {
	kept, err := filepath.Glob("../../data/link/*.json")
	if err != nil || len(kept) < 4 {
		t.Fatalf("%v, %v", kept, err)
	}
	for _, path := range kept {
		if _, err := Read(path); err != nil {
			t.Error(err)
		}
	}
}

// A CPU makes every copy by one path, so that a card of it has one way and writes -1 of
// small copies, whether or not a turn was seen.
func TestReadHost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "host.json")
	for _, seen := range []bool{false, true} {
		c := card()
		c.Device, c.Machine = "host", "host"
		w := c.Ways["d2h"]
		if w.Small.Idle, w.Small.Behind = -1, -1; !seen {
			w.Turn.Seen, w.Turn.Length = false, Estimate{}
		}
		if err := c.Write(path); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err != nil {
			t.Errorf("a turn seen: %v: %v", seen, err)
		}
	}
}

// placed is an error of a card that says where it lies.
var placed = regexp.MustCompile(`h100\.json:\d+:\d+: `)

// No measurement is read as 0 since it is not there: a card that lacks any key of those
// that are written, has none of its value, or one twice, is refused at its place.
func TestReadWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h100.json")
	if err := card().Write(path); err != nil {
		t.Fatal(err)
	}
	text := filetest.Read(t, path)
	for _, tt := range []struct{ old, new, want string }{
		{`"behind_bytes": 0,`, ``, `:\d+:21: missing key "behind_bytes" in small_path`},
		{`"behind_bytes": 0,`, `"behind_bytes": null,`, `:\d+:25: behind_bytes is null`},
		{`"behind_bytes": 0,`, `"behind_bytes": 0, "behind_bytes": 9,`, `:\d+:28: key "behind_bytes" appears twice`},
		{`"behind_bytes": 0,`, `"behind_bytes": 0, "Behind_Bytes": 9,`, `:\d+:28: unknown key "Behind_Bytes"`},
		{`"small_path": {`, `"path": {`, `:\d+:\d+: unknown key "path" in d2h`},
		{`"turn": {`, `"turn": null, "was": {`, `:\d+:21: unknown key "was" in d2h`},
		{`"low": 1051000,`, ``, `:\d+:22: missing key "low" in length_ns`},
		{`"mps": false,`, `"mps": false, "mpss": 1,`, `:\d+:17: unknown key "mpss" in the card`},
		{`"environment": {`, `"environment": {"later": 1,`, ``},
		{`"schema": 1,`, `"schema": 2, "later": 1,`, `:2:13: schema 2`},
		{`"mps": false,`, ``, `:1:1: missing key "mps" in the card`},
		{`"d2h": {
      "turn": {`, `"d2h": {}, "none": {
      "turn": {`, `:\d+:12: missing key "turn" in d2h`},
	} {
		spoilt := strings.Replace(string(text), tt.old, tt.new, 1)
		if spoilt == string(text) {
			t.Fatalf("no %s in %s", tt.old, text)
		}
		filetest.Write(t, path, spoilt)
		if _, err := Read(path); tt.want == "" && err != nil || tt.want != "" && (err == nil || !regexp.MustCompile(`h100\.json`+tt.want).MatchString(err.Error())) {
			t.Errorf("%s for %s: %v, want %s", tt.new, tt.old, err, tt.want)
		}
	}
}
