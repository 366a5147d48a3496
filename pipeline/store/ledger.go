package store

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"strconv"
	"strings"

	"barograph/pipeline/cell"
)

// A ledger is the records of a log, by key and by cell. A line is taken apart only
// when its record is asked for: most runs ask for few of them.
type ledger struct {
	lines  map[string]string  // JSON by key
	latest map[string]string  // the key of a cell's newest record
	read   map[string]*Record // those taken apart, and those added since
	ended  int64              // when the last cell did, in Unix time; see Commit
	unread int                // lines that hold no record that this program can read
}

// ledgerOf reads the text of a log.
func ledgerOf(text string) *ledger {
	n := strings.Count(text, "\n")
	l := &ledger{lines: make(map[string]string, n), latest: make(map[string]string, n), read: map[string]*Record{}}
	for line := range wholeLines(text) {
		// A damaged line is a lost result; those around it still stand.
		key, value, ok := unkeyed(line)
		if !ok {
			l.unread++
			continue
		}
		name, ended, ok := glimpse(value)
		if !ok {
			r, err := parseRecord(key, value)
			if err != nil {
				l.unread++
				continue
			}
			name, ended = r.Cell, r.Started+int64(r.Wall)
		}
		l.lines[key], l.latest[name] = value, key
		l.ended = max(l.ended, ended)
	}
	return l
}

