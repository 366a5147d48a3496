// Package command is `model`, the commands about models.
package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"barograph/pipeline/cell"
	"barograph/stages/model"

	"github.com/spf13/cobra"
)

// Command returns `model`, with list, build, info and fetch. Results go to standard
// output, messages to standard error. The workspace is the flag --root, where an
// enclosing command defines it, or the nearest folder upwards that holds configs.
func Command() *cobra.Command {
	group := &cobra.Command{
		Use:   "model",
		Short: "List, build, inspect and fetch models",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.AddCommand(listCommand(), buildCommand(), infoCommand(), fetchCommand())
	return group
}

func listCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the models under configs/models",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			root, err := Workspace(cmd)
			if err != nil {
				return err
			}
			models, err := model.List(root)
			return errors.Join(writeList(cmd.OutOrStdout(), models, asJSON), err)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func writeList(w io.Writer, models []*model.Config, asJSON bool) error {
	if asJSON {
		if models == nil {
			models = []*model.Config{} // [], not null
		}
		return cell.WriteJSON(w, models)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tARCHITECTURE\tPARAMETERS\tDESCRIPTION")
	for _, c := range models {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", c.Name, c.Architecture, thousands(c.Parameters), c.Description)
	}
	return t.Flush()
}

func buildCommand() *cobra.Command {
	var out, trained, precision string
	cmd := &cobra.Command{
		Use:   "build NAME",
		Short: "Build a model's ONNX file and print its path",
		Long: "Build a model's ONNX file and print its path.\n\n" +
			"Without --output the file goes into the cache, where studies look for it.\n" +
			"With --weights it holds those of a checkpoint; say model: {file: FILE.onnx} to study it.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			root, err := Workspace(cmd)
			if err != nil {
				return err
			}
			c, err := model.Load(root, args[0])
			if err != nil {
				return cell.Usage(err)
			}
			if c, err = c.WithPrecision(precision); err != nil {
				return cell.Usage(err)
			}
			if trained != "" {
				var file io.Closer
				if c, file, err = c.WithWeights(trained); err != nil {
					return cell.Usage(err)
				}
				defer file.Close()
			}
			path := out
			if out == "" {
				var cache string
				if cache, err = cell.CacheDir(); err != nil {
					return err
				}
				path, err = model.Ensure(cmd.Context(), c, cache, func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) })
			} else {
				err = buildNew(cmd, c, out)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), path)
			return err
		},
	}
	cmd.Flags().StringVar(&trained, "weights", "", "take the weights from the checkpoint `FILE`.safetensors")
	cmd.Flags().StringVar(&precision, "precision", "", "weights and arithmetic of `float16` or float32 (default: the model's)")
	cmd.Flags().StringVarP(&out, "output", "o", "", "write a new file `FILE`")
	return cmd
}

// buildNew builds a file that does not exist yet.
func buildNew(cmd *cobra.Command, c *model.Config, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return cell.Usage(cell.Hint(fmt.Errorf("build model %q: %s exists", c.Name, path), "remove it first, or name another file"))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("build model %q: %w", c.Name, err)
	}
	defer cell.Hold()() // the file beside
	// A name of its own beside the target: the rename stays within one disk.
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("build model %q: %w", c.Name, err)
	}
	// CreateTemp makes files that only their owner can read.
	if err := errors.Join(tmp.Chmod(0o644), tmp.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return model.BuildFile(cmd.Context(), c, path, tmp.Name())
}

