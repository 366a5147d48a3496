package form

import (
	"go/constant"
	"go/types"
	"strconv"
	"strings"
)

// HoldsFloat tells whether a value of a type holds floating-point numbers itself.
func HoldsFloat(t types.Type) bool {
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return u.Info()&(types.IsFloat|types.IsComplex) != 0
	case *types.Array:
		return HoldsFloat(u.Elem())
	case *types.Struct:
		for i := range u.NumFields() {
			if HoldsFloat(u.Field(i).Type()) {
				return true
			}
		}
	}
	return false
}

// IsChan tells whether a type is a channel.
func IsChan(t types.Type) bool {
	_, ok := t.Underlying().(*types.Chan)
	return ok
}

// IsText tells whether a type is a string.
func IsText(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&types.IsString != 0
}

// Parenthesised writes a type as a conversion to it needs it.
func Parenthesised(typ string) string {
	if strings.ContainsAny(typ, "*<[(") && !strings.HasPrefix(typ, "[]") {
		return "(" + typ + ")"
	}
	return typ
}

// Float writes a constant as a literal that is a number with a point, of 32 bits or 64.
func Float(v constant.Value, single bool) string {
	f, _ := constant.Float64Val(constant.ToFloat(v))
	if single {
		s, _ := constant.Float32Val(constant.ToFloat(v))
		f = float64(s)
	}
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}
