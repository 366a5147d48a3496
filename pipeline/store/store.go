// Package store keeps the results of cells: content-addressed objects, and one
// record per finished cell under the key of everything that decided it.
//
// A store lives in one folder:
//
//	objects/ab/abcdef...  the outputs' bytes, read-only, named by SHA-256
//	cells.log             one line per record, each with a checksum; a torn tail is cut off
//	details.log           what each key was made of, for explanations
//	stats.json            digests of files by size, times and inode
//
// Put and Commit make a result visible to this process at once; Sync makes what
// was committed durable, and happens in the background at most every
// [SyncEvery] and on Close. A crash loses at most the cells committed since, and
// never leaves a record without its objects: objects are flushed first.
package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// SyncEvery bounds how long a committed cell may wait to become durable.
const SyncEvery = 200 * time.Millisecond

// A File is one output of a cell.
type File struct {
	Name   string // relative to the cell's folder
	Digest string // SHA-256 in hexadecimal
	Size   int64
	Exec   bool // the owner may execute it
}

// A Record is a finished cell.
type Record struct {
	Key     string
	Cell    string // study/cell, such as paper/infer[level=4,replicate=2]
	Started int64  // Unix time in nanoseconds
	Wall    time.Duration
	Files   []File

	detail extent
}

// Detail is what a record keeps for people.
type Detail struct {
	Parts    []Part   `json:"parts"` // what the key was made of
	Warnings []string `json:"warnings,omitempty"`
}

// A Part is one named contribution to a key.
type Part struct {
	Name  string `json:"name"`  // for example "with.calls" or "file data/in.csv"
	Value string `json:"value"` // as written, or a digest
}

// A Store is an open store. Its methods may be called concurrently.
type Store struct {
	dir string

	mu      sync.Mutex
	records map[string]*Record // by key
	latest  map[string]*Record // by cell
	stats   statCache
	pending []*Record
	details map[*Record][]byte // of pending records
	log     *os.File           // nil when the store was opened to read
	detail  *os.File
	size    int64 // of details.log
	timer   *time.Timer
	failed  error // of a background Sync
}

type extent struct{ off, n int64 }

// Open opens the store in dir for writing, making it where there is none. The
// caller holds the workspace's lock.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(filepath.Join(dir, "objects"), 0o777); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	s, good, err := load(dir)
	if err != nil {
		return nil, err
	}
	open := func(name string) *os.File {
		f, e := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o666)
		err = errors.Join(err, e)
		return f
	}
	s.log, s.detail = open("cells.log"), open("details.log")
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	// Everything after the last whole record was never acknowledged as durable.
	if err := s.log.Truncate(good); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	if _, err := s.log.Seek(good, io.SeekStart); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	if s.size, err = s.detail.Seek(0, io.SeekEnd); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	return s, nil
}

// View opens the store to read, without a lock; a store that is not there is
// empty.
func View(dir string) (*Store, error) {
	s, _, err := load(dir)
	return s, err
}

