// Package store keeps the results of cells: content-addressed objects, and one
// record per finished cell under the key of everything that decided it.
//
// A store lives in one folder:
//
//	objects/ab/abcdef...  the outputs' bytes, read-only, named by SHA-256
//	cells.log             one line per record, each with a checksum; a torn tail is cut off
//	details.log           what each key was made of, in the same way, for explanations
//	stats                 digests of files by size, times and inode
//	aside/                copies on their way into the workspace
//
// Commit appends a record at once, so that a process that dies loses none;
// [Store.Sync] makes what was committed durable, and happens in the background, at
// first soon and then every [SyncEvery], and on Close, so that a machine that dies
// loses at most the cells committed since.
//
// An object counts only while the file has the stat it had when it was known to
// hold what its name says; otherwise it is read again, and a damaged one is no
// result. Stats are kept only after a Sync, so whatever a dying machine made of a
// record's objects shows before the record is used. [Store.Verify] reads all of them whatever their stat, and [Store.GC]
// removes what no root names. A folder that is shared can stand behind a store.
package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/store/blank"
	"barograph/pipeline/store/journal"
	"barograph/pipeline/store/stat"

	"golang.org/x/sys/unix"
)

// SyncEvery bounds how long a committed cell may wait to become durable.
const SyncEvery = 5 * time.Second

// firstSync is how long the first waits, and each further one twice as long as the last:
// so a short run does not leave all of it to its end.
const firstSync = 300 * time.Millisecond

// A File is one output of a cell.
type File struct {
	Name   string `json:"name"`   // relative to the cell's folder
	Digest string `json:"sha256"` // in hexadecimal
	Size   int64  `json:"size"`
	Exec   bool   `json:"exec,omitempty"` // the owner may execute it
}

// A Record is a finished cell.
type Record struct {
	Key     string        `json:"-"`                // stands before the rest
	Cell    string        `json:"cell"`             // study/cell, such as paper/infer[level=4,replicate=2]
	Started int64         `json:"started"`          // Unix time in nanoseconds
	Wall    time.Duration `json:"wall"`             // in nanoseconds
	Warned  int           `json:"warned,omitempty"` // how many warnings its detail holds
	Files   []File        `json:"files,omitempty"`
	By      string        `json:"by,omitempty"` // the attempt on another computer that made it
}

// Detail is what a record keeps for people.
type Detail struct {
	Parts    []Part   `json:"parts"` // what the key was made of
	Warnings []string `json:"warnings,omitempty"`
	// Unsteady is why the result is not good, though it is one: it was measured, but
	// did not come to rest. Then there is a warning too.
	Unsteady string `json:"unsteady,omitempty"`
	// Texts are the notebook's files by path, so that a change can be shown line
	// by line.
	Texts map[string]string `json:"texts,omitempty"`
}

// A Part is one named contribution to a key.
type Part struct {
	Name  string `json:"name"`  // for example "with.calls" or "file data/in.csv"
	Value string `json:"value"` // as written, or a digest
}

// A Store is an open store. Its methods may be called concurrently.
type Store struct {
	dir string

	shared *depot
	server *server

	mu      sync.Mutex
	records *ledger
	details *journal.Log // of records, for people
	write   bool         // or it was opened to read
	stats   stat.Cache
	used    map[string][]string // outputs by the keys that a shared folder should have
	lacking map[string]bool     // keys of which it has nothing sound
	made    map[[2]string]bool  // outputs by name and digest; nil until Made is asked
	timer   *time.Timer         // of the next Sync, where one is due
	pause   time.Duration       // before that
	copies  atomic.Int64
	failed  error // of a Sync

	outbox *outbox      // nil where the store keeps what it is given
	blanks *blank.Files // for copies; nil for none

	flush sync.Mutex // held by the one that syncs
}

// Open opens the store in dir for writing, making it where there is none. The
// caller holds the workspace's lock.
func Open(dir string) (*Store, error) {
	aside := filepath.Join(dir, "aside")
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "objects"), 0o777), os.RemoveAll(aside), os.Mkdir(aside, 0o777)); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	return load(dir, true)
}

