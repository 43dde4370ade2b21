package taskdir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"
)

// ErrGiveBack is what a Handler returns to let somebody else do the task.
var ErrGiveBack = errors.New("give the task back")

// Handler does one task. What it returns becomes the result: the output (see
// Claim.Finish; a blank json.RawMessage counts as null); or a *Failure as it is; or
// any other error as a failure of the code "error" that may be retried; or nothing, for ErrGiveBack. A result that it
// handed in by itself, or by a program that it ran, stands.
//
// The context is done once the claim is gone: then stop, nothing will be handed in. It does not end with the context of
// Run, since the task in hand is to be finished.
type Handler func(ctx context.Context, claim *Claim) (output any, err error)

// Worker claims tasks and has them done, one after the other.
type Worker struct {
	Root  *Root
	Agent string
	Queue string // "" is "default"
	// Handle does a task.
	Handle Handler
	// Tasks ends the worker after so many tasks; 0 does not.
	Tasks int
	// Idle ends the worker once nothing could be claimed for so long; 0 does not.
	Idle time.Duration
	// Log gets a line for what a person may want to know; nil says nothing.
	Log *log.Logger
}

// Run works until Tasks or Idle end it, or ctx does, after the task in hand; it then returns nil. Work that the agent
// has left unfinished comes first. A claim that is gone or held by another process is passed over. Any other error is
// returned: ErrName, or the file system's.
func (w *Worker) Run(ctx context.Context) error {
	since := time.Now()
	for done := 0; (w.Tasks == 0 || done < w.Tasks) && ctx.Err() == nil; {
		claim, held, release, err := w.take()
		if err != nil {
			return err
		}
		if claim == nil {
			if w.Idle > 0 && time.Since(since) >= w.Idle {
				return nil
			}
			_ = sleep(ctx, poll)
			continue
		}
		err = w.do(held, release, claim)
		if errors.Is(err, ErrGiveBack) {
			_ = sleep(ctx, poll) // it is offered again at once: others get their chance
		} else if err != nil {
			return err
		}
		done, since = done+1, time.Now()
	}
	return nil
}

// take returns a claim and its hold: unfinished work, else a new task; nil if there is neither. Unfinished work whose
// result was refused would be refused again, so it fails.
func (w *Worker) take() (*Claim, context.Context, func(), error) {
	claims, err := w.Root.Unfinished(w.Agent)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, claim := range claims {
		held, release, err := claim.Hold(context.Background())
		if w.passed(err) {
			continue
		}
		if err != nil || !claim.Refused() {
			return claim, held, release, err
		}
		err = w.failRefused(claim)
		release()
		if err != nil && !w.passed(err) {
			return nil, nil, nil, err
		}
	}
	claim, err := w.Root.Claim(w.Agent, w.Queue)
	if errors.Is(err, ErrNothing) || errors.Is(err, ErrBenched) || errors.Is(err, ErrUnfinished) {
		return nil, nil, nil, nil
	}
	if err != nil {
		return nil, nil, nil, err
	}
	held, release, err := claim.Hold(context.Background())
	if w.passed(err) {
		return nil, nil, nil, nil
	}
	return claim, held, release, err
}

// failRefused ends an attempt whose result was refused: nobody here will mend it.
func (w *Worker) failRefused(claim *Claim) error {
	w.say("%s: its result was refused", claim.ID)
	return claim.Fail(Failure{Code: "refused", Message: "the result was refused", Retry: true})
}

// do has a task done and hands in what came of it; ErrGiveBack if it was given back.
func (w *Worker) do(held context.Context, release func(), claim *Claim) error {
	defer release() // only after the result is there
	returned := false
	defer func() { // a panic goes on; the task must not hang on it
		if !returned && held.Err() == nil {
			_ = claim.Fail(Failure{Code: "panic", Message: "the handler panicked", Retry: true})
		}
	}()
	output, err := w.Handle(held, claim)
	returned = true
	if claim.Gone() {
		err = claim.gone()
	} else if claim.HandedIn() { // the handler did so by itself
		return nil
	} else if claim.Refused() { // now, while it is locked: without a result the lock's end counts as its death
		err = w.failRefused(claim)
	} else if errors.Is(err, ErrGiveBack) {
		if err = claim.GiveBack(); err == nil {
			return ErrGiveBack
		}
	} else {
		err = claim.end(output, err)
	}
	if w.passed(err) {
		return nil
	}
	return err
}

// end hands in an output, or the failure that an error is.
func (c *Claim) end(output any, err error) error {
	if raw, ok := output.(json.RawMessage); ok && isBlank(raw) {
		output = nil
	}
	if err == nil {
		data, failed := encode(output)
		if failed == nil {
			return c.Finish(json.RawMessage(data))
		}
		err = &Failure{Code: "output", Message: failed.Error()}
	}
	failure := Failure{Code: "error", Message: err.Error(), Retry: true}
	if told := new(Failure); errors.As(err, &told) {
		failure = *told
	}
	if !IsWord(failure.Code) {
		failure.Code = ""
	}
	return c.Fail(failure)
}

// passed says whether an error means that the claim is somebody else's, and tells the log.
func (w *Worker) passed(err error) bool {
	if !errors.Is(err, ErrGone) && !errors.Is(err, ErrHeld) {
		return false
	}
	w.say("%v", err)
	return true
}

func (w *Worker) say(format string, args ...any) {
	if w.Log != nil {
		w.Log.Print(fmt.Sprintf(format, args...))
	}
}
