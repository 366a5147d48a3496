package engine

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// Claims are the workspace paths that runs may write, because nothing stood
// there when a run first wanted to. They are kept in a file, a path a line, and
// noted before anything runs, so that no crash turns an output into somebody
// else's file.
type claims struct {
	file string
	held map[string]bool
	more []string
}

func readClaims(file string) (*claims, error) {
	c := &claims{file: file, held: map[string]bool{}}
	b, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		if path, whole := strings.CutSuffix(line, "\n"); whole {
			c.held[path] = true
		}
	}
	return c, nil
}

// claim takes a path for runs to write, or says whose file stands there. Below
// data/ and figures/, which are for outputs, a clone brings files that no run
// here has made.
func (c *claims) claim(path, to string) error {
	if st, err := os.Lstat(path); err == nil && st.IsDir() {
		return errors.New("a folder is there")
	}
	if c.held[to] || strings.HasPrefix(to, "data/") || strings.HasPrefix(to, "figures/") {
		return nil
	}
	if _, err := os.Lstat(path); err == nil {
		return errors.New("it is there, and no run made it")
	}
	c.held[to] = true
	c.more = append(c.more, to)
	return nil
}

// keep makes new claims durable. The file is written aside and renamed: a torn
// one would forget claims.
func (c *claims) keep() error {
	if len(c.more) == 0 {
		return nil
	}
	all := make([]string, 0, len(c.held))
	for path := range c.held {
		all = append(all, path+"\n")
	}
	slices.Sort(all)
	f, err := os.Create(c.file + "~")
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(all, ""))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(c.file+"~", c.file)
}
