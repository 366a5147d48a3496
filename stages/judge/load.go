package judge

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
	"barograph/stages/recording"
)

// Load reads a file of samples, or that of a recording's folder, and the run.json
// beside it if there is one. What is not as checksums beside it say is refused.
func Load(path string, sel Selection) (*Samples, *recording.Run, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, record.Samples)
	}
	path = record.Path(path)
	beside := filepath.Join(filepath.Dir(path), record.Run)
	for _, p := range []string{path, beside} {
		if err := record.VerifyFile(p); err != nil {
			return nil, nil, fmt.Errorf("judge: %w", err)
		}
	}
	run, err := recording.ReadRun(beside)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("judge: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("judge: %w", err)
	}
	defer f.Close()
	sel.Recorded = run != nil
	s, err := Read(f, sel)
	var row *recording.RowError
	if errors.As(err, &row) {
		return nil, nil, fmt.Errorf("judge: %s:%w", path, err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("judge %s: %w", path, err)
	}
	if err := s.enough(); err != nil {
		return nil, nil, fmt.Errorf("judge %s: %w", path, err)
	}
	return s, run, nil
}

// enough refuses what nothing can be said about.
func (s *Samples) enough() error {
	if s.Rows == 1 {
		return errors.New("one sample: nothing can be judged on it")
	}
	for _, t := range s.Trials[1:] {
		if t.Level != s.Trials[0].Level {
			return nil
		}
	}
	return cell.Hint(fmt.Errorf("one level, %s: a comparison needs two", s.Trials[0].Level), "another column may hold the levels: --level COLUMN")
}
