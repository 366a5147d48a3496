package model

import (
	"encoding/json"
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
	"barograph/stages/asset"

	"github.com/spf13/cobra"
)

// Command returns `model`, with list, build and info. Results go to standard
// output, messages to standard error. The workspace is the flag --root, where an
// enclosing command defines it, or the nearest folder upwards that holds configs.
func Command() *cobra.Command {
	model := &cobra.Command{
		Use:   "model",
		Short: "List, build and inspect models",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	model.AddCommand(listCommand(), buildCommand(), infoCommand())
	return model
}

func listCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:          "list",
		Short:        "List the models under configs/models",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			root, err := Workspace(cmd)
			if err != nil {
				return err
			}
			models, err := List(root)
			return errors.Join(writeList(cmd.OutOrStdout(), models, asJSON), err)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func writeList(w io.Writer, models []*Config, asJSON bool) error {
	if asJSON {
		if models == nil {
			models = []*Config{} // [], not null
		}
		return writeJSON(w, models)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tARCHITECTURE\tPARAMETERS\tDESCRIPTION")
	for _, c := range models {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", c.Name, c.Architecture, thousands(c.Parameters), c.Description)
	}
	return t.Flush()
}

func buildCommand() *cobra.Command {
	var out, trained string
	cmd := &cobra.Command{
		Use:   "build NAME",
		Short: "Build a model's ONNX file and print its path",
		Long: "Build a model's ONNX file and print its path.\n\n" +
			"Without --output the file goes into the cache, where studies look for it.\n" +
			"With --weights it holds those of a checkpoint; say model: {file: FILE.onnx} to study it.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete,
		SilenceUsage:      true,
		RunE: func(cmd *cobra.Command, args []string) error {
			root, err := Workspace(cmd)
			if err != nil {
				return err
			}
			c, err := Load(root, args[0])
			if err != nil {
				return err
			}
			if trained != "" {
				var file io.Closer
				if c, file, err = c.withWeights(trained); err != nil {
					return err
				}
				defer file.Close()
			}
			path := out
			if out == "" {
				var cache string
				if cache, err = asset.CacheDir(); err != nil {
					return err
				}
				path, err = Ensure(cmd.Context(), c, cache, func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) })
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
	cmd.Flags().StringVarP(&out, "output", "o", "", "write a new file `FILE`")
	return cmd
}

// buildNew builds a file that does not exist yet.
func buildNew(cmd *cobra.Command, c *Config, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return cell.Hint(fmt.Errorf("build model %q: %s exists", c.Name, path), "remove it first, or name another file")
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("build model %q: %w", c.Name, err)
	}
	// A name of its own beside the target: the rename stays within one disk.
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("build model %q: %w", c.Name, err)
	}
	// CreateTemp makes files that only their owner can read.
	if err := errors.Join(tmp.Chmod(0o644), tmp.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return buildFile(cmd.Context(), c, path, tmp.Name())
}

func infoCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:               "info NAME|FILE.onnx",
		Short:             "Say what a model, or any ONNX file, holds",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete,
		SilenceUsage:      true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Stat(args[0]); err == nil || strings.ContainsRune(args[0], filepath.Separator) || strings.HasSuffix(args[0], ".onnx") {
				info, err := Inspect(args[0])
				if err != nil {
					return err
				}
				return writeInfo(cmd.OutOrStdout(), nil, "", info, asJSON)
			}
			root, err := Workspace(cmd)
			if err != nil {
				return err
			}
			c, err := Load(root, args[0])
			if err != nil {
				return err
			}
			info, err := c.Info()
			if err != nil {
				return err
			}
			cache, err := asset.CacheDir()
			if err != nil {
				return err
			}
			return writeInfo(cmd.OutOrStdout(), c, Path(c, cache), info, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

// writeInfo writes what a file holds; c and its path are those of the model it
// is built from, or zero.
func writeInfo(w io.Writer, c *Config, path string, info *Info, asJSON bool) error {
	if asJSON {
		return writeJSON(w, struct {
			Model  *Config `json:"model,omitempty"`
			Digest string  `json:"digest,omitempty"`
			Path   string  `json:"path,omitempty"`
			*Info
		}{c, digest(c), path, info})
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if c != nil {
		built := "not built yet"
		if _, err := os.Stat(path); err == nil {
			built = path
		}
		fmt.Fprintf(t, "model\t%s: %s\nsource\t%s\nconfiguration\t%s\nfile\t%s\n", c.Name, c.Description, c.Source, c.File, built)
	}
	fmt.Fprintf(t, "parameters\t%s\n", thousands(info.Parameters))
	fmt.Fprintf(t, "bytes\t%s, of which initialisers %s\n", thousands(info.Bytes), thousands(info.InitialiserBytes))
	fmt.Fprintf(t, "format\tIR version %d, operator set %d%s\n", info.IR, info.Opset, domains(info))
	if info.Producer != "" {
		fmt.Fprintf(t, "producer\t%s\n", info.Producer)
	}
	for _, v := range info.Inputs {
		fmt.Fprintf(t, "input\t%s %v [%s]\n", v.Name, v.Type, strings.Join(v.Dims, ", "))
	}
	for _, v := range info.Outputs {
		fmt.Fprintf(t, "output\t%s %v [%s]\n", v.Name, v.Type, strings.Join(v.Dims, ", "))
	}
	for _, f := range info.External {
		fmt.Fprintf(t, "data file\t%s\n", f)
	}
	fmt.Fprintf(t, "operators\t%s\n", operators(info.Ops))
	return t.Flush()
}

func digest(c *Config) string {
	if c == nil {
		return ""
	}
	return c.Digest()
}

func domains(info *Info) string {
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

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
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
	list, err := names(root)
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return list, cobra.ShellCompDirectiveDefault // which adds files
}
