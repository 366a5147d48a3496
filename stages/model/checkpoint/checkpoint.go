// Package checkpoint reads trained weights from files in the safetensors format.
package checkpoint

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/stages/model/network"
	"barograph/stages/model/onnx"

	"github.com/x448/float16"
)

// A Naming says how a checkpoint calls what a graph calls otherwise.
type Naming struct {
	// Names is tried in order; the first that matches a parameter and gives the
	// name of a tensor that the checkpoint holds counts. What none does so has its
	// own name.
	Names []struct {
		Here  Pattern `json:"here" required:"true"`
		There string  `json:"there" required:"true"`
	} `json:"names"`
	Ignore []Pattern `json:"ignore"` // tensors without a place in the graph
}

// A Pattern is a regular expression for a whole name.
type Pattern struct{ *regexp.Regexp }

func (p *Pattern) UnmarshalText(text []byte) (err error) {
	p.Regexp, err = regexp.Compile("^(?:" + string(text) + ")$")
	return err
}

// A tensor is one of a file, in the safetensors format of
// https://github.com/huggingface/safetensors: a length of 8 bytes, a JSON object
// of that length, and the elements.
type tensor struct {
	Type    string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"` // from the end of the header

	file *os.File
	data int64 // offset of the file's elements
}

// A Checkpoint is open files of trained weights.
type Checkpoint struct {
	path    string // of the file, or of the index of several
	files   []*os.File
	tensors map[string]tensor
	names   map[string]string // parameter -> tensor
}

// Files returns the paths of all files.
func (c *Checkpoint) Files() []string {
	var paths []string
	for _, f := range c.files {
		paths = append(paths, f.Name())
	}
	return paths
}

// Close closes all files.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
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

