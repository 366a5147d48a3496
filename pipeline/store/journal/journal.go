// Package journal keeps texts under keys in files that only grow, of lines
//
//	crc32c key JSON
//
// with tabs between. A line that a crash cut short, or that is damaged, is as good as
// not there, and those around it stand. Of a journal, memory holds only where the newest
// line of each key begins.
package journal

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash/crc32"
	"hash/maphash"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"strconv"
	"strings"

	"barograph/pipeline/cell"

	"golang.org/x/sys/unix"
)

// Line returns the line of what stands under a key.
func Line(key string, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // of records and details, which are texts and numbers
	}
	line := make([]byte, 0, sumSize+1+len(key)+1+len(b)+1)
	line = append(append(append(append(line, "00000000\t"...), key...), '\t'), b...)
	sum := crc32.Checksum(line[sumSize+1:], castagnoli)
	hex.Encode(line, binary.BigEndian.AppendUint32(nil, sum))
	return string(append(line, '\n'))
}

const sumSize = len("01234567")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Split takes a line apart, which does not end with a newline any more; not ok unless it
// is what was written.
func Split(line string) (key, value string, ok bool) {
	k, v, ok := split(cell.Bytes(line))
	return string(k), line[len(line)-len(v):], ok
}

func split(line []byte) (key, value []byte, ok bool) {
	sum, text, _ := bytes.Cut(line, []byte{'\t'})
	key, value, ok = bytes.Cut(text, []byte{'\t'})
	want, err := strconv.ParseUint(string(sum), 16, 32)
	return key, value, ok && err == nil && len(sum) == sumSize && crc32.Checksum(text, castagnoli) == uint32(want)
}

// Lines yields the lines of a text, without what a crash cut short.
func Lines(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			line, tail, whole := strings.Cut(text, "\n")
			if !whole || !yield(line) {
				return
			}
			text = tail
		}
	}
}

// A Log is a journal in a file.
type Log struct {
	path string
	file *os.File         // nil where there is none, to read
	at   map[uint64]int64 // where lines begin, by hashes of their keys; nil until it is asked for
}

// Told is told of a line: where it begins, and its key and value, which are not to be kept.
type Told func(at int64, key, value []byte)

// Open opens a journal: to write, it is made where there is none, and what a crash cut
// short is cut off.
func Open(path string, write bool) (*Log, error) {
	var f *os.File
	var err error
	if !write {
		if f, _, err = cell.Open(path); errors.Is(err, fs.ErrNotExist) {
			return &Log{path: path}, nil
		}
	} else if f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666); err == nil {
		err = cell.Whole(f)
	}
	return &Log{path: path, file: f}, err
}

// Close closes the file, where there is one.
func (l *Log) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// Sync makes durable what the file system of the journal holds.
func (l *Log) Sync() error { return unix.Syncfs(int(l.file.Fd())) }

var seed = maphash.MakeSeed()

// Hash is of a text by which a line is found.
func Hash(text []byte) uint64 { return maphash.Bytes(seed, text) }

// Index reads the journal once, and tells of each line. It returns the numbers of those
// that are not what was written.
func (l *Log) Index(tell Told) (damaged []int, err error) {
	l.at = map[uint64]int64{}
	n := 0
	err = l.scan(func(at int64, line []byte) bool {
		n++
		key, value, ok := split(line)
		if !ok {
			damaged = append(damaged, n)
			return true
		}
		l.at[Hash(key)] = at
		tell(at, key, value)
		return true
	})
	return damaged, err
}

// scan yields whole lines and where they begin.
func (l *Log) scan(yield func(at int64, line []byte) bool) error {
	if l.file == nil {
		return nil
	}
	r := bufio.NewReaderSize(io.NewSectionReader(l.file, 0, math.MaxInt64), 1<<17)
	var long []byte
	for at := int64(0); ; {
		line, err := r.ReadSlice('\n')
		for long = long[:0]; err == bufio.ErrBufferFull; {
			long = append(long, line...)
			if line, err = r.ReadSlice('\n'); err != bufio.ErrBufferFull {
				long = append(long, line...)
				line = long
			}
		}
		if err == io.EOF { // what follows the last line was cut short
			return nil
		}
		if err != nil || !yield(at, line[:len(line)-1]) {
			return err
		}
		at += int64(len(line))
	}
}

// Append writes lines at the end, and tells of each. A write that failed is cut off
// again, so that no journal has a torn middle.
func (l *Log) Append(lines string, tell Told) error {
	end, err := l.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if _, err = l.file.WriteString(lines); err != nil {
		_, seek := l.file.Seek(end, io.SeekStart)
		return errors.Join(err, l.file.Truncate(end), seek)
	}
	if l.at == nil {
		return nil
	}
	for line := range Lines(lines) {
		key, value, _ := split(cell.Bytes(line))
		l.at[Hash(key)] = end
		tell(end, key, value)
		end += int64(len(line)) + 1
	}
	return nil
}

// Get returns what stands under a key; not ok where nothing does.
func (l *Log) Get(key string) (value string, ok bool, err error) {
	if l.at == nil {
		if _, err := l.Index(Nobody); err != nil {
			return "", false, err
		}
	}
	at, known := l.at[Hash(cell.Bytes(key))]
	if !known {
		return "", false, nil
	}
	of, value, ok, err := l.Read(at)
	return value, ok && of == key, err
}

// Nobody is told of no line.
func Nobody(int64, []byte, []byte) {}

// Read returns the line that begins at a place; not ok where it is damaged.
func (l *Log) Read(at int64) (key, value string, ok bool, err error) {
	for size := 1 << 9; ; size <<= 3 {
		b := make([]byte, size)
		n, err := l.file.ReadAt(b, at)
		if end := bytes.IndexByte(b[:n], '\n'); end >= 0 {
			key, value, ok = Split(string(b[:end]))
			return key, value, ok, nil
		}
		if err == io.EOF {
			return "", "", false, nil
		} else if err != nil {
			return "", "", false, err
		}
	}
}

// All yields what stands under each key of an indexed journal, in the order in which it
// was written.
func (l *Log) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		_ = l.scan(func(at int64, line []byte) bool { // what cannot be read is not there
			key, value, ok := split(line)
			return !ok || l.at[Hash(key)] != at || yield(string(key), string(value))
		})
	}
}

// Replace puts other lines in the place of all, or none.
func (l *Log) Replace(lines string) error {
	f, err := os.OpenFile(l.path+"~", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	other := &Log{path: l.path, file: f}
	if err = other.Append(lines, Nobody); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(l.path+"~", l.path)
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(l.path+"~"))
	}
	*l, *other = *other, *l
	return other.Close()
}
