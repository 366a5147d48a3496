package store_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"barograph/pipeline/store"
	"barograph/pipeline/store/remote"
)

// A shelf is a server that keeps what it was PUT, and counts what it was asked.
type shelf struct {
	mu    sync.Mutex
	kept  map[string][]byte
	asked map[string]int // by method
	most  int            // requests that it answers; then it hangs up
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.most--; s.most < 0 {
		panic(http.ErrAbortHandler)
	}
	s.asked[r.Method]++
	switch have, ok := s.kept[r.URL.Path]; {
	case r.Method == http.MethodPut:
		s.kept[r.URL.Path] = b
		w.WriteHeader(http.StatusCreated)
	case !ok:
		http.NotFound(w, r)
	default:
		_, _ = w.Write(have)
	}
}

// limit has the server answer so many more requests.
func (s *shelf) limit(most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = most
}

// change replaces what is kept under a path, and returns what was.
func (s *shelf) change(path string, by func([]byte) []byte) (was string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was = string(s.kept[path])
	s.kept[path] = by([]byte(was))
	return was
}

// count returns how often the server was asked since the last count.
func (s *shelf) count() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.asked {
		n += m
	}
	s.asked = map[string]int{}
	return n
}

func served(t *testing.T) (*shelf, *httptest.Server) {
	sh := &shelf{kept: map[string][]byte{}, asked: map[string]int{}, most: 1 << 30}
	server := httptest.NewServer(sh)
	t.Cleanup(server.Close)
	return sh, server
}

// behind opens a store with a server behind it; what it warns of is gathered.
func behind(t *testing.T, dir, url string) (*store.Store, *[]string) {
	at, err := remote.New(url + "/cache")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	var warned []string
	s.Serve(at, func(err error) { warned = append(warned, err.Error()) })
	return s, &warned
}

func keyOf(i int) string { return fmt.Sprintf("%064x", i) }

// fill commits results, and closes the store.
func fill(t *testing.T, s *store.Store, n int) (records []*store.Record) {
	for i := range n {
		records = append(records, commit(t, s, keyOf(i), fmt.Sprintf("s/%d", i), fmt.Sprintf("text %d", i)))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return records
}

// TestServed: results go to the server with one request an object and one a result,
// come from it with as many, and a store in which all stands asks nothing.
func TestServed(t *testing.T) {
	const n = 40
	sh, server := served(t)
	first, second := t.TempDir(), t.TempDir()
	s, warned := behind(t, first, server.URL)
	fill(t, s, n)
	if got := sh.count(); got != 2*n || len(*warned) > 0 {
		t.Errorf("%d requests for %d results, %q", got, n, *warned)
	}
	look := func(dir string, want int) {
		t.Helper()
		s, warned := behind(t, dir, server.URL)
		for i := range n {
			if r := s.Get(keyOf(i), outTxt); r == nil || r.Cell != fmt.Sprintf("s/%d", i) {
				t.Errorf("result %d is %+v", i, r)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got := sh.count(); got != want || len(*warned) > 0 {
			t.Errorf("%d requests, want %d; %q", got, want, *warned)
		}
	}
	look(second, 2*n)
	look(second, 0)
	look(first, 0)
}

// TestPoisoned: what the server holds under a digest and is another is refused and
// named, as is what is cut short; whoever has the result then puts it right.
func TestPoisoned(t *testing.T) {
	for name, spoil := range map[string]func(b []byte) []byte{
		"other bytes": func(b []byte) []byte { b[0] ^= 1; return b },
		"longer":      func(b []byte) []byte { return append(b, 'x') },
		"shorter":     func(b []byte) []byte { return b[:1] },
	} {
		sh, server := served(t)
		s, _ := behind(t, t.TempDir(), server.URL)
		made := fill(t, s, 1)[0]
		at := "/cache/cas/" + made.Files[0].Digest
		good := sh.change(at, spoil)
		s, warned := behind(t, t.TempDir(), server.URL)
		if r := s.Get(keyOf(0), outTxt); r != nil {
			t.Errorf("%s: believed %+v", name, r)
		}
		if len(*warned) != 1 || !strings.Contains((*warned)[0], made.Files[0].Digest) || !strings.Contains((*warned)[0], "is poisoned") {
			t.Errorf("%s: warned %q", name, *warned)
		}
		fill(t, s, 1)
		if sh.change(at, func(b []byte) []byte { return b }) != good {
			t.Errorf("%s: it is still there", name)
		}
	}
	sh, server := served(t)
	s, _ := behind(t, t.TempDir(), server.URL)
	fill(t, s, 2)
	sh.change("/cache/ac/"+keyOf(0), func([]byte) []byte { return []byte("no result") })
	sh.change("/cache/ac/"+keyOf(1), func([]byte) []byte { return nil })
	s, warned := behind(t, t.TempDir(), server.URL)
	for i := range 2 {
		if r := s.Get(keyOf(i), outTxt); r != nil {
			t.Errorf("believed %+v", r)
		}
	}
	if len(*warned) != 2 {
		t.Errorf("warned %q", *warned)
	}
}

// TestServerDies: a server that is gone half way, while it is given results or asked
// for them, costs one warning and no result; the next run offers what it lacks.
func TestServerDies(t *testing.T) {
	const n = 20
	sh, server := served(t)
	dir := t.TempDir()
	sh.limit(n + n/2)
	s, warned := behind(t, dir, server.URL)
	fill(t, s, n)
	if len(*warned) != 1 || !strings.Contains((*warned)[0], "it is not asked again") {
		t.Errorf("warned %q", *warned)
	}
	sh.limit(1 << 30)
	sh.count()
	all := func(dir string) (have int) {
		s, _ := behind(t, dir, server.URL)
		for i := range n {
			if s.Get(keyOf(i), outTxt) != nil {
				have++
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return have
	}
	if have := all(dir); have != n {
		t.Errorf("%d of %d results are here", have, n)
	}
	if have := all(t.TempDir()); have != n {
		t.Errorf("%d of %d results are there by now", have, n)
	}
	sh.limit(n)
	if have := all(t.TempDir()); have != n/2 {
		t.Errorf("%d results came of %d requests", have, n)
	}
	server.Close()
	s, warned = behind(t, t.TempDir(), server.URL)
	if s.Get(keyOf(0), outTxt) != nil || s.Get(keyOf(1), outTxt) != nil {
		t.Error("a result from a server that is gone")
	}
	fill(t, s, n)
	if len(*warned) != 1 {
		t.Errorf("warned %q", *warned)
	}
}

// TestServerRefuses: a server that answers with an error is named once, without the
// password, and no address is taken for another.
func TestServerRefuses(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "secret" {
			t.Errorf("password %q", password)
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	s, warned := behind(t, t.TempDir(), strings.Replace(server.URL, "//", "//me:secret@", 1))
	fill(t, s, 3)
	if len(*warned) != 1 || !strings.Contains((*warned)[0], "403 Forbidden") || strings.Contains((*warned)[0], "secret") {
		t.Errorf("warned %q", *warned)
	}
	for _, address := range []string{"ftp://host/x", "http://", "http://host/?x", "http://me:secret@host:x/", "://"} {
		if _, err := remote.New(address); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
