package report

import (
	"strings"
	"testing"
)

func TestCitation(t *testing.T) {
	works, err := citation("../../CITATION.cff")
	if err != nil || len(works) != 2 || !strings.HasPrefix(works[1].Text, "Aiza Maksutova. GPU resources management") {
		t.Errorf("%+v, %v", works, err)
	}
	if works, err := citation("none.cff"); err != nil || works != nil {
		t.Errorf("%+v, %v", works, err)
	}
}
