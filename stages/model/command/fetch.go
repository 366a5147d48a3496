package command

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/asset"
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
		SilenceUsage:      true,
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
			if err := fetch(cmd.Context(), http.DefaultClient, url, path, sum, log); err != nil {
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

// fetch downloads url to path, through path.part, from which a later call goes
// on. The file is there only once its SHA-256 is sum.
func fetch(ctx context.Context, client *http.Client, url, path, sum string, log func(string)) error {
	fetched := func() bool {
		if _, err := cell.Regular(path); err != nil {
			return false
		}
		have, err := asset.Digest(path)
		return err == nil && strings.EqualFold(have, sum)
	}
	if fetched() {
		return nil
	}
	if _, err := os.Lstat(path); err == nil {
		return cell.Usage(cell.Hint(fmt.Errorf("fetch %s: %s exists, and its SHA-256 is another", url, path), "remove it first, or name another file"))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return fmt.Errorf("fetch %s: %w", url, err)
	}
	part := path + ".part"
	lock, err := lockOf(part)
	if err != nil {
		return fmt.Errorf("fetch %s: %w", url, err)
	}
	unlock, err := asset.Lock(ctx, lock, func() { log("waiting for another process to fetch " + url) })
	if err != nil {
		return fmt.Errorf("fetch %s: %w", url, err)
	}
	defer unlock()
	if fetched() {
		return nil
	}
	if err := download(ctx, client, url, part, log); err != nil {
		return fmt.Errorf("fetch %s: %w", url, err)
	}
	got, err := cell.Sum(part)
	if err != nil {
		return fmt.Errorf("fetch %s: %w", url, err)
	}
	if !strings.EqualFold(got, sum) {
		return cell.Hint(errors.Join(fmt.Errorf("fetch %s: the SHA-256 of what came is %s, not %s", url, got, strings.ToLower(sum)), os.Remove(part)),
			"the file was changed, or the checksum is of another; ask the one who publishes it")
	}
	return os.Rename(part, path)
}

// lockOf names the file that keeps two processes from writing one: in the cache,
// where it may stay, for to remove it while a third waits for it would let that one in.
func lockOf(file string) (string, error) {
	cache, err := cell.CacheDir()
	if err != nil {
		return "", err
	}
	if file, err = filepath.Abs(file); err != nil {
		return "", err
	}
	return filepath.Join(cache, "models", fmt.Sprintf("%x.lock", sha256.Sum256([]byte(file)))), nil
}

// download completes part, of which the first bytes may be there.
func download(ctx context.Context, client *http.Client, url, part string, log func(string)) (err error) {
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		if fi, e := f.Stat(); err != nil && e == nil && fi.Size() == 0 {
			err = errors.Join(err, os.Remove(part))
		}
		err = errors.Join(err, f.Close())
	}()
	at, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if at > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", at))
	}
	response, err := client.Do(request)
	if err != nil {
		return cell.Hint(err, "without a network, fetch it on a machine that has one and copy it here as %s", strings.TrimSuffix(part, ".part"))
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK: // from the beginning, whatever was asked for
		at = 0
	case http.StatusPartialContent:
		if from := response.Header.Get("Content-Range"); !strings.HasPrefix(from, fmt.Sprintf("bytes %d-", at)) {
			return fmt.Errorf("asked for bytes from %d, the server sends %q", at, from)
		}
	case http.StatusRequestedRangeNotSatisfiable: // nothing is left, or what is here is another file: the checksum tells
		return nil
	default:
		return cell.Hint(fmt.Errorf("the server answers %s", response.Status), "see whether the address is right, and whether it wants you to log in")
	}
	if at > 0 {
		log(fmt.Sprintf("going on at byte %d", at))
	}
	if err := f.Truncate(at); err != nil {
		return err
	}
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return err
	}
	total := "?"
	if response.ContentLength >= 0 {
		total = fmt.Sprintf("%.0f", float64(at+response.ContentLength)/1e6)
	}
	n, err := io.Copy(f, &meter{r: response.Body, last: time.Now(), tell: func(n int64) {
		log(fmt.Sprintf("%.0f of %s MB", float64(at+n)/1e6, total))
	}})
	if err != nil {
		return cell.Hint(fmt.Errorf("after %d bytes: %w", at+n, err), "the same command goes on from there")
	}
	return nil
}

// A meter tells, every few seconds, how much was read.
type meter struct {
	r    io.Reader
	n    int64
	last time.Time
	tell func(int64)
}

func (t *meter) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.n += int64(n)
	if time.Since(t.last) > 5*time.Second {
		t.last = time.Now()
		t.tell(t.n)
	}
	return n, err
}
