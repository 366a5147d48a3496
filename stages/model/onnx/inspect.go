package onnx

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"barograph/pipeline/cell"

	"google.golang.org/protobuf/encoding/protowire"
)

// Inspect says what an ONNX file holds. It reads the file's structure and none
// of its weights. A file that is empty, cut short or no ONNX is an error that
// says so.
func Inspect(path string) (*Info, error) {
	info, err := inspect(path)
	if err != nil {
		return nil, fmt.Errorf("read ONNX file: %w", err)
	}
	return info, nil
}

func inspect(path string) (*Info, error) {
	fi, err := cell.Regular(path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := Read(f, fi.Size())
	if err != nil {
		return nil, fmt.Errorf("%s %w", path, err)
	}
	return info, nil
}

// Read is [Inspect] for size bytes that lie anywhere. Its error goes on from
// the file's name: "is empty".
func Read(r io.ReaderAt, size int64) (*Info, error) {
	switch {
	case size == 0:
		return nil, errors.New("is empty")
	case size > MaxBytes:
		// Before anything of it is read: no reader of ONNX takes it.
		return nil, cell.Hint(fmt.Errorf("holds %d bytes, and one ONNX file at most %d", size, MaxBytes),
			"export the model with its weights in a data file of their own (external data)")
	}
	p := &parser{r: r, info: &Info{Bytes: size, Ops: map[string]int{}}}
	seen := false
	err := p.fields(0, size, func(f field) (err error) {
		switch f.num {
		case 1:
			p.info.IR, err = f.integer()
		case 2:
			p.info.Producer, err = p.text(f)
		case 7:
			if seen {
				return f.errorf("is a second graph")
			}
			seen = true
			err = p.graph(f, 0)
		case 8:
			err = p.opset(f)
		}
		return err
	})
	var cut *cutError
	var outside *outsideError
	switch {
	case errors.As(err, &outside):
		return nil, cell.Hint(outside, "put it there, and have the model name it so: save it anew with its weights in a file beside it")
	case errors.As(err, &cut) && p.info.IR != 0:
		return nil, fmt.Errorf("is cut short: %w", err)
	case err != nil:
		return nil, fmt.Errorf("is no ONNX file: %w", err)
	case p.info.IR <= 0 || !seen || p.info.Opset == 0 && p.info.Domains == nil:
		return nil, errors.New("is no whole ONNX file: it lacks an IR version, a graph or an operator set")
	}
	p.dropInitialisers()
	p.info.settle(&p.uses)
	return p.info, nil
}

// dropInitialisers takes initialisers out of the inputs, where files of IR
// version 3 and older list them too.
func (p *parser) dropInitialisers() {
	set := map[string]bool{}
	external := map[string]bool{}
	for _, t := range p.info.Initialisers {
		set[t.Name] = true
		if t.External != "" {
			external[t.External] = true
		}
	}
	p.info.Inputs = slices.DeleteFunc(p.info.Inputs, func(v Value) bool { return set[v.Name] })
	p.info.External = slices.Sorted(maps.Keys(external))
}

// A parser walks a file's messages through a window, so that what is skipped is
// never read.
type parser struct {
	r    io.ReaderAt
	buf  [64 << 10]byte
	base int64 // offset of buf[0]
	n    int   // valid bytes in buf
	info *Info
	uses uses
}

// A field is one field of a message: a number, or the bytes [start, end).
type field struct {
	num        protowire.Number
	typ        protowire.Type
	number     uint64
	start, end int64
}

func (f field) errorf(format string, args ...any) error {
	return fmt.Errorf("field %d, which ends at byte %d, %s", f.num, f.end, fmt.Sprintf(format, args...))
}

func (f field) integer() (int64, error) {
	if f.typ != protowire.VarintType {
		return 0, f.errorf("should hold a number")
	}
	return int64(f.number), nil
}

// A cutError is a message that goes on beyond the end of what holds it.
type cutError struct{ at, need, end int64 }

func (e *cutError) Error() string {
	return fmt.Sprintf("what stands at byte %d goes on to byte %d, and there are %d", e.at, e.need, e.end)
}

// An outsideError is a data file that no reader of ONNX goes to.
type outsideError struct{ file string }

func (e *outsideError) Error() string {
	return fmt.Sprintf("names the data file %q, which is not below the model's folder", e.file)
}

// peek returns up to n bytes from off, fewer only before end. n is at most the
// window's size.
func (p *parser) peek(off, end int64, n int) ([]byte, error) {
	n = int(min(int64(n), end-off))
	if off < p.base || off+int64(n) > p.base+int64(p.n) {
		m, err := p.r.ReadAt(p.buf[:], off)
		if err != nil && err != io.EOF {
			return nil, err
		}
		p.base, p.n = off, m
		if m < n {
			return nil, io.ErrUnexpectedEOF // the file shrank
		}
	}
	return p.buf[off-p.base:][:n], nil
}

// fields calls visit for every field of the message in [off, end).
func (p *parser) fields(off, end int64, visit func(field) error) error {
	for off < end {
		b, err := p.peek(off, end, 2*10)
		if err != nil {
			return err
		}
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return broken(n, off, end)
		}
		f := field{num: num, typ: typ, start: off + int64(n)}
		b = b[n:]
		switch typ {
		case protowire.VarintType:
			f.number, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			_, n = protowire.ConsumeFixed32(b)
		case protowire.Fixed64Type:
			_, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			f.number, n = protowire.ConsumeVarint(b)
		default:
			return fmt.Errorf("byte %d begins no field (wire type %d)", off, typ)
		}
		if n < 0 {
			return broken(n, off, end)
		}
		f.end = f.start + int64(n)
		if typ == protowire.BytesType {
			f.start = f.end
			if f.number > uint64(end-f.start) {
				// Clamped: a length beyond int64 is no offset.
				return &cutError{off, f.start + int64(min(f.number, 1<<62)), end}
			}
			f.end += int64(f.number)
		}
		if err := visit(f); err != nil {
			return err
		}
		off = f.end
	}
	return nil
}

