package model

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"

	"barograph/pipeline/cell"

	"github.com/x448/float16"
)

// A naming says how a checkpoint calls what a graph calls otherwise.
type naming struct {
	// Names is tried in order; the first that matches a parameter and gives the
	// name of a tensor that the checkpoint holds counts. What none does so has its
	// own name.
	Names []struct {
		Here  pattern `yaml:"here"`
		There string  `yaml:"there"`
	} `yaml:"names,omitempty"`
	Ignore []pattern `yaml:"ignore,omitempty"` // tensors without a place in the graph
}

// A pattern is a regular expression for a whole name.
type pattern struct{ *regexp.Regexp }

func (p *pattern) UnmarshalText(text []byte) (err error) {
	p.Regexp, err = regexp.Compile("^(?:" + string(text) + ")$")
	return err
}

// A stored is a tensor of a file, in the safetensors format of
// https://github.com/huggingface/safetensors: a length of 8 bytes, a JSON object
// of that length, and the elements.
type stored struct {
	Type    string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"` // from the end of the header
}

// A checkpoint is an open file of trained weights.
type checkpoint struct {
	file    *os.File
	data    int64 // offset of the elements
	tensors map[string]stored
	names   map[string]string // parameter -> tensor
}

// maxHeader bounds a file's header, as the format does.
const maxHeader = 100_000_000

// floats lists the element types that a weight can be read from.
var floats = map[string]struct {
	size int64
	read func([]byte) float32
}{
	"F64":  {8, func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) }},
	"F32":  {4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }},
	"F16":  {2, func(b []byte) float32 { return float16.Frombits(binary.LittleEndian.Uint16(b)).Float32() }},
	"BF16": {2, func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) }},
}

// openCheckpoint reads a file's header and checks that all it names is there.
func openCheckpoint(path string) (c *checkpoint, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("read checkpoint %s: %w", path, err), f.Close())
		}
	}()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	tensors, data, err := readHeader(f, fi.Size())
	if err != nil {
		return nil, err
	}
	return &checkpoint{file: f, data: data, tensors: tensors}, nil
}

