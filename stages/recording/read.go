package recording

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
	"barograph/stages/result"
)

// Options say what to read of a file of samples.
type Options struct {
	Columns []string          // wanted; every column where none is named
	Also    []string          // wanted where they are there
	Texts   []string          // columns whose values stay as they are written: 0.0 and 0 are two of them
	Where   map[string]string // only rows whose column has this value, as it is written
	// Recorded says that the program made the file: a share beyond
	// [result.Percent] is then one of a bad calibration, and not percent.
	Recorded bool

	block int // bytes that are parsed at a time
}

// longest is how many bytes a line may have; so much is parsed at a time.
const longest = 1 << 20

// Read reads samples: CSV with a header, compressed by gzip if it begins as that
// does. A value that cannot have been measured, by what a stage declares of its
// column, is an error. What is wrong in a line is a [RowError].
//
// The file is cut into blocks of lines, which are parsed side by side and joined
// in order, so that the result does not depend on where the cuts are.
func Read(r io.Reader, o Options) (*Table, error) {
	if o.block == 0 {
		o.block = longest
	}
	from, err := decompress(r)
	if err != nil {
		return nil, err
	}
	file := &blocks{from: from, size: o.block}
	first, err := file.next()
	if err == io.EOF {
		return nil, cell.Hint(errors.New("the file is empty"), wantHeader)
	}
	if err != nil {
		return nil, &RowError{1, 1, err}
	}
	length := from.length(first)
	line, body := cutLine(first)
	d := &data{file: r, byName: map[string]*column{}, lines: 1}
	if d.head, err = readHeader(line, o); err != nil {
		return nil, err
	}
	d.columns = d.head.columns(nil)
	for _, c := range d.columns {
		if c != nil {
			d.byName[c.name], d.names = c, append(d.names, c.name)
		}
	}
	d.watch = make([]watch, len(d.head.watched))
	var parts []chan *part // being parsed, in order
	begin := func(block, lines []byte) {
		done, holds := make(chan *part, 1), d.contents()
		parts = append(parts, done)
		go func() { done <- d.head.parse(block, lines, holds) }()
	}
	begin(first, body) // and no other until it has told texts from numbers
	for one := true; len(parts) > 0; one = false {
		p := <-parts[0]
		parts = parts[1:]
		if err := d.join(p); err != nil {
			return nil, err
		}
		if one && len(body) > 0 {
			for _, c := range d.columns {
				if c != nil {
					c.expect(int(1.02 * float64(d.n) * length / float64(len(body))))
				}
			}
		}
		file.spent = append(file.spent, p.block)
		for err == nil && len(parts) < runtime.GOMAXPROCS(0) {
			var text []byte
			if text, err = file.next(); err == nil {
				begin(text, text)
			}
		}
	}
	if err != io.EOF {
		return nil, &RowError{d.lines + 1, 1, err}
	}
	if d.n == 0 && d.skipped > 0 {
		return nil, d.noneSelected()
	}
	return &Table{data: d, rows: []span{{0, int32(d.n)}}, n: d.n}, nil
}

