package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/store"
	"barograph/pipeline/study"

	"golang.org/x/sync/errgroup"
)

// A proof says that everything of a study stands, and what was looked at to know
// it: as long as looking again gives the same, there is nothing to plan, decide
// or run. It asks each question whose answer a plan and its keys rest on, and
// keeps one digest of all answers; any other answer, to any of them, and the
// study is planned as if there were no proof. So a proof is never stale, only
// useless.
type proof struct {
	Program store.Observation
	Sources study.Sources
	Globs   map[string][]string
	Asked   []inquiry
	Set     map[string]map[string]map[string]string // by Setting, by the kind and the device that were asked
	Result  json.RawMessage                         // what the caller wants to know again
	Answer  string                                  // of what follows: files, by a stat or by their content
}

// An inquiry is what a kind is asked, and what it said.
type inquiry struct {
	Kind string
	With json.RawMessage
	Said map[string]string // by Identify
}

// Prove writes a proof that every cell stands, with result in it, to a file. It
// returns an error where that cannot be proven, for example because an input
// was edited meanwhile.
func (d *Decider) Prove(file string, result any) error {
	p := d.plan
	pr := proof{Sources: p.Study.Sources, Globs: p.globs}
	var err error
	if pr.Program, err = store.Observe(program); err != nil {
		return err
	}
	if pr.Result, err = json.Marshal(result); err != nil {
		return err
	}
	wanted := map[string]string{} // digests by absolute path
	objects := map[string]store.File{}
	seen := map[string]bool{}
	for _, c := range p.Cells {
		dec := d.made[c]
		if dec == nil || dec.State != Stands || c.Given != nil {
			return fmt.Errorf("prove %s: it does not stand", c.ID)
		}
		for _, path := range c.Files {
			wanted[filepath.Join(p.Study.Root, path)] = d.files[path]
		}
		for _, f := range dec.Record.Files {
			// What is in the workspace as it should be is not needed from the store;
			// when it is, the store looks for itself.
			if to := c.Publish[f.Name]; to != "" {
				wanted[filepath.Join(p.Study.Root, to)] = f.Digest
			} else {
				objects[d.store.Object(f.Digest)] = f
			}
		}
		k := c.Stage.Kind
		if k.Measured && k.Setting != nil {
			pr.settings(k, c.devices(p.Study))
		}
		if question := k.Name + string(c.With); !seen[question] && (k.Identify != nil || k.Check != nil) {
			seen[question] = true
			a := inquiry{Kind: k.Name, With: c.With}
			if a.Said, err = a.ask(k, p.Study.Root, p.Study.Machine.Device); err != nil {
				return err
			}
			pr.Asked = append(pr.Asked, a)
		}
	}
	lines := make([]string, 0, len(wanted)+len(objects))
	for path := range wanted {
		lines = append(lines, path)
	}
	for path := range objects {
		lines = append(lines, path)
	}
	slices.Sort(lines)
	pr.Answer, err = answer(len(lines), func(i int) (string, []byte, error) {
		path := lines[i]
		short, _ := strings.CutPrefix(path, p.Study.Root+"/")
		if f, ok := objects[path]; ok {
			o, err := d.store.ObjectProof(f)
			lines[i] = byStat + short
			return lines[i], observed(o), err
		}
		o, proves, err := d.store.Proof(path, wanted[path])
		if !proves {
			lines[i] = byContent + short
			return lines[i], []byte(wanted[path]), err
		}
		lines[i] = byStat + short
		return lines[i], observed(o), err
	})
	if err != nil {
		return err
	}
	head, err := json.Marshal(pr)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.Write(head)
	for _, l := range lines {
		b.WriteByte(0)
		b.WriteString(l)
	}
	sum := sha256.Sum256(b.Bytes())
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	return cell.Leave(file, append(sum[:], b.Bytes()...))
}

