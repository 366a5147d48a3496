package record

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"barograph/pipeline/cell"
)

// Sums is the name of the file that seals a folder, in the format of
// `sha256sum -c`.
const Sums = "SHA256SUMS"

// A Sum is one line of [Sums].
type Sum struct {
	Name string // relative to the folder, with slashes
	SHA  string // 64 lower-case hexadecimal digits
}

// WriteSums seals a folder: it writes [Sums], listing every other file below
// dir by name. The file appears whole or not at all.
func WriteSums(dir string) error {
	names, err := files(dir)
	if err != nil {
		return fmt.Errorf("write %s: %w", Sums, err)
	}
	if len(names) == 0 {
		return fmt.Errorf("write %s: no file in %q", Sums, dir)
	}
	var all []Sum
	for _, name := range names {
		sum, err := cell.Sum(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("write %s: %w", Sums, err)
		}
		all = append(all, Sum{name, sum})
	}
	return cell.Leave(filepath.Join(dir, Sums), FormatSums(all))
}

// FormatSums writes the lines of [Sums].
func FormatSums(all []Sum) []byte {
	var b bytes.Buffer
	for _, s := range all {
		if quoted := quote.Replace(s.Name); quoted != s.Name {
			fmt.Fprintf(&b, "\\%s  %s\n", s.SHA, quoted)
		} else {
			fmt.Fprintf(&b, "%s  %s\n", s.SHA, s.Name)
		}
	}
	return b.Bytes()
}

// Sealed returns nil for a folder that holds checksums to check it by.
func Sealed(dir string) error {
	_, err := sums(dir)
	return err
}

func sums(dir string) ([]Sum, error) {
	path := filepath.Join(dir, Sums)
	b, err := cell.Read(path)
	if err != nil {
		return nil, cell.Hint(fmt.Errorf("verify %q: %w", dir, err), "a recording is a folder data/<study>/<machine> that holds %s", Sums)
	}
	all, err := ParseSums(b)
	if err != nil {
		return nil, cell.Hint(fmt.Errorf("verify %q: %w", dir, err), "%s", again)
	}
	return all, nil
}

// VerifyFile checks a file against the checksums beside it, if there are any. One that they
// do not list is an error where its name is that of a part of a recording.
func VerifyFile(path string) error {
	dir, name := filepath.Split(path)
	if _, err := os.Stat(filepath.Join(dir, Sums)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	all, err := sums(filepath.Clean(dir))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(s Sum) bool { return s.Name == name })
	if i >= 0 {
		var sum string
		if sum, err = cell.Sum(path); err == nil && sum != all[i].SHA {
			err = all[i].damaged(sum)
		}
	} else if part := strings.TrimSuffix(name, Packed); part == Samples || part == Run {
		if _, gone := os.Stat(path); gone == nil {
			err = fmt.Errorf("not listed: %s", name)
		}
	}
	if err != nil {
		return cell.Hint(fmt.Errorf("verify %q: %w", path, err), "%s", again)
	}
	return nil
}

const again = "take the folder from version control again, or measure again"

func (s Sum) damaged(sum string) error {
	return fmt.Errorf("damaged: %s: its SHA-256 is %s, not %s", s.Name, sum, s.SHA)
}

// Verify checks a sealed folder. Its error has a line for every file that is
// damaged, missing, or not listed.
func Verify(dir string) error {
	sums, err := sums(dir)
	if err != nil {
		return err
	}
	names, err := files(dir)
	if err != nil {
		return fmt.Errorf("verify %q: %w", dir, err)
	}
	var wrong []error
	listed := map[string]bool{}
	for _, s := range sums {
		listed[s.Name] = true
		if !slices.Contains(names, s.Name) {
			wrong = append(wrong, fmt.Errorf("missing: %s", s.Name))
			continue
		}
		switch sum, err := cell.Sum(filepath.Join(dir, s.Name)); {
		case err != nil:
			wrong = append(wrong, fmt.Errorf("unreadable: %w", err))
		case sum != s.SHA:
			wrong = append(wrong, s.damaged(sum))
		}
	}
	for _, name := range names {
		if !listed[name] {
			wrong = append(wrong, fmt.Errorf("not listed: %s", name))
		}
	}
	if len(wrong) > 0 {
		return cell.Hint(fmt.Errorf("verify %q:\n%w", dir, errors.Join(wrong...)), "%s", again)
	}
	return nil
}

// ParseSums reads a checksum file: "<sha256>  <name>" on each line, with
// sha256sum's "*" for binary and its backslash escapes. Names must stay below
// the folder, and stand once.
func ParseSums(b []byte) ([]Sum, error) {
	var sums []Sum
	seen := map[string]bool{}
	s := bufio.NewScanner(bytes.NewReader(b))
	s.Buffer(nil, 1<<20)
	for n := 1; s.Scan(); n++ {
		line, escaped := strings.CutPrefix(s.Text(), `\`)
		if len(line) < 67 || line[64] != ' ' || line[65] != ' ' && line[65] != '*' {
			return nil, fmt.Errorf("%s:%d: want 64 hexadecimal digits, two spaces and a name", Sums, n)
		}
		sum, name := strings.ToLower(line[:64]), line[66:]
		if _, err := hex.DecodeString(sum); err != nil {
			return nil, fmt.Errorf("%s:%d: %q is no SHA-256", Sums, n, line[:64])
		}
		if escaped {
			name = unquote.Replace(name)
		}
		switch {
		case !filepath.IsLocal(name) || filepath.Clean(name) != name || name == ".":
			return nil, fmt.Errorf("%s:%d: %q is not a name below the folder", Sums, n, name)
		case seen[name]:
			return nil, fmt.Errorf("%s:%d: %q stands twice", Sums, n, name)
		}
		seen[name] = true
		sums = append(sums, Sum{name, sum})
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", Sums, err)
	}
	if len(sums) == 0 {
		return nil, fmt.Errorf("%s is empty", Sums)
	}
	return sums, nil
}

// The escapes that coreutils uses in names.
var (
	quote   = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`)
	unquote = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r")
)

// files returns the files below dir, [Sums] aside, sorted by name.
func files(dir string) ([]string, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if name != Sums {
			names = append(names, name)
		}
		return err
	})
	slices.Sort(names)
	return names, err
}