// Open reads the samples of a file, or of the one that lies compressed in its place.
// An error begins with where it is: file:line:column.
func Open(path string, o Options) (*Table, error) {
	f, err := os.Open(record.Path(path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := Read(f, o)
	return t, Named(f.Name(), err)
}

// Named puts the name of a file before what is wrong in it, which has status 2.
func Named(path string, err error) error {
	switch row := (*RowError)(nil); {
	case err == nil:
		return nil
	case errors.As(err, &row):
		return cell.Usage(fmt.Errorf("%s:%w", path, err))
	}
	return cell.Usage(fmt.Errorf("read %s: %w", path, err))
}

// A RowError says what is wrong at a place in a table. It begins as line:column,
// so that with the file's name before it editors know the place.
type RowError struct {
	Line, Column int // from 1, the column in bytes
	Err          error
}

func (e *RowError) Error() string { return fmt.Sprintf("%d:%d: %v", e.Line, e.Column, e.Err) }

// Unwrap returns the cause.
func (e *RowError) Unwrap() error { return e.Err }

// A source is a file's text, decompressed, that knows how much of the file was read.
type source struct {
	io.Reader
	buffer io.Reader // the Reader of a file that is not compressed
	raw    *counter
	size   int64 // of the file; 0 where that is unknown
}

type counter struct {
	from io.Reader
	n    int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.from.Read(b)
	c.n += int64(n)
	return n, err
}

// length returns how many bytes of text, by lines as long as those of a first block,
// the file holds; 0 where its size is unknown. Lines grow longer: of a file that is
// not compressed some are looked at further on.
func (s *source) length(block []byte) float64 {
	read := float64(max(s.raw.n, 1))
	if at, ok := s.raw.from.(io.ReaderAt); ok && s.Reader == s.buffer {
		lines, bytesOf := float64(bytes.Count(block, []byte("\n"))), float64(len(block))
		sample := make([]byte, 1<<14)
		total := 0.0
		for i := range looks {
			n, _ := at.ReadAt(sample, s.size/looks*int64(i))
			total += float64(bytes.Count(sample[:n], []byte("\n"))) / float64(max(n, 1))
		}
		return float64(s.size) * (total / looks) * bytesOf / max(lines, 1)
	}
	return float64(s.size) * float64(len(block)) / read
}

// looks is into how many places of a file to look for the length of its lines.
const looks = 16

// An inflater reads a decompressed text. Where that ends early it says so, which is
// not the end of a file.
type inflater struct{ from io.Reader }

func (z inflater) Read(b []byte) (int, error) {
	n, err := z.from.Read(b)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("decompress: %v", err)
	}
	return n, err
}

// decompress returns the text of a file.
func decompress(r io.Reader) (*source, error) {
	s := &source{raw: &counter{from: r}}
	if f, ok := r.(io.Seeker); ok {
		at, err := f.Seek(0, io.SeekCurrent)
		if err == nil {
			s.size, err = f.Seek(0, io.SeekEnd)
		}
		if err == nil {
			s.size -= at
			_, err = f.Seek(at, io.SeekStart)
		}
		if err != nil {
			s.size = 0 // a pipe
		}
	}
	in := bufio.NewReaderSize(s.raw, 1<<16)
	s.Reader, s.buffer = in, in
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("decompress: %w", err)
		}
		s.Reader = inflater{z}
	}
	return s, nil
}

// Unpack returns the text of a file, which may be compressed by gzip.
func Unpack(r io.Reader) (io.Reader, error) {
	s, err := decompress(r)
	if err != nil {
		return nil, err
	}
	return s.Reader, nil
}

// Pack writes a text compressed by gzip, in the same bytes whenever it is the same.
func Pack(to io.Writer, write func(*bufio.Writer) error) error {
	z, err := gzip.NewWriterLevel(to, gzip.BestCompression)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(z, 1<<16)
	if err := write(w); err != nil {
		return err
	}
	return errors.Join(w.Flush(), z.Close())
}

// A header is what the first line of a file says, and what is read below it.
type header struct {
	names   []string
	places  []int     // of the names in their line, from 1
	kept    []*column // as they begin; nil for one that is not kept
	watched []int     // columns that nobody declares or wants
	filters []filter
}

// A filter keeps rows with a value.
type filter struct {
	at   int // column
	want string
}

// columns returns empty columns, those that are known to hold texts as such.
func (h *header) columns(holds []content) []*column {
	columns := make([]*column, len(h.kept))
	for i, c := range h.kept {
		if c == nil {
			continue
		}
		columns[i] = &column{name: c.name, declared: c.declared, holds: c.holds}
		if holds != nil && holds[i] == text {
			columns[i].holds = text
		}
		if columns[i].holds == text {
			columns[i].index = map[string]int32{}
		}
	}
	return columns
}

const wantHeader = "want a header line, such as level,latency_ns"

