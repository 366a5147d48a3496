package cell

import (
	"fmt"
	"regexp"
)

// NameForm is what a study, a stage and a machine may be called. Files and folders are
// called after them, so that a name leads nowhere else.
var NameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// NameHint says in words what [NameForm] takes.
const NameHint = "letters, digits, dots, dashes and underscores, beginning with a letter or a digit"

// CheckName returns an error where what a file calls its machine or study is no name.
func CheckName(of, name string) error {
	if NameForm.MatchString(name) {
		return nil
	}
	return Hint(fmt.Errorf("its %s %q is no name", of, name), NameHint)
}
