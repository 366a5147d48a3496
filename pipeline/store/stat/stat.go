// Package stat observes files without reading them, and remembers what was read of
// those that are as they were.
package stat

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"io/fs"
	"iter"
	"slices"
	"sort"
	"strings"
	"time"
	"unsafe"

	"barograph/pipeline/cell"

	"golang.org/x/sys/unix"
)

// An Observation is what the file system says of a file without reading it: size,
// times of change of content and of the file in nanoseconds, inode. The kernel sets
// the last time on every change, also where the one before is put back. Two that
// are equal are of one content, if the first was not made in the instant of a
// change.
type Observation [4]int64

// Size is the file's, in bytes.
func (o Observation) Size() int64 { return o[size] }

const (
	size = iota
	mtime
	ctime
)

// An Entry is a file's digest, and the observation of when it was read.
type Entry struct {
	Observation
	Digest string
	// Seen is when reading began. A file changed within a clock tick of being
	// read could change again without showing, so such an entry is not believed:
	// the rule git calls "racy".
	Seen int64
}

const grain = int64(20 * time.Millisecond) // coarser than any kernel tick

// Racy tells whether the entry proves nothing.
func (e Entry) Racy() bool { return e.Seen-max(e.Observation[mtime], e.Observation[ctime]) < grain }

// A Cache holds entries by absolute path. Those of the file that it was read
// from stay as they are there, sorted, and are looked up in place: most runs ask for
// few of them.
type Cache struct {
	root    string           // a workspace, whose paths are written from there
	blocks  []block          // none is empty, and each comes after the one before
	entries map[string]Entry // that are not in the blocks, or no longer; one without a digest is gone
	folded  bool             // whether the blocks are not what was read
}

// A block is entries by path, in the form of the file, which is
//
//	crc32c form, the number of entries, entries, paths
//
// with the length of its path last in an entry, all numbers little-endian.
type block struct {
	entries, paths string
	ends           []uint32 // of the paths
}

const (
	form      = "stats 3\n"
	entrySize = 5*8 + sha256.Size + 4
)

func (f block) len() int { return len(f.entries) / entrySize }

// blockOf finds the paths; not ok where there are not as many.
func blockOf(entries, paths string) (f block, ok bool) {
	f = block{entries, paths, make([]uint32, len(entries)/entrySize)}
	end := uint64(0)
	for i := range f.ends {
		end += uint64(binary.LittleEndian.Uint32(cell.Bytes(entries[(i+1)*entrySize-4:])))
		f.ends[i] = uint32(end)
	}
	return f, end == uint64(len(paths))
}

func (f block) end(i int) uint32 {
	if i < 0 {
		return 0
	}
	return f.ends[i]
}

func (f block) path(i int) string { return f.paths[f.end(i-1):f.end(i)] }

func (f block) entry(i int) Entry {
	b := cell.Bytes(f.entries[i*entrySize:])
	var e Entry
	for k := range e.Observation {
		e.Observation[k] = int64(binary.LittleEndian.Uint64(b[8*k:]))
	}
	e.Seen = int64(binary.LittleEndian.Uint64(b[8*4:]))
	e.Digest = hex.EncodeToString(b[8*5 : 8*5+sha256.Size])
	return e
}

// Load reads the cache. It only spares reading: one that is missing or damaged is
// empty.
func (c *Cache) Load(path, root string) {
	c.root, c.entries = root, map[string]Entry{}
	text, err := cell.Text(path)
	if err != nil || len(text) < crc32.Size {
		return
	}
	sum, text := text[:crc32.Size], text[crc32.Size:]
	rest, ok := strings.CutPrefix(text, form)
	if !ok || len(rest) < 4 || binary.LittleEndian.Uint32(cell.Bytes(sum)) != crc32.Checksum(cell.Bytes(text), castagnoli) {
		return
	}
	n := int(binary.LittleEndian.Uint32(cell.Bytes(rest)))
	if rest = rest[4:]; n <= len(rest)/entrySize {
		if f, ok := blockOf(rest[:n*entrySize], rest[n*entrySize:]); ok && n > 0 {
			c.blocks = []block{f}
		}
	}
}

