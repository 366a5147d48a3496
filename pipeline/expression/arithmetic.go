package expression

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/vm/runtime"

	"barograph/pipeline/source"
)

// Integers of expr-lang wrap, conversions saturate, and the mean of nothing is 0.
// Here whatever does not fit in 64 bits, or has no value, is an error.

// exact lets an expression compute with the functions below in place of expr-lang's
// own. It is an option for the second compilation of an expression: the first one
// has found what is wrong with its types.
func exact(c *conf.Config) {
	for _, f := range exactly {
		c.Functions[f.Name] = f
	}
	c.Visitors = append(c.Visitors, exactVisitor{})
}

var add = operation("+", runtime.Add, (*big.Int).Add)

// exactly are the functions by a name that no expression can spell.
var exactly = []*builtin.Function{
	add,
	operation("-", runtime.Subtract, (*big.Int).Sub),
	operation("*", runtime.Multiply, (*big.Int).Mul),
	{Name: "exact /", Types: signatures(new(func(any, any) float64)), Func: func(args ...any) (any, error) {
		if q := runtime.Divide(args[0], args[1]); !math.IsInf(q, 0) && !math.IsNaN(q) {
			return q, nil
		}
		return nil, fmt.Errorf("%v / %v has no value", args[0], args[1])
	}},
	{Name: "exact ..", Types: signatures(new(func(int, int) []int)), Func: func(args ...any) (any, error) {
		first, last := args[0].(int), args[1].(int)
		if last >= first && uint64(last)-uint64(first) >= MaxValues {
			return nil, fmt.Errorf("%d..%d has more than %d values", first, last, MaxValues)
		}
		return runtime.MakeRange(first, last), nil
	}},
	{Name: "exact bitshl", Types: signatures(new(func(int, int) int)), Func: func(args ...any) (any, error) {
		x, by := args[0].(int), args[1].(int)
		if by < 0 || x != 0 && (by > 63 || x<<by>>by != x) {
			return nil, beyond("bitshl(%d, %d)", x, by)
		}
		return x << min(by, 63), nil
	}},
	{Name: "exact sum", Types: signatures(new(func([]any) any), new(func(any) any)), Func: func(args ...any) (any, error) {
		list := reflect.ValueOf(args[0])
		if list.Kind() != reflect.Slice {
			return nil, fmt.Errorf("sum of a %T", args[0])
		}
		total := any(0)
		for i := range list.Len() {
			var err error
			if total, err = add.Func(total, list.Index(i).Interface()); err != nil {
				return nil, err
			}
		}
		return total, nil
	}},
	// The others stand around a function's argument and let it pass.
	passing("int", func(v any) error {
		if f, ok := v.(float64); ok && !(f >= -1<<63 && f < 1<<63) {
			return beyond("int(%v)", f)
		}
		if s, ok := v.(string); ok && len(s) > 1 && strings.TrimLeft(s, "+-")[:1] == "0" {
			return fmt.Errorf("int(%q) begins with a zero, which some take for octal", s)
		}
		return nil
	}),
	passing("abs", negated), passing("negated", negated),
	passing("mean", filled("mean")), passing("median", filled("median")), passing("min", filled("min")), passing("max", filled("max")),
}

// operation is an operator on numbers, of which exact tells what is the result of
// integers. It does with all else what expr-lang does.
func operation(operator string, plain func(a, b any) any, exact func(z, a, b *big.Int) *big.Int) *builtin.Function {
	return &builtin.Function{
		Name: "exact " + operator,
		Validate: func(args []reflect.Type) (reflect.Type, error) {
			if args[0] == intType && args[1] == intType {
				return intType, nil
			}
			return reflect.TypeFor[any](), nil
		},
		Func: func(args ...any) (any, error) {
			a, one := integer(args[0])
			b, both := integer(args[1])
			if one && both && !exact(new(big.Int), big.NewInt(a), big.NewInt(b)).IsInt64() {
				return nil, beyond("%v %s %v", args[0], operator, args[1])
			}
			return plain(args[0], args[1]), nil
		},
	}
}

// passing is a function of one argument that it returns unless refuse objects.
func passing(name string, refuse func(v any) error) *builtin.Function {
	return &builtin.Function{
		Name:     "exact " + name,
		Validate: func(args []reflect.Type) (reflect.Type, error) { return args[0], nil },
		Func:     func(args ...any) (any, error) { return args[0], refuse(args[0]) },
	}
}

// negated refuses the one integer that has no opposite.
func negated(v any) error {
	if v == math.MinInt {
		return beyond("-(%v)", v)
	}
	return nil
}

