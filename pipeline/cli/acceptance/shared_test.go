package acceptance

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"barograph/pipeline/cell/filetest"
)

// many is a study of many short cells.
const many = `study: many
params: {most: 1000}
stages:
  make: {uses: command, matrix: {n: "${{ 1..most }}"}, run: "echo ${{ n }} > out/${{ n }}", outputs: ["out/${{ n }}"]}
`

// share runs the study in a folder with a server behind it, and returns what it said.
func share(t *testing.T, dir, server string, args ...string) string {
	t.Helper()
	filetest.Write(t, filepath.Join(dir, "configs", "many.yaml"), many)
	cmd := exec.CommandContext(t.Context(), program, append([]string{"run", "configs/many.yaml", "--trace", "trace.json"}, args...)...) // so that no proof answers
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "BAROGRAPH_SHARED="+server)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// TestSharedOverHTTP: the results that one folder made reach another through a
// server, and no cell runs there; a run with nothing to do asks it for nothing; and one
// whose server goes away in the middle goes on with a warning.
func TestSharedOverHTTP(t *testing.T) {
	var mu sync.Mutex
	kept, asked, gone := map[string][]byte{}, 0, false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		asked++
		have, ok := kept[r.URL.Path]
		switch {
		case gone && asked > 100:
			panic(http.ErrAbortHandler)
		case r.Method == http.MethodPut:
			kept[r.URL.Path] = b
		case !ok:
			http.NotFound(w, r)
		default:
			_, _ = w.Write(have)
		}
	}))
	defer server.Close()
	run := func(dir string, args ...string) (requests int, said string) {
		t.Helper()
		mu.Lock()
		before := asked
		mu.Unlock()
		said = share(t, dir, server.URL, args...)
		mu.Lock()
		defer mu.Unlock()
		return asked - before, said
	}
	first, second := t.TempDir(), t.TempDir()
	// Each key is asked for, and each result and object sent: once.
	const few = "most=200" // with the race detector a thousand take a while
	if n, said := run(first, "--set", few); n != 600 || !strings.Contains(said, "200 ran") {
		t.Errorf("%d requests\n%s", n, said)
	}
	if n, said := run(second, "--set", few); n != 400 || !strings.Contains(said, "many: cells: 200 stood") {
		t.Errorf("%d requests\n%s", n, said)
	}
	for _, dir := range []string{first, second} {
		if n, _ := run(dir, "--set", few); n != 0 {
			t.Errorf("%d requests of a run with nothing to do", n)
		}
	}
	mu.Lock()
	gone, asked = true, 0
	mu.Unlock()
	_, said := run(t.TempDir(), "--set", "most=100")
	if !strings.Contains(said, "50 ran, 50 stood") || strings.Count(said, "warning:") != 1 || !strings.Contains(said, "it is not asked again") {
		t.Errorf("the server went away:\n%s", said)
	}
}

// TestSharedOverNginx is the same with a thousand results, and nginx with its WebDAV
// module, if it is installed.
func TestSharedOverNginx(t *testing.T) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not on PATH (Debian: apt-get install nginx-light)")
	}
	at, dir := freeAddress(t), t.TempDir()
	config := fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log %[1]s/error.log;
events {}
http {
  access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server { listen %[2]s; root %[1]s/kept; client_max_body_size 0; location / { dav_methods PUT; create_full_put_path on; } }
}
`, dir, at)
	filetest.Write(t, filepath.Join(dir, "nginx.conf"), config)
	if err := os.Mkdir(filepath.Join(dir, "kept"), 0o777); err != nil {
		t.Fatal(err)
	}
	// Started by root, it serves as another.
	for d := filepath.Join(dir, "kept"); d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	server := exec.Command(nginx, "-c", filepath.Join(dir, "nginx.conf"), "-p", dir)
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	stop := func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
	}
	defer stop()
	for range 100 {
		if c, err := net.Dial("tcp", at); err == nil {
			c.Close()
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	url := "http://" + at + "/cache"
	if said := share(t, t.TempDir(), url); !strings.Contains(said, "1000 ran") || strings.Contains(said, "warning") {
		t.Error(said)
	}
	second := t.TempDir()
	if said := share(t, second, url); !strings.Contains(said, "many: cells: 1000 stood") {
		t.Error(said)
	}
	// What nginx keeps is spoilt on its disk.
	objects, err := filepath.Glob(filepath.Join(dir, "kept/cache/cas/*"))
	if err != nil || len(objects) != 1000 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	filetest.Write(t, objects[0], "poison")
	if said := share(t, t.TempDir(), url); !strings.Contains(said, "1 ran, 999 stood") || !strings.Contains(said, "object "+filepath.Base(objects[0])+" of "+url+" is poisoned") {
		t.Error(said)
	}
	stop()
	if said := share(t, second, url); !strings.Contains(said, "1000 stood") || strings.Contains(said, "warning") {
		t.Error(said)
	}
	if said := share(t, t.TempDir(), url, "--set", "most=3"); !strings.Contains(said, "3 ran") || strings.Count(said, "warning:") != 1 {
		t.Error(said)
	}
}

// freeAddress is one of this computer that nobody listens at.
func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
