package model_test

import (
	"fmt"

	"barograph/stages/model"
)

// A study's inference asks for a model by name and draws the inputs of a call.
func Example() {
	c, err := model.Load("../..", "bert-tiny")
	if err != nil {
		fmt.Println(err)
		return
	}
	inputs, err := model.Generate(c, map[string]int64{"batch": 1, "sequence": 4}, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	ids := inputs["input_ids"]
	fmt.Println(c.Parameters, "parameters")
	fmt.Println("input_ids", ids.Shape, len(ids.Data.([]int64)))
	fmt.Println("attention_mask", inputs["attention_mask"].Data)
	// Output:
	// 4385920 parameters
	// input_ids [1 4] 4
	// attention_mask [1 1 1 1]
}
