// Package file reads what configs/clusters/ says of a cluster.
package file

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/pipeline/source"
)

// Folder is where clusters lie in a workspace.
const Folder = "configs/clusters"

// A File is a cluster as it is written.
type File struct {
	Name        source.Word   `json:"name"`
	Description string        `json:"description"`
	Engine      string        `json:"engine" required:"true" enum:"slurm" doc:"The scheduler: slurm."`
	Machine     string        `json:"machine"`     // the machine file of its nodes, where --machine says none
	Partition   string        `json:"partition"`   // and the next four: what Slurm calls so
	Account     string        `json:"account"`     //
	QOS         string        `json:"qos"`         //
	Constraint  string        `json:"constraint"`  //
	Reservation string        `json:"reservation"` //
	Time        unit.Duration `json:"time" min:"1m"`
	CPUs        int           `json:"cpus" min:"1"` // of a job, which runs so many pure cells at a time
	Memory      unit.Size     `json:"memory"`       // of a job
	Gres        string        `json:"gres"`         // a GPU: gpu, or gpu:h100
	Shared      bool          `json:"shared"`       // measured cells share their node with other jobs
	Scratch     string        `json:"scratch"`      // a folder of the node's own; $SLURM_TMPDIR, $TMPDIR or /tmp
	Pack        int           `json:"pack" min:"1"` // cells of a job at most
	Jobs        int           `json:"jobs" min:"1"` // that run at a time
	Tries       int           `json:"tries" min:"1"`
	Beat        unit.Duration `json:"beat" min:"1s"` // how often an agent says that it lives
	Pause       bool          `json:"pause"`         // leave Slurm's pause of two minutes before a requeued job
	Setup       []string      `json:"setup"`         // lines of a job's script before the agent
	Extra       []string      `json:"extra"`         // flags of sbatch

	digest string
}

// reserved are the flags that say what the driver relies on.
var reserved = []string{"--array", "-a", "--job-name", "-J", "--comment", "--output", "-o", "--error", "-e", "--open-mode", "--parsable", "--wait", "-W", "--wrap", "--export", "--chdir", "-D", "--signal", "--test-only", "--input", "-i"}

// Names lists the clusters of a workspace, sorted.
func Names(root string) []string { return source.Files(root, Folder) }

// Read reads the file of a cluster.
func Read(root, name string) (*File, error) {
	path := filepath.Join(Folder, name+".yaml")
	text, err := cell.Read(filepath.Join(root, path))
	if errors.Is(err, fs.ErrNotExist) || strings.ContainsAny(name, "/\\") {
		hint := "write it: configs/README.md says how"
		if known := Names(root); len(known) > 0 {
			hint = cmp.Or(source.Suggest(name, known), hint)
		}
		return nil, cell.Usage(cell.Hint(fmt.Errorf("cluster %q: there is no file %s", name, path), "%s", hint))
	}
	if err != nil {
		return nil, cell.Usage(fmt.Errorf("cluster %q: %w", name, err))
	}
	doc, bad := source.Parse(path, text)
	if bad != nil {
		return nil, cell.Usage(bad)
	}
	sum := sha256.Sum256(text)
	f := &File{Time: unit.Duration(time.Hour), CPUs: 1, Pack: 100, Jobs: 50, Tries: 5, Beat: unit.Duration(10 * time.Second), digest: hex.EncodeToString(sum[:])}
	d := source.Decoder{}
	d.Decode(reflect.ValueOf(f).Elem(), doc, "")
	f.check(&d, doc, name)
	if err := d.Errs.Err(); err != nil {
		return nil, cell.Usage(err)
	}
	return f, nil
}

func (f *File) check(d *source.Decoder, doc *source.Node, name string) {
	if w := f.Name; w.At != nil && w.Text != name {
		d.Fail(w.At, "name the file and the cluster alike", "cluster %q in the file %s.yaml", w.Text, name)
	}
	for key, value := range map[string]string{"partition": f.Partition, "account": f.Account, "qos": f.QOS, "constraint": f.Constraint, "reservation": f.Reservation, "gres": f.Gres} {
		if strings.HasPrefix(value, "-") || strings.ContainsAny(value, "\n\x00 ") {
			d.Fail(doc.Get(key), "", "%s: %q is no name that Slurm could have", key, value)
		}
	}
	if parts := strings.Split(f.Gres, ":"); len(parts) > 2 || f.Gres != "" && strings.Trim(parts[len(parts)-1], "0123456789") == "" {
		d.Fail(doc.Get("gres"), "write gpu, or gpu:h100: how many a job needs is known", "gres: want a kind of resource and at most a type, got %q", f.Gres)
	}
	if s := f.Scratch; s != "" && !strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "$") {
		d.Fail(doc.Get("scratch"), "a path from the root, or a variable such as $LOCAL_SCRATCH", "scratch: %q is not the same folder wherever a job starts", s)
	}
	for i, flag := range f.Extra {
		at := doc.Get("extra").Items[i]
		word, _, _ := strings.Cut(flag, "=")
		if !strings.HasPrefix(flag, "-") || strings.ContainsAny(flag, "\n\x00") {
			d.Fail(at, "one flag of sbatch with its value, such as --mail-type=NONE", "extra: %q is no flag", flag)
		} else if slices.Contains(reserved, word) || len(word) > 2 && word[1] != '-' && slices.Contains(reserved, word[:2]) {
			d.Fail(at, "", "extra: %s is what a run sets itself", word)
		}
	}
	for i, line := range f.Setup {
		if strings.ContainsAny(line, "\n\x00") {
			d.Fail(doc.Get("setup").Items[i], "give each line an item of the list", "setup: more than one line")
		}
	}
}

// Digest is that of the file.
func (f *File) Digest() string { return f.digest }

// Flags are those of sbatch by which a job is asked for.
func (f *File) Flags() []string {
	var flags []string
	for _, kv := range [][2]string{{"partition", f.Partition}, {"account", f.Account}, {"qos", f.QOS}, {"constraint", f.Constraint}, {"reservation", f.Reservation}} {
		if kv[1] != "" {
			flags = append(flags, "--"+kv[0]+"="+kv[1])
		}
	}
	return append(flags, f.Extra...)
}