// View opens the store to read, without a lock; a store that is not there is
// empty.
func View(dir string) (*Store, error) { return load(dir, false) }

func load(dir string, write bool) (*Store, error) {
	dir, err := filepath.Abs(dir) // stats are remembered by absolute path
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	s := &Store{dir: dir, write: write, pause: firstSync, used: map[string][]string{}, lacking: map[string]bool{}}
	if s.records, err = openLedger(filepath.Join(dir, "cells.log"), write); err == nil {
		s.details, err = journal.Open(filepath.Join(dir, "details.log"), write)
	}
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	s.stats.Load(filepath.Join(dir, "stats"), filepath.Dir(filepath.Dir(dir)))
	return s, nil
}

// Get returns the record under a key, or nil: that of this store, or one that
// the shared folder has. A record counts only if it names the outputs that the
// cell declares and no others, and while every object it names is there and
// sound.
func (s *Store) Get(key string, outputs []string) *Record {
	s.mu.Lock()
	r := s.records.get(key)
	s.use(key, outputs)
	s.mu.Unlock()
	if r != nil && r.holds(outputs) && s.whole(r) {
		return r
	}
	return s.fetch(key, outputs)
}

// use notes outputs for those that stand behind the store, if any do; s.mu is held.
func (s *Store) use(key string, outputs []string) {
	if s.shared != nil || s.server != nil {
		s.used[key] = outputs
	}
}

// holds tells whether a record is of these outputs and no others.
func (r *Record) holds(outputs []string) bool {
	names := r.names()
	return slices.Equal(names, outputs) || slices.Equal(slices.Sorted(slices.Values(names)), slices.Sorted(slices.Values(outputs)))
}

func (s *Store) whole(r *Record) bool {
	for _, f := range r.Files {
		if !s.sound(f) {
			return false
		}
	}
	return true
}

// sound tells whether an object holds what its name says.
func (s *Store) sound(f File) bool {
	path := s.Object(f.Digest)
	o, mode, err := stat.ObserveAt(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil || o.Size() != f.Size || !mode.IsRegular() {
		return false
	}
	s.mu.Lock()
	holds := s.stats.Holds(path, o, f.Digest)
	s.mu.Unlock()
	if holds {
		return true
	}
	digest, err := s.Digest(path)
	return err == nil && digest == f.Digest
}

// Latest returns the newest record of a cell, whatever its key, or nil.
func (s *Store) Latest(cell string) *Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records.of(cell)
}

// Made tells whether a record is of an output with this name and digest.
func (s *Store) Made(name, digest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made == nil {
		s.made = map[[2]string]bool{}
		for r := range s.records.all() {
			s.note(r)
		}
	}
	return s.made[[2]string{name, digest}]
}

// note adds a record's outputs to those that Made knows; s.mu is held.
func (s *Store) note(r *Record) {
	for _, f := range r.Files {
		s.made[[2]string{f.Name, f.Digest}] = true
	}
}

// Unread returns how many records could not be read: they are damaged, or of a
// version of this program that kept them in another way.
func (s *Store) Unread() int { return s.records.unread }

// Detail reads what a record keeps for people.
func (s *Store) Detail(r *Record) (Detail, error) {
	s.mu.Lock()
	text, ok, err := s.details.Get(r.Key)
	s.mu.Unlock()
	var d Detail
	switch {
	case err != nil:
	case !ok:
		err = errors.New("lost or damaged")
	default:
		err = json.Unmarshal(cell.Bytes(text), &d)
	}
	if err != nil {
		return Detail{}, fmt.Errorf("read the details of %s: %w", r.Cell, err)
	}
	return d, nil
}

// Object returns the path of an object, which is to be read only.
func (s *Store) Object(digest string) string {
	if s.outbox != nil {
		return s.outbox.to.object(digest)
	}
	return filepath.Join(s.dir, "objects", digest[:2], digest)
}

