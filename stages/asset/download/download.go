// Package download fetches files that are pinned by address and checksum, and goes on
// where an earlier try ended.
package download

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
)

// File downloads url to path, through path.part, from which a later call goes
// on. The file is there only once its SHA-256 is sum.
func File(ctx context.Context, client *http.Client, url, path, sum string, log func(string)) error {
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
	if err := complete(ctx, client, url, part, log); err != nil {
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
	return filepath.Join(cache, "downloads", fmt.Sprintf("%x.lock", sha256.Sum256([]byte(file)))), nil
}

// complete downloads what part lacks, of which the first bytes may be there.
func complete(ctx context.Context, client *http.Client, url, part string, log func(string)) (err error) {
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
