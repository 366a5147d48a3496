package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"barograph/pipeline/cell"

	"golang.org/x/sys/unix"
)

// A stat is what the file system says of a file without reading it.
type stat struct {
	size, mtime, ctime int64 // times in nanoseconds; the kernel sets ctime on every change, also where mtime is put back
	inode              uint64
}

// An entry is a file's digest, and the stat it had when it was read.
type entry struct {
	stat
	digest string
	// seen is when reading began. A file changed within a clock tick of being
	// read could change again without showing, so such an entry is not believed:
	// the rule git calls "racy".
	seen int64
}

const grain = int64(20 * time.Millisecond) // coarser than any kernel tick

func (e entry) racy() bool { return e.seen-max(e.mtime, e.ctime) < grain }

type statCache struct {
	entries map[string]entry // by absolute path
	dirty   bool
	exact   uint64 // the device on which every change shows; 0 if none is known to be one
}

// probe returns the device of a folder, if its file system tells any two changes
// of a file apart where it was asked in between: then nothing there is ever racy.
// Linux has done so since 6.13, on some file systems. A clock that ticks gives
// five changes within a tick's time two times at most. Otherwise, and where it
// cannot find out, it returns 0.
func probe(dir string) uint64 {
	f, err := os.CreateTemp(dir, "probe")
	if err != nil {
		return 0
	}
	defer os.Remove(f.Name())
	defer f.Close()
	const tick = time.Millisecond // no kernel's is shorter
	for range 3 {                 // it may be interrupted
		times := map[int64]bool{}
		start := time.Now()
		var info fs.FileInfo
		for range 5 {
			if _, err = f.Write([]byte{0}); err == nil {
				info, err = f.Stat()
			}
			if err != nil {
				return 0
			}
			times[statOf(info).ctime] = true
		}
		if time.Since(start) < tick {
			if len(times) == 5 {
				return deviceOf(info)
			}
			return 0
		}
	}
	return 0
}

// load reads the cache. It only spares reading: what is missing or damaged of it
// is not there. A line is
//
//	crc32c digest size mtime ctime inode seen path
func (c *statCache) load(path string) {
	b, _ := cell.Read(path)
	c.entries = make(map[string]entry, bytes.Count(b, []byte("\n")))
	for line := range wholeLines(string(b)) {
		text, ok := unsealed(line)
		var n [5]int64
		digest, text, _ := strings.Cut(text, " ")
		for i := range n {
			var field string
			var err error
			field, text, _ = strings.Cut(text, " ")
			n[i], err = strconv.ParseInt(field, 10, 64)
			ok = ok && err == nil
		}
		if name, err := unescape(text); ok && err == nil {
			c.entries[name] = entry{stat{n[0], n[1], n[2], uint64(n[3])}, digest, n[4]}
		}
	}
}

func (c *statCache) save(path string) error {
	if !c.dirty {
		return nil
	}
	b := make([]byte, 0, 256*len(c.entries))
	var line []byte
	for name, e := range c.entries {
		line = append(append(line[:0], e.digest...), ' ')
		for _, n := range [...]int64{e.size, e.mtime, e.ctime, int64(e.inode), e.seen} {
			line = append(strconv.AppendInt(line, n, 10), ' ')
		}
		b = appendSealed(b, append(line, escape(name)...))
	}
	if err := os.WriteFile(path+"~", b, 0o666); err != nil {
		return err
	}
	return os.Rename(path+"~", path)
}

// holds tells whether a file still has the stat with which it had a digest. That
// is enough for objects, which nobody has a reason to change in the instant
// after they were made; other files need lookup.
func (c *statCache) holds(path string, info fs.FileInfo, digest string) bool {
	e, ok := c.entries[path]
	return ok && e.stat == statOf(info) && e.digest == digest
}

// lookup returns the digest of a file, if its stat proves it.
func (c *statCache) lookup(path string, info fs.FileInfo) (string, bool) {
	e, ok := c.entries[path]
	if !ok || e.stat != statOf(info) || e.racy() {
		return "", false
	}
	return e.digest, true
}

// shows tells whether every change of a file shows.
func (c *statCache) shows(info fs.FileInfo) bool { return c.exact != 0 && c.exact == deviceOf(info) }

func (c *statCache) remember(path string, info fs.FileInfo, digest string, seen time.Time) {
	e := entry{statOf(info), digest, seen.UnixNano()}
	if c.shows(info) { // whatever changes it from now on will show
		e.seen = max(e.seen, max(e.mtime, e.ctime)+grain)
	}
	c.entries[path], c.dirty = e, true
}

func statOf(info fs.FileInfo) stat {
	s := stat{size: info.Size(), mtime: info.ModTime().UnixNano()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.ctime, s.inode = sys.Ctim.Nano(), sys.Ino
	}
	return s
}

// deviceOf returns the number of a file's device, which is not 0.
func deviceOf(info fs.FileInfo) uint64 {
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		return sys.Dev
	}
	return 0
}

// HashFile returns the SHA-256 of a file in hexadecimal.
func HashFile(path string) (string, error) {
	f, _, err := cell.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	b := buffers.Get().(*[1 << 17]byte)
	defer buffers.Put(b)
	for {
		n, err := f.Read(b[:])
		h.Write(b[:n])
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
}

// buffers are for reading files, thousands of which are small.
var buffers = sync.Pool{New: func() any { return new([1 << 17]byte) }}

// An Observation is what the file system says of a file without reading it:
// size, times in nanoseconds, inode. Two that are equal are of one content, if
// the first was not made in the instant of a change.
type Observation [4]int64

// Observe observes a file.
func Observe(path string) (Observation, error) { return observe(unix.AT_FDCWD, path) }

// ObserveAt observes a file by its path from a folder.
func ObserveAt(folder *os.File, path string) (Observation, error) {
	return observe(int(folder.Fd()), path)
}

func observe(folder int, path string) (Observation, error) {
	var st unix.Stat_t
	for {
		switch err := unix.Fstatat(folder, path, &st, 0); err {
		case nil:
			return Observation{st.Size, st.Mtim.Nano(), st.Ctim.Nano(), int64(st.Ino)}, nil
		case unix.EINTR:
		default:
			return Observation{}, &fs.PathError{Op: "stat", Path: path, Err: err}
		}
	}
}

func (s stat) observation() Observation {
	return Observation{s.size, s.mtime, s.ctime, int64(s.inode)}
}

// Proof returns an observation that proves a file to hold what has the digest. It
// is one that was made when the file was known to, whatever became of the file
// since. It returns false where the file holds that but was changed too recently
// for an observation to prove anything, and an error where it does not.
func (s *Store) Proof(path, digest string) (Observation, bool, error) {
	known := func() (e entry, proves bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		e = s.stats.entries[path]
		return e, e.digest == digest && !e.racy()
	}
	if e, proves := known(); proves {
		return e.observation(), true, nil
	}
	got, err := s.Digest(path)
	if err == nil && got != digest {
		err = fmt.Errorf("%s has changed", path)
	}
	e, proves := known()
	return e.observation(), proves, err
}

// ObjectProof is [Store.Proof] for an object.
func (s *Store) ObjectProof(f File) (Observation, error) {
	if !s.sound(f) {
		return Observation{}, fmt.Errorf("object %s is damaged", f.Digest)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats.entries[s.Object(f.Digest)].observation(), nil
}
