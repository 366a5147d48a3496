package host

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"barograph/pipeline/cell/filetest"
)

// What others do between two moments is told from what this process does.
func TestUntil(t *testing.T) {
	at := time.Now()
	before := moment{at: at, busy: 100 * time.Second, stolen: time.Second, throttled: 3, spent: map[int]use{
		os.Getpid(): {"us", time.Second}, 4242: {"python3", 9 * time.Second}, 4243: {"idle", time.Second}, 4244: {"old", time.Hour},
	}}
	after := moment{at: at.Add(time.Second), busy: 102500 * time.Millisecond, stolen: 1200 * time.Millisecond, throttled: 5, spent: map[int]use{
		os.Getpid(): {"us", 1500 * time.Millisecond}, 4242: {"python3", 10 * time.Second}, 4243: {"idle", 1010 * time.Millisecond}, 4244: {"new", time.Minute},
		4245: {"born", time.Hour},
	}}
	got := before.until(after)
	if got.Busy < 1.79 || got.Busy > 1.81 { // 2.5, less half of ours and what was stolen
		t.Errorf("busy %v, want 1.8", got.Busy)
	}
	if got.Stolen < 0.19 || got.Stolen > 0.21 || got.Throttled != 2 || !reflect.DeepEqual(got.Users, []User{{"python3", 4242, 1}}) {
		t.Errorf("%+v", got)
	}
}

func TestSee(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"proc/stat":            "cpu  1 0 0 0 0 0 0 0\n",
		"proc/loadavg":         "3.25 1.00 0.50 2/300 4242\n",
		"proc/pressure/cpu":    "some avg10=12.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		"proc/pressure/memory": "some avg10=none\n",
	} {
		path := filepath.Join(root, name)
		filetest.Write(t, path, text)
	}
	if _, err := see(0, root); err == nil {
		t.Error("CPUs that /proc/stat does not tell of are taken to be quiet")
	}
	if share, ok := pressure(filepath.Join(root, "proc/pressure/cpu")); !ok || share != 0.125 {
		t.Errorf("pressure %v, %v", share, ok)
	}
	if _, ok := pressure(filepath.Join(root, "proc/pressure/memory")); ok {
		t.Error("a pressure that is no number is one")
	}
	l, err := See(20 * time.Millisecond)
	if err != nil || l.CPUs < 1 || l.Busy < 0 {
		t.Errorf("here: %+v, %v", l, err)
	}
}

func TestSpentBy(t *testing.T) {
	const rest = " S 1 1 1 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 1 1 1"
	for stat, want := range map[string]use{
		"12 (sh)" + rest:        {"sh", 2 * time.Second},
		"12 (a ) (b) c)" + rest: {"a ) (b) c", 2 * time.Second},
	} {
		if got, ok := spentBy(stat); !ok || got != want {
			t.Errorf("%q: %v, %v", stat, got, ok)
		}
	}
	for _, stat := range []string{"", "12 (sh", ") (", "12 (sh) S 1"} {
		if got, ok := spentBy(stat); ok {
			t.Errorf("%q: %v", stat, got)
		}
	}
}
