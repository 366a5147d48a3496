// Package model makes the networks whose inference is measured.
//
// A model is a file configs/models/NAME.yaml that names an architecture, its
// sizes, a seed and the published count of parameters. [Load] reads it, with
// every error at its line and column; [Ensure] builds the ONNX file into a
// cache, once, and gives its path; [Generate] draws the inputs of a call. The
// same configuration gives the same bytes on every machine. An ONNX file is a model
// too: a configuration may name one in place of an architecture, and a path that
// ends in .onnx needs none, with inputs as the file declares them.
package model

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"barograph/pipeline/cell"
	"barograph/pipeline/source"
	"barograph/stages/asset"
	"barograph/stages/model/checkpoint"
	"barograph/stages/model/input"
	"barograph/stages/model/network"
	"barograph/stages/model/onnx"

	"golang.org/x/sys/unix"
)

// A Config is a model: how to build it, or the file that it is, and what to feed
// it. Those who load the same model share one, and do not change it.
type Config struct {
	Name         string        `json:"name"`
	Description  string        `json:"description"`
	Source       string        `json:"source"`              // where sizes and the count of parameters were published
	Architecture string        `json:"architecture"`        // "onnx" for a model that is a file already
	Seed         uint64        `json:"seed"`                // of the weights
	Precision    string        `json:"precision,omitempty"` // of weights and arithmetic, float16; "": float32, or the file's
	Parameters   int64         `json:"parameters"`
	Inputs       []input.Input `json:"inputs"`
	File         string        `json:"file"`             // the configuration, or the ONNX file
	URL          string        `json:"url,omitempty"`    // where the ONNX file can be had
	SHA256       string        `json:"sha256,omitempty"` // of the ONNX file, where it is a file already

	arch       network.Architecture // nil for an ONNX file
	naming     checkpoint.Naming
	checkpoint *checkpoint.Checkpoint // where weights come from, if not from the seed
	path       string                 // of an ONNX file
	files      []string               // it, and its data files
	digest     string
}

// What precisions are called.
const (
	float32s = "float32"
	float16s = "float16"
)

// WithPrecision returns the model with weights and arithmetic of a precision, float32
// or float16, or as it is where that is "". Inputs and outputs are the same.
func (c *Config) WithPrecision(precision string) (*Config, error) {
	switch precision {
	case "":
		return c, nil
	case float32s:
		precision = ""
	case float16s:
	default:
		return nil, cell.Hint(fmt.Errorf("model %q: unknown precision %q", c.Name, precision), "there are %s and %s", float32s, float16s)
	}
	if !c.Built() || c.checkpoint != nil {
		return nil, cell.Hint(fmt.Errorf("model %q is a file, which has the precision that it has", c.Name), "leave precision out, or export the file anew")
	}
	other := *c
	other.Precision = precision
	other.digest = other.network().Digest()
	return &other, nil
}

// Info is what an ONNX file holds.
type Info = onnx.Info

// Inspect says what an ONNX file holds without reading its weights. A file that
// is empty, cut short or no ONNX is an error.
func Inspect(path string) (*Info, error) { return onnx.Inspect(path) }

const folder = "configs/models"

var validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*$`)

// ValidName tells whether a configuration may have this name.
func ValidName(name string) bool {
	return validName.MatchString(name) && !strings.HasSuffix(name, ".onnx")
}

// ValidSum tells whether a text is a SHA-256 in hexadecimal.
func ValidSum(sum string) bool { return validSum.MatchString(sum) }

var validSum = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// Load reads configs/models/NAME.yaml below root; or, if name ends in .onnx, the
// file of that name, absolute or relative to root. It looks at everything but
// weights: a model that loads can be built.
func Load(root, name string) (*Config, error) {
	if strings.HasSuffix(name, ".onnx") {
		return LoadFile(root, name)
	}
	path := filepath.Join(root, folder, name+".yaml")
	data, err := os.ReadFile(path)
	switch {
	case !validName.MatchString(name) || errors.Is(err, fs.ErrNotExist):
		names, _ := Names(root) // without it the hint is poorer, no more
		return nil, cell.Hint(fmt.Errorf("unknown model %q: there is no %s", name, filepath.Join(folder, name+".yaml")), "%s", source.Suggest(name, names))
	case err != nil:
		return nil, fmt.Errorf("load model %q: %w", name, err)
	}
	if rel, err := filepath.Rel(root, path); err == nil {
		path = rel
	}
	key := version{path, sha256.Sum256(data)}
	if c, ok := loaded.Load(key); ok {
		return c.(*Config), nil
	}
	c, err := read(root, path, name, data)
	if err != nil {
		return nil, err
	}
	// A file may change while the configuration that names it does not.
	if c.arch != nil && !slices.ContainsFunc(c.Inputs, func(i input.Input) bool { return i.Values.Text != nil }) {
		loaded.Store(key, c)
	}
	return c, nil
}

// A plan asks for the same model for every cell, and laying out a graph takes
// milliseconds: loaded keeps the *Config of each version.
var loaded sync.Map

// A version is a file with its content.
type version struct {
	file string
	sum  [sha256.Size]byte
}

// Names returns those of the models of a workspace, sorted.
func Names(root string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(root, folder))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok && validName.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names) // files are sorted with their ends: x-y.yaml before x.yaml
	return names, nil
}

// List reads all models of a workspace, sorted by name. Those that do not load
// are left out and reported together in err.
func List(root string) (models []*Config, err error) {
	names, err := Names(root)
	if err != nil {
		return nil, fmt.Errorf("list models: %w", err)
	}
	for _, name := range names {
		c, e := Load(root, name)
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		models = append(models, c)
	}
	return models, err
}

// A head is what every configuration says.
type head struct {
	Model       string `json:"model" required:"true" also:"number"`
	Description string `json:"description" required:"true" also:"number"`
	Source      string `json:"source" required:"true" also:"number"`
}

// read parses and validates a configuration: of a file, where it has that key,
// and else of an architecture.
func read(root, file, name string, data []byte) (*Config, error) {
	doc, bad := source.Parse(file, data)
	if bad != nil {
		return nil, bad
	}
	c := &Config{Name: name, File: file}
	kind := c.readArchitecture
	if doc.Get("file") != nil {
		kind = func(doc *source.Node) error { return c.readFile(root, doc) }
	}
	if err := kind(doc); err != nil {
		return nil, err
	}
	for i, in := range c.Inputs {
		if in.Values.Text == nil {
			continue
		}
		if err := in.Values.Text.Open(root); err != nil {
			hint := cell.HintOf(err)
			if errors.Is(err, fs.ErrNotExist) {
				hint = "paths are relative to the workspace"
			}
			return nil, doc.At("inputs", i, "values").Errorf(hint, "input %q: %v", in.Name, err)
		}
	}
	return c, nil
}

// head takes what every configuration says.
func (c *Config) head(h head, doc *source.Node) error {
	if h.Model != c.Name {
		return doc.At("model").Errorf("", "the model is %q, and its file is named for %q", h.Model, c.Name)
	}
	c.Description, c.Source = h.Description, h.Source
	return nil
}

func (c *Config) readArchitecture(doc *source.Node) error {
	var y struct {
		head
		Architecture string            `json:"architecture" required:"true"`
		Seed         uint64            `json:"seed" required:"true"`
		Precision    string            `json:"precision" enum:"float32,float16"`
		Parameters   int64             `json:"parameters" required:"true"`
		Sizes        *source.Node      `json:"sizes" required:"true"`
		Inputs       []input.Input     `json:"inputs" required:"true"`
		Checkpoint   checkpoint.Naming `json:"checkpoint"`
	}
	err := doc.Unmarshal(&y)
	if err == nil {
		err = c.head(y.head, doc)
	}
	if err != nil {
		return err
	}
	arch := network.New(y.Architecture)
	if arch == nil {
		return doc.At("architecture").Errorf(source.Suggest(y.Architecture, network.Names()), "unknown architecture %q", y.Architecture)
	}
	if err := y.Sizes.Unmarshal(arch); err != nil {
		return err
	}
	if f := arch.Check(); f != nil {
		return y.Sizes.At(f.Key).Errorf(f.Hint, "%s", f.Msg)
	}
	c.Architecture, c.arch, c.Seed, c.Parameters, c.Inputs, c.naming = y.Architecture, arch, y.Seed, y.Parameters, y.Inputs, y.Checkpoint
	if y.Precision != float32s {
		c.Precision = y.Precision
	}
	net := c.network()
	info, err := net.Info()
	switch {
	case err != nil:
		return y.Sizes.Errorf("", "%v", err)
	case info.Bytes > onnx.MaxBytes:
		return y.Sizes.Errorf("", "the model takes %d bytes, and one ONNX file holds at most %d", info.Bytes, onnx.MaxBytes)
	case info.Parameters != c.Parameters:
		return doc.At("parameters").Errorf("the published count and the sizes contradict each other",
			"%d parameters are stated, and the sizes give %d", c.Parameters, info.Parameters)
	}
	c.digest = net.Digest()
	return c.checkInputs(doc, info)
}

// readFile reads the configuration of a model that is an ONNX file already. What
// it does not say, the file does.
func (c *Config) readFile(root string, doc *source.Node) error {
	var y struct {
		head
		File       string        `json:"file" required:"true"`
		SHA256     string        `json:"sha256" also:"number"`
		URL        string        `json:"url"`
		Parameters int64         `json:"parameters"`
		Inputs     []input.Input `json:"inputs"`
	}
	err := doc.Unmarshal(&y)
	if err == nil {
		err = c.head(y.head, doc)
	}
	switch {
	case err != nil:
		return err
	case doc.Get("sha256") != nil && !ValidSum(y.SHA256):
		return doc.At("sha256").Errorf("", "%q is not 64 hexadecimal digits", y.SHA256)
	case doc.Get("url") != nil && y.SHA256 == "":
		return doc.At("url").Errorf("add sha256: SUM, which the one who publishes the file gives", "what comes from a URL needs a checksum")
	}
	c.URL, c.path = y.URL, under(root, y.File)
	if _, err := os.Stat(c.path); errors.Is(err, fs.ErrNotExist) {
		hint := "copy it there"
		if c.URL != "" {
			hint = fmt.Sprintf("`barograph model fetch %s` downloads it; without a network, copy it there from a machine that has one", c.Name)
		}
		return &AbsentError{doc.At("file").Errorf(hint, "there is no %s", c.path), c.path, c.URL, y.SHA256}
	}
	info, err := c.open()
	if err != nil {
		return doc.At("file").Errorf(cell.HintOf(err), "%v", err)
	}
	if y.SHA256 != "" {
		if err := c.checkSum(y.SHA256); err != nil {
			return doc.At("sha256").Errorf(cell.HintOf(err), "%v", err)
		}
	}
	if doc.Get("parameters") != nil && y.Parameters != info.Parameters {
		return doc.At("parameters").Errorf("", "%d parameters are stated, and the file holds %d", y.Parameters, info.Parameters)
	}
	if doc.Get("inputs") != nil {
		c.Inputs = y.Inputs
		return c.checkInputs(doc, info)
	}
	if err := c.describeInputs(info); err != nil {
		return doc.At("file").Errorf(cell.HintOf(err), "%v", err)
	}
	return nil
}

// An AbsentError is a configuration whose file is not there, and where to have it.
type AbsentError struct {
	error
	Path, URL, SHA256 string
}

func (e *AbsentError) Unwrap() error { return e.error }

// under resolves a path, absolute or relative to root.
func under(root, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(root, path)
}

// checkInputs compares the inputs described with those the graph has.
func (c *Config) checkInputs(doc *source.Node, info *Info) error {
	byName := map[string]onnx.Value{}
	var missing []string
	for _, v := range info.Inputs {
		byName[v.Name] = v
		missing = append(missing, v.Name)
	}
	for i, in := range c.Inputs {
		at := doc.At("inputs", i)
		v, ok := byName[in.Name]
		switch {
		case !ok:
			return at.At("name").Errorf(source.Suggest(in.Name, missing), "%s has no other input %q", c.what(), in.Name)
		case in.Type != v.Type.String():
			return at.At("type").Errorf("", "input %q is of %s, not %s", in.Name, v.Type, in.Type)
		case !c.fits(in.Dims, v.Dims):
			return at.At("dims").Errorf("", "input %q has dims [%s], not [%s]", in.Name, strings.Join(v.Dims, ", "), strings.Join(in.Dims, ", "))
		}
		if err := in.Check(info.Rows[in.Name]); err != nil {
			return at.At("values").Errorf("", "input %q: %v", in.Name, err)
		}
		delete(byName, in.Name)
		missing = slices.DeleteFunc(missing, func(n string) bool { return n == in.Name })
	}
	if len(missing) > 0 {
		return doc.At("inputs").Errorf("", "missing %s", strings.Join(missing, ", "))
	}
	return nil
}

// what names a model's kind for errors.
func (c *Config) what() string {
	if c.arch == nil {
		return "the file"
	}
	return "architecture " + c.Architecture
}

// fits tells whether dims may be described so. Those of an architecture are what
// they are; of a file, a size or another name may stand for what has no size.
func (c *Config) fits(got, want []string) bool {
	if c.arch != nil {
		return slices.Equal(got, want)
	}
	if want == nil {
		return true // whatever the file does not say
	}
	return slices.EqualFunc(got, want, func(g, w string) bool { return g == w || !isSize(w) })
}

func isSize(dim string) bool {
	_, err := strconv.ParseInt(dim, 10, 64)
	return err == nil
}

// LoadFile makes a model of an ONNX file.
func LoadFile(root, name string) (*Config, error) {
	path := under(root, name)
	c := &Config{
		Name: strings.TrimSuffix(filepath.Base(name), ".onnx"), Description: "ONNX file " + name, File: path, path: path,
	}
	info, err := c.open()
	if err != nil {
		return nil, err
	}
	c.Source = info.Producer
	if err := c.describeInputs(info); err != nil {
		return nil, err
	}
	return c, nil
}

// open looks at the model's file, and at what lies beside it.
func (c *Config) open() (*Info, error) {
	info, err := Inspect(c.path)
	if err != nil {
		return nil, err
	}
	if err := info.CheckExternal(filepath.Dir(c.path)); err != nil {
		return nil, cell.Hint(fmt.Errorf("load model %s: %w", c.path, err), "all of the model's data files belong beside it, whole")
	}
	if len(info.Inputs) == 0 {
		return nil, fmt.Errorf("load model %s: it takes no input", c.path)
	}
	if len(info.Outputs) == 0 {
		return nil, fmt.Errorf("load model %s: it gives no output", c.path)
	}
	for _, out := range info.Outputs {
		if out.Type == 0 {
			return nil, cell.Hint(fmt.Errorf("load model %s: output %q is no tensor but a sequence, a map or an optional value", c.path, out.Name),
				"export the model with tensors for outputs (with sklearn: zipmap=False)")
		}
	}
	h := sha256.New()
	c.files = append([]string{c.path}, external(c.path, info)...)
	for _, file := range c.files {
		sum, err := asset.Digest(file)
		if err != nil {
			return nil, fmt.Errorf("load model %s: %w", c.path, err)
		}
		if c.SHA256 == "" {
			c.SHA256 = sum
		}
		fmt.Fprintln(h, sum)
	}
	c.digest = hex.EncodeToString(h.Sum(nil))
	c.Architecture, c.Parameters = "onnx", info.Parameters
	return info, nil
}

// describeInputs has every input drawn as its name, type and shape suggest.
func (c *Config) describeInputs(info *Info) error {
	for i, in := range input.Describe(info.Inputs, info.Rows) {
		err := in.Check(0)
		if err == nil && info.Inputs[i].Dims == nil {
			err = errors.New("the file does not say how many dimensions it has")
		}
		if err != nil {
			hint := cell.HintOf(err)
			if hint == "" {
				hint = "describe it under inputs: of a configuration in configs/models"
			}
			return cell.Hint(fmt.Errorf("model %q: input %q: %w", c.Name, in.Name, err), "%s", hint)
		}
		c.Inputs = append(c.Inputs, in)
	}
	return nil
}

// external returns the paths of a model's further files.
func external(path string, info *Info) []string {
	var files []string
	for _, f := range info.External {
		files = append(files, filepath.Join(filepath.Dir(path), f))
	}
	return files
}

// Digest returns, in hexadecimal, a SHA-256 of everything that decides the built
// file: architecture, sizes and seed by way of the graph they give, and the
// version of the weights' generator; or every byte of the file that it is. How inputs are drawn is not in it: they are
// in Inputs.
func (c *Config) Digest() string { return c.digest }

// Files are those that the model lies in; none if it is built.
func (c *Config) Files() []string { return c.files }

// Built tells whether the model is built here, and is not a file already.
func (c *Config) Built() bool { return c.arch != nil }

// Info returns what [Inspect] says of the model's file, without building it.
// Initialisers have no offsets then.
func (c *Config) Info() (*Info, error) {
	if c.arch == nil {
		return Inspect(c.path)
	}
	return c.network().Info()
}

func (c *Config) network() *network.Network {
	w := network.Weights{Seed: c.Seed, Float16: c.Precision == float16s}
	if c.checkpoint != nil {
		w.Stored = c.checkpoint.Elements
	}
	return c.arch.Build(w)
}

// Build writes the model's ONNX file to w. Memory does not grow with the model.
func Build(w io.Writer, c *Config) error {
	if c.arch == nil {
		return fmt.Errorf("build model %q: it is a file already", c.Name)
	}
	return c.network().Write(w)
}

// WithWeights returns the model with the weights of a checkpoint in place of the
// seed's, and what to close once it is built.
func (c *Config) WithWeights(path string) (*Config, io.Closer, error) {
	if c.arch == nil {
		return nil, nil, fmt.Errorf("build model %q: it is a file already", c.Name)
	}
	from, err := checkpoint.Open(path)
	if err != nil {
		return nil, nil, err
	}
	if err := from.Fit(c.arch.Build(network.Weights{}), c.naming); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("build model %q: %w", c.Name, err), from.Close())
	}
	h := sha256.New()
	fmt.Fprint(h, c.digest)
	for _, file := range from.Files() {
		sum, err := asset.Digest(file)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("read checkpoint: %w", err), from.Close())
		}
		fmt.Fprint(h, " ", sum)
	}
	trained := *c
	trained.checkpoint = from
	trained.digest = hex.EncodeToString(h.Sum(nil))
	return &trained, from, nil
}

// Path returns where [Ensure] keeps the model's file.
func Path(c *Config, cacheDir string) string {
	if c.arch == nil {
		return c.path
	}
	return filepath.Join(cacheDir, "models", c.digest+".onnx")
}

// Ensure returns the path of the model's ONNX file, building it into cacheDir if
// it is not there. Many processes may ask at once: one builds, the others wait.
// A build that fails or is killed leaves no file under the model's name. log,
// which may be nil, receives lines for a person.
func Ensure(ctx context.Context, c *Config, cacheDir string, log func(string)) (path string, err error) {
	path = Path(c, cacheDir)
	if c.arch == nil {
		return path, nil
	}
	// The name says what the file was built from; the digest noted beside it, that
	// it still is what was built.
	noted := path + ".sha256"
	built := func() bool {
		want, err := os.ReadFile(noted)
		if err != nil {
			return false
		}
		digest, err := asset.Digest(path)
		return err == nil && digest == string(want)
	}
	if built() {
		return path, nil
	}
	if log == nil {
		log = func(string) {}
	}
	unlock, err := asset.Lock(ctx, path+".lock", func() { log("waiting for another process to build " + c.Name) })
	if err != nil {
		return "", fmt.Errorf("build model %q: %w", c.Name, err)
	}
	defer unlock()
	if built() {
		return path, nil
	}
	info, err := c.Info()
	if err != nil {
		return "", err
	}
	log(fmt.Sprintf("building %s: %d parameters, %.0f MB", c.Name, c.Parameters, float64(info.Bytes)/1e6))
	if err := BuildFile(ctx, c, path, path+".tmp"); err != nil {
		return "", err
	}
	digest, err := asset.Digest(path)
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(noted, []byte(digest), 0o666)
}

// BuildFile builds into tmp and renames it to path.
func BuildFile(ctx context.Context, c *Config, path, tmp string) (err error) {
	defer func() {
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
			err = cell.Hint(err, "free some space in %s, or set BAROGRAPH_CACHE to a folder on another disk", filepath.Dir(path))
		}
	}()
	defer cell.Hold()() // tmp
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return fmt.Errorf("build model %q: %w", c.Name, err)
	}
	err = Build(cancellableWriter{ctx, f}, c)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("build model %q: %w", c.Name, err), os.Remove(tmp))
	}
	return nil
}

// cancellableWriter is a writer that fails once its context is done.
type cancellableWriter struct {
	ctx context.Context
	w   io.Writer
}

func (s cancellableWriter) Write(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.w.Write(p)
}