// Put moves a finished output into the store and returns what it is. The file
// must be regular, and no longer written to. One that has other names too, which
// may be somebody's, is copied: their file stays theirs.
func (s *Store) Put(path, name string) (File, error) {
	st, err := os.Lstat(path)
	if err != nil {
		return File{}, err
	}
	if !st.Mode().IsRegular() {
		return File{}, fmt.Errorf("output %s is not a regular file but %s", name, st.Mode().Type())
	}
	if st.Size() >= large { // the disk may as well be at work meanwhile
		if f, err := os.Open(path); err == nil {
			startWriting(f)
			f.Close()
		}
	}
	digest, err := cell.Sum(path)
	if err != nil {
		return File{}, err
	}
	f := File{Name: name, Digest: digest, Size: st.Size(), Exec: st.Mode()&0o100 != 0}
	names := uint64(1)
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		names = uint64(sys.Nlink)
	}
	switch {
	case s.outbox != nil:
		return f, s.outbox.put(path, f, names)
	case s.sound(f):
		return f, os.Remove(path)
	case names > 1:
		return f, s.takeCopy(path, f)
	}
	if err := unix.Chmod(path, 0o444); err != nil {
		return File{}, &fs.PathError{Op: "chmod", Path: path, Err: err}
	}
	err = s.adopt(path, f)
	if errors.Is(err, unix.EXDEV) {
		err = s.takeCopy(path, f)
	}
	return f, err
}

// takeCopy adopts a copy of a file, and removes the file.
func (s *Store) takeCopy(path string, f File) error {
	aside := filepath.Join(s.dir, "aside", fmt.Sprintf("%s.%d~", f.Digest, s.copies.Add(1)))
	digest, err := copyFile(path, aside)
	if err == nil && digest != f.Digest {
		err = fmt.Errorf("output %s changed while it was kept", f.Name)
	}
	if err == nil {
		err = s.adopt(aside, f)
	}
	if err != nil {
		os.Remove(aside)
		return err
	}
	return os.Remove(path)
}

// adopt moves a file that holds an object's bytes to its place.
func (s *Store) adopt(path string, f File) error {
	object := s.Object(f.Digest)
	if err := moveTo(path, object); err != nil {
		return err
	}
	return s.remember(object, f.Digest)
}

// remember notes what an object was found to hold.
func (s *Store) remember(object, digest string) error {
	o, _, err := stat.ObserveAt(unix.AT_FDCWD, object, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.stats.Remember(object, o, digest, time.Now())
	s.mu.Unlock()
	return nil
}

// moveTo renames a file, into a folder that need not be there.
func moveTo(path, to string) error {
	err := rename(path, to)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(to), 0o777); err == nil {
			err = rename(path, to)
		}
	}
	return err
}

// Commit records finished cells, those of one trial. What is committed later
// has ended later, also where the clock was set back meanwhile: the records' times
// are put off then, so that they give the order in which cells were measured.
func (s *Store) Commit(d Detail, records ...*Record) error { return s.commit(d, true, records...) }

// commit is Commit; records that are not this store's own keep their times.
func (s *Store) commit(d Detail, own bool, records ...*Record) error {
	ended := int64(0)
	for _, r := range records {
		r.Warned = len(d.Warnings)
		ended = max(ended, r.Started+int64(r.Wall))
	}
	if s.outbox != nil {
		s.mu.Lock()
		s.order(records, ended)
		s.mu.Unlock()
		return s.outbox.send(d, records)
	}
	var details strings.Builder
	for _, r := range records {
		details.WriteString(journal.Line(r.Key, d))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return s.failed
	}
	if own {
		s.order(records, ended)
	}
	if err := s.details.Append(details.String(), journal.Nobody); err != nil {
		return written(err)
	}
	if err := s.records.add(records...); err != nil {
		return written(err)
	}
	for _, r := range records {
		s.use(r.Key, r.names())
		if s.made != nil {
			s.note(r)
		}
	}
	s.due()
	return nil
}

// order puts records off that ended at a time, so that it is after all before them; s.mu
// is held.
func (s *Store) order(records []*Record, ended int64) {
	later := max(0, s.records.ended+1-ended)
	for _, r := range records {
		r.Started += later
	}
	s.records.ended = ended + later
}