func infoCommand() *cobra.Command {
	var asJSON bool
	var dims map[string]int64
	cmd := &cobra.Command{
		Use:   "info NAME|FILE.onnx",
		Short: "Say what a model, or any ONNX file, holds, and what crosses the link",
		Example: `  barograph model info bert-mini --dims sequence=64
  barograph model info my.onnx --dims height=224,width=224`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Stat(args[0]); err == nil || strings.ContainsRune(args[0], filepath.Separator) || strings.HasSuffix(args[0], ".onnx") {
				info, err := model.Inspect(args[0])
				if err != nil {
					return cell.Usage(err)
				}
				file, err := filepath.Abs(args[0])
				if err != nil {
					return err
				}
				r := report{Info: info}
				c, err := model.LoadFile("", file)
				if err == nil {
					err = r.weigh(c, dims)
				}
				r.Doubt = err
				return r.write(cmd.OutOrStdout(), asJSON)
			}
			root, err := Workspace(cmd)
			if err != nil {
				return err
			}
			c, err := model.Load(root, args[0])
			if err != nil {
				return cell.Usage(err)
			}
			info, err := c.Info()
			if err != nil {
				return err
			}
			cache, err := cell.CacheDir()
			if err != nil {
				return err
			}
			r := report{Model: c, Digest: c.Digest(), Path: model.Path(c, cache), Info: info}
			r.Doubt = r.weigh(c, dims)
			return r.write(cmd.OutOrStdout(), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	cmd.Flags().StringToInt64Var(&dims, "dims", nil, "sizes of symbolic dimensions, `name=size,...`; batch is 1 and sequence 128 unless said")
	return cmd
}

// A report is what `model info` says; of a file, Model is nil.
type report struct {
	Model  *model.Config `json:"model,omitempty"`
	Digest string        `json:"digest,omitempty"`
	Path   string        `json:"path,omitempty"`
	*model.Info
	Traffic *traffic `json:"traffic,omitempty"`
	Doubt   error    `json:"-"` // why there is no Traffic
}

// traffic is what crosses the link, in bytes. Out is -1 where the file does not
// tell, and it takes a call to know.
type traffic struct {
	Dims    map[string]int64 `json:"dims,omitempty"`
	In      int64            `json:"in_bytes"`     // of each request
	Out     int64            `json:"out_bytes"`    // likewise
	Weights int64            `json:"weight_bytes"` // once
}

// weigh fills in Traffic.
func (r *report) weigh(c *model.Config, dims map[string]int64) error {
	sequence := 128
	if _, limits := c.Dims(); limits["sequence"] > 0 {
		sequence = min(sequence, int(limits["sequence"]))
	}
	t := &traffic{Dims: c.Sizes(1, sequence, dims), Weights: r.InitialiserBytes}
	var err error
	t.In, t.Out, err = c.Traffic(r.Info, t.Dims)
	if err == nil {
		r.Traffic = t
	}
	return err
}

func (r *report) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return cell.WriteJSON(w, r)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if c := r.Model; c != nil {
		built := "not built yet"
		if _, err := os.Stat(r.Path); err == nil {
			built = r.Path
		}
		fmt.Fprintf(t, "model\t%s: %s\nsource\t%s\nconfiguration\t%s\nfile\t%s\n", c.Name, c.Description, c.Source, c.File, built)
	}
	fmt.Fprintf(t, "parameters\t%s\n", thousands(r.Parameters))
	fmt.Fprintf(t, "bytes\t%s, of which initialisers %s\n", thousands(r.Bytes), thousands(r.InitialiserBytes))
	fmt.Fprintf(t, "format\tIR version %d, operator set %d%s\n", r.IR, r.Opset, domains(r.Info))
	if r.Producer != "" {
		fmt.Fprintf(t, "producer\t%s\n", r.Producer)
	}
	for _, v := range r.Inputs {
		fmt.Fprintf(t, "input\t%s %v [%s]\n", v.Name, v.Type, strings.Join(v.Dims, ", "))
	}
	for _, v := range r.Outputs {
		fmt.Fprintf(t, "output\t%s %v [%s]\n", v.Name, v.Type, strings.Join(v.Dims, ", "))
	}
	for _, f := range r.External {
		fmt.Fprintf(t, "data file\t%s\n", f)
	}
	fmt.Fprintf(t, "operators\t%s\n", operators(r.Ops))
	if x := r.Traffic; x != nil {
		out := thousands(x.Out)
		if x.Out < 0 {
			out = "unknown until it runs"
		}
		fmt.Fprintf(t, "link\tper request in %s bytes, out %s; weights %s, once%s\n", thousands(x.In), out, thousands(x.Weights), at(x.Dims))
	} else {
		fmt.Fprintf(t, "link\tweights %s bytes, once; per request unknown: %v\n", thousands(r.InitialiserBytes), r.Doubt)
		hint := cell.HintOf(r.Doubt)
		if missing := (*model.MissingError)(nil); errors.As(r.Doubt, &missing) {
			var sizes []string
			for _, d := range slices.Sorted(maps.Keys(missing.Guess)) {
				sizes = append(sizes, fmt.Sprintf("%s=%d", d, missing.Guess[d]))
			}
			hint = fmt.Sprintf("say --dims '%s', with the sizes that you mean", strings.Join(sizes, ","))
		}
		if hint != "" {
			fmt.Fprintf(t, "\t%s\n", hint)
		}
	}
	return t.Flush()
}

// at writes dimensions as in " (batch 1, sequence 128)".
func at(dims map[string]int64) string {
	var s []string
	for _, d := range slices.Sorted(maps.Keys(dims)) {
		s = append(s, fmt.Sprintf("%s %d", d, dims[d]))
	}
	if s == nil {
		return ""
	}
	return " (" + strings.Join(s, ", ") + ")"
}

func domains(info *model.Info) string {
	var s string
	for _, d := range slices.Sorted(maps.Keys(info.Domains)) {
		s += fmt.Sprintf(", %s %d", d, info.Domains[d])
	}
	return s
}

// operators lists operators, the most frequent first.
func operators(ops map[string]int) string {
	names := slices.Sorted(maps.Keys(ops))
	slices.SortStableFunc(names, func(a, b string) int { return ops[b] - ops[a] })
	for i, n := range names {
		names[i] = fmt.Sprintf("%d %s", ops[n], n)
	}
	return strings.Join(names, ", ")
}

// thousands writes 109482240 as 109,482,240.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Workspace finds the folder that holds configs: the flag --root, or the nearest
// folder upwards.
func Workspace(cmd *cobra.Command) (string, error) {
	if f := cmd.Flag("root"); f != nil && f.Value.String() != "" {
		return filepath.Abs(f.Value.String())
	}
	from, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := from; ; dir = filepath.Dir(dir) {
		if fi, err := os.Stat(filepath.Join(dir, "configs")); err == nil && fi.IsDir() {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", cell.Hint(fmt.Errorf("no workspace: neither %s nor a folder above it holds configs", from), "run from within a workspace")
		}
	}
}

// complete offers the names of models.
func complete(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	root, err := Workspace(cmd)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	list, err := model.Names(root)
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return list, cobra.ShellCompDirectiveDefault // which adds files
}
