package nb

import (
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
			called("WhyInvalid").check(cell.ReadJSON(p, &verdicts))
			for _, v := range verdicts {
				if v.Verdict == cell.Invalid {
					return v.Because
				}
			}
		}
	}
	return ""
}
