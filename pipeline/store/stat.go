package store

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"sync"
	"time"

	"barograph/pipeline/cell"

	"golang.org/x/sys/unix"
)

// An Observation is what the file system says of a file without reading it: size,
// times of change of content and of the file in nanoseconds, inode. The kernel sets
// the last time on every change, also where the one before is put back. Two that
// are equal are of one content, if the first was not made in the instant of a
// change.
type Observation [4]int64

const (
	size = iota
	mtime
	ctime
)

// An entry is a file's digest, and the observation of when it was read.
type entry struct {
	Observation
	Digest string
	// Seen is when reading began. A file changed within a clock tick of being
	// read could change again without showing, so such an entry is not believed:
	// the rule git calls "racy".
	Seen int64
}

const grain = int64(20 * time.Millisecond) // coarser than any kernel tick

func (e entry) racy() bool { return e.Seen-max(e.Observation[mtime], e.Observation[ctime]) < grain }

type statCache struct {
	entries map[string]entry // by absolute path
	dirty   bool
}

// load reads the cache. It only spares reading: one that is missing or damaged is
// empty.
func (c *statCache) load(path string) {
	b, _ := cell.Read(path)
	if len(b) > crc32.Size {
		if sum := binary.BigEndian.Uint32(b); sum == crc32.Checksum(b[crc32.Size:], castagnoli) {
			_ = gob.NewDecoder(bytes.NewReader(b[crc32.Size:])).Decode(&c.entries)
		}
	}
	if c.entries == nil {
		c.entries = map[string]entry{}
	}
}

func (c *statCache) save(path string) error {
	if !c.dirty {
		return nil
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(c.entries); err != nil {
		return err
	}
	sum := binary.BigEndian.AppendUint32(nil, crc32.Checksum(b.Bytes(), castagnoli))
	return cell.Leave(path, append(sum, b.Bytes()...))
}

// holds tells whether a file still has the stat with which it had a digest. That
// is enough for objects, which nobody has a reason to change in the instant
// after they were made; other files need lookup.
func (c *statCache) holds(path string, o Observation, digest string) bool {
	e, ok := c.entries[path]
	return ok && e.Observation == o && e.Digest == digest
}

// lookup returns the digest of a file, if its stat proves it.
func (c *statCache) lookup(path string, o Observation) (string, bool) {
	e, ok := c.entries[path]
	if !ok || e.Observation != o || e.racy() {
		return "", false
	}
	return e.Digest, true
}

func (c *statCache) remember(path string, o Observation, digest string, seen time.Time) {
	c.entries[path], c.dirty = entry{o, digest, seen.UnixNano()}, true
}

// buffers are for reading files, thousands of which are small.
var buffers = sync.Pool{New: func() any { return new([1 << 17]byte) }}

// Observe observes a file.
func Observe(path string) (Observation, error) {
	o, _, err := observe(unix.AT_FDCWD, path, 0)
	return o, err
}

// ObserveAt observes a file by its path from a folder.
func ObserveAt(folder *os.File, path string) (Observation, error) {
	o, _, err := observe(int(folder.Fd()), path, 0)
	return o, err
}

func observe(folder int, path string, flags int) (Observation, fs.FileMode, error) {
	var st unix.Stat_t
	for {
		switch err := unix.Fstatat(folder, path, &st, flags); err {
		case nil:
			return Observation{st.Size, st.Mtim.Nano(), st.Ctim.Nano(), int64(st.Ino)}, modes[st.Mode&unix.S_IFMT], nil
		case unix.EINTR:
		default:
			return Observation{}, 0, &fs.PathError{Op: "stat", Path: path, Err: err}
		}
	}
}

// modes are the types of files, as [fs.FileMode] has them.
var modes = map[uint32]fs.FileMode{
	unix.S_IFREG: 0, unix.S_IFDIR: fs.ModeDir, unix.S_IFLNK: fs.ModeSymlink, unix.S_IFIFO: fs.ModeNamedPipe,
	unix.S_IFSOCK: fs.ModeSocket, unix.S_IFBLK: fs.ModeDevice, unix.S_IFCHR: fs.ModeDevice | fs.ModeCharDevice,
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
		return e, e.Digest == digest && !e.racy()
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
func (s *Store) ObjectProof(f File) (Observation, error) {
	if !s.sound(f) {
		return Observation{}, fmt.Errorf("object %s is damaged", f.Digest)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats.entries[s.Object(f.Digest)].Observation, nil
}