// due sees to a Sync before long; s.mu is held.
func (s *Store) due() {
	if s.timer == nil && s.write && s.outbox == nil {
		s.timer = time.AfterFunc(s.pause, func() { _ = s.Sync() }) // the next Commit says what went wrong
		s.pause = min(2*s.pause, SyncEvery)
	}
}

// names lists the outputs of a record.
func (r *Record) names() []string {
	names := make([]string, len(r.Files))
	for i, f := range r.Files {
		names[i] = f.Name
	}
	return names
}

func written(err error) error {
	return cell.Hint(fmt.Errorf("write the store: %w", err), "what was kept before stands; the next run goes on from it")
}

// Sync makes everything committed durable.
func (s *Store) Sync() error {
	s.flush.Lock() // whoever asks waits for the flush that is under way
	defer s.flush.Unlock()
	s.mu.Lock()
	due := s.timer != nil
	if due {
		s.timer.Stop()
		s.timer = nil
	}
	s.mu.Unlock()
	var err error
	if due {
		// One flush of the file system carries the objects, their names and the logs
		// of every cell committed since the last.
		err = s.records.Sync()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && s.failed == nil {
		s.failed = written(err)
	}
	return s.failed
}

// Close makes the store durable, unless it was opened to read, and closes it.
func (s *Store) Close() error {
	if !s.write {
		return errors.Join(s.records.Close(), s.details.Close())
	}
	s.blanks.Remove()
	s.push()
	err := s.Sync()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil { // a stat vouches only for what is durable
		err = s.stats.Save(filepath.Join(s.dir, "stats"))
	}
	return errors.Join(err, s.records.Close(), s.details.Close())
}

// Copy writes an object to path in the workspace: aside first, then renamed, so
// that a reader sees the old file or the new one. The copy shares blocks with
// the object where the file system can, and is safe to edit.
func (s *Store) Copy(f File, path string) error {
	// Aside is in the store, where the next run cleans up after one that died; but
	// beside the file where that lies on another file system.
	aside := filepath.Join(s.dir, "aside")
	err := s.copy(f, aside, path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(path), 0o777); err == nil {
			err = s.copy(f, aside, path)
		}
	}
	if errors.Is(err, unix.EXDEV) {
		err = s.copy(f, filepath.Dir(path), path)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Forget(path) // what was known of the file that stood there
	s.due()
	return nil
}

// Foresee returns what makes ready for so many outputs that are to be received from a
// folder and copied into the workspace, each of which takes less time then, and what ends
// that.
func (s *Store) Foresee(n int, dir string) (make, end func()) {
	s.blanks = blank.New(filepath.Join(s.dir, "aside"), min(n, mostForeseen))
	var fans []string
	if n >= fanned {
		fans = []string{filepath.Join(dir, "objects"), filepath.Join(dir, "cells"), filepath.Join(s.dir, "objects")}
	}
	return func() { s.blanks.Make(fans...) }, s.blanks.End
}

// So many outputs need most of the folders that outputs lie in, and for no more is it made
// ready.
const fanned, mostForeseen = 1 << 8, 1 << 12

func (s *Store) copy(f File, aside, path string) (err error) {
	src, err := open(s.Object(f.Digest), unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	mode := uint32(0o666)
	if f.Exec {
		mode = 0o777
	}
	name, flags := "", unix.O_WRONLY
	if !f.Exec {
		name = s.blanks.Take(aside)
	}
	if name == "" {
		name, flags = fmt.Sprintf("%s/.barograph.%d.%d~", aside, os.Getpid(), s.copies.Add(1)), flags|unix.O_CREAT|unix.O_EXCL
	}
	dst, err := open(name, flags, mode)
	if err != nil {
		unix.Close(src)
		return err
	}
	if err = fill(dst, src, f.Size); err == nil {
		err = rename(name, path)
	} else {
		err = &fs.PathError{Op: "copy", Path: name, Err: err}
	}
	if err != nil {
		os.Remove(name)
	}
	return err
}

// open is os.OpenFile for a file that nobody waits for, without what the runtime would
// note of each of thousands.
func open(path string, flags int, mode uint32) (fd int, err error) {
	for {
		if fd, err = unix.Open(path, flags|unix.O_CLOEXEC, mode); err == nil {
			return fd, nil
		} else if err != unix.EINTR {
			return -1, &fs.PathError{Op: "open", Path: path, Err: err}
		}
	}
}

// rename is os.Rename without a look at what is there.
func rename(old, new string) error {
	if err := unix.Rename(old, new); err != nil {
		return &os.LinkError{Op: "rename", Old: old, New: new, Err: err}
	}
	return nil
}

// buffers are for reading files, thousands of which are small.
var buffers = sync.Pool{New: func() any { return new([1 << 17]byte) }}

// fill copies a file, and closes both.
func fill(dst, src int, size int64) error {
	b := buffers.Get().(*[1 << 17]byte)
	defer buffers.Put(b)
	if size > int64(len(b)) {
		return fillLarge(os.NewFile(uintptr(dst), "copy"), os.NewFile(uintptr(src), "object"))
	}
	err := each(b[:size], func(b []byte) (int, error) { return unix.Read(src, b) }) // asking the kernel to do it takes longer
	if err == nil {
		err = each(b[:size], func(b []byte) (int, error) { return unix.Write(dst, b) })
	}
	unix.Close(src)
	return cmp.Or(err, unix.Close(dst))
}

// each reads or writes all of b.
func each(b []byte, do func([]byte) (int, error)) error {
	for len(b) > 0 {
		n, err := do(b)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case n == 0:
			return io.ErrUnexpectedEOF
		}
		b = b[n:]
	}
	return nil
}

func fillLarge(dst, src *os.File) (err error) {
	defer func() { err = errors.Join(err, src.Close(), dst.Close()) }()
	if unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) == nil {
		return nil
	}
	for {
		_, err := io.CopyN(dst, src, large)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		startWriting(dst)
	}
}

