package cell

import (
	"fmt"
	"os"
	"path/filepath"
)

// CacheDir returns the folder of everything that can be fetched or built again:
// $BAROGRAPH_CACHE, or else barograph in the user's cache folder. It is absolute
// and need not exist.
func CacheDir() (string, error) {
	if dir := os.Getenv("BAROGRAPH_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", Hint(fmt.Errorf("find the cache folder: %w", err), "set BAROGRAPH_CACHE to a folder")
	}
	return filepath.Join(dir, "barograph"), nil
}
