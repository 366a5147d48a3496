package command

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"barograph/pipeline/cell"
	"barograph/stages/asset/download"
	"barograph/stages/model"

	"github.com/spf13/cobra"
)

func fetchCommand() *cobra.Command {
	var sum, out string
	cmd := &cobra.Command{
		Use:   "fetch NAME|URL",
		Short: "Download an ONNX file, going on where an earlier try ended, and print its path",
		Long: "Download an ONNX file and print its path.\n\n" +
			"NAME is a configuration with file, url and sha256. A URL needs --sha256 and --output. What a try that\n" +
			"was cut off left in FILE.part, the next one goes on from; the file appears once its checksum is right.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			url, path := args[0], out
			if !strings.Contains(url, "://") {
				root, err := Workspace(cmd)
				if err != nil {
					return err
				}
				c, err := model.Load(root, args[0])
				var absent *model.AbsentError
				switch {
				case err == nil && c.Built():
					return cell.Usage(cell.Hint(fmt.Errorf("fetch model %q: it is built here", c.Name), "barograph model build %s", c.Name))
				case err == nil:
					_, err = fmt.Fprintln(cmd.OutOrStdout(), model.Path(c, ""))
					return err
				case !errors.As(err, &absent) || absent.URL == "":
					return cell.Usage(err)
				}
				url, path, sum = absent.URL, absent.Path, absent.SHA256
			}
			if !model.ValidSum(sum) || path == "" {
				return cell.Usage(cell.Hint(fmt.Errorf("fetch %s: it needs a checksum and a place", url), "give --sha256 SUM and --output FILE.onnx"))
			}
			log := func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) }
			if err := download.File(cmd.Context(), http.DefaultClient, url, path, sum, log); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), path)
			return err
		},
	}
	cmd.Flags().StringVar(&sum, "sha256", "", "the `sum` that the file must have")
	cmd.Flags().StringVarP(&out, "output", "o", "", "write `FILE`")
	return cmd
}
