package nb

import (
	"encoding/json"
	"os"
	"path"

	"barograph/pipeline/cell"
)

// WhyInvalid returns why the measurement that the notebook reads cannot be
// trusted, as the first INVALID verdict among its inputs says; empty where there
// is none, or where nothing was judged. A figure of such a measurement says so.
func WhyInvalid() string {
	for name, paths := range called("WhyInvalid").open().inputs() {
		if path.Base(name) != VerdictsFile {
			continue
		}
		for _, p := range paths {
			var verdicts []cell.Verdict
			b, err := os.ReadFile(p)
			if err == nil {
				err = json.Unmarshal(b, &verdicts)
			}
			called("WhyInvalid").check(err)
			for _, v := range verdicts {
				if v.Verdict == cell.Invalid {
					return v.Because
				}
			}
		}
	}
	return ""
}