// filled refuses an empty list.
func filled(name string) func(v any) error {
	return func(v any) error {
		if list := reflect.ValueOf(v); list.Kind() == reflect.Slice && list.Len() == 0 {
			return fmt.Errorf("the %s of an empty list has no value", name)
		}
		return nil
	}
}

// pointed is the hint where an integer does not fit.
const pointed = "a number with a point, such as 1000000000.0, has no such limit"

// A limitError is an integer that does not fit.
type limitError struct{ text string }

func (e *limitError) Error() string { return e.text + " is beyond the integers that fit in 64 bits" }

func beyond(format string, args ...any) error { return &limitError{fmt.Sprintf(format, args...)} }

func integer(v any) (int64, bool) {
	if r := reflect.ValueOf(v); r.CanInt() {
		return r.Int(), true
	}
	return 0, false
}

func signatures(functions ...any) []reflect.Type {
	var list []reflect.Type
	for _, f := range functions {
		list = append(list, reflect.TypeOf(f).Elem())
	}
	return list
}

var intType = reflect.TypeFor[int]()

// exactVisitor puts the functions of exactly into a tree whose types are known.
type exactVisitor struct{}

func (exactVisitor) Visit(n *ast.Node) {
	call := func(name string, args ...ast.Node) ast.Node {
		c := &ast.CallNode{Callee: &ast.IdentifierNode{Value: "exact " + name}, Arguments: args}
		c.SetLocation((*n).Location())
		return c
	}
	t := (*n).Type()
	counted := t == nil || t.Kind() == reflect.Interface || reflect.Zero(t).CanInt()
	switch x := (*n).(type) {
	case *ast.BinaryNode:
		switch x.Operator {
		case "+", "-", "*":
			if counted {
				ast.Patch(n, call(x.Operator, x.Left, x.Right))
			}
		case "/", "..":
			ast.Patch(n, call(x.Operator, x.Left, x.Right))
		}
	case *ast.UnaryNode:
		if x.Operator == "-" && counted {
			x.Node = call("negated", x.Node)
		}
	case *ast.BuiltinNode:
		switch x.Name {
		case "int", "abs", "mean", "median", "min", "max":
			for i := range x.Arguments {
				if len(x.Arguments) == 1 || x.Name == "abs" {
					x.Arguments[i] = call(x.Name, x.Arguments[i])
				}
			}
		case "bitshl":
			ast.Patch(n, call("bitshl", x.Arguments...))
		case "sum":
			list := x.Arguments[0]
			if len(x.Arguments) == 2 {
				list = &ast.BuiltinNode{Name: "map", Arguments: x.Arguments}
			}
			ast.Patch(n, call("sum", list))
		}
	}
}

// literals refuses what an expression writes and would be read as something else:
// comments, of which // is easily meant for a whole division, and integers with a
// leading zero.
func (f *formula) literals(p *part) *source.Error {
	quote, before := byte(0), byte(' ')
	for i := 0; i < len(p.text); i++ {
		c := p.text[i]
		switch {
		case quote != 0:
			if c == '\\' && quote != '`' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'' || c == '`':
			quote = c
		case strings.HasPrefix(p.text[i:], "//"):
			return f.at.ErrorAt(p.off+i, "for a whole division, write int(a / b)", "// begins a comment, which an expression cannot hold")
		case strings.HasPrefix(p.text[i:], "/*"):
			return f.at.ErrorAt(p.off+i, "write it after # beside the value", "a comment, which an expression cannot hold")
		case !digit(c) || digit(before) || letter(before) || before == '.':
		case c == '0' && i+1 < len(p.text) && (digit(p.text[i+1]) || p.text[i+1] == '_'):
			return f.at.ErrorAt(p.off+i, "leave the zero out, or begin with 0o what is octal", "a number that begins with a zero, which some take for octal")
		default:
			number := p.text[i:]
			if end := strings.IndexFunc(number, func(r rune) bool { return r != '.' && (r > 0x7f || !digit(byte(r)) && !letter(byte(r))) }); end > 0 {
				number = number[:end]
			}
			whole := c == '0' || !strings.ContainsAny(number, ".eE") // 0x1E is whole
			if _, err := strconv.ParseInt(number, 0, 64); whole && errors.Is(err, strconv.ErrRange) {
				return f.at.ErrorAt(p.off+i, pointed, "%v", beyond("%s", number))
			}
		}
		before = c
	}
	return nil
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
func letter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == '$' || c >= 0x80
}

var _ expr.Option = exact
