package kernel

import (
	"fmt"
	"go/types"
	"math"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Frame is a call of a function that defers.
type Frame struct {
	machine   *Machine
	deferred  []func()
	Recovered bool // a panic ended the function's body and was recovered
}

// A panicState is a panic on its way.
type panicState struct {
	value     any
	frame     *Frame // whose deferred calls it runs
	recovered bool
}

// Frame begins a call of a function that defers.
func (m *Machine) Frame() *Frame { return &Frame{machine: m} }

// Defer notes a call for the end of the function.
func Defer(f *Frame, call func()) { f.deferred = append(f.deferred, call) }

// Run runs the body of a function that defers. Where it panics, the deferred
// calls are made, and if none of them recovers the panic goes on.
func Run(f *Frame, body func()) {
	done := false
	defer func() {
		if done {
			return
		}
		if r := recover(); r != nil {
			f.unwind(r)
		}
	}()
	body()
	done = true
}

// unwind makes the deferred calls of a function that panicked.
func (f *Frame) unwind(value any) {
	p := &panicState{value: value, frame: f}
	m := f.machine
	if m.Failed == 0 {
		m.Failed = m.Where()
	}
	m.panics = append(m.panics, p)
	depth := len(m.panics)
	for len(f.deferred) > 0 {
		func() {
			defer func() {
				if r := recover(); r != nil { // a deferred call's own panic takes the place of this one
					m.panics = m.panics[:depth]
					p.value, p.recovered = r, false
					m.Failed = m.Where()
				}
			}()
			f.call()
		}()
		if p.recovered {
			break
		}
	}
	m.panics = m.panics[:depth-1]
	if !p.recovered {
		panic(p.value)
	}
	f.Recovered, m.Failed = true, 0
	// What is left is deferred by a function that returns now.
	RunDefers(f)
}

// call makes the last deferred call.
func (f *Frame) call() {
	last := len(f.deferred) - 1
	call := f.deferred[last]
	f.deferred = f.deferred[:last]
	f.machine.called = f
	call()
	f.machine.called = nil
}

// RunDefers makes the deferred calls of a function that returns.
func RunDefers(f *Frame) {
	for len(f.deferred) > 0 {
		f.call()
	}
}

// Enter tells a function that may recover which panic it could: the one whose
// deferred calls are being made, if it is one of them itself.
func (m *Machine) Enter() *Frame {
	f := m.called
	m.called = nil
	return f
}

// Recover ends a panic and returns its value.
func (m *Machine) Recover(f *Frame) any {
	if f == nil || len(m.panics) == 0 {
		return nil
	}
	p := m.panics[len(m.panics)-1]
	if p.frame != f || p.recovered {
		return nil
	}
	p.recovered = true
	return In(Recovered(p.value))
}

// Panic panics with a value in an interface.
func Panic(v any) {
	if v == nil {
		panic(new(runtime.PanicNilError))
	}
	panic(panicValue{v})
}

// A panicValue is what the notebook itself panics with.
type panicValue struct{ value any }

// Missing is the panic of what is nil.
var Missing any = Failure("invalid memory address or nil pointer dereference")

// Wrapped is the panic of a value's method that is called by a nil pointer.
func Wrapped(receiver, method string) {
	panic(refusal("value method " + receiver + "." + method + " called using nil *" + receiver[strings.LastIndex(receiver, ".")+1:] + " pointer"))
}

// Recovered gives a panic of the interpreter the value that it has in compiled
// code.
func Recovered(v any) any {
	switch v := v.(type) {
	case panicValue:
		return Out(v.value)
	case *reflect.ValueError:
		return Failure("invalid memory address or nil pointer dereference")
	case string: // the interpreter works by reflection, which panics with texts
		switch {
		case !strings.HasPrefix(v, "reflect"): // of a compiled package itself
			return v
		case strings.Contains(v, "slice index out of bounds"), strings.Contains(v, "Slice3: "), strings.Contains(v, "string slice index"):
			return Failure("slice bounds out of range")
		case strings.Contains(v, "out of range"), strings.Contains(v, "out of bounds"):
			return Failure("index out of range")
		case strings.Contains(v, "nil"), strings.Contains(v, "zero Value"):
			return Failure("invalid memory address or nil pointer dereference")
		}
		return Failure(v)
	}
	return v
}

// An Iterator goes through a map.
type Iterator struct{ *reflect.MapIter }

// Range begins to go through a map.
func Range(m any) *Iterator {
	v := reflect.ValueOf(m)
	if !v.IsValid() || v.IsNil() {
		return &Iterator{}
	}
	return &Iterator{v.MapRange()}
}

// Next goes to the next entry, if there is one.
func (i *Iterator) Next() bool { return i.MapIter != nil && i.MapIter.Next() }

// At returns the key of the entry.
func (i *Iterator) At() any { return i.MapIter.Key().Interface() }

// Held returns the value of the entry.
func (i *Iterator) Held() any { return i.MapIter.Value().Interface() }

// Rune returns the rune at an index of a text, and the index of the next.
func Rune(s string, i int) (rune, int) {
	r, n := utf8.DecodeRuneInString(s[i:])
	return r, i + n
}

// Clear empties a map, or sets a slice's elements to zero.
func Clear(x any) {
	if v := reflect.ValueOf(x); v.IsValid() {
		v.Clear()
	}
}

// Array returns a slice's elements as a pointer to an array, of the type of a nil one.
func Array(s, nilArray any) any {
	v, t := reflect.ValueOf(s), reflect.TypeOf(nilArray)
	if n := t.Elem().Len(); v.Len() < n {
		panic(Failure(fmt.Sprintf("cannot convert slice with length %d to array or pointer to array with length %d", v.Len(), n)))
	}
	return v.Convert(t).Interface()
}

// Index panics unless an index lies within a length.
func Index(i, n int) {
	if i < 0 {
		panic(Failure(fmt.Sprintf("index out of range [%d]", i)))
	}
	if uint(i) >= uint(n) {
		panic(Failure(fmt.Sprintf("index out of range [%d] with length %d", i, n)))
	}
}

// absent stands for a bound that is not given.
const absent = math.MinInt

// Bounds panics unless a slice's bounds lie in order below a capacity. Text tells
// that a text is sliced.
func Bounds(low, high, most, length, capacity int, text bool) {
	limit, name := capacity, "capacity"
	if text {
		limit, name = length, "length"
	}
	colon := "" // of a slice with three bounds
	refuse := func(bounds string, value int) {
		if value < 0 {
			panic(Failure(fmt.Sprintf("slice bounds out of range "+bounds, value)))
		}
	}
	if most != absent {
		refuse("[::%d]", most)
		refuse("[:%d:]", high)
		if uint(most) > uint(limit) {
			panic(Failure(fmt.Sprintf("slice bounds out of range [::%d] with %s %d", most, name, limit)))
		}
		if uint(high) > uint(most) {
			panic(Failure(fmt.Sprintf("slice bounds out of range [:%d:%d]", high, most)))
		}
		colon = ":"
	}
	if high == absent {
		refuse("[%d:]", low)
		if uint(low) > uint(length) {
			panic(Failure(fmt.Sprintf("slice bounds out of range [%d:%d]", low, length)))
		}
		return
	}
	if colon == "" {
		refuse("[:%d]", high)
	}
	if colon == "" && uint(high) > uint(limit) {
		panic(Failure(fmt.Sprintf("slice bounds out of range [:%d] with %s %d", high, name, limit)))
	}
	refuse("[%d:"+colon+"]", low)
	if uint(low) > uint(high) {
		panic(Failure(fmt.Sprintf("slice bounds out of range [%d:%d%s]", low, high, colon)))
	}
}

// HoldsNegativeZero tells whether a value is a negative zero, or a struct or an
// array that holds one.
func HoldsNegativeZero(x any) bool {
	var holds func(v reflect.Value) bool
	holds = func(v reflect.Value) bool {
		switch v.Kind() {
		case reflect.Float32, reflect.Float64:
			return v.Float() == 0 && math.Signbit(v.Float())
		case reflect.Complex64, reflect.Complex128:
			c := v.Complex()
			return real(c) == 0 && math.Signbit(real(c)) || imag(c) == 0 && math.Signbit(imag(c))
		case reflect.Array:
			for i := range v.Len() {
				if holds(v.Index(i)) {
					return true
				}
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if holds(v.Field(i)) {
					return true
				}
			}
		}
		return false
	}
	return holds(reflect.ValueOf(x))
}

// Hashable panics unless a value can be a key of a map.
func Hashable(e any) {
	if b, ok := e.(Box); ok && !types.Comparable(b.T.Go) {
		panic(Failure("hash of unhashable type " + b.T.String()))
	} else if !ok && e != nil && !reflect.TypeOf(e).Comparable() {
		panic(Failure("hash of unhashable type " + reflect.TypeOf(e).String()))
	}
}

// Call calls a function.
func Call(f any, args ...any) []any { return call(reflect.ValueOf(f), args) }

// Shift panics if a shift count is negative.
func Shift(n int) {
	if n < 0 {
		panic(Failure("negative shift amount"))
	}
}

// Room panics if a channel cannot hold a number of values.
func Room(n int) { _ = make(chan bool, n) }

// Single and SingleUnsigned round a number once.
func Single(n int64) float32          { return float32(n) }
func SingleUnsigned(n uint64) float32 { return float32(n) }

// Size panics if a slice cannot have a length and a capacity.
func Size(n, c int) {
	switch {
	case n < 0 || n > 1<<47:
		panic(Failure("makeslice: len out of range"))
	case c < n || c > 1<<47:
		panic(Failure("makeslice: cap out of range"))
	}
}

// Min and Max are the built-in functions, which the interpreter lacks: NaN where
// either is.
func Min(a, b float64) float64 { return min(a, b) }
func Max(a, b float64) float64 { return max(a, b) }

// Negative is -v, of zero as well.
func Negative(v complex128) complex128 { return -v }

// deadlock is what becomes of an operation on a channel that would wait: nobody
// else runs.
func deadlock() { panic(Failure("all goroutines are asleep - deadlock!")) }

// Send sends to a channel.
func Send(c, v any) {
	ch := reflect.ValueOf(c)
	x := reflect.New(ch.Type().Elem()).Elem()
	if v != nil {
		x.Set(reflect.ValueOf(v))
	}
	if ch.IsNil() || !ch.TrySend(x) {
		deadlock()
	}
}

// Receive receives from a channel.
func Receive(c any) (v any, ok bool) {
	ch := reflect.ValueOf(c)
	if ch.IsNil() {
		deadlock()
	}
	x, ok := ch.TryRecv()
	if !x.IsValid() { // it would wait
		deadlock()
	}
	return x.Interface(), ok
}

// A Choice is a case of a select.
type Choice struct {
	Channel, Value any
	Sends          bool
}

// Select chooses among cases.
func Select(blocking bool, channels []any, values []any, sends []bool) (chosen int, ok bool, v any) {
	var cases []reflect.SelectCase
	for i, c := range channels {
		one := reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(c)}
		if sends[i] {
			one.Dir = reflect.SelectSend
			one.Send = reflect.New(one.Chan.Type().Elem()).Elem()
			if values[i] != nil {
				one.Send.Set(reflect.ValueOf(values[i]))
			}
		}
		cases = append(cases, one)
	}
	cases = append(cases, reflect.SelectCase{Dir: reflect.SelectDefault})
	chosen, x, ok := reflect.Select(cases)
	if chosen == len(channels) {
		if blocking {
			deadlock()
		}
		return -1, false, nil
	}
	if x.IsValid() {
		v = x.Interface()
	}
	return chosen, ok, v
}

// Print is the built-in print: to standard error, in the runtime's form.
func Print(args []any, kinds string, line bool) {
	for i, a := range args {
		if line && i > 0 {
			fmt.Fprint(os.Stderr, " ")
		}
		switch kinds[i] {
		case 'f':
			fmt.Fprint(os.Stderr, strconv.FormatFloat(reflect.ValueOf(a).Float(), 'g', -1, reflect.TypeOf(a).Bits()))
		case 'c':
			fmt.Fprint(os.Stderr, strconv.FormatComplex(reflect.ValueOf(a).Complex(), 'g', -1, reflect.TypeOf(a).Bits()))
		case 'p':
			fmt.Fprintf(os.Stderr, "%#x", reflect.ValueOf(a).Pointer())
		case 's':
			fmt.Fprintf(os.Stderr, "[%d/%d]%#x", reflect.ValueOf(a).Len(), reflect.ValueOf(a).Cap(), reflect.ValueOf(a).Pointer())
		case 'i':
			fmt.Fprintf(os.Stderr, "(%#x,%#x)", 0, 0)
		default:
			fmt.Fprint(os.Stderr, a)
		}
	}
	if line {
		fmt.Fprintln(os.Stderr)
	}
}