// glimpse returns the cell of a record and when it ended, from how the record's line
// begins; not ok if it begins otherwise.
func glimpse(value string) (name string, ended int64, ok bool) {
	rest, ok := strings.CutPrefix(value, `{"cell":"`)
	name, rest, more := strings.Cut(rest, `","started":`)
	started, rest, last := strings.Cut(rest, `,"wall":`)
	wall := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	began, err := strconv.ParseInt(started, 10, 64)
	took, e := strconv.ParseInt(wall, 10, 64)
	return name, began + took, ok && more && last && err == nil && e == nil && !strings.ContainsAny(name, `"\`)
}

func (l *ledger) add(r *Record) {
	delete(l.lines, r.Key)
	l.read[r.Key], l.latest[r.Cell] = r, r.Key
	l.ended = max(l.ended, r.Started+int64(r.Wall))
}

// get returns the record under a key, or nil.
func (l *ledger) get(key string) *Record {
	if r := l.read[key]; r != nil {
		return r
	}
	value, ok := l.lines[key]
	if !ok {
		return nil
	}
	r, err := parseRecord(key, value)
	delete(l.lines, key)
	if err != nil {
		l.unread++
		return nil
	}
	l.read[key] = r
	return r
}

// of returns the newest record of a cell, or nil.
func (l *ledger) of(cell string) *Record { return l.get(l.latest[cell]) }

// all yields every record, in no order.
func (l *ledger) all() iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		for _, r := range l.read {
			if !yield(r) {
				return
			}
		}
		for key, value := range l.lines {
			if r, err := parseRecord(key, value); err == nil && !yield(r) {
				return
			}
		}
	}
}

var errRecord = errors.New("damaged record")

func parseRecord(key, value string) (*Record, error) {
	r := &Record{Key: key}
	if json.Unmarshal(cell.Bytes(value), r) != nil {
		return nil, errRecord
	}
	for _, f := range r.Files {
		if !isDigest(f.Digest) || f.Size < 0 {
			return nil, errRecord
		}
	}
	return r, nil
}

// parseLine reads a line of a log.
func parseLine(line string) (*Record, error) {
	key, value, ok := unkeyed(line)
	if !ok {
		return nil, errRecord
	}
	return parseRecord(key, value)
}

// wholeLines yields the lines of a log, without what a crash cut short.
func wholeLines(log string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			line, tail, whole := strings.Cut(log, "\n")
			if !whole || !yield(line) {
				return
			}
			log = tail
		}
	}
}

// unkeyed takes a line apart, if it is what was written.
func unkeyed(line string) (key, value string, ok bool) {
	sum, text, _ := strings.Cut(line, "\t")
	key, value, ok = strings.Cut(text, "\t")
	return key, value, ok && sums(sum, crc32.Checksum(cell.Bytes(text), castagnoli))
}

// sums tells whether a checksum is written as a line has it.
func sums(written string, sum uint32) bool {
	want, err := strconv.ParseUint(written, 16, 32)
	return err == nil && len(written) == 8 && sum == uint32(want)
}

// Details are where those of records stand in their log, which is read from there:
// all of them are several times as large as the records.
type details struct {
	path  string
	at    map[string]stretch // by key; nil until many were asked for
	asked int
}

// mostSearched bounds how many details are searched for before all are indexed, which
// takes as long as this many searches.
const mostSearched = 8

// A stretch is a line of a file.
type stretch struct{ from, size int64 }

// index finds the lines, once.
func (d *details) index() error {
	if d.at != nil {
		return nil
	}
	at := map[string]stretch{}
	f, _, err := cell.Open(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		d.at = at
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewReaderSize(f, 1<<16)
	for from := int64(0); ; {
		head, sum, size := "", uint32(0), int64(0)
		part, err := lines.ReadSlice('\n')
		for first := true; ; first = false {
			text := part
			if first {
				head = string(part[:min(len(part), 128)])
				text = part[min(len(part), len("01234567\t")):]
			}
			if size += int64(len(part)); err == nil {
				text = text[:max(0, len(text)-1)]
			}
			sum = crc32.Update(sum, castagnoli, text)
			if err != bufio.ErrBufferFull {
				break
			}
			part, err = lines.ReadSlice('\n')
		}
		if err == io.EOF { // what follows the last line was cut short
			d.at = at
			return nil
		} else if err != nil {
			return err
		}
		if written, text, _ := strings.Cut(head, "\t"); sums(written, sum) {
			if key, _, whole := strings.Cut(text, "\t"); whole {
				at[key] = stretch{from, size}
			}
		}
		from += size
	}
}

// add notes lines that were written to the log's end.
func (d *details) add(from int64, lines string) {
	if d.at == nil {
		return
	}
	for line := range wholeLines(lines) {
		key, _, _ := unkeyed(line)
		d.at[key] = stretch{from, int64(len(line)) + 1}
		from += int64(len(line)) + 1
	}
}

// text returns the details of a key, or nothing.
func (d *details) text(key string) (string, error) {
	if d.asked++; d.at == nil && d.asked <= mostSearched {
		return d.search(key)
	}
	if err := d.index(); err != nil {
		return "", err
	}
	where, ok := d.at[key]
	if !ok {
		return "", nil
	}
	f, _, err := cell.Open(d.path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, where.size)
	if _, err := f.ReadAt(b, where.from); err != nil {
		return "", err
	}
	of, value, ok := unkeyed(strings.TrimSuffix(string(b), "\n"))
	if !ok || of != key {
		return "", nil
	}
	return value, nil
}

// search finds the last whole line of a key without an index.
func (d *details) search(key string) (text string, err error) {
	f, _, err := cell.Open(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	defer f.Close()
	const sum = len("01234567")
	mark := []byte("\t" + key + "\t")
	b := make([]byte, 1<<17)
	for from := int64(0); ; from += int64(len(b) - len(mark)) { // a mark may lie across
		n, err := f.ReadAt(b, from)
		if err != nil && err != io.EOF {
			return "", err
		}
		for at := 0; ; at++ {
			i := bytes.Index(b[at:n], mark)
			if i < 0 {
				break
			}
			if at += i; from+int64(at) < int64(sum) {
				continue
			}
			line, e := bufio.NewReader(io.NewSectionReader(f, from+int64(at-sum), 1<<40)).ReadString('\n')
			if of, value, ok := unkeyed(strings.TrimSuffix(line, "\n")); e == nil && ok && of == key {
				text = value
			}
		}
		if err == io.EOF {
			return text, nil
		}
	}
}