// large is the size from which on a file is written to disk before a Sync asks
// for it.
const large = 16 << 20

// startWriting has the kernel write what it holds of a file, and does not wait. A
// kernel that cannot will do it later.
func startWriting(f *os.File) { _ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE) }

// Digest returns the SHA-256 of a file in the workspace, from the stat cache
// where size, times and inode are what they were and old enough to trust.
func (s *Store) Digest(path string) (string, error) {
	digest, _, err := s.Look(path)
	return digest, err
}

// Look is Digest, with the observation that came before.
func (s *Store) Look(path string) (digest string, o stat.Observation, err error) {
	seen := time.Now()
	o, mode, err := stat.ObserveAt(unix.AT_FDCWD, path, 0)
	if err != nil {
		return "", o, err
	}
	s.mu.Lock()
	digest, ok := s.stats.Lookup(path, o)
	s.mu.Unlock()
	if ok {
		return digest, o, nil
	}
	if err := cell.Irregular(path, mode); err != nil {
		return "", o, err
	}
	if digest, err = cell.Sum(path); err != nil {
		return "", o, err
	}
	s.mu.Lock()
	s.stats.Remember(path, o, digest, seen)
	s.mu.Unlock()
	return digest, o, nil
}

// Proof returns an observation that proves a file to hold what has the digest. It
// is one that was made when the file was known to, whatever became of the file
// since. It returns false where the file holds that but was changed too recently
// for an observation to prove anything, and an error where it does not.
func (s *Store) Proof(path, digest string) (stat.Observation, bool, error) {
	known := func() (e stat.Entry, proves bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		e, _ = s.stats.Get(path)
		return e, e.Digest == digest && !e.Racy()
	}
	if e, proves := known(); proves {
		return e.Observation, true, nil
	}
	got, err := s.Digest(path)
	if err == nil && got != digest {
		err = fmt.Errorf("%s has changed", path)
	}
	e, proves := known()
	return e.Observation, proves, err
}

// ObjectProof is [Store.Proof] for an object.
func (s *Store) ObjectProof(f File) (stat.Observation, error) {
	if !s.sound(f) {
		return stat.Observation{}, fmt.Errorf("object %s is damaged", f.Digest)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, _ := s.stats.Get(s.Object(f.Digest))
	return e.Observation, nil
}