// settings notes how devices are set for a kind.
func (pr *proof) settings(k *cell.Kind, devices []string) {
	if pr.Set == nil {
		pr.Set = map[string]map[string]map[string]string{}
	}
	if pr.Set[k.Name] == nil {
		pr.Set[k.Name] = map[string]map[string]string{}
	}
	for _, device := range devices {
		if pr.Set[k.Name][device] == nil {
			pr.Set[k.Name][device] = k.Setting(device)
		}
	}
}

// Proven tells whether a file proves that everything stands, and fills in the
// result that it was written with.
func Proven(file string, opt study.Options, result any) bool {
	b, err := os.ReadFile(file)
	if err != nil || len(b) < sha256.Size {
		return false
	}
	sum, b := b[:sha256.Size], b[sha256.Size:]
	if got := sha256.Sum256(b); !bytes.Equal(got[:], sum) {
		return false
	}
	head, rest, _ := bytes.Cut(b, []byte{0})
	var pr proof
	if json.Unmarshal(head, &pr) != nil {
		return false
	}
	if now, err := store.Observe(program); err != nil || now != pr.Program || !pr.Sources.Current(opt) {
		return false
	}
	for pattern, was := range pr.Globs {
		if now, err := glob(pr.Sources.Root, pattern); err != nil || !slices.Equal(now, was) {
			return false
		}
	}
	for name, devices := range pr.Set {
		k := opt.Kinds[name]
		for device, was := range devices {
			if k == nil || k.Setting == nil || !maps.Equal(k.Setting(device), was) {
				return false
			}
		}
	}
	for _, a := range pr.Asked {
		k := opt.Kinds[a.Kind]
		if k == nil {
			return false
		}
		said, err := a.ask(k, pr.Sources.Root, pr.Sources.Device)
		if err != nil || len(said) != len(a.Said) {
			return false
		}
		for name, v := range said {
			if was, ok := a.Said[name]; !ok || was != v {
				return false
			}
		}
	}
	var lines []string
	if len(rest) > 0 {
		for line := range bytes.SplitSeq(rest, []byte{0}) {
			lines = append(lines, string(line))
		}
	}
	root, err := os.Open(pr.Sources.Root)
	if err != nil {
		return false
	}
	defer root.Close()
	got, err := answer(len(lines), func(i int) (string, []byte, error) {
		how, path := lines[i][:1], lines[i][1:]
		if how == byContent {
			if !filepath.IsAbs(path) {
				path = filepath.Join(pr.Sources.Root, path)
			}
			digest, err := cell.Sum(path)
			return lines[i], []byte(digest), err
		}
		o, err := store.ObserveAt(root, path)
		return lines[i], observed(o), err
	})
	return err == nil && got == pr.Answer && json.Unmarshal(pr.Result, result) == nil
}

// program is the running one: another may plan otherwise.
const program = "/proc/self/exe"

// How a line of a proof looks at a file.
const (
	byStat    = "s"
	byContent = "c"
)

func (a *inquiry) ask(k *cell.Kind, root, device string) (map[string]string, error) {
	with := k.With()
	err := json.Unmarshal(a.With, with)
	if err == nil && k.Check != nil {
		err = k.Check(root, device, with)
	}
	if err != nil || k.Identify == nil {
		return nil, err
	}
	return k.Identify(root, with)
}

func observed(o store.Observation) []byte {
	b := make([]byte, 0, 8*len(o))
	for _, n := range o {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	return b
}

// answer digests n questions with their answers, in order, several at a time.
func answer(n int, ask func(i int) (question string, said []byte, err error)) (string, error) {
	const chunk = 512
	sums := make([][]byte, (n+chunk-1)/chunk)
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for c := range sums {
		work.Go(func() error {
			h := sha256.New()
			var b []byte
			for i := c * chunk; i < min(n, (c+1)*chunk); i++ {
				question, said, err := ask(i)
				if err != nil {
					return err
				}
				said = append(append(append(b[:0], question...), 0, byte(len(said))), said...)
				h.Write(said)
				b = said
			}
			sums[c] = h.Sum(nil)
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		return "", err
	}
	all := sha256.Sum256(bytes.Join(sums, nil))
	return hex.EncodeToString(all[:]), nil
}