func load(dir string) (*Store, int64, error) {
	s := &Store{dir: dir, records: map[string]*Record{}, latest: map[string]*Record{}, details: map[*Record][]byte{}}
	s.stats.load(filepath.Join(dir, "stats.json"))
	b, err := os.ReadFile(filepath.Join(dir, "cells.log"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("open the store: %w", err)
	}
	good := int64(0)
	for rest := string(b); ; {
		line, tail, whole := strings.Cut(rest, "\n")
		if !whole {
			break
		}
		// A damaged line is a lost result; those around it still stand.
		if r, err := parseRecord(line); err == nil {
			s.index(r)
		}
		good += int64(len(line)) + 1
		rest = tail
	}
	return s, good, nil
}

func (s *Store) index(r *Record) {
	s.records[r.Key] = r
	s.latest[r.Cell] = r
}

// A record's line is
//
//	crc32c key cell started wall detail-offset detail-length {digest size x|- name}...
//
// with fields separated by tabs, and names quoted as Go strings only where they
// hold a tab, a newline, a quote or a backslash.
func (r *Record) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\t%s\t%d\t%d\t%d\t%d", r.Key, escape(r.Cell), r.Started, int64(r.Wall), r.detail.off, r.detail.n)
	for _, f := range r.Files {
		mode := "-"
		if f.Exec {
			mode = "x"
		}
		fmt.Fprintf(&b, "\t%s\t%d\t%s\t%s", f.Digest, f.Size, mode, escape(f.Name))
	}
	body := b.String()
	return fmt.Sprintf("%08x\t%s\n", crc32.Checksum([]byte(body), castagnoli), body)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errRecord = errors.New("damaged record")

func parseRecord(line string) (*Record, error) {
	sum, body, ok := strings.Cut(line, "\t")
	want, err := strconv.ParseUint(sum, 16, 32)
	if !ok || err != nil || len(sum) != 8 || crc32.Checksum([]byte(body), castagnoli) != uint32(want) {
		return nil, errRecord
	}
	field := func() string {
		var f string
		f, body, ok = strings.Cut(body, "\t")
		return f
	}
	number := func() int64 {
		n, e := strconv.ParseInt(field(), 10, 64)
		err = errors.Join(err, e)
		return n
	}
	name := func() string {
		s, e := unescape(field())
		err = errors.Join(err, e)
		return s
	}
	r := &Record{Key: field(), Cell: name(), Started: number(), Wall: time.Duration(number()), detail: extent{number(), number()}}
	for ok && err == nil {
		f := File{Digest: field(), Size: number(), Exec: field() == "x", Name: name()}
		r.Files = append(r.Files, f)
	}
	if err != nil {
		return nil, errRecord
	}
	return r, nil
}

func escape(s string) string {
	if strings.ContainsAny(s, "\t\n\r\"\\") || s == "" {
		return strconv.Quote(s)
	}
	return s
}

func unescape(s string) (string, error) {
	if strings.HasPrefix(s, `"`) {
		return strconv.Unquote(s)
	}
	return s, nil
}

// Get returns the record under a key, or nil. A record counts only while every
// object it names is there with its size.
func (s *Store) Get(key string) *Record {
	s.mu.Lock()
	r := s.records[key]
	s.mu.Unlock()
	if r == nil {
		return nil
	}
	for _, f := range r.Files {
		st, err := os.Lstat(s.Object(f.Digest))
		if err != nil || st.Size() != f.Size {
			return nil
		}
	}
	return r
}

// Latest returns the newest record of a cell, whatever its key, or nil.
func (s *Store) Latest(cell string) *Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest[cell]
}

// Detail reads what a record keeps for people.
func (s *Store) Detail(r *Record) (Detail, error) {
	s.mu.Lock()
	b, pending := s.details[r]
	s.mu.Unlock()
	if !pending {
		f, err := os.Open(filepath.Join(s.dir, "details.log"))
		if err != nil {
			return Detail{}, err
		}
		defer f.Close()
		b = make([]byte, r.detail.n)
		if _, err := f.ReadAt(b, r.detail.off); err != nil {
			return Detail{}, fmt.Errorf("read the details of %s: %w", r.Cell, err)
		}
	}
	var d Detail
	if err := json.Unmarshal(b, &d); err != nil {
		return Detail{}, fmt.Errorf("read the details of %s: %w", r.Cell, err)
	}
	return d, nil
}

// Object returns the path of an object, which is to be read only.
func (s *Store) Object(digest string) string {
	return filepath.Join(s.dir, "objects", digest[:2], digest)
}

// Put moves a finished output into the store and returns what it is. The file
// must be on the store's file system, regular, and no longer written to.
func (s *Store) Put(path, name string) (File, error) {
	st, err := os.Lstat(path)
	if err != nil {
		return File{}, err
	}
	if !st.Mode().IsRegular() {
		return File{}, fmt.Errorf("output %s is not a regular file but %s", name, st.Mode().Type())
	}
	digest, err := hashFile(path)
	if err != nil {
		return File{}, err
	}
	f := File{Name: name, Digest: digest, Size: st.Size(), Exec: st.Mode()&0o100 != 0}
	object := s.Object(digest)
	if have, err := os.Lstat(object); err == nil && have.Size() == f.Size {
		if sum, err := s.Digest(object); err == nil && sum == digest {
			return f, os.Remove(path)
		}
	}
	if err := os.Chmod(path, 0o444); err != nil {
		return File{}, err
	}
	if err := os.Rename(path, object); errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(object), 0o777); err == nil {
			err = os.Rename(path, object)
		}
		if err != nil {
			return File{}, err
		}
	} else if err != nil {
		return File{}, err
	}
	return f, nil
}

