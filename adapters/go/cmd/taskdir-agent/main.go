// Command taskdir-agent is what adapters/CONTRACT.md asks of an agent: the gestures of a taskdir as verbs.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"taskdir.example/taskdir"
)

const help = `taskdir-agent submit [ID] <MESSAGE                offers a message, prints its id        73 the name is taken
taskdir-agent claim AGENT [QUEUE]                 takes a task, prints its path          75 none, or unfinished work
taskdir-agent keep PATH                           renews the lease                       66 gone: stop
taskdir-agent finish PATH [OUTPUT.json | -]       gives the result (absent: null)        66 gone, 65 empty
taskdir-agent fail PATH [CODE] MESSAGE [--retry]  gives an error as the result           66 gone
taskdir-agent give-back PATH                      lets somebody else do it               66 gone
taskdir-agent note PATH TEXT                      a line for people; renews the lease    66 gone
taskdir-agent wait ID [SECONDS]                   prints the record's or reason's path   0 done, 1 not, 124 time is up
taskdir-agent hold PATH CMD...                    keeps the lease fresh while CMD runs   CMD's; 66 gone, 75 held
taskdir-agent work AGENT [QUEUE] [--tasks N] [--idle SECONDS] [-- CMD...]
                                                  claims tasks and runs CMD for each
Also 2 usage, 66 no root, 73 cannot write. The root is $TASKDIR, else the nearest parent that holds taskdir.json.
`

// usage is an error in the command line.
type usage string

func (u usage) Error() string { return string(u) }

var verbs = map[string]func(args []string) (code int, err error){
	"submit": submit, "claim": claim, "keep": keep, "finish": finish, "fail": fail, "give-back": giveBack, "note": note,
	"wait": wait, "hold": hold, "work": work, "help": showHelp, "-h": showHelp, "--help": showHelp,
}

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) == 0 {
		args = []string{"help"}
	}
	verb, ok := verbs[args[0]]
	if !ok {
		return say(usage(fmt.Sprintf("no such verb: %q (see taskdir-agent help)", args[0])))
	}
	code, err := verb(args[1:])
	if err != nil {
		return say(err)
	}
	return code
}

// say tells a person what is the matter, each line marked, and returns the exit code for it.
func say(err error) int {
	fmt.Fprintln(os.Stderr, "taskdir: "+strings.ReplaceAll(err.Error(), "\n", "\ntaskdir: "))
	var wrong usage
	switch {
	case errors.As(err, &wrong), errors.Is(err, taskdir.ErrName):
		return 2
	case errors.Is(err, taskdir.ErrEmpty):
		return 65
	case errors.Is(err, taskdir.ErrGone), errors.Is(err, taskdir.ErrNoRoot), errors.Is(err, errNoOutput):
		return 66
	case errors.Is(err, taskdir.ErrNothing), errors.Is(err, taskdir.ErrUnfinished),
		errors.Is(err, taskdir.ErrBenched), errors.Is(err, taskdir.ErrHeld):
		return 75
	case errors.Is(err, context.DeadlineExceeded):
		return 124
	}
	return 73
}

// tell prints a line of data.
func tell(line string) error {
	_, err := fmt.Println(line)
	return err
}

var errNoOutput = errors.New("no output")

func count(args []string, least, most int, how string) error {
	if len(args) < least || len(args) > most {
		return usage("usage: taskdir-agent " + how)
	}
	return nil
}

func showHelp([]string) (int, error) {
	return 0, tell(strings.TrimSuffix(help, "\n"))
}

func submit(args []string) (int, error) {
	if err := count(args, 0, 1, "submit [ID] <MESSAGE"); err != nil {
		return 0, err
	}
	id := ""
	if len(args) == 1 {
		if id = args[0]; !taskdir.IsWord(id) {
			return 0, fmt.Errorf("the id %q: %w", id, taskdir.ErrName)
		}
	}
	root, err := taskdir.Find()
	if err != nil {
		return 0, err
	}
	message, err := io.ReadAll(os.Stdin)
	if err != nil {
		return 0, err
	}
	if id, err = root.Submit(id, json.RawMessage(message)); err != nil {
		return 0, err
	}
	return 0, tell(id)
}

func claim(args []string) (int, error) {
	if err := count(args, 1, 2, "claim AGENT [QUEUE]"); err != nil {
		return 0, err
	}
	queue, err := queueOf(args)
	if err != nil {
		return 0, err
	}
	root, err := taskdir.Find()
	if err != nil {
		return 0, err
	}
	claim, err := root.Claim(args[0], queue)
	if err != nil {
		return 0, err
	}
	return 0, tell(claim.Path)
}

// queueOf returns the queue of AGENT [QUEUE]. Named, it is not empty: that is how a default is left out.
func queueOf(args []string) (string, error) {
	queue := "default"
	if len(args) == 2 {
		queue = args[1]
	}
	if own := strings.TrimPrefix(queue, "@"); !taskdir.IsWord(args[0]) || !taskdir.IsWord(own) || own != queue && own != args[0] {
		return "", fmt.Errorf("the agent %q and the queue %q: %w", args[0], queue, taskdir.ErrName)
	}
	return queue, nil
}

func keep(args []string) (int, error) {
	if err := count(args, 1, 1, "keep PATH"); err != nil {
		return 0, err
	}
	claim, err := taskdir.OpenClaim(args[0])
	if err != nil {
		return 0, err
	}
	return 0, claim.Keep()
}

