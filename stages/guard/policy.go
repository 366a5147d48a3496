package guard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"barograph/pipeline/cell/unit"
	"barograph/pipeline/source"
)

// A Policy says how bulk copies are let onto a link. Its zero value is none. In a
// study it is a mapping, {window: {chunk: 2MiB, streams: 2}}, or the same as a text,
// window/2MiB/streams:2, which may be a value of an axis: the values of keys that it
// must have in their order, and others by their keys.
type Policy struct {
	Name string // none, chunks, window, rate, duty, loop or aside; empty is none
	Keys
}

// Keys are the parameters of policies. A policy takes some of them, and has
// defaults for those.
type Keys struct {
	Chunk    unit.Size     `json:"chunk,omitempty"`     // bytes of a copy; 0, where a policy allows it: the block that was asked for
	InFlight int           `json:"in_flight,omitempty"` // copies that each stream has submitted and not seen done, at most
	Streams  int           `json:"streams,omitempty"`   // of each process
	Ahead    int           `json:"ahead,omitempty"`     // copies that each stream has submitted beside those, which become ready one after the other
	Credit   int           `json:"credit,omitempty"`    // copies in flight of all processes together, at most; 0: each has its own
	Rate     *unit.Rate    `json:"rate,omitempty"`      // of all streams together
	On       unit.Duration `json:"on,omitempty"`        // in which copies may begin
	Off      unit.Duration `json:"off,omitempty"`       // in which none begins
	Target   unit.Duration `json:"target,omitempty"`    // that the victim's p99 is to stay below
	Dwell    unit.Duration `json:"dwell,omitempty"`     // over which the p99 is taken
	CoolDown unit.Duration `json:"cool_down,omitempty"` // after a step down, before a step up
	Lead     unit.Duration `json:"lead,omitempty"`      // before a victim's call is expected to end: the link is to be its outputs' from then on
	Inputs   unit.Duration `json:"inputs,omitempty"`    // after its beginning, until when the link is its inputs'
	Early    unit.Duration `json:"early,omitempty"`     // before its end: the link is to be the next call's inputs' from then on, lest a copy hold up its commands
	Sent     unit.Duration `json:"sent,omitempty"`      // after its beginning, when its inputs are sent: until then a copy may still be on the link
	Grow     int           `json:"grow,omitempty"`      // times as long as a victim's call goes on, for which a copy may hold up inputs that come late; 0: any time
	Most     unit.Duration `json:"most,omitempty"`      // for how long copies stay off the link at once
	Small    unit.Size     `json:"small,omitempty"`     // bytes of copies that go one at a time while a victim's call is about to end; 0: none do
}

// A kind is a policy's name with what it takes.
type kind struct {
	name     string
	doc      string
	takes    []string
	required []string
	defaults Keys
}

var kinds = []kind{
	{name: "none", doc: "every copy as it is asked for"},
	{name: "chunks", doc: "blocks divided, and all chunks of a block submitted at once: the negative control", takes: []string{"chunk"}, required: []string{"chunk"}},
	{
		name: "window", doc: "few streams, and in each a fixed number of chunks in flight", takes: []string{"chunk", "in_flight", "streams", "ahead", "credit"},
		required: []string{"chunk"}, defaults: Keys{InFlight: 1, Streams: 1},
	},
	{name: "rate", doc: "a token bucket for all streams", takes: []string{"rate", "chunk"}, required: []string{"rate"}},
	{
		name: "duty", doc: "copies begin for a while, and then for a while none does", takes: []string{"on", "off", "chunk", "streams"},
		required: []string{"on", "off", "chunk"}, defaults: Keys{InFlight: 1, Streams: 1},
	},
	{
		name: "loop", doc: "a window that narrows while the victim's p99 lies above a target, and then a rate",
		takes: []string{"target", "chunk", "streams", "dwell", "cool_down"}, required: []string{"target", "chunk"},
		defaults: Keys{InFlight: 1, Streams: 2, Dwell: unit.Duration(100 * time.Millisecond), CoolDown: unit.Duration(time.Second)},
	},
	{
		name: "aside", doc: "copies stay off the link while the copies of a victim want it, which tells of its calls",
		takes: []string{"chunk", "in_flight", "streams", "lead", "early", "inputs", "sent", "grow", "most", "small"}, required: []string{"chunk"},
		defaults: Keys{InFlight: 2, Streams: 1, Lead: unit.Duration(25 * time.Microsecond), Inputs: unit.Duration(30 * time.Microsecond), Most: unit.Duration(10 * time.Millisecond)},
	},
}

func names() []string {
	list := make([]string, len(kinds))
	for i, k := range kinds {
		list[i] = k.name
	}
	return list
}

// kind returns what the policy's name stands for.
func (p Policy) kind() *kind {
	for i := range kinds {
		if kinds[i].name == p.Name || p.Name == "" && kinds[i].name == "none" {
			return &kinds[i]
		}
	}
	return nil
}

// None tells whether the policy leaves copies as they are.
func (p Policy) None() bool { return p.Name == "" || p.Name == "none" }

