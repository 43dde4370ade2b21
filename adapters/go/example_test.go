package taskdir_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"taskdir.example/taskdir"
)

func Example() {
	root, err := taskdir.Open(example())
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(root.Dir())
	worker := taskdir.Worker{
		Root: root, Agent: "alice", Tasks: 1,
		Handle: func(ctx context.Context, claim *taskdir.Claim) (any, error) {
			var input struct{ Text string }
			if err := claim.Input(&input); err != nil {
				return nil, &taskdir.Failure{Code: "bad-input", Message: err.Error()}
			}
			return strings.ToUpper(input.Text), nil
		},
	}
	if err := worker.Run(context.Background()); err != nil {
		panic(err)
	}
	result, _ := os.ReadFile(filepath.Join(root.Dir(), "claimed/alice/5-000000000003.greet.1.result.json"))
	fmt.Print(string(result))
	// Output: {"status":"ok","output":"HI"}
}

func ExampleRoot_Submit() {
	root, err := taskdir.Open(example())
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(root.Dir())
	id, err := root.Submit("build-42", map[string]any{"type": "build", "input": map[string]any{"ref": "main"}})
	fmt.Println(id, err)
	_, err = root.Submit("build-42", json.RawMessage(`{"type": "build"}`))
	fmt.Println(err)

	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err = root.Wait(ctx, id) // there is no daemon here
	fmt.Println(err)
	// Output:
	// build-42 <nil>
	// build-42: a message of this id lies in inbox/ already
	// build-42 has not ended: context deadline exceeded
}

// example makes what a daemon and `taskdir init` would have made.
func example() string {
	dir, err := os.MkdirTemp("", "taskdir-example-")
	if err != nil {
		panic(err)
	}
	for _, place := range []string{"inbox", "ready/default", "claimed", "done"} {
		if err := os.MkdirAll(filepath.Join(dir, place), 0o777); err != nil {
			panic(err)
		}
	}
	for name, text := range map[string]string{
		"taskdir.json": `{"protocol": 1}`,
		"ready/default/5-000000000003.greet.1.json": `{"id": "greet", "attempt": 1, "type": "echo",
			"input": {"text": "hi"}, "lease_seconds": 1800, "result_file": "5-000000000003.greet.1.result.json"}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			panic(err)
		}
	}
	return dir
}