// Open reads headers and checks that all they name is there. A path that
// ends in .index.json is of a checkpoint in several files.
func Open(path string) (c *Checkpoint, err error) {
	c = &Checkpoint{path: path, tensors: map[string]tensor{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
			c = nil
		}
	}()
	shards, index := []string{path}, map[string]string(nil)
	if strings.HasSuffix(path, indexSuffix) {
		if shards, index, err = readIndex(path); err != nil {
			return c, fmt.Errorf("read checkpoint %s: %w", path, err)
		}
	}
	for _, shard := range shards {
		if err := c.add(shard); err != nil {
			return c, fmt.Errorf("read checkpoint %s: %w", shard, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(index)) {
		if t, ok := c.tensors[name]; !ok || t.file.Name() != index[name] {
			return c, fmt.Errorf("read checkpoint %s: %s does not hold tensor %q", path, index[name], name)
		}
	}
	return c, nil
}

// add opens one file.
func (c *Checkpoint) add(path string) error {
	fi, err := cell.Regular(path)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	c.files = append(c.files, f)
	tensors, data, err := readHeader(f, fi.Size())
	if err != nil {
		return err
	}
	for name, t := range tensors {
		if before, ok := c.tensors[name]; ok {
			return fmt.Errorf("tensor %q is in %s too", name, before.file.Name())
		}
		t.file, t.data = f, data
		c.tensors[name] = t
	}
	return nil
}

const indexSuffix = ".index.json"

// readIndex returns the files of a checkpoint that is in several, and which tensor
// is in which.
func readIndex(path string) (shards []string, in map[string]string, err error) {
	if _, err := cell.Regular(path); err != nil {
		return nil, nil, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	var index struct {
		Map map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(b, &index); err != nil {
		return nil, nil, fmt.Errorf("it is no index of a checkpoint: %w", err)
	}
	if len(index.Map) == 0 {
		return nil, nil, errors.New("it is no index of a checkpoint: it has no weight_map")
	}
	for name, file := range index.Map {
		if !filepath.IsLocal(file) || !strings.HasSuffix(file, ".safetensors") {
			return nil, nil, fmt.Errorf("it has tensor %q in %q, which is no .safetensors file beside it", name, file)
		}
		file = filepath.Join(filepath.Dir(path), file)
		index.Map[name] = file
		if !slices.Contains(shards, file) {
			shards = append(shards, file)
		}
	}
	slices.Sort(shards)
	return shards, index.Map, nil
}

// readHeader returns the tensors of a file of a size, and where their elements
// begin.
func readHeader(r io.ReaderAt, size int64) (tensors map[string]tensor, data int64, err error) {
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
	raw, err := members(header)
	if err != nil {
		return nil, 0, fmt.Errorf("it is no safetensors file: its header: %w", err)
	}
	delete(raw, "__metadata__")
	tensors = map[string]tensor{}
	names := slices.Sorted(maps.Keys(raw))
	for _, name := range names {
		var t tensor
		if err := json.Unmarshal(raw[name], &t); err != nil {
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
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(tensors[a].Offsets[0], tensors[b].Offsets[0]) })
	for i := 1; i < len(names); i++ {
		if a, b := tensors[names[i-1]], tensors[names[i]]; a.Offsets[1] > b.Offsets[0] && b.Offsets[1] > b.Offsets[0] {
			return nil, 0, fmt.Errorf("tensor %q at %v overlaps %q at %v", names[i], b.Offsets, names[i-1], a.Offsets)
		}
	}
	return tensors, 8 + int64(n), nil
}

// members returns what a JSON object holds; one name twice is an error.
func members(object []byte) (map[string]json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	dec := json.NewDecoder(bytes.NewReader(object))
	if begin, err := dec.Token(); err != nil {
		return nil, err
	} else if begin != json.Delim('{') {
		return nil, errors.New("it is no object")
	}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name := token.(string) // or the token would be an error
		if _, twice := all[name]; twice {
			return nil, fmt.Errorf("tensor %q stands twice", name)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		all[name] = value
	}
	if _, err := dec.Token(); err != nil { // }
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if more, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%v after its end", more)
	}
	return all, nil
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

// Fit finds each of a network's weights in the checkpoint. Whatever is missing,
// of another shape or type, or left over, is reported, all at once.
func (c *Checkpoint) Fit(n *network.Network, by Naming) error {
	info, err := n.Info()
	if err != nil {
		return err
	}
	c.names = map[string]string{}
	used := map[string]bool{}
	var faults []string
	prefix := c.prefix(info.Initialisers)
	for _, w := range info.Initialisers {
		name := by.find(w.Name, c.tensors)
		if _, ok := c.tensors[name]; !ok {
			if _, ok := c.tensors[prefix+w.Name]; ok {
				name = prefix + w.Name
			}
		}
		t, ok := c.tensors[name]
		want := slices.Clone(w.Dims)
		if n.Transposed[w.Name] {
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
		ignored := func(p Pattern) bool { return p.MatchString(name) || p.MatchString(strings.TrimPrefix(name, prefix)) }
		if !used[name] && !slices.ContainsFunc(by.Ignore, ignored) {
			faults = append(faults, fmt.Sprintf("%s %v has no place in the model", name, c.tensors[name].Shape))
		}
	}
	if len(faults) == 0 {
		return nil
	}
	hint := "the model's sizes belong to another checkpoint, or its names do: map them under checkpoint: in the model's configuration"
	if shard.MatchString(c.path) {
		hint = "this is one of several files: name their index, which ends in .safetensors" + indexSuffix
	}
	return cell.Hint(fmt.Errorf("checkpoint %s does not fit:\n  %s", c.path, strings.Join(faults, "\n  ")), "%s", hint)
}

// shard matches the names of files that hold parts of a checkpoint.
var shard = regexp.MustCompile(`-\d+-of-\d+\.safetensors$`)

// prefix returns what most parameters' names begin with in the checkpoint, as
// "bert." where a model with a head of its own holds this one; mostly nothing.
func (c *Checkpoint) prefix(parameters []onnx.Tensor) string {
	known := map[string]bool{}
	for _, w := range parameters {
		known[w.Name] = true
	}
	counts := map[string]int{}
	for name := range c.tensors {
		for i := 0; ; {
			if known[name[i:]] {
				counts[name[:i]]++
			}
			dot := strings.IndexByte(name[i:], '.')
			if dot < 0 {
				break
			}
			i += dot + 1
		}
	}
	best := ""
	for _, p := range slices.Sorted(maps.Keys(counts)) {
		if counts[p] > counts[best] {
			best = p
		}
	}
	return best
}

// find returns the name that a checkpoint has for a parameter.
func (by Naming) find(parameter string, tensors map[string]tensor) string {
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

// Elements returns what writes a parameter's elements as float32, once [Checkpoint.Fit]
// has found it. One matrix at most is in memory.
func (c *Checkpoint) Elements(parameter string, transposed bool) func(io.Writer) error {
	return func(w io.Writer) error {
		t := c.tensors[c.names[parameter]]
		float := floats[t.Type]
		r := bufio.NewReaderSize(io.NewSectionReader(t.file, t.data+t.Offsets[0], t.Offsets[1]-t.Offsets[0]), 256<<10)
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
