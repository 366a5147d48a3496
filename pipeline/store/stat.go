package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// A stat is what the file system says of a file without reading it.
type stat struct {
	Size   int64  `json:"s"`
	Mtime  int64  `json:"m"` // nanoseconds
	Ctime  int64  `json:"c"` // set by the kernel on every change, also where mtime is put back
	Inode  uint64 `json:"i"`
	Digest string `json:"d"`
	// Seen is when reading began. A file changed within a clock tick of
	// being read could change again without showing, so such an entry is not
	// believed: the rule git calls "racy".
	Seen int64 `json:"t"`
}

const grain = int64(20 * time.Millisecond) // coarser than any kernel tick

type statCache struct {
	entries map[string]stat
	dirty   bool
}

func (c *statCache) load(path string) {
	c.entries = map[string]stat{}
	// The cache only spares reading: one that is missing or damaged is empty.
	if b, err := os.ReadFile(path); err != nil || json.Unmarshal(b, &c.entries) != nil {
		clear(c.entries)
	}
}

func (c *statCache) save(path string) error {
	if !c.dirty {
		return nil
	}
	b, err := json.Marshal(c.entries)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+"~", b, 0o666); err != nil {
		return err
	}
	return os.Rename(path+"~", path)
}

func (c *statCache) lookup(path string, info fs.FileInfo) (string, bool) {
	e, ok := c.entries[path]
	now := statOf(info)
	now.Digest, now.Seen = e.Digest, e.Seen
	if !ok || now != e || e.Seen-max(e.Mtime, e.Ctime) < grain {
		return "", false
	}
	return e.Digest, true
}

func (c *statCache) remember(path string, info fs.FileInfo, digest string, seen time.Time) {
	e := statOf(info)
	e.Digest, e.Seen = digest, seen.UnixNano()
	c.entries[path], c.dirty = e, true
}

func statOf(info fs.FileInfo) stat {
	s := stat{Size: info.Size(), Mtime: info.ModTime().UnixNano()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.Ctime, s.Inode = sys.Ctim.Nano(), sys.Ino
	}
	return s
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
