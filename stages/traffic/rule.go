package traffic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
)

// A Rule says how requests wait, and which of them are dropped.
type Rule struct {
	Deadline unit.Duration `json:"deadline,omitempty" doc:"how long after it was due a request has to be answered, such as 33ms; whoever is answered later missed it"`
	Queue    int           `json:"queue,omitempty" min:"0" max:"10000000" doc:"requests that may wait; 0: any number"`
	Drop     string        `json:"drop,omitempty" enum:"newest,oldest,late" doc:"which is dropped: of a full queue the newest (default) or the oldest, or late: whoever's deadline has passed when its turn comes. A dropped request is a missed one"`
	Workers  int           `json:"workers,omitempty" min:"0" max:"64" doc:"sessions of the model that answer at the same time, each with its own weights; default 1"`
}

// A Batch is how many samples a call has: a number, or {max: 8, wait: 2ms}, which
// gathers requests of one sample each.
type Batch struct {
	Size int           // of every call
	Max  int           // requests that are gathered into a call; 0: none is
	Wait unit.Duration // for how long the first of them waits for others, at most
}

func (b Batch) most() int { return max(1, b.Max) }

// Samples returns how many samples a call has at most.
func (b Batch) Samples() int { return max(b.Size, b.Max) }

type gathered struct {
	Max  int           `json:"max"`
	Wait unit.Duration `json:"wait,omitempty"`
}

// UnmarshalJSON takes a number, or an object.
func (b *Batch) UnmarshalJSON(text []byte) error {
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		*b = Batch{}
		if json.Unmarshal(text, &b.Size) != nil {
			return fmt.Errorf("batch is %s: want a whole number, or {max: 8, wait: 2ms}", text)
		}
		return nil
	}
	var g gathered
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&g); err != nil {
		return fmt.Errorf("batch takes max and wait: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	*b = Batch{1, g.Max, g.Wait}
	if g.Max < 1 || g.Max > 1024 || g.Wait < 0 {
		return fmt.Errorf("batch has max %d and wait %v: want 1 to 1024, and a time from 0", g.Max, g.Wait)
	}
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (b Batch) MarshalJSON() ([]byte, error) {
	if b.Max > 0 {
		return json.Marshal(gathered{b.Max, b.Wait})
	}
	return json.Marshal(b.Size)
}

// JSONSchema describes the forms a Batch is written in.
func (Batch) JSONSchema() map[string]any {
	return map[string]any{"anyOf": []any{
		map[string]any{"type": "integer", "minimum": 1},
		map[string]any{
			"type": "object", "required": []string{"max"}, "additionalProperties": false,
			"properties": map[string]any{
				"max":  map[string]any{"type": "integer", "minimum": 1, "maximum": 1024, "description": "requests that are gathered into a call"},
				"wait": map[string]any{"type": []string{"number", "string"}, "description": "for how long the first of them waits for others, such as 2ms"},
			},
		},
	}}
}

// Check reports what is wrong with a rule for arrivals; closed ones never wait.
func (r *Rule) Check(arrivals string, b Batch) error {
	for _, f := range []struct {
		key   string
		given bool
		value any
	}{
		{"deadline", r.Deadline != 0, r.Deadline}, {"queue", r.Queue != 0, r.Queue}, {"drop", r.Drop != "", r.Drop},
		{"workers", r.Workers > 1, r.Workers}, {"batch", b.Max > 0, fmt.Sprintf("of at most %d", b.Max)},
	} {
		if f.given && arrivals == "closed" {
			return cell.Hint(fmt.Errorf("%s %v with arrivals closed: a call is due once the one before is complete, and none waits", f.key, f.value), "set arrivals: poisson and rate: calls a second, or another of its kind")
		}
	}
	switch {
	case r.Deadline < 0:
		return fmt.Errorf("deadline is %v: want more than 0", r.Deadline)
	case r.Queue < 0 || r.Workers < 0:
		return fmt.Errorf("queue is %d and workers %d: want at least 0", r.Queue, r.Workers)
	case r.Drop != "" && r.Drop != "newest" && r.Drop != "oldest" && r.Drop != "late":
		return cell.Hint(fmt.Errorf("drop %q", r.Drop), "there are newest, oldest and late")
	case r.Drop == "late" && r.Deadline == 0:
		return cell.Hint(fmt.Errorf("drop late without a deadline: none is ever late"), "give deadline: a time such as 33ms")
	case r.Drop != "" && r.Drop != "late" && r.Queue == 0:
		return cell.Hint(fmt.Errorf("drop %s of a queue without a bound: it is never full", r.Drop), "give queue: the number of requests that may wait")
	case r.Queue > 0 && r.Queue < b.Max:
		return cell.Hint(fmt.Errorf("batch of at most %d, and a queue of %d: such a batch never gathers", b.Max, r.Queue), "set queue: %d or more", b.Max)
	case r.Deadline > 0 && b.Wait >= r.Deadline:
		return fmt.Errorf("batch waits for %v, and the deadline is %v: the first of each would be late", b.Wait, r.Deadline)
	}
	return nil
}