// readHeader returns the tensors of a file of a size, and where their elements
// begin.
func readHeader(r io.ReaderAt, size int64) (tensors map[string]stored, data int64, err error) {
	var length [8]byte
	if n, err := r.ReadAt(length[:], 0); n < len(length) {
		return nil, 0, fmt.Errorf("it is no safetensors file: %w", err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader || int64(n) > size-8 {
		return nil, 0, cell.Hint(fmt.Errorf("it is no safetensors file, or is cut short: its header would take %d of %d bytes", n, size),
			"a checkpoint of PyTorch (.bin, .pt) is converted with safetensors.torch.save_file")
	}
	header := make([]byte, n)
	if _, err := r.ReadAt(header, 8); err != nil && err != io.EOF {
		return nil, 0, err
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(header, &raw); err != nil {
		return nil, 0, fmt.Errorf("it is no safetensors file: its header: %w", err)
	}
	delete(raw, "__metadata__")
	tensors = map[string]stored{}
	for name, text := range raw {
		var t stored
		if err := json.Unmarshal(text, &t); err != nil {
			return nil, 0, fmt.Errorf("tensor %q: %w", name, err)
		}
		begin, end := t.Offsets[0], t.Offsets[1]
		switch f, known := floats[t.Type]; {
		case begin < 0 || end < begin:
			return nil, 0, fmt.Errorf("tensor %q lies at the impossible %v", name, t.Offsets)
		case end > size-8-int64(n):
			return nil, 0, fmt.Errorf("it is cut short: tensor %q ends at byte %d, and there are %d", name, 8+int64(n)+end, size)
		case known && !holds(t.Shape, f.size, end-begin):
			return nil, 0, fmt.Errorf("tensor %q of %s %v does not take %d bytes", name, t.Type, t.Shape, end-begin)
		}
		tensors[name] = t
	}
	return tensors, 8 + int64(n), nil
}

// holds tells whether elements of a shape and size take just so many bytes.
func holds(shape []int64, size, bytes int64) bool {
	n := bytes / size
	if bytes%size != 0 {
		return false
	}
	product := int64(1)
	for _, d := range shape {
		if d < 0 || d > 0 && product > n/d {
			return false
		}
		product *= d
	}
	return product == n
}

// fit finds each of a network's weights in the checkpoint. Whatever is missing,
// of another shape or type, or left over, is reported, all at once.
func (c *checkpoint) fit(n *network, by naming) error {
	info, err := n.Info()
	if err != nil {
		return err
	}
	c.names = map[string]string{}
	used := map[string]bool{}
	var faults []string
	for _, w := range info.Initialisers {
		name := by.find(w.Name, c.tensors)
		t, ok := c.tensors[name]
		want := slices.Clone(w.Dims)
		if n.transposed[w.Name] {
			slices.Reverse(want)
		}
		switch _, float := floats[t.Type]; {
		case !ok:
			faults = append(faults, fmt.Sprintf("missing %s %v", name, want))
		case !slices.Equal(t.Shape, want):
			faults = append(faults, fmt.Sprintf("%s is %v, not %v", name, t.Shape, want))
		case !float:
			faults = append(faults, fmt.Sprintf("%s is of type %s", name, t.Type))
		}
		c.names[w.Name], used[name] = name, true
	}
	for _, name := range slices.Sorted(maps.Keys(c.tensors)) {
		if !used[name] && !slices.ContainsFunc(by.Ignore, func(p pattern) bool { return p.MatchString(name) }) {
			faults = append(faults, fmt.Sprintf("%s %v has no place in the model", name, c.tensors[name].Shape))
		}
	}
	if len(faults) > 0 {
		return cell.Hint(fmt.Errorf("checkpoint %s does not fit:\n  %s", c.file.Name(), strings.Join(faults, "\n  ")),
			"the model's sizes belong to another checkpoint, or its names do: map them under checkpoint: in the model's configuration")
	}
	return nil
}

// find returns the name that a checkpoint has for a parameter.
func (by naming) find(parameter string, tensors map[string]stored) string {
	name := parameter
	for _, rule := range by.Names {
		if !rule.Here.MatchString(parameter) {
			continue
		}
		there := rule.Here.ReplaceAllString(parameter, rule.There)
		if _, ok := tensors[there]; ok {
			return there
		}
		if name == parameter {
			name = there // to ask for, if nothing has it
		}
	}
	if _, ok := tensors[parameter]; ok {
		return parameter
	}
	return name
}

// source writes a parameter's elements as float32. One matrix at most is in memory.
func (c *checkpoint) source(parameter string, transposed bool) func(io.Writer) error {
	return func(w io.Writer) error {
		t := c.tensors[c.names[parameter]]
		float := floats[t.Type]
		r := bufio.NewReaderSize(io.NewSectionReader(c.file, c.data+t.Offsets[0], t.Offsets[1]-t.Offsets[0]), 256<<10)
		in, out := make([]byte, float.size), make([]byte, 4)
		put := func(x float32) error {
			binary.LittleEndian.PutUint32(out, math.Float32bits(x))
			_, err := w.Write(out)
			return err
		}
		var matrix []float32
		for range (t.Offsets[1] - t.Offsets[0]) / float.size {
			if _, err := io.ReadFull(r, in); err != nil {
				return err
			}
			x := float.read(in)
			if transposed {
				matrix = append(matrix, x)
			} else if err := put(x); err != nil {
				return err
			}
		}
		if transposed {
			rows, columns := t.Shape[0], t.Shape[1]
			for j := range columns {
				for i := range rows {
					if err := put(matrix[i*columns+j]); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}
}

// withWeights returns the model with the weights of a checkpoint in place of the
// seed's, and what to close once it is built.
func (c *Config) withWeights(path string) (*Config, io.Closer, error) {
	if c.arch == nil {
		return nil, nil, fmt.Errorf("build model %q: it is a file already", c.Name)
	}
	sum, err := digest(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open checkpoint: %w", err)
	}
	from, err := openCheckpoint(path)
	if err != nil {
		return nil, nil, err
	}
	if err := from.fit(c.arch.build(weights{}), c.naming); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("build model %q: %w", c.Name, err), from.file.Close())
	}
	trained := *c
	trained.checkpoint = from
	h := sha256.Sum256([]byte(c.digest + " " + sum))
	trained.digest = hex.EncodeToString(h[:])
	return &trained, from.file, nil
}