// short is a path as the file has it.
func (c *Cache) short(path string) string {
	if rest, inside := strings.CutPrefix(path, c.root); inside && strings.HasPrefix(rest, "/") {
		return rest[1:]
	}
	return path
}

// long undoes short.
func (c *Cache) long(path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	return c.root + "/" + path
}

// Get returns what is known of a file.
func (c *Cache) Get(path string) (Entry, bool) {
	if e, ok := c.entries[path]; ok {
		return e, e.Digest != ""
	}
	short := c.short(path)
	k := sort.Search(len(c.blocks), func(k int) bool { return c.blocks[k].path(0) > short }) - 1
	if k < 0 {
		return Entry{}, false
	}
	i, ok := c.blocks[k].find(short)
	if !ok {
		return Entry{}, false
	}
	return c.blocks[k].entry(i), true
}

// find returns where the entry of a path is, or would be.
func (f block) find(path string) (i int, ok bool) {
	return sort.Find(f.len(), func(i int) int { return strings.Compare(path, f.path(i)) })
}

func (c *Cache) Forget(path string) {
	if _, ok := c.Get(path); ok {
		c.entries[path] = Entry{}
	}
}

// Prune forgets the files that are not to be kept.
func (c *Cache) Prune(keep func(path string) bool) {
	for path := range c.entries {
		if !keep(path) {
			c.entries[path] = Entry{}
		}
	}
	for _, f := range c.blocks {
		for i := range f.len() {
			path := c.long(f.path(i))
			if _, known := c.entries[path]; !known && !keep(path) {
				c.entries[path] = Entry{}
			}
		}
	}
}

