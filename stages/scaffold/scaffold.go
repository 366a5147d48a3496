// Package scaffold writes the beginnings of studies, models, machines and notebooks:
// commented files that work as they are, to be changed from there.
package scaffold

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"barograph/pipeline/cell"
	"barograph/stages/device/nvml"
	"barograph/stages/model"
	"barograph/stages/model/command"

	"github.com/spf13/cobra"
)

//go:embed study.yaml.tmpl
var studyText string

//go:embed machine.yaml.tmpl
var machineText string

//go:embed model.yaml.tmpl
var modelText string

//go:embed notebook.go.tmpl
var notebookText string

var (
	studyTemplate   = template.Must(template.New("study").Funcs(functions).Parse(studyText))
	machineTemplate = template.Must(template.New("machine").Funcs(functions).Parse(machineText))
	modelTemplate   = template.Must(template.New("model").Funcs(functions).Parse(modelText))
	bookTemplate    = template.Must(template.New("notebook").Delims("[[", "]]").Parse(notebookText))
	functions       = template.FuncMap{"flow": model.Flow}
)

// Command returns `new`, with study, model, machine and notebook. Each prints the path
// of the file that it wrote, which must not exist before.
func Command() *cobra.Command {
	c := &cobra.Command{
		Use:   "new",
		Short: "Begin a study, a model, a machine or a notebook: a commented file that works as it is",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(studyCommand(), modelCommand(), machineCommand(), notebookCommand())
	return c
}

var validName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)

func machineCommand() *cobra.Command {
	var device, name string
	c := &cobra.Command{
		Use:   "machine [NAME]",
		Short: "Write configs/machines/NAME.yaml for the GPU of this computer, or for its memory bus",
		Long: `Write configs/machines/NAME.yaml: the GPU that is here with its link, as the driver
says. A machine needs no file to be measured on; one names it, and sets parameters.`,
		Example: `  barograph new machine
  barograph new machine mine --device cuda:1`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			root, err := command.Workspace(c)
			if err != nil {
				return err
			}
			m := cell.Machine{Name: "here", Device: device, Description: "the memory bus of this computer", Link: cell.Link{Name: "memory bus"}}
			if device != "host" {
				if m, err = nvml.Machine(device); err != nil {
					return cell.Hint(fmt.Errorf("new machine: %w", err), "--device host describes a computer without a GPU")
				}
				name = strings.TrimSuffix(m.Description, ", "+m.Link.Name)
			}
			if len(args) > 0 {
				m.Name = args[0]
			}
			if !validName.MatchString(m.Name) {
				return cell.Usage(cell.Hint(fmt.Errorf("new machine: %q is no name of a machine", m.Name), "use letters, digits, - and _"))
			}
			return write(c, root, filepath.Join("configs", "machines", m.Name+".yaml"), machineTemplate, struct {
				cell.Machine
				Match string
			}{m, regexp.QuoteMeta(name)})
		},
	}
	c.Flags().StringVar(&device, "device", "cuda", "what is under pressure: cuda, cuda:1 or host")
	return c
}

func studyCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "study NAME",
		Short: "Write configs/NAME.yaml: a model under three loads, with its figure",
		Example: `  barograph new study mine --model my.onnx
  barograph run configs/mine.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if !validName.MatchString(args[0]) {
				return cell.Usage(cell.Hint(fmt.Errorf("new study: %q is no name of a study", args[0]), "use letters, digits, - and _"))
			}
			root, err := command.Workspace(c)
			if err != nil {
				return err
			}
			if strings.HasSuffix(name, ".onnx") {
				if name, err = inWorkspace(root, name); err != nil {
					return fmt.Errorf("new study: %w", err)
				}
			}
			m, err := model.Load(root, name)
			if err != nil {
				return cell.Usage(fmt.Errorf("new study: %w", err))
			}
			return write(c, root, filepath.Join("configs", args[0]+".yaml"), studyTemplate, struct {
				Name, Model string
				Dims        map[string]int64
			}{args[0], name, m.GuessDims()})
		},
	}
	c.Flags().StringVar(&name, "model", "bert-mini", "`name` of a model, or an ONNX file")
	return c
}

func modelCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "model FILE.onnx",
		Short: "Write configs/models/FILE.yaml: what an ONNX file takes, and how to draw it",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			root, err := command.Workspace(c)
			if err != nil {
				return err
			}
			if !strings.HasSuffix(args[0], ".onnx") {
				return cell.Usage(fmt.Errorf("new model: %q does not end in .onnx", args[0]))
			}
			file, err := inWorkspace(root, args[0])
			if err != nil {
				return fmt.Errorf("new model: %w", err)
			}
			m, err := model.Load(root, file)
			if err != nil {
				return cell.Usage(fmt.Errorf("new model: %w", err))
			}
			info, err := m.Info()
			if err != nil {
				return cell.Usage(fmt.Errorf("new model: %w", err))
			}
			if name == "" {
				name = m.Name
			}
			if !model.ValidName(name) {
				return cell.Usage(cell.Hint(fmt.Errorf("new model: %q is no name of a model", name), "choose one with --name"))
			}
			return write(c, root, filepath.Join("configs", "models", name+".yaml"), modelTemplate, struct {
				*model.Config
				Name, File string
				Info       *model.Info
			}{m, name, file, info})
		},
	}
	c.Flags().StringVar(&name, "name", "", "`name` of the model (default: the file's)")
	return c
}

func notebookCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "notebook NAME",
		Short: "Write notebooks/NAME/main.go: a table and a figure of a recording",
		Example: `  barograph new notebook mine
  barograph notebook run mine --data data/paper/host -o results/mine`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			name := args[0]
			if !validName.MatchString(name) {
				return cell.Usage(cell.Hint(fmt.Errorf("new notebook: %q is no name of a notebook", name), "use letters, digits, - and _"))
			}
			root, err := command.Workspace(c)
			if err != nil {
				return err
			}
			dir := filepath.Join("notebooks", name)
			if _, err := os.Lstat(filepath.Join(root, dir)); err == nil { // such as nb, which is no notebook
				return cell.Usage(cell.Hint(fmt.Errorf("new notebook: %s exists", dir), "choose another name"))
			}
			data := "data/STUDY/MACHINE"
			if recorded, err := filepath.Glob(filepath.Join(root, "data", "*", "*", "samples.csv*")); err == nil && len(recorded) > 0 {
				if rel, err := filepath.Rel(root, filepath.Dir(recorded[0])); err == nil {
					data = filepath.ToSlash(rel)
				}
			}
			return write(c, root, filepath.Join(dir, "main.go"), bookTemplate, struct{ Name, Title, Stage, Data string }{
				name, strings.ToUpper(name[:1]) + name[1:], strings.ToLower(name), data,
			})
		},
	}
}

// inWorkspace returns a path, relative to the current folder, as files name it:
// relative to the workspace, which may move and the file with it, where it is there.
func inWorkspace(root, path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(root, path); err == nil && filepath.IsLocal(rel) {
		return rel, nil
	}
	return path, nil
}

// write fills in a file that does not exist yet, and prints its path.
func write(c *cobra.Command, root, path string, t *template.Template, data any) error {
	var text strings.Builder
	if err := t.Execute(&text, data); err != nil {
		return fmt.Errorf("new %s: %w", t.Name(), err)
	}
	target := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(target), 0o777); err != nil {
		return fmt.Errorf("new %s: %w", t.Name(), err)
	}
	defer cell.Hold()()
	f, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return cell.Usage(cell.Hint(fmt.Errorf("new %s: %s exists", t.Name(), path), "choose another name, or remove it first"))
	}
	if err == nil {
		_, err = f.WriteString(text.String())
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("new %s: %w", t.Name(), err)
	}
	_, err = fmt.Fprintln(c.OutOrStdout(), path)
	return err
}