// Commit records finished cells, all or none: the records of one trial.
func (s *Store) Commit(d Detail, records ...*Record) error {
	b, err := json.Marshal(d)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return s.failed
	}
	for _, r := range records {
		s.details[r] = b
		s.pending = append(s.pending, r)
		s.index(r)
	}
	if s.timer == nil {
		s.timer = time.AfterFunc(SyncEvery, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.failed = errors.Join(s.failed, s.sync())
		})
	}
	return nil
}

// Sync makes everything committed durable.
func (s *Store) Sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.failed, s.sync())
}

func (s *Store) sync() error {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if len(s.pending) == 0 {
		return nil
	}
	var details, lines bytes.Buffer
	seen := map[*byte]extent{} // the records of one trial share their detail
	for _, r := range s.pending {
		b := s.details[r]
		at, ok := seen[&b[0]]
		if !ok {
			at = extent{s.size + int64(details.Len()), int64(len(b))}
			seen[&b[0]] = at
			details.Write(b)
			details.WriteByte('\n')
		}
		r.detail = at
		lines.WriteString(r.line())
	}
	if _, err := s.detail.WriteAt(details.Bytes(), s.size); err != nil {
		return fmt.Errorf("write the store: %w", err)
	}
	// One flush of the file system carries the objects, their names and the
	// details of every cell in the batch; only then may records name them.
	if err := unix.Syncfs(int(s.detail.Fd())); err != nil {
		return fmt.Errorf("write the store: %w", err)
	}
	// A failed write is cut off again, so that the log never has a torn middle.
	end, err := s.log.Seek(0, io.SeekCurrent)
	if err == nil {
		if _, err = s.log.Write(lines.Bytes()); err == nil {
			err = unix.Fdatasync(int(s.log.Fd()))
		}
		if err != nil {
			err = errors.Join(err, s.log.Truncate(end))
		}
	}
	if err != nil {
		return fmt.Errorf("write the store: %w", err)
	}
	s.size += int64(details.Len())
	s.pending = s.pending[:0]
	clear(s.details)
	return nil
}

// Close makes the store durable and closes it. A viewed store has nothing to
// close.
func (s *Store) Close() error {
	if s.log == nil {
		return nil
	}
	err := s.Sync()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(err, s.stats.save(filepath.Join(s.dir, "stats.json")), s.log.Close(), s.detail.Close())
}

// Copy writes an object to path in the workspace: aside first, then renamed, so
// that a reader sees the old file or the new one. The copy shares blocks with
// the object where the file system can, and is safe to edit.
func (s *Store) Copy(f File, path string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	src, err := os.Open(s.Object(f.Digest))
	if err != nil {
		return err
	}
	defer src.Close()
	mode := fs.FileMode(0o644)
	if f.Exec {
		mode = 0o755
	}
	dst, err := os.OpenFile(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+strconv.Itoa(os.Getpid())+"~"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			dst.Close()
			os.Remove(dst.Name())
		}
	}()
	if unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) != nil {
		if _, err = io.Copy(dst, src); err != nil {
			return err
		}
	}
	if err = dst.Close(); err != nil {
		return err
	}
	if err = os.Rename(dst.Name(), path); err != nil {
		return err
	}
	return nil
}

// Digest returns the SHA-256 of a file in the workspace, from the stat cache
// where size, times and inode are what they were and old enough to trust.
func (s *Store) Digest(path string) (string, error) {
	seen := time.Now()
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	digest, ok := s.stats.lookup(path, st)
	s.mu.Unlock()
	if ok {
		return digest, nil
	}
	if digest, err = hashFile(path); err != nil {
		return "", err
	}
	s.mu.Lock()
	s.stats.remember(path, st, digest, seen)
	s.mu.Unlock()
	return digest, nil
}