// Loop tells whether the policy follows a victim's p99.
func (p Policy) Loop() bool { return p.Name == "loop" }

// Aside tells whether the policy follows a victim's calls.
func (p Policy) Aside() bool { return p.Name == "aside" }

// Calibrated tells whether the policy rests on the link's capacity.
func (p Policy) Calibrated() bool { return p.Loop() || p.Aside() || p.Rate != nil && p.Rate.Share > 0 }

// Parse reads a policy from its text, such as window/2MiB/streams:2.
func Parse(text string) (p Policy, err error) {
	name, rest, some := strings.Cut(text, "/")
	p.Name = name
	k := p.kind()
	if k == nil || name == "" || !some {
		return p, p.set(name, nil)
	}
	keys := map[string]json.RawMessage{}
	for i, word := range strings.Split(rest, "/") {
		key, value, named := strings.Cut(word, ":")
		switch {
		case named:
		case i < len(k.required):
			key, value = k.required[i], word
		default:
			return p, fmt.Errorf("policy %q: %q has no key: want key:value", text, word)
		}
		if _, twice := keys[key]; twice {
			return p, fmt.Errorf("policy %q: two values for %s", text, key)
		}
		if _, err := strconv.ParseInt(value, 10, 64); err != nil {
			value = strconv.Quote(value)
		} else if _, time := p.fields()[key].(*unit.Duration); time {
			return p, fmt.Errorf("policy %q: %s is %s without a unit: want a time such as %sus", text, key, value, value)
		}
		keys[key] = json.RawMessage(value)
	}
	return p, p.set(name, keys)
}

func unknown(name string) error {
	return fmt.Errorf("policy %q is not one of %s%s", name, strings.Join(names(), ", "), meant(name, names()))
}

// set fills a policy in and checks it.
func (p *Policy) set(name string, keys map[string]json.RawMessage) error {
	*p = Policy{Name: name}
	k := p.kind()
	if k == nil || name == "" {
		return unknown(name)
	}
	p.Keys = k.defaults
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !slices.Contains(k.takes, key) {
			if len(k.takes) == 0 {
				return fmt.Errorf("policy %s takes no %q", name, key)
			}
			return fmt.Errorf("policy %s takes %s, and no %q%s", name, strings.Join(k.takes, ", "), key, meant(key, k.takes))
		}
	}
	for _, key := range k.required {
		if _, ok := keys[key]; !ok {
			return fmt.Errorf("policy %s has no %s", name, key)
		}
	}
	fields := p.fields()
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		err := json.Unmarshal(keys[key], fields[key])
		if _, whole := fields[key].(*int); whole && err != nil {
			return fmt.Errorf("policy %s: %s is %s: want a whole number", name, key, bytes.Trim(keys[key], `"`))
		} else if err != nil {
			return fmt.Errorf("policy %s: %s: %w", name, key, err)
		}
	}
	return p.check(keys)
}

func meant(word string, known []string) string {
	if near := source.Nearest(word, known); near != "" {
		return fmt.Sprintf(": did you mean %q?", near)
	}
	return ""
}

// check reports values that a policy cannot have; given are the keys that were.
func (p *Policy) check(given map[string]json.RawMessage) error {
	fields := p.fields()
	for _, key := range slices.Sorted(maps.Keys(given)) {
		none := false
		switch f := fields[key].(type) {
		case *int:
			none = *f <= 0
		case *unit.Size:
			none = *f <= 0
		case *unit.Duration:
			none = *f <= 0
		}
		if none {
			return fmt.Errorf("policy %s: %s is %s: want more than 0", p.Name, key, written(fields[key]))
		}
	}
	const most, least, longest = 1024, 4 << 10, unit.Duration(time.Minute)
	switch {
	case p.Chunk > 0 && p.Chunk < least:
		return fmt.Errorf("policy %s: chunk is %v: want at least %v", p.Name, p.Chunk, unit.Size(least))
	case p.Small > 0 && (p.Small < least || p.Small > p.Chunk):
		return fmt.Errorf("policy %s: small is %v: want at least %v, and at most the chunk of %v", p.Name, p.Small, unit.Size(least), p.Chunk)
	case max(p.On, p.Off, p.Target, p.Dwell, p.CoolDown, p.Lead, p.Early, p.Inputs, p.Sent, p.Most) > longest:
		return fmt.Errorf("policy %s: a time of %v: want at most %v", p.Name, max(p.On, p.Off, p.Target, p.Dwell, p.CoolDown, p.Lead, p.Early, p.Inputs, p.Sent, p.Most), longest)
	case p.Rate != nil && *p.Rate == unit.Rate{}:
		return fmt.Errorf("policy %s: a rate of 0 lets nothing through: want a rate such as 10GB/s or 50%%", p.Name)
	case p.Sent > 0 && (p.Early > 0 || p.Sent > p.Inputs):
		return fmt.Errorf("policy %s: sent is %v with early %v and inputs %v: want no early, and inputs of as much at least", p.Name, p.Sent, p.Early, p.Inputs)
	case p.Grow > most:
		return fmt.Errorf("policy %s: grow is %d: want at most %d", p.Name, p.Grow, most)
	case p.Streams > most || p.InFlight > most || p.Ahead > most:
		return fmt.Errorf("policy %s: streams %d, in_flight %d, ahead %d: want at most %d", p.Name, p.Streams, p.InFlight, p.Ahead, most)
	case p.Credit > slots:
		return fmt.Errorf("policy %s: credit is %d: want at most %d", p.Name, p.Credit, slots)
	case p.InFlight > 1 && (p.Credit > 0 || p.Ahead > 0):
		return fmt.Errorf("policy %s: in_flight %d with credit or ahead: there each stream has one ready", p.Name, p.InFlight)
	case p.Credit > 0 && p.Ahead > 0:
		return fmt.Errorf("policy %s: credit with ahead: a copy that is queued ahead would hold a credit that others wait for", p.Name)
	}
	return nil
}

