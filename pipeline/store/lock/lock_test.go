package lock_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/store/lock"
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	ctx := context.Background()
	first, err := lock.Take(ctx, path, func(string) { t.Error("waited for a free lock") })
	if err != nil {
		t.Fatal(err)
	}
	// It is told of each process that goes first.
	var holders []string
	second, err := lock.Take(ctx, path, func(h string) {
		if holders = append(holders, h); len(holders) == 2 {
			first.Close()
		} else if err := os.WriteFile(path, []byte("process 1 (next)\n"), 0o666); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(holders) != 2 || !strings.Contains(holders[0], fmt.Sprintf("process %d ", os.Getpid())) || holders[1] != "process 1 (next)" {
		t.Errorf("the waiting one was told of %q", holders)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := lock.Take(short, path, func(string) {}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a wait that was cancelled: %v", err)
	}
	second.Close()
}
