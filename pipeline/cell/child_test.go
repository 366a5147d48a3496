package cell_test

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"barograph/pipeline/cell"
)

// Whatever an engine might send, a cell runs or says in one event why not.
func FuzzServe(f *testing.F) {
	f.Add([]byte(`{"kind":"x","id":"x","with":{"n":1}}` + "\n" + `{"type":"stop"}` + "\n"))
	f.Add([]byte(`{"kind":"y"}` + "\n"))
	f.Add([]byte(`{"kind":"x","with":null,"prepare":true}` + "\n"))
	f.Add([]byte(`{"kind":"script","with":{}}` + "\n"))
	kinds := cell.NewKinds(&cell.Kind{Name: "script", Script: true, With: func() any { return &struct{}{} }}, &cell.Kind{
		Name: "x",
		With: func() any {
			return &struct {
				N int `json:"n"`
			}{}
		},
		Run: func(_ context.Context, c *cell.Cell) error {
			for range c.Controls() {
				continue
			}
			return nil
		},
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		err := cell.Serve(kinds, bytes.NewReader(b), &out)
		var e cell.Event
		if said := json.Unmarshal(out.Bytes(), &e) == nil && e.Type == "error" && e.Text != ""; said != (err != nil) {
			t.Errorf("error %v, but it wrote %q", err, out.Bytes())
		}
	})
}
