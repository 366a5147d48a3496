package script

import "testing"

// TestWarm holds the typical notebook to what a notebook may say: one that is
// refused would warm nothing.
func TestWarm(t *testing.T) {
	if err := Warm(); err != nil {
		t.Fatal(err)
	}
}