func broken(code int, off, end int64) error {
	if err := protowire.ParseError(code); !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("byte %d: %w", off, err)
	}
	return &cutError{off, end + 1, end}
}

// message calls visit for every field of an embedded message.
func (p *parser) message(f field, visit func(field) error) error {
	if f.typ != protowire.BytesType {
		return f.errorf("should hold a message")
	}
	return p.fields(f.start, f.end, visit)
}

// maxText bounds what is read of one name.
const maxText = 16 << 10

func (p *parser) text(f field) (string, error) {
	if f.typ != protowire.BytesType {
		return "", f.errorf("should hold text")
	}
	if f.end-f.start > maxText {
		return "", f.errorf("is text of %d bytes", f.end-f.start)
	}
	b, err := p.peek(f.start, f.end, maxText)
	return string(b), err
}

// maxDepth bounds graphs within graphs (If, Loop, Scan).
const maxDepth = 32

// graph reads a GraphProto; only the outermost has inputs and outputs to tell.
func (p *parser) graph(f field, depth int) error {
	if depth > maxDepth {
		return f.errorf("is a graph within %d others", depth)
	}
	return p.message(f, func(f field) error {
		switch f.num {
		case 1:
			return p.node(f, depth)
		case 5:
			t, err := p.tensor(f)
			if err != nil {
				return err
			}
			return p.info.add(t)
		case 15: // a SparseTensorProto, whose elements are a tensor of their own
			return p.message(f, func(f field) error {
				if f.num != 1 {
					return nil
				}
				t, err := p.tensor(f)
				if err != nil {
					return err
				}
				return p.info.add(t)
			})
		case 11, 12:
			if depth > 0 {
				return nil
			}
			v, err := p.value(f)
			if err != nil {
				return err
			}
			if f.num == 11 {
				p.info.Inputs = append(p.info.Inputs, v)
			} else {
				p.info.Outputs = append(p.info.Outputs, v)
			}
		}
		return nil
	})
}

