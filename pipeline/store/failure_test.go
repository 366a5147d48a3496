package store

import (
	"testing"
	"time"
)

// TestFailures: the last failure of a key is known until it has a result, and a torn
// line is none.
func TestFailures(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []Failure{{"s/a", 1, time.Second, "first"}, {"s/a", 2, time.Second, "second"}} {
		if err := s.Fail("k", f); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := s.Failures(); err != nil || len(all) != 1 || all["k"].Error != "second" {
		t.Errorf("%v, %v", all, err)
	}
	if err := s.Commit(Detail{}, &Record{Key: "k", Cell: "s/a"}); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Failures(); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	if err := s.Fail("l", Failure{Cell: "s/b"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GC(nil, 0, false); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Failures(); err != nil || len(all) != 0 {
		t.Errorf("after gc: %v, %v", all, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
