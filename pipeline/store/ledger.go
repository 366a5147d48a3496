package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"strconv"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/store/journal"
)

// A ledger is the records of a journal. One is taken apart only when it is asked for:
// most runs ask for few of them.
type ledger struct {
	*journal.Log
	latest map[uint64]int64 // where the line of a cell's newest record begins, by hashes of names
	ended  int64            // when the last cell did, in Unix time; see Commit
	unread int              // lines that hold no record that this program can read
}

func openLedger(file string, write bool) (*ledger, error) {
	log, err := journal.Open(file, write)
	if err != nil {
		return nil, err
	}
	l := &ledger{Log: log}
	return l, l.read()
}

// read reads the journal, a damaged line of which is a lost result.
func (l *ledger) read() error {
	l.latest, l.unread = map[uint64]int64{}, 0
	damaged, err := l.Index(l.note)
	l.unread += len(damaged)
	return err
}

// note is told of a line of the journal.
func (l *ledger) note(at int64, key, value []byte) {
	name, ended, ok := glimpse(value)
	if !ok {
		r, err := parseRecord(string(key), string(value))
		if err != nil {
			l.unread++
			return
		}
		name, ended = []byte(r.Cell), r.Started+int64(r.Wall)
	}
	l.latest[journal.Hash(name)] = at
	l.ended = max(l.ended, ended)
}

// glimpse returns the cell of a record and when it ended, from how the record's line
// begins; not ok if it begins otherwise.
func glimpse(value []byte) (name []byte, ended int64, ok bool) {
	rest, ok := bytes.CutPrefix(value, []byte(`{"cell":"`))
	name, rest, more := bytes.Cut(rest, []byte(`","started":`))
	started, rest, last := bytes.Cut(rest, []byte(`,"wall":`))
	wall := rest[:len(rest)-len(bytes.TrimLeft(rest, "0123456789"))]
	began, err := strconv.ParseInt(string(started), 10, 64)
	took, e := strconv.ParseInt(string(wall), 10, 64)
	return name, began + took, ok && more && last && err == nil && e == nil && !bytes.ContainsAny(name, `"\`)
}

// add writes records.
func (l *ledger) add(records ...*Record) error {
	var lines strings.Builder
	for _, r := range records {
		lines.WriteString(journal.Line(r.Key, r))
	}
	return l.Append(lines.String(), l.note)
}

// replace has the ledger hold the records of other lines.
func (l *ledger) replace(lines string) error {
	if err := l.Replace(lines); err != nil {
		return err
	}
	return l.read()
}

// get returns the record under a key, or nil.
func (l *ledger) get(key string) *Record {
	value, ok, err := l.Get(key)
	return l.parse(key, value, ok && err == nil)
}

func (l *ledger) parse(key, value string, ok bool) *Record {
	if !ok {
		return nil
	}
	r, err := parseRecord(key, value)
	if err != nil {
		l.unread++
	}
	return r
}

// of returns the newest record of a cell, or nil.
func (l *ledger) of(name string) *Record {
	at, ok := l.latest[journal.Hash(cell.Bytes(name))]
	if !ok {
		return nil
	}
	key, value, ok, err := l.Read(at)
	if r := l.parse(key, value, ok && err == nil); r != nil && r.Cell == name {
		return r
	}
	return nil
}

// all yields every record.
func (l *ledger) all() iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		for key, value := range l.All() {
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

// parseLine reads a line of a journal.
func parseLine(line string) (*Record, error) {
	key, value, ok := journal.Split(line)
	if !ok {
		return nil, errRecord
	}
	return parseRecord(key, value)
}
