package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"taskdir.example/taskdir"
)

const (
	giveBackCode  = 75              // a command that ends with it wants somebody else to do the task
	notFoundCode  = 127             // what a shell says of a command that it cannot find
	notRunCode    = 126             // and of one that it cannot run
	killPatience  = 5 * time.Second // between SIGTERM and SIGKILL
	signalCodeAdd = 128             // what a shell adds to the number of the signal that ended a command
)

// runHeld runs the command of hold to its end and returns its exit code, as a shell does. It passes on the signals that
// ask it to end, so that the lock is kept for as long as the command runs.
func runHeld(argv []string) int {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if err := cmd.Start(); err != nil {
		say(err)
		return startCode(err)
	}
	go func() {
		for got := range signals {
			_ = cmd.Process.Signal(got)
		}
	}()
	_ = cmd.Wait()
	if number := signalOf(cmd.ProcessState); number != 0 {
		return signalCodeAdd + number
	}
	return cmd.ProcessState.ExitCode()
}

// command returns a handler that runs a command for each task: the claimed file is its stdin, its stdout the output.
func command(argv []string) taskdir.Handler {
	return func(ctx context.Context, claim *taskdir.Claim) (any, error) {
		stdin, err := os.Open(claim.Path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, taskdir.ErrGone
		}
		if err != nil {
			return nil, err
		}
		defer stdin.Close()
		// A file and no pipe: what the command leaves running in the background must not hold up its result.
		stdout, err := os.CreateTemp("", "taskdir-")
		if err != nil {
			return nil, err
		}
		defer os.Remove(stdout.Name())
		defer stdout.Close()

		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, os.Stderr
		cmd.Env = append(os.Environ(), "TASKDIR_TASK="+claim.Path, "TASKDIR_ID="+claim.ID,
			fmt.Sprintf("TASKDIR_ATTEMPT=%d", claim.Attempt))
		apart(cmd)
		if err := cmd.Start(); err != nil {
			return nil, ended(fmt.Sprintf("exit-%d", startCode(err)), err.Error())
		}
		over := make(chan struct{})
		go terminate(ctx, cmd, over)
		err = cmd.Wait()
		close(over)
		return outcome(cmd, err, stdout)
	}
}

// outcome makes what a handler returns of how a command ended.
func outcome(cmd *exec.Cmd, err error, stdout *os.File) (any, error) {
	code := cmd.ProcessState.ExitCode()
	if number := signalOf(cmd.ProcessState); number != 0 {
		return nil, ended(fmt.Sprintf("signal-%d", number), fmt.Sprintf("%s was ended by signal %d", cmd.Args[0], number))
	}
	if code == giveBackCode {
		return nil, taskdir.ErrGiveBack
	}
	if code != 0 {
		return nil, ended(fmt.Sprintf("exit-%d", code), fmt.Sprintf("%s ended with exit code %d", cmd.Args[0], code))
	}
	if err != nil {
		return nil, err
	}
	if _, err := stdout.Seek(0, io.SeekStart); err != nil { // the command wrote through the same open file
		return nil, err
	}
	output, err := io.ReadAll(stdout)
	return json.RawMessage(output), err
}

func ended(code, message string) error {
	return &taskdir.Failure{Code: code, Message: message, Retry: true}
}

// terminate ends a command, and what it started, once its claim is gone.
func terminate(ctx context.Context, cmd *exec.Cmd, over <-chan struct{}) {
	select {
	case <-over:
		return
	case <-ctx.Done():
	}
	signalAll(cmd, false)
	select {
	case <-over:
	case <-time.After(killPatience):
		signalAll(cmd, true)
	}
}

func startCode(err error) int {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return notFoundCode
	}
	return notRunCode
}
