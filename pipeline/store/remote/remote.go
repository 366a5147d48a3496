// Package remote speaks with a server that keeps objects by digest and results by key,
// in the layout of Bazel's cache over HTTP:
//
//	/cas/SHA256  an object
//	/ac/KEY      an ActionResult: the files of a result by digest, and a note
//
// Any server that keeps what it was PUT serves, such as nginx with its WebDAV module, or
// bazel-remote. Nothing that comes from one is believed: an object whose digest is
// another is refused. A server that cannot be reached is not asked again.
package remote

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// How long a server may take: to be reached, to begin an answer, and to send or take
// the next bytes of one.
const (
	reach = 5 * time.Second
	begin = 30 * time.Second
	stall = 30 * time.Second
)

// ErrDown is what is said of a server that failed before: the first failure said why.
var ErrDown = errors.New("the server failed before")

// ErrNone is said of what a server does not have.
var ErrNone = errors.New("not there")

// A Server is one of Bazel's layout.
type Server struct {
	base   *url.URL
	client *http.Client
	down   atomic.Bool
}

// New returns the server at an address, http://host/prefix or https://host/prefix; a
// name and a password may stand before the host. Nothing is asked of it yet.
func New(address string) (*Server, error) {
	base, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("no URL can be read from it") // the error would tell the password
	}
	switch {
	case base.Scheme != "http" && base.Scheme != "https":
		return nil, fmt.Errorf("a server of scheme %q cannot be asked: there is http and https", base.Scheme)
	case base.Host == "":
		return nil, fmt.Errorf("%s names no host", base.Redacted())
	case base.RawQuery != "" || base.Fragment != "":
		return nil, fmt.Errorf("%s: want a URL without ? and #", base.Redacted())
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: reach}).DialContext
	t.TLSHandshakeTimeout, t.ResponseHeaderTimeout, t.MaxIdleConnsPerHost = reach, begin, Parallel
	t.DisableCompression = true // an object is as it is
	return &Server{base: base, client: &http.Client{Transport: t}}, nil
}

// Parallel is how many requests it is good to have under way.
const Parallel = 16

// String is the address, without a password.
func (s *Server) String() string { return s.base.Redacted() }

// do asks the server once. A failure of the transport, or of the server, is its last
// request.
func (s *Server) do(method, kind, name string, body io.Reader, size int64) (*http.Response, error) {
	if s.down.Load() {
		return nil, ErrDown
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	watch := time.AfterFunc(reach+begin+stall, func() { cancel(errors.New("it stalled")) })
	if body != nil {
		body = &progress{Reader: body, watch: watch}
	}
	address := s.base.JoinPath(kind, name)
	r, err := http.NewRequestWithContext(ctx, method, address.String(), body)
	if err != nil {
		return nil, err
	}
	if r.ContentLength = size; size == 0 && method == http.MethodPut {
		r.Body = http.NoBody
	}
	answer, err := s.client.Do(r)
	if err != nil {
		watch.Stop()
		return nil, s.fail(fmt.Errorf("%s %s: %w", method, address.Redacted(), plain(err)))
	}
	answer.Body = &progress{Reader: answer.Body, watch: watch, close: answer.Body.Close}
	switch code := answer.StatusCode; {
	case code == http.StatusNotFound && method != http.MethodPut:
		return nil, errors.Join(ErrNone, answer.Body.Close())
	case code < 200 || code > 299:
		_ = answer.Body.Close()
		return nil, s.fail(fmt.Errorf("%s %s: the server says %s", method, address.Redacted(), answer.Status))
	}
	return answer, nil
}

// fail gives the server up.
func (s *Server) fail(err error) error {
	if s.down.Swap(true) {
		return ErrDown
	}
	return fmt.Errorf("%w; it is not asked again", err)
}

// plain takes the URL from an error, which is named without its password.
func plain(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// A progress puts off a watch as bytes pass.
type progress struct {
	io.Reader
	watch *time.Timer
	close func() error
}

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if n > 0 {
		p.watch.Reset(stall)
	}
	return n, err
}

func (p *progress) Close() error {
	p.watch.Stop()
	if p.close == nil {
		return nil
	}
	return p.close()
}

// Has tells whether the server has an object.
func (s *Server) Has(digest string) (bool, error) {
	answer, err := s.do(http.MethodHead, "cas", digest, nil, 0)
	if errors.Is(err, ErrNone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, answer.Body.Close()
}

// Take writes an object of a size to w. What the server sends under that name and is
// another is an error.
func (s *Server) Take(w io.Writer, digest string, size int64) error {
	answer, err := s.do(http.MethodGet, "cas", digest, nil, 0)
	if err != nil {
		return fmt.Errorf("object %s: %w", digest, err)
	}
	defer answer.Body.Close()
	h := sha256.New()
	body := &source{Reader: io.LimitReader(answer.Body, size+1)}
	n, err := io.Copy(io.MultiWriter(w, h), body)
	switch got := hex.EncodeToString(h.Sum(nil)); {
	case body.err != nil:
		return s.fail(fmt.Errorf("GET %s: %w", s.base.JoinPath("cas", digest).Redacted(), body.err))
	case err != nil:
		return err
	case n > size:
		return fmt.Errorf("object %s of %s is poisoned: it is longer than %d bytes", digest, s, size)
	case got != digest:
		return fmt.Errorf("object %s of %s is poisoned: its SHA-256 is %s", digest, s, got)
	}
	return nil
}

// A source tells errors of reading from those of writing.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// Give sends an object.
func (s *Server) Give(f *os.File, digest string, size int64) error {
	return s.put("cas", digest, io.NopCloser(f), size) // the transport would close it
}

func (s *Server) put(kind, name string, body io.Reader, size int64) error {
	answer, err := s.do(http.MethodPut, kind, name, body, size)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<16)) // or the connection is not used again
	return answer.Body.Close()
}

// Result returns what the server has under a key, at most so many bytes of it.
func (s *Server) Result(key string, most int64) (*Result, error) {
	answer, err := s.do(http.MethodGet, "ac", key, nil, 0)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, most+1))
	if err != nil {
		return nil, s.fail(fmt.Errorf("GET %s: %w", s.base.JoinPath("ac", key).Redacted(), err))
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("result %s of %s is longer than %d bytes", key, s, most)
	}
	r, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("result %s of %s is damaged: %w", key, s, err)
	}
	return r, nil
}

// Note keeps a result under a key, once its objects are there.
func (s *Server) Note(key string, r Result) error {
	b := r.encode()
	return s.put("ac", key, strings.NewReader(string(b)), int64(len(b)))
}