func readHeader(line []byte, o Options) (*header, error) {
	h := &header{}
	wrong := func(field int, err error) error { return &RowError{1, place(line, field), err} }
	line = bytes.TrimPrefix(line, []byte("\ufeff"))
	if !printable(line) {
		return nil, wrong(0, errBinary)
	}
	fields, err := split(line, nil)
	if err != nil {
		return nil, &RowError{1, err.Column, err.Err}
	}
	numbers := 0
	for i, field := range fields {
		name := string(field)
		if slices.Contains(h.names, name) {
			return nil, wrong(i, fmt.Errorf("two columns are named %q", name))
		}
		if _, err := parseFloat(field); err == nil {
			numbers++
		}
		h.names, h.places = append(h.names, name), append(h.places, place(line, i))
	}
	if numbers == len(fields) {
		return nil, wrong(0, cell.Hint(errors.New("no header: this line holds only numbers"), wantHeader))
	}
	if len(fields) == 1 && strings.ContainsAny(h.names[0], ";\t") {
		return nil, wrong(0, cell.Hint(errors.New("fields are not separated by commas"), wantHeader))
	}
	for _, name := range slices.Concat(o.Columns, slices.Sorted(maps.Keys(o.Where))) {
		if !slices.Contains(h.names, name) {
			return nil, wrong(0, &NoColumnError{name, h.names})
		}
	}
	h.kept = make([]*column, len(h.names))
	for i, name := range h.names {
		c, declared := Declared(name)
		if o.Recorded && c.Type == result.Share {
			c.Type = result.Amount
		}
		switch {
		case len(o.Columns) == 0 || slices.Contains(o.Columns, name) || slices.Contains(o.Also, name):
			h.kept[i] = &column{name: name, declared: c.Type, holds: whole}
			if slices.Contains(o.Texts, name) {
				h.kept[i].holds = text
			}
		case !declared:
			h.watched = append(h.watched, i)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Where)) {
		h.filters = append(h.filters, filter{slices.Index(h.names, name), o.Where[name]})
	}
	return h, nil
}

// row splits a line of the table; nil for one that is empty.
func (h *header) row(line []byte, fields [][]byte) ([][]byte, *RowError) {
	if len(line) == 0 {
		return nil, nil
	}
	fields, err := split(line, fields)
	if err == nil && len(fields) != len(h.names) {
		err = &RowError{0, 1, fmt.Errorf("has %d fields, want %d", len(fields), len(h.names))}
		if bytes.IndexByte(line, 0) >= 0 {
			err.Err = errBinary
		}
	}
	return fields, err
}

// selects returns the filter that keeps a row out; -1 for none.
func (h *header) selects(fields [][]byte) int {
	for i, f := range h.filters {
		if string(fields[f.at]) != f.want {
			return i
		}
	}
	return -1
}

// A watch sees whether a column varies.
type watch struct {
	first  []byte
	varies bool
}

func (w *watch) see(field []byte, first bool) {
	if first {
		w.first = field
	} else if !w.varies {
		w.varies = !bytes.Equal(w.first, field)
	}
}

// A part is the columns of some lines, parsed on their own.
type part struct {
	block, lines []byte
	holds        []content // of each column, as it was parsed
	columns      []*column
	watch        []watch
	others       []map[string]bool // by filter, some of the values that it kept out
	rows         int               // before the error, if there is one
	read         int               // lines
	skipped      int
	err          *RowError // whose line is of the part
}

// mostOthers is how many values an error lists of those that there are.
const mostOthers = 20

// parse parses lines.
func (h *header) parse(block, lines []byte, holds []content) *part {
	p := &part{block: block, lines: lines, holds: holds, columns: h.columns(holds), watch: make([]watch, len(h.watched)), others: make([]map[string]bool, len(h.filters))}
	var line []byte
	var like likeness
	var before []byte // the line
	var fields, last, some [][]byte
	skip := false // the row before
	if first := bytes.IndexByte(lines, '\n') + 1; first > 0 {
		for _, c := range p.columns {
			if c != nil {
				c.expect(len(lines) / first * 9 / 8)
			}
		}
	}
	for len(lines) > 0 && p.err == nil {
		line, lines = cutLine(lines)
		p.read++
		if some = like.differing(line, some[:0]); some != nil {
			if skip {
				p.skipped++
			} else {
				p.add(h, line, some, like.from)
			}
			continue
		}
		fields, last = last[:0], fields
		var err *RowError
		if fields, err = h.row(line, fields); err != nil {
			p.err = &RowError{p.read, err.Column, err.Err}
			break
		}
		if fields == nil { // an empty line
			fields, last = last, nil
			continue
		}
		if skip = p.skips(h, fields); !skip {
			p.add(h, line, fields, 0)
		}
		like = h.likeness(before, last, line, fields)
		before = line
	}
	for _, c := range p.columns {
		if c != nil {
			c.repeat(p.rows)
		}
	}
	return p
}

