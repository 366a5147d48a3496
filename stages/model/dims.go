package model

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/source"
	"barograph/stages/model/input"
	"barograph/stages/model/onnx"

	"gopkg.in/yaml.v3"
)

// Generate draws the inputs of one call, by name. dims gives symbolic dimensions
// their values; it must name them all and no others. Inputs with the same name,
// shape and seed are the same.
func Generate(c *Config, dims map[string]int64, seed uint64) (map[string]input.Tensor, error) {
	if err := c.CheckDims(dims); err != nil {
		return nil, err
	}
	tensors := map[string]input.Tensor{}
	for _, in := range c.Inputs {
		t, err := in.Draw(dims, seed)
		if err != nil {
			return nil, fmt.Errorf("model %q: input %q: %w", c.Name, in.Name, err)
		}
		tensors[in.Name] = t
	}
	return tensors, nil
}

// Dims returns the names of the model's symbolic dimensions, in the order of its
// inputs, each with its largest value, or 0 where none is known.
func (c *Config) Dims() (names []string, limits map[string]int64) {
	limits = map[string]int64{}
	for _, in := range c.Inputs {
		for _, d := range append(slices.Clone(in.Dims), in.Values.Length) {
			for _, t := range onnx.Terms(d) {
				if t != "" && !isSize(t) && !slices.Contains(names, t) {
					names = append(names, t)
				}
			}
		}
	}
	if c.arch != nil {
		limits = c.arch.Limits()
	}
	return names, limits
}

// Sizes gives symbolic dimensions their values: batch and sequence, which a model
// need not have, beside others. CheckDims names those without a value.
func (c *Config) Sizes(batch, sequence int, others map[string]int64) map[string]int64 {
	sizes := map[string]int64{}
	maps.Copy(sizes, others)
	names, _ := c.Dims()
	for name, n := range map[string]int{"batch": batch, "sequence": sequence} {
		if _, ok := sizes[name]; !ok && slices.Contains(names, name) {
			sizes[name] = int64(n)
		}
	}
	return sizes
}

// CheckDims tells whether dims gives every symbolic dimension a value that the
// model takes, and no other a value.
func (c *Config) CheckDims(dims map[string]int64) error {
	names, limits := c.Dims()
	for _, d := range slices.Sorted(maps.Keys(dims)) {
		if !slices.Contains(names, d) {
			return cell.Hint(fmt.Errorf("model %q has no dimension %q", c.Name, d), "%s", source.Suggest(d, names))
		}
	}
	var missing []string
	for _, d := range names {
		size, ok := dims[d]
		limit := limits[d]
		switch {
		case !ok:
			missing = append(missing, d)
		case size < 1 && c.arch != nil:
			return fmt.Errorf("model %q: dimension %q is %d, not at least 1", c.Name, d, size)
		case size < 0: // a cache may begin empty
			return fmt.Errorf("model %q: dimension %q is %d, not at least 0", c.Name, d, size)
		case limit > 0 && size > limit:
			return fmt.Errorf("model %q: dimension %q is %d, and it takes at most %d", c.Name, d, size, limit)
		}
	}
	for sum, limit := range limits {
		if shape, err := onnx.Resolve([]string{sum}, dims); err == nil && shape[0] > limit {
			return fmt.Errorf("model %q: %s is %d, and it takes at most %d", c.Name, sum, shape[0], limit)
		}
	}
	if len(missing) > 0 {
		all, guess := c.GuessDims(), map[string]int64{}
		for _, d := range missing {
			guess[d] = max(1, all[d])
		}
		sizes, err := Flow(guess)
		if err != nil {
			return err
		}
		return &MissingError{
			cell.Hint(fmt.Errorf("model %q: no value for the dimension %s", c.Name, quoted(missing)),
				"say, beside model: dims: %s, with the sizes that you mean", sizes), guess}
	}
	for _, in := range c.Inputs {
		if _, err := in.Elements(dims); err != nil {
			return fmt.Errorf("model %q: input %q: %w", c.Name, in.Name, err)
		}
	}
	return nil
}