// Save writes the cache, if anything is to be written.
func (c *Cache) Save(file string) error {
	if len(c.entries) == 0 && !c.folded {
		return nil
	}
	var entries, paths [][]byte
	n := 0
	for e, p := range c.merged() {
		entries, paths = append(entries, e...), append(paths, p...)
	}
	for _, b := range entries {
		n += len(b) / entrySize
	}
	parts := slices.Concat([][]byte{nil, binary.LittleEndian.AppendUint32([]byte(form), uint32(n))}, entries, paths)
	sum := uint32(0)
	for _, part := range parts {
		sum = crc32.Update(sum, castagnoli, part)
	}
	parts[0] = binary.LittleEndian.AppendUint32(nil, sum)
	return cell.Leave(file, parts...)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// mostUnfolded bounds how many entries are kept apart: each takes several times as
// much memory as in the form of the file.
const mostUnfolded = 1 << 14

// mostInBlock bounds the entries of a block: one is made anew where some of its entries
// change, beside what it was.
const mostInBlock = 1 << 13

// fold brings all entries into blocks.
func (c *Cache) fold() {
	var blocks []block
	for entries, paths := range c.merged() {
		f, _ := blockOf(text(entries), text(paths))
		for from := 0; from < f.len(); from += mostInBlock {
			to := min(f.len(), from+mostInBlock)
			part, _ := blockOf(strings.Clone(f.entries[from*entrySize:to*entrySize]), strings.Clone(f.paths[f.end(from-1):f.end(to-1)]))
			blocks = append(blocks, part)
		}
	}
	c.blocks, c.entries, c.folded = blocks, map[string]Entry{}, true
}

// text joins parts, of which there is no second copy.
func text(parts [][]byte) string {
	b := bytes.Join(parts, nil)
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// merged yields all entries and their paths block by block, in parts, which are those of
// the block where nothing has changed.
func (c *Cache) merged() iter.Seq2[[][]byte, [][]byte] {
	changed := make([]string, 0, len(c.entries))
	for path := range c.entries {
		changed = append(changed, c.short(path))
	}
	slices.Sort(changed)
	return func(yield func(entries, paths [][]byte) bool) {
		blocks := c.blocks
		if len(blocks) == 0 {
			blocks = []block{{}}
		}
		for k, f := range blocks {
			n := len(changed)
			if k+1 < len(blocks) {
				n, _ = slices.BinarySearch(changed, blocks[k+1].path(0))
			}
			if !yield(c.merge(f, changed[:n])) {
				return
			}
			changed = changed[n:]
		}
	}
}

// merge merges a block with the entries of paths, which are sorted.
func (c *Cache) merge(f block, changed []string) (entries, paths [][]byte) {
	old := 0
	keep := func(until int) {
		entries = append(entries, cell.Bytes(f.entries[old*entrySize:until*entrySize]))
		paths = append(paths, cell.Bytes(f.paths[f.end(old-1):f.end(until-1)]))
		old = until
	}
	for _, path := range changed {
		i, same := f.find(path)
		if keep(i); same {
			old++
		}
		e := c.entries[c.long(path)]
		digest, err := hex.DecodeString(e.Digest)
		if err != nil || len(digest) != sha256.Size { // it is gone
			continue
		}
		b := make([]byte, 0, entrySize)
		for _, n := range append(e.Observation[:], e.Seen) {
			b = binary.LittleEndian.AppendUint64(b, uint64(n))
		}
		b = binary.LittleEndian.AppendUint32(append(b, digest...), uint32(len(path)))
		entries, paths = append(entries, b), append(paths, []byte(path))
	}
	keep(f.len())
	return entries, paths
}

// Holds tells whether a file still has the stat with which it had a digest. That
// is enough for objects, which nobody has a reason to change in the instant
// after they were made; other files need lookup.
func (c *Cache) Holds(path string, o Observation, digest string) bool {
	e, ok := c.Get(path)
	return ok && e.Observation == o && e.Digest == digest
}

// Lookup returns the digest of a file, if its stat proves it.
func (c *Cache) Lookup(path string, o Observation) (string, bool) {
	e, ok := c.Get(path)
	if !ok || e.Observation != o || e.Racy() {
		return "", false
	}
	return e.Digest, true
}

// Remember notes what a file held that was read since a time.
func (c *Cache) Remember(path string, o Observation, digest string, seen time.Time) {
	if c.entries[path] = (Entry{o, digest, seen.UnixNano()}); len(c.entries) > mostUnfolded {
		c.fold()
	}
}

// Observe observes a file.
func Observe(path string) (Observation, error) {
	o, _, err := ObserveAt(unix.AT_FDCWD, path, 0)
	return o, err
}

// ObserveAt is Observe with the file's type, by its path from a folder and with the flags
// of fstatat. A path may end with a zero: of one that does not, the kernel is given a copy.
func ObserveAt(folder int, path string, flags int) (Observation, fs.FileMode, error) {
	name, rest, ends := strings.Cut(path, "\x00")
	if !ends {
		path += "\x00"
	}
	var st unix.Stat_t
	err := unix.EINVAL // what has a zero within is no path
	for again := rest == ""; again; again = err == unix.EINTR {
		_, _, err = unix.Syscall6(unix.SYS_NEWFSTATAT, uintptr(folder), uintptr(unsafe.Pointer(unsafe.StringData(path))), uintptr(unsafe.Pointer(&st)), uintptr(flags), 0, 0)
	}
	if err != 0 {
		return Observation{}, 0, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return Observation{st.Size, st.Mtim.Nano(), st.Ctim.Nano(), int64(st.Ino)}, modes[st.Mode&unix.S_IFMT], nil
}

// modes are the types of files, as [fs.FileMode] has them.
var modes = map[uint32]fs.FileMode{
	unix.S_IFREG: 0, unix.S_IFDIR: fs.ModeDir, unix.S_IFLNK: fs.ModeSymlink, unix.S_IFIFO: fs.ModeNamedPipe,
	unix.S_IFSOCK: fs.ModeSocket, unix.S_IFBLK: fs.ModeDevice, unix.S_IFCHR: fs.ModeDevice | fs.ModeCharDevice,
}