// skips tells whether a filter keeps a row out, and notes its value.
func (p *part) skips(h *header, fields [][]byte) bool {
	i := h.selects(fields)
	if i < 0 {
		return false
	}
	p.skipped++
	if value := fields[h.filters[i].at]; !p.others[i][string(value)] && len(p.others[i]) <= mostOthers {
		if p.others[i] == nil {
			p.others[i] = map[string]bool{}
		}
		p.others[i][string(value)] = true
	}
	return true
}

// add adds fields of a row, from a column on; the others are as in the row before.
func (p *part) add(h *header, line []byte, fields [][]byte, from int) {
	for i, field := range fields {
		if c := p.columns[from+i]; c != nil {
			c.repeat(p.rows)
			if err := c.add(field); err != nil {
				p.err = &RowError{p.read, place(line, from+i), fmt.Errorf("column %s: %w", c.name, err)}
				return
			}
		}
	}
	for i, at := range h.watched {
		if at >= from && at < from+len(fields) {
			p.watch[i].see(fields[at-from], p.rows == 0)
		}
	}
	p.rows++
}

// A likeness is what two lines that follow one another have in common: all but some
// fields in their middle, as the calls of a trial do.
type likeness struct {
	begin, end []byte // of a line; nil for none
	from, n    int    // the fields between them
}

// likeness compares a row with the one before, which may not be there. There is none
// where fields are not as they stand in the line, or where a filter looks at those
// that differ.
func (h *header) likeness(before []byte, last [][]byte, line []byte, fields [][]byte) likeness {
	from, to := 0, len(fields)
	if len(last) != to || !verbatim(before, last) || !verbatim(line, fields) {
		return likeness{}
	}
	begin, end := 0, 0 // bytes
	for ; from < to-1 && bytes.Equal(last[from], fields[from]); from++ {
		begin += len(fields[from]) + 1
	}
	for ; to > from+1 && bytes.Equal(last[to-1], fields[to-1]); to-- {
		end += len(fields[to-1]) + 1
	}
	for _, f := range h.filters {
		if f.at >= from && f.at < to {
			return likeness{}
		}
	}
	if begin+end == 0 {
		return likeness{}
	}
	return likeness{line[:begin:begin], line[len(line)-end:], from, to - from}
}

// verbatim tells whether a line is its fields with commas between.
func verbatim(line []byte, fields [][]byte) bool {
	n := len(fields) - 1
	for _, f := range fields {
		n += len(f)
	}
	return n == len(line) && bytes.IndexByte(line, '"') < 0
}

// differing appends the fields in which a line differs; nil if it is another line
// altogether.
func (l *likeness) differing(line []byte, fields [][]byte) [][]byte {
	middle := len(line) - len(l.begin) - len(l.end)
	if l.n == 0 || middle < 0 || !bytes.HasPrefix(line, l.begin) || !bytes.HasSuffix(line, l.end) {
		return nil
	}
	rest := line[len(l.begin) : len(l.begin)+middle]
	for range l.n - 1 {
		i := bytes.IndexByte(rest, ',')
		if i < 0 {
			return nil
		}
		fields, rest = append(fields, rest[:i]), rest[i+1:]
	}
	if bytes.IndexByte(rest, ',') >= 0 || bytes.IndexByte(line[len(l.begin):len(l.begin)+middle], '"') >= 0 || bytes.IndexByte(line[len(l.begin):len(l.begin)+middle], ' ') >= 0 {
		return nil
	}
	return append(fields, rest)
}