func finish(args []string) (int, error) {
	if err := count(args, 1, 2, "finish PATH [OUTPUT.json | -]"); err != nil {
		return 0, err
	}
	output, err := []byte("null"), error(nil)
	if len(args) == 2 && args[1] == "-" {
		output, err = io.ReadAll(os.Stdin)
	} else if len(args) == 2 {
		output, err = os.ReadFile(args[1])
	}
	claim, gone := taskdir.OpenClaim(args[0])
	if errors.Is(gone, taskdir.ErrName) {
		return 0, gone
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %v", errNoOutput, err)
	}
	if len(strings.TrimSpace(string(output))) == 0 {
		return 0, fmt.Errorf("the output: %w", taskdir.ErrEmpty)
	}
	if gone != nil {
		return 0, gone
	}
	return 0, claim.Finish(json.RawMessage(output))
}

func fail(args []string) (int, error) {
	const how = "fail PATH [CODE] MESSAGE [--retry]"
	words, failure := args, taskdir.Failure{}
	if last := len(words) - 1; last >= 2 && words[last] == "--retry" {
		words, failure.Retry = words[:last], true
	}
	if err := count(words, 2, 3, how); err != nil {
		return 0, err
	}
	failure.Message = words[len(words)-1]
	if len(words) == 3 {
		if failure.Code = words[1]; !taskdir.IsWord(failure.Code) {
			return 0, fmt.Errorf("the code %q: %w", failure.Code, taskdir.ErrName)
		}
	}
	if failure.Message == "" || failure.Message == "--retry" {
		return 0, usage("usage: taskdir-agent " + how)
	}
	claim, err := taskdir.OpenClaim(words[0])
	if err != nil {
		return 0, err
	}
	return 0, claim.Fail(failure)
}

func giveBack(args []string) (int, error) {
	if err := count(args, 1, 1, "give-back PATH"); err != nil {
		return 0, err
	}
	claim, err := taskdir.OpenClaim(args[0])
	if err != nil {
		return 0, err
	}
	return 0, claim.GiveBack()
}

func note(args []string) (int, error) {
	if err := count(args, 2, 2, "note PATH TEXT"); err != nil {
		return 0, err
	}
	claim, err := taskdir.OpenClaim(args[0])
	if err != nil {
		return 0, err
	}
	return 0, claim.Note(args[1])
}

func wait(args []string) (int, error) {
	if err := count(args, 1, 2, "wait ID [SECONDS]"); err != nil {
		return 0, err
	}
	ctx := context.Background()
	if len(args) == 2 {
		seconds, err := number(args[1])
		if err != nil {
			return 0, err
		}
		limited, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
		defer cancel()
		ctx = limited
	}
	if !taskdir.IsWord(args[0]) {
		return 0, fmt.Errorf("the id %q: %w", args[0], taskdir.ErrName)
	}
	root, err := taskdir.Find()
	if err != nil {
		return 0, err
	}
	outcome, err := root.Wait(ctx, args[0])
	if err != nil {
		return 0, err
	}
	if outcome.Place != "done" {
		return 1, tell(outcome.Path)
	}
	return 0, tell(outcome.Path)
}

// number reads a whole number of at most nine digits.
func number(text string) (int, error) {
	value, err := strconv.Atoi(text)
	if err != nil || len(text) > 9 || strings.Trim(text, "0123456789") != "" {
		return 0, usage(fmt.Sprintf("not a number: %q", text))
	}
	return value, nil
}

func hold(args []string) (int, error) {
	if err := count(args, 2, 1<<30, "hold PATH CMD..."); err != nil {
		return 0, err
	}
	claim, err := taskdir.OpenClaim(args[0])
	if err != nil {
		return 0, err
	}
	_, release, err := claim.Hold(context.Background())
	if err != nil {
		return 0, err
	}
	defer release()
	return runHeld(args[1:]), nil
}

func work(args []string) (int, error) {
	const how = "work AGENT [QUEUE] [--tasks N] [--idle SECONDS] [-- CMD...]"
	worker, words := taskdir.Worker{Handle: echo, Log: log.New(os.Stderr, "taskdir: ", 0)}, []string(nil)
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		switch {
		case word == "--" && len(args) > 0:
			worker.Handle, args = command(args), nil
		case word == "--tasks" && len(args) > 0:
			tasks, err := number(args[0])
			if err != nil || tasks == 0 {
				return 0, usage("usage: taskdir-agent " + how)
			}
			worker.Tasks, args = tasks, args[1:]
		case word == "--idle" && len(args) > 0:
			seconds, err := number(args[0])
			if err != nil {
				return 0, err
			}
			worker.Idle, args = time.Duration(seconds)*time.Second+1, args[1:] // 0 would be: for ever
		case strings.HasPrefix(word, "-"):
			return 0, usage("usage: taskdir-agent " + how)
		default:
			words = append(words, word)
		}
	}
	if err := count(words, 1, 2, how); err != nil {
		return 0, err
	}
	queue, err := queueOf(words)
	if err != nil {
		return 0, err
	}
	if worker.Root, err = taskdir.Find(); err != nil {
		return 0, err
	}
	worker.Agent, worker.Queue = words[0], queue
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // a second signal ends it at once
	}()
	return 0, worker.Run(ctx)
}

// echo hands the claimed file back as the output.
func echo(_ context.Context, claim *taskdir.Claim) (any, error) {
	data, err := os.ReadFile(claim.Path)
	if errors.Is(err, fs.ErrNotExist) {
		err = taskdir.ErrGone
	}
	return json.RawMessage(data), err
}