func (p *parser) node(f field, depth int) error {
	var op, domain, output string
	var inputs []string
	var axis int64
	var value Tensor
	err := p.message(f, func(f field) (err error) {
		switch f.num {
		case 1:
			var in string
			if len(inputs) < maxInputs {
				in, err = p.text(f)
				inputs = append(inputs, in)
			}
		case 2:
			if output == "" {
				output, err = p.text(f)
			}
		case 4:
			op, err = p.text(f)
		case 7:
			domain, err = p.text(f)
		case 5: // an attribute: look for graphs in it
			var name string
			var number int64
			var tensor field
			err = p.message(f, func(f field) (err error) {
				switch f.num {
				case 1:
					name, err = p.text(f)
				case 3:
					number, err = f.integer()
				case 5:
					tensor = f
				case 6, 11:
					err = p.graph(f, depth+1)
				}
				return err
			})
			switch {
			case name == "axis":
				axis = number
			case name == "value" && tensor.num != 0 && err == nil:
				value, err = p.tensor(tensor)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	if op == "" {
		return f.errorf("is an operator without a type")
	}
	if domain != "" && domain != "ai.onnx" {
		op = domain + "." + op
	}
	p.uses.see(op, inputs, output, axis)
	p.info.Ops[op]++
	// Some exporters (Paddle's, spox) write weights as constants.
	if op == "Constant" && types[value.Type].weight && len(value.Dims) > 0 {
		value.Name = output
		return p.info.add(value)
	}
	return nil
}

func (p *parser) opset(f field) error {
	var domain string
	var version int64
	err := p.message(f, func(f field) (err error) {
		switch f.num {
		case 1:
			domain, err = p.text(f)
		case 2:
			version, err = f.integer()
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case domain == "" || domain == "ai.onnx":
		p.info.Opset = version
	case p.info.Domains == nil:
		p.info.Domains = map[string]int64{domain: version}
	default:
		p.info.Domains[domain] = version
	}
	return nil
}

func (p *parser) tensor(f field) (Tensor, error) {
	var t Tensor
	var external bool
	err := p.message(f, func(f field) (err error) {
		var n int64
		switch f.num {
		case 1:
			err = p.integers(f, func(d int64) { t.Dims = append(t.Dims, d) })
		case 2:
			n, err = f.integer()
			t.Type = Type(n)
		case 8:
			t.Name, err = p.text(f)
		case 9:
			if f.typ != protowire.BytesType {
				return f.errorf("should hold raw data")
			}
			t.Offset, t.Bytes = f.start, f.end-f.start
		case 13:
			err = p.external(f, &t)
		case 14:
			n, err = f.integer()
			external = n == 1
		}
		return err
	})
	switch {
	case err != nil:
	case external && t.External == "":
		err = f.errorf("is initialiser %q, whose data lie in another file that it does not name", t.Name)
	case len(t.Dims) > maxRank:
		err = f.errorf("is initialiser %q of %d dimensions", t.Name, len(t.Dims))
	case !external && t.External != "":
		t.External = "" // what names a file without saying that the data lie there
	}
	return t, err
}

// maxRank bounds the dimensions of a tensor.
const maxRank = 64

// integers reads repeated integers, packed or not.
func (p *parser) integers(f field, add func(int64)) error {
	if f.typ == protowire.VarintType {
		add(int64(f.number))
		return nil
	}
	if f.typ != protowire.BytesType || f.end-f.start > 10*maxRank {
		return f.errorf("should hold dimensions")
	}
	b, err := p.peek(f.start, f.end, 10*maxRank)
	for len(b) > 0 && err == nil {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return broken(n, f.start, f.end)
		}
		add(int64(v))
		b = b[n:]
	}
	return err
}

// external reads one entry of TensorProto.external_data.
func (p *parser) external(f field, t *Tensor) error {
	var key, value string
	err := p.message(f, func(f field) (err error) {
		switch f.num {
		case 1:
			key, err = p.text(f)
		case 2:
			value, err = p.text(f)
		}
		return err
	})
	if err != nil {
		return err
	}
	switch key {
	case "location":
		if !filepath.IsLocal(value) {
			return &outsideError{value}
		}
		t.External = value
	case "offset":
		t.Offset, err = strconv.ParseInt(value, 10, 64)
	case "length":
		t.Bytes, err = strconv.ParseInt(value, 10, 64)
	}
	if err != nil || t.Offset < 0 || t.Bytes < 0 {
		return f.errorf("gives data the %s %q", key, value)
	}
	return nil
}

// value reads a ValueInfoProto.
func (p *parser) value(f field) (v Value, err error) {
	err = p.message(f, func(f field) (err error) {
		switch f.num {
		case 1:
			v.Name, err = p.text(f)
		case 2: // TypeProto; anything but a tensor keeps type 0
			err = p.message(f, func(f field) error {
				if f.num != 1 {
					return nil
				}
				return p.message(f, func(f field) error {
					switch f.num {
					case 1:
						n, err := f.integer()
						v.Type = Type(n)
						return err
					case 2:
						v.Dims, err = p.shape(f)
						return err
					}
					return nil
				})
			})
		}
		return err
	})
	return v, err
}

// shape reads a TensorShapeProto.
func (p *parser) shape(f field) ([]string, error) {
	shape := []string{}
	err := p.message(f, func(f field) error {
		if f.num != 1 {
			return nil
		}
		if len(shape) == maxRank {
			return f.errorf("is dimension %d of one value", maxRank+1)
		}
		dim := "?"
		err := p.message(f, func(f field) (err error) {
			switch f.num {
			case 1:
				var n int64
				n, err = f.integer()
				if n >= 0 { // some writers say -1 of what they do not know
					dim = strconv.FormatInt(n, 10)
				}
			case 2:
				dim, err = p.text(f)
			}
			return err
		})
		shape = append(shape, dim)
		return err
	})
	return shape, err
}