// A MissingError names dimensions without a value, and sizes to try.
type MissingError struct {
	error
	Guess map[string]int64
}

func (e *MissingError) Unwrap() error { return e.error }

// Flow writes a value as YAML on one line.
func Flow(v any) (string, error) {
	b, err := json.Marshal(v) // whose tags leave out what is not set; JSON is YAML
	if err != nil {
		return "", err
	}
	var n yaml.Node
	if err := yaml.Unmarshal(b, &n); err != nil {
		return "", err
	}
	plain(&n)
	b, err = yaml.Marshal(&n)
	return strings.TrimSpace(string(b)), err
}

// plain takes quotation marks off that JSON asks for and YAML does not.
func plain(n *yaml.Node) {
	n.Style &^= yaml.DoubleQuotedStyle
	for _, child := range n.Content {
		plain(child)
	}
}

// GuessDims gives dimensions other than batch and sequence, which have sizes by
// default, sizes to try a model with: images of 224 by 224, texts of 64 tokens,
// and 1 of all else.
func (c *Config) GuessDims() map[string]int64 {
	guess := map[string]int64{}
	names, _ := c.Dims()
	for _, n := range names {
		switch low := strings.ToLower(n); {
		case n == "batch" || n == "sequence":
		case strings.Contains(low, "height") || strings.Contains(low, "width") || low == "h" || low == "w" || c.spatial(n):
			guess[n] = 224
		case strings.Contains(low, "total"): // of a cache and what is new
			guess[n] = 128
		case strings.Contains(low, "seq") || strings.Contains(low, "len") || strings.Contains(low, "past"):
			guess[n] = 64
		default:
			guess[n] = 1
		}
	}
	return guess
}

// spatial tells whether a dimension is a height or width of an image, of 1 or 3
// channels that stand before or after them.
func (c *Config) spatial(dim string) bool {
	for _, in := range c.Inputs {
		i := slices.Index(in.Dims, dim)
		channels := func(at int) bool { return in.Dims[at] == "1" || in.Dims[at] == "3" }
		if len(in.Dims) == 4 && (i >= 2 && channels(1) || (i == 1 || i == 2) && channels(3)) {
			return true
		}
	}
	return false
}

func quoted(names []string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = strconv.Quote(n)
	}
	return strings.Join(q, ", ")
}

// Traffic returns how many bytes the inputs and the outputs of one call take,
// which cross the link when the model runs beyond one. The outputs' is -1 where
// the file does not say how large they are.
func (c *Config) Traffic(info *Info, dims map[string]int64) (in, out int64, err error) {
	ins, outs, err := c.Transfers(info, dims)
	for _, n := range ins {
		in += n
	}
	for _, n := range outs {
		out += n
	}
	if outs == nil && err == nil {
		out = -1
	}
	return in, out, err
}

// Transfers returns the bytes of each input and of each output of one call; no
// outputs where the file does not say how large they are.
func (c *Config) Transfers(info *Info, dims map[string]int64) (in, out []int64, err error) {
	if err := c.CheckDims(dims); err != nil {
		return nil, nil, err
	}
	for _, i := range c.Inputs {
		t, _ := onnx.ParseType(i.Type)
		n, err := size(t, i.Dims, dims)
		if err != nil {
			return nil, nil, fmt.Errorf("model %q: input %q: %w", c.Name, i.Name, err)
		}
		in = append(in, n)
	}
	for _, o := range info.Outputs {
		n, err := size(o.Type, o.Dims, dims)
		if err != nil {
			return in, nil, nil // known once it has run
		}
		out = append(out, n)
	}
	return in, out, nil
}

// size returns how many bytes a tensor takes.
func size(t onnx.Type, dims []string, values map[string]int64) (int64, error) {
	shape, err := onnx.Resolve(dims, values)
	if err != nil {
		return 0, err
	}
	tensor := onnx.Tensor{Dims: shape}
	n, ok := tensor.Elements()
	size, fixed := t.Bytes(n)
	if !ok || !fixed {
		return 0, fmt.Errorf("%v %v has no fixed size", t, shape)
	}
	return size, nil
}
