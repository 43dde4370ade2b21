//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"
)

// apart gives a command a process group of its own: signalAll then reaches all that it starts, and a Ctrl-C in the
// terminal, which asks the worker to end after the task in hand, does not reach the task.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// signalAll asks a command's group to end, or ends it.
func signalAll(cmd *exec.Cmd, kill bool) {
	number := syscall.SIGTERM
	if kill {
		number = syscall.SIGKILL
	}
	_ = syscall.Kill(-cmd.Process.Pid, number)
}

// signalOf returns the number of the signal that ended a process, 0 if none did.
func signalOf(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return int(status.Signal())
	}
	return 0
}