// contents tells what each column holds so far.
func (d *data) contents() []content {
	holds := make([]content, len(d.columns))
	for i, c := range d.columns {
		if c != nil && c.holds == text {
			holds[i] = text
		}
	}
	return holds
}

// join appends a part.
func (d *data) join(p *part) error {
	if holds := d.contents(); !slices.Equal(holds, p.holds) && d.n > 0 {
		p = d.head.parse(p.block, p.lines, holds) // a column was found to hold texts since
	}
	err := p.err
	for i, c := range d.columns {
		if c == nil {
			continue
		}
		if row, wrong := c.join(p.columns[i]); wrong != nil && (err == nil || row < p.rows) {
			p.rows = row
			line, number := d.head.find(p.lines, row)
			err = &RowError{number, place(line, i), fmt.Errorf("column %s: %w", c.name, wrong)}
		}
	}
	if err != nil {
		err.Line += d.lines
		return err
	}
	for i := range d.watch {
		if w := &d.watch[i]; p.rows > 0 {
			w.see(bytes.Clone(p.watch[i].first), d.n == 0)
			w.varies = w.varies || p.watch[i].varies
		}
	}
	for i, others := range p.others {
		if d.others == nil {
			d.others = make([]map[string]bool, len(p.others))
		}
		if d.others[i] == nil {
			d.others[i] = map[string]bool{}
		}
		maps.Copy(d.others[i], others)
	}
	d.lines, d.skipped = d.lines+p.read, d.skipped+p.skipped
	if d.n += p.rows; d.n > math.MaxInt32 {
		return fmt.Errorf("more than %d samples", math.MaxInt32)
	}
	return nil
}

// find returns the line of a row among lines, and its number from 1.
func (h *header) find(lines []byte, row int) (line []byte, number int) {
	for len(lines) > 0 {
		line, lines = cutLine(lines)
		number++
		if fields, err := h.row(line, nil); err == nil && fields != nil && h.selects(fields) < 0 {
			if row--; row < 0 {
				break
			}
		}
	}
	return line, number
}

// locate says where in the file a row's column is, for an error in it. It reads
// the file again, which must not be closed yet.
func (d *data) locate(row int, name string, err error) error {
	f, ok := d.file.(io.Seeker)
	if !ok {
		return err
	}
	if _, wrong := f.Seek(0, io.SeekStart); wrong != nil {
		return err
	}
	from, wrong := decompress(d.file)
	if wrong != nil {
		return err
	}
	before := 0 // lines
	for file := (&blocks{from: from, size: longest}); ; {
		block, wrong := file.next()
		if wrong != nil {
			return err
		}
		file.spent = append(file.spent, block)
		if before == 0 {
			_, block = cutLine(block)
			before = 1
		}
		p := d.head.count(block)
		if row < p.rows {
			line, number := d.head.find(block, row)
			return &RowError{before + number, place(line, max(slices.Index(d.head.names, name), 0)), err}
		}
		row, before = row-p.rows, before+p.read
	}
}

// count counts rows and lines, and keeps nothing.
func (h *header) count(lines []byte) *part {
	plain := &header{names: h.names, kept: make([]*column, len(h.names)), filters: h.filters}
	return plain.parse(nil, lines, nil)
}

// noneSelected says that no row has what was asked for, and what there is.
func (d *data) noneSelected() error {
	var wanted, there []string
	for i, f := range d.head.filters {
		name := d.head.names[f.at]
		wanted = append(wanted, name+"="+f.want)
		if n := len(d.others[i]); n > 0 {
			there = nil
			for value := range d.others[i] {
				there = append(there, name+"="+value)
			}
		}
	}
	err := fmt.Errorf("none of %d rows has %s", d.skipped, strings.Join(wanted, " and "))
	if slices.Sort(there); len(there) <= mostOthers {
		err = fmt.Errorf("%w; there is %s", err, strings.Join(there, ", "))
	}
	return err
}
