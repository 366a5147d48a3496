package form

import (
	"go/token"
	"go/types"
	"slices"

	"golang.org/x/tools/go/ssa"
)

// MayFail tells whether an operation may panic.
func MayFail(b *ssa.BinOp) bool {
	switch b.Op {
	case token.QUO, token.REM, token.SHL, token.SHR:
		return true
	case token.EQL, token.NEQ:
		return Compares(b)
	}
	return false
}

// Compares tells whether operands are compared by the kernel.
func Compares(b *ssa.BinOp) bool {
	if IsNil(b.X) || IsNil(b.Y) {
		return false
	}
	switch b.X.Type().Underlying().(type) {
	case *types.Interface, *types.Struct, *types.Array:
		return true
	}
	switch b.Y.Type().Underlying().(type) {
	case *types.Interface:
		return true
	}
	return false
}

// IsNil tells whether an operand is the constant nil.
func IsNil(v ssa.Value) bool {
	c, ok := v.(*ssa.Const)
	if !ok || c.Value != nil {
		return false
	}
	switch c.Type().Underlying().(type) {
	case *types.Struct, *types.Array, *types.Basic:
		return false
	}
	return true
}

// Direct tells whether an address is only used where the variable itself can stand.
func Direct(v ssa.Value) bool {
	for _, r := range *v.Referrers() {
		switch r := r.(type) {
		case *ssa.UnOp:
			if r.Op != token.MUL {
				return false
			}
		case *ssa.Store:
			if r.Addr != v || r.Val == v {
				return false
			}
		case *ssa.FieldAddr:
		case *ssa.IndexAddr:
			if r.X != v {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// TakesFloats tells whether a negative zero may be passed to a function.
func TakesFloats(f *ssa.Function) bool {
	return slices.ContainsFunc(f.Params, func(p *ssa.Parameter) bool { return HoldsFloat(p.Type()) })
}