// String writes what [Parse] reads.
func (p Policy) String() string {
	if p.None() {
		return "none"
	}
	k := p.kind()
	if k == nil { // which Parse refuses
		return p.Name
	}
	words := []string{p.Name}
	values, usual := p.Keys.values(), k.defaults.values()
	for _, key := range k.required {
		words = append(words, values[key])
	}
	for _, key := range k.takes {
		if !slices.Contains(k.required, key) && values[key] != usual[key] {
			words = append(words, key+":"+values[key])
		}
	}
	return strings.Join(words, "/")
}

// fields are where each key's value is.
func (k *Keys) fields() map[string]any {
	return map[string]any{
		"chunk": &k.Chunk, "in_flight": &k.InFlight, "streams": &k.Streams, "ahead": &k.Ahead, "credit": &k.Credit, "rate": &k.Rate,
		"on": &k.On, "off": &k.Off, "target": &k.Target, "dwell": &k.Dwell, "cool_down": &k.CoolDown, "lead": &k.Lead,
		"inputs": &k.Inputs, "early": &k.Early, "sent": &k.Sent, "grow": &k.Grow, "most": &k.Most, "small": &k.Small,
	}
}

// values writes each key.
func (k Keys) values() map[string]string {
	values := map[string]string{}
	for key, f := range k.fields() {
		values[key] = written(f)
	}
	return values
}

// written is a field's value as a text has it.
func written(field any) string {
	switch f := field.(type) {
	case *int:
		return strconv.Itoa(*f)
	case *unit.Size:
		return strings.ReplaceAll(f.String(), " ", "")
	case *unit.Duration:
		return f.String()
	case **unit.Rate:
		if *f != nil {
			return strings.TrimSuffix((*f).String(), "/s")
		}
	}
	return ""
}

// UnmarshalJSON takes a text or an object with one key, the policy's name.
func (p *Policy) UnmarshalJSON(b []byte) (err error) {
	if !bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) {
		var text string
		if json.Unmarshal(b, &text) != nil {
			return fmt.Errorf("policy is %s: want one of %s, such as {window: {chunk: 2MiB, streams: 2}}", b, strings.Join(names(), ", "))
		}
		*p, err = Parse(text)
		return err
	}
	var by map[string]json.RawMessage
	if err := json.Unmarshal(b, &by); err != nil {
		return err
	}
	if len(by) != 1 {
		return fmt.Errorf("policy has %d names: want one of %s", len(by), strings.Join(names(), ", "))
	}
	for name, value := range by {
		var keys map[string]json.RawMessage
		if err := json.Unmarshal(value, &keys); err != nil {
			return fmt.Errorf("policy %s: want its keys, such as {window: {chunk: 2MiB, streams: 2}}", name)
		}
		return p.set(name, keys)
	}
	return nil
}

// MarshalJSON writes the policy's text, of which there is one for each policy.
func (p Policy) MarshalJSON() ([]byte, error) { return json.Marshal(p.String()) }

// JSONSchema describes the forms a policy is written in.
func (Policy) JSONSchema() map[string]any {
	// Beside a text, which may be an expression.
	types := map[string]string{}
	for key, f := range new(Keys).fields() {
		switch f.(type) {
		case *int:
			types[key] = "integer"
		case *unit.Size, **unit.Rate:
			types[key] = "number"
		}
	}
	forms := []any{map[string]any{"type": "string", "description": "a policy's name and its keys, as in window/2MiB/streams:2"}}
	for _, k := range kinds {
		keys := map[string]any{}
		for _, key := range k.takes {
			keys[key] = map[string]any{"type": []string{"string"}}
			if t, ok := types[key]; ok {
				keys[key] = map[string]any{"type": []string{t, "string"}}
			}
		}
		of := map[string]any{"type": "object", "properties": keys, "additionalProperties": false}
		if len(k.required) > 0 {
			of["required"] = k.required
		}
		forms = append(forms, map[string]any{
			"type": "object", "description": k.doc, "additionalProperties": false, "required": []string{k.name},
			"properties": map[string]any{k.name: of},
		})
	}
	return map[string]any{"anyOf": forms}
}
